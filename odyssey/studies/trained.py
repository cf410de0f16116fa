"""Trained models on disk: what a run keeps beside its records, ready to be used again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from odyssey.errors import ConfigError, StoreError, suggest
from odyssey.expr import Cell, parse_cell
from odyssey.names import printable
from odyssey.storage.files import DamagedFileError
from odyssey.storage.schema import OK
from odyssey.storage.store import RunStore
from odyssey.studies.settings import recorded_settings
from odyssey.studies.weights import kept, path_of, read_weights, write_arrays
from odyssey.tasks.base import Task
from odyssey.tasks.recorded import recorded_task
from odyssey.transforms.settings import with_settings
from odyssey.transforms.zoneout import expect_zoneout

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from odyssey.training.model import SequenceModel

WEIGHTS = "weights.npz"


@dataclass(frozen=True, repr=False)
class TrainedModel:
    """A model with the best parameters of its run, one member, float32.

    It is called on what its task feeds, without gradients: `y, state = trained(x)`.

    Attributes:
        model: The model.
        task: What it was trained on.
        row: Its row of results.
    """

    model: SequenceModel
    task: Task
    row: pd.Series[float]

    def __call__(
        self, x: Tensor | NDArray[Any], state: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Gives what it predicts at every step, and the states after the last one.

        Args:
            x: Class indices (T, B), int64; or numbers (T, B, I), float32.
            state: The states to go on from, (L, B, n) each; None begins.

        Returns:
            Logits, of reals the numbers themselves, (T, B, K); and the states.
        """
        import torch

        before = None if state is None else tuple(s[None] for s in state)
        with torch.no_grad():
            y, after = self.model(torch.as_tensor(x)[None], before)
        return y[0], tuple(s[0] for s in after)

    @property
    def cell(self) -> Cell:
        """Its cell."""
        return self.model.rnn.cell

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.model.parameters())
        names = f"{printable(str(self.row['spec']))} on {printable(self.task.name)}"
        return f"<TrainedModel {names}: {count:,} parameters>"


def save_weights(store: RunStore, model: SequenceModel) -> None:
    """Writes the parameters of a model's first member into the run directory, atomically."""
    weights = {n: p.detach().cpu().numpy()[0] for n, p in model.named_parameters()}
    write_arrays(store.path / WEIGHTS, weights)


def load_trained(
    directory: str | Path,
    *,
    cell: str = "",
    task: str = "",
    member: int | None = None,
    text: str | None = None,
) -> TrainedModel:
    """Reads a model that a run has kept: of one training, or of a study.

    Args:
        directory: The run of `odyssey train --out DIR`, `odyssey search` or `odyssey ablate`.
        cell: Its spec, or the name of its cell; any if empty.
        task: Its task; if empty, the run's only one.
        member: Its number in the population; any if None.
        text: Where the text of the task lies now, if that is another place.

    Of the models that fit, the one with the lowest validation loss.

    Raises:
        StoreError: There is no such run or model in it, it kept no weights, or they do not fit its
            record.
        ConfigError: The run keeps models of several tasks, and none is named.
        TaskError: The text at `text` is another one; or the run is of before runs kept the symbols
            of a text, and its text is gone or has changed. Of a later run whose text is gone or has
            changed the task is a `MissingText`, which knows its symbols.
    """
    return next(iter(load_all_trained(directory, cell=cell, task=task, member=member, text=text)))


def load_all_trained(
    directory: str | Path,
    *,
    cell: str = "",
    task: str = "",
    member: int | None = None,
    text: str | None = None,
) -> Iterator[TrainedModel]:
    """Reads the best model of every cell that a run has kept, the lowest validation loss first.

    Arguments and errors are those of `load_trained`; models are read one after the other.
    """
    store = RunStore.open(directory)
    rows = _single(store) if (store.path / WEIGHTS).is_file() else kept(store)
    if rows.empty:
        raise StoreError(
            f"{store.path} keeps no weights; runs of `odyssey train SPEC --task TASK --out DIR` do,"
            " and studies with keep_weights"
        )
    asked = {"task": task, "cell": cell, "member": member}
    chosen = choose(rows, asked, what="with weights in the run")
    tasks = list(dict.fromkeys(chosen["task"]))
    if len(tasks) > 1:
        raise ConfigError(
            f"{store.path} keeps models of several tasks; name one with --task: {', '.join(tasks)}"
        )
    for _, row in chosen.drop_duplicates("spec").iterrows():
        yield _load(store, row, text)


def choose(rows: pd.DataFrame, asked: Mapping[str, str | int | None], *, what: str) -> pd.DataFrame:
    """Gives the rows of results that are meant.

    Args:
        rows: Results.
        asked: Column -> its value, empty or None for any; of `cell` its name or the spec.
        what: What rows have in common, for the error.

    Raises:
        StoreError: There is no such row.
    """
    for name, given in asked.items():
        if given in ("", None):
            continue
        match = rows[name] == given
        if name == "cell":
            match |= rows["spec"] == given
        if not match.any():
            there = dict.fromkeys(rows["spec" if name == "cell" else name].astype(str))
            raise StoreError(suggest(str(given), there, what=f"{name} {what}"))
        rows = rows[match]
    return rows


def _single(store: RunStore) -> pd.DataFrame:
    """Gives the row of a run of `odyssey train`, checked."""
    results = store.results()
    if len(results) != 1:
        raise StoreError(f"{store.path} has {len(results)} results; expected those of one training")
    row = results.iloc[0]
    if row["status"] != OK:
        raise StoreError(f"{store.path}: the training {row['status']} ({row['reason']})")
    return results


def _load(store: RunStore, row: pd.Series[float], text: str | None) -> TrainedModel:
    import torch

    from odyssey.training.model import SequenceModel

    spec = str(row["task"])
    task = recorded_task(spec, store.run.get("tasks", {}).get(spec, {}), text=text)
    cell = parse_cell(str(row["cell_text"]))
    cell = with_settings(cell, recorded_settings(cell, row.to_dict()))
    if row["zoneout"] > 0:
        cell = expect_zoneout(cell, float(row["zoneout"]))
    model = SequenceModel(
        cell,
        task.signature,
        [int(row["hidden_size"])],
        int(row["num_layers"]),
    )
    path = store.path / WEIGHTS
    prefix = ""
    if not path.is_file():
        path, prefix = path_of(store, str(row["trial"])), f"{int(row['member'])}/"
    try:
        arrays = read_weights(path, prefix, sealed="format" in store.run)
        model.load_state_dict({n: torch.as_tensor(v)[None] for n, v in arrays.items()})
    except (OSError, DamagedFileError, RuntimeError, TypeError) as error:
        why = f" ({error})" if isinstance(error, DamagedFileError) else ""
        raise StoreError(
            f"{path} does not hold the weights of this run's model{why}; train it again"
        ) from None
    return TrainedModel(model, task, row)
