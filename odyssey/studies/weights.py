"""Weights of a study's trials: which are kept, where they lie, and how they are read.

    DIR/weights/<trial>.npz   arrays `<member>/<parameter>`, float32, without padding

A worker writes the file of its trial before the trial's results; the driver takes out what is no
longer among the best, so that a run of any length keeps a bounded number of files.
"""

from __future__ import annotations

import contextlib
import io
import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from odyssey.errors import StoreError
from odyssey.storage import files
from odyssey.storage.files import SLOT, DamagedFileError, seal, why
from odyssey.storage.places import Place
from odyssey.storage.rungs import best_first
from odyssey.storage.schema import OK, VALID_NATS
from odyssey.storage.store import RunStore
from odyssey.studies.study import KEPT

if TYPE_CHECKING:
    from odyssey.training.loop import Trained

_log = logging.getLogger(__name__)

_Entry = tuple[int, float, str]  # the rung of a ladder, less than 0; the loss, the trial
FOLDER = "weights"
CELLS_WITH_WEIGHTS = 10
"""How many cells a task keeps the weights of, with `best`."""


def path_of(store: RunStore, trial: str) -> Place:
    """Names the file with the weights of a trial."""
    return store.path / FOLDER / f"{trial}.npz"


def unpadded(trained: Trained, position: int) -> dict[str, NDArray[Any]]:
    """Gives the best parameters of one member, by name, in the shapes of a model of its own.

    Args:
        trained: A trained population.
        position: The place of the member in it.
    """
    from odyssey.training.model import SequenceModel

    model, positions = next((m, p) for m, p in trained.models if position in p)
    row = positions.index(position)
    rnn = model.rnn
    own = SequenceModel(
        rnn.cell, model.signature, [rnn.hidden_sizes[row]], rnn.num_layers, backend="eager"
    )
    shapes = {name: p.shape[1:] for name, p in own.named_parameters()}
    return {
        name: p.detach()[row][tuple(slice(n) for n in shapes[name])].float().cpu().numpy()
        for name, p in model.named_parameters()
    }


def write_weights(store: RunStore, trial: str, trained: Trained, *, keep: str) -> None:
    """Writes the weights of a trial, atomically: of its best member, or of all that are sound.

    Args:
        store: The run.
        trial: The trial's id.
        trained: What its training left.
        keep: `best`, `all` or `none`; the best has the lowest validation loss.

    Raises:
        StoreError: The file cannot be written.
    """
    assert keep in KEPT, keep
    sound = [k for k, r in enumerate(trained.results) if r.status == OK]
    if keep == "best":
        sound = sorted(sound, key=lambda k: trained.results[k].valid_nats)[:1]
    if keep == "none" or not sound:
        return
    arrays = {
        f"{trained.results[k].member.member}/{name}": value
        for k in sound
        for name, value in unpadded(trained, k).items()
    }
    write_arrays(path_of(store, trial), arrays)


def write_arrays(path: Place, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes arrays by name as .npz, atomically and sealed; raises `StoreError` if it cannot."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = SLOT.encode()
    try:
        path.parent.mkdir(exist_ok=True)
        files.write_atomically(path, seal(buffer.getvalue()))
    except OSError as error:
        raise StoreError(f"cannot write {path}: {why(error)}") from error


def join_weights(store: RunStore, whole: str, parts: Sequence[str]) -> None:
    """Puts the weights that the parts of a trial have kept where those of the trial lie.

    Raises:
        StoreError: A file cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for part in parts:
        with contextlib.suppress(FileNotFoundError, DamagedFileError):
            arrays |= read_weights(path_of(store, part), "", sealed="format" in store.run)
    if arrays:
        write_arrays(path_of(store, whole), arrays)


def read_weights(path: Place, prefix: str, *, sealed: bool = False) -> dict[str, NDArray[Any]]:
    """Reads the arrays of a file whose names begin so, by the rest of their names.

    Args:
        path: The file.
        prefix: How the names begin.
        sealed: Whether it must have a digest.

    Raises:
        DamagedFileError: It is not what was written.
        OSError: It cannot be read.
    """
    data = _checked(path, sealed=sealed)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return {n[len(prefix) :]: found[n] for n in found.files if n.startswith(prefix)}
    # what a file without a digest makes of numpy and zipfile is not ours to list
    except Exception as error:
        raise DamagedFileError(str(error) or type(error).__name__) from error


def _checked(path: Place, *, sealed: bool) -> bytes:
    data = files.read_regular(path)
    files.check_seal(data, required=sealed)
    return data


def kept(store: RunStore) -> pd.DataFrame:
    """Gives the rows of results whose weights are kept, the lowest validation loss first.

    One row a member, and rung of a ladder, of which the last comes first. Losses are ordered within
    a task; tasks in the order of the run.
    """
    results = store.rows(relabel=False)  # weights lie where their trial was recorded
    if not (store.path / FOLDER).is_dir():
        return results.iloc[:0]
    sealed = "format" in store.run
    found = [
        _members_of(path_of(store, str(trial)), sealed=sealed)
        for trial in results["trial"].unique()
    ]
    pairs = {
        (trial, m)
        for trial, held in zip(results["trial"].unique(), found, strict=True)
        for m in held
    }
    here = [pair in pairs for pair in zip(results["trial"], results["member"], strict=True)]
    frame = results[np.array(here, dtype=bool)]
    place = {task: k for k, task in enumerate(dict.fromkeys(results["task"]))}
    order = best_first(frame.assign(_task=frame["task"].map(place))).sort_values(
        "_task", kind="stable"
    )
    return order.drop(columns="_task").reset_index(drop=True)


def _members_of(path: Place, *, sealed: bool) -> set[int]:
    """Lists the members in a file; none, with a warning, where it is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(_checked(path, sealed=sealed))) as archive:
            return {int(name.partition("/")[0]) for name in archive.namelist()}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {why(error)}") from error
    except Exception as error:  # as in `read_weights`
        _log.warning("left out %s: %s", path, error)
        return set()


@dataclass
class Keeper:
    """Takes out the weights of trials that are no longer among the best of their task.

    With `best` the best trial of each of the `CELLS_WITH_WEIGHTS` best cells of a task stays. It is
    the driver's, and sees every trial once; on resuming it begins with what an earlier one kept.

    Attributes:
        store: The run.
        keep: As in `write_weights`.
    """

    store: RunStore
    keep: str
    _best: dict[str, dict[str, _Entry]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.keep != "best" or not (self.store.path / FOLDER).is_dir():
            return
        rows = kept(self.store)
        for _, row in rows.iterrows():
            entry = -int(row["rung"]), float(row[VALID_NATS]), str(row["trial"])
            self._enter(str(row["task"]), str(row["spec"]), entry)
        known = set(rows["trial"])
        for path in (self.store.path / FOLDER).glob("*.npz"):
            if path.stem not in known:  # of a trial that was killed before its results
                path.unlink(missing_ok=True)

    def trial_done(self, trial: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Hears of a finished trial, with its rows of results."""
        if self.keep != "best":
            return
        sound = [r for r in rows if r["status"] == OK]
        if sound:
            best = min(sound, key=lambda r: float(r[VALID_NATS]))
            entry = -int(best["rung"]), float(best[VALID_NATS]), trial
            self._enter(best["task"], best["spec"], entry)

    def _enter(self, task: str, spec: str, entry: _Entry) -> None:
        cells, trial = self._best.setdefault(task, {}), entry[-1]
        if spec in cells and cells[spec] <= entry:
            if cells[spec][-1] != trial:
                self._drop(trial)
            return
        if spec in cells and cells[spec][-1] != trial:
            self._drop(cells[spec][-1])
        cells[spec] = entry
        if len(cells) > CELLS_WITH_WEIGHTS:
            worst = max(cells, key=lambda s: cells[s])
            self._drop(cells.pop(worst)[-1])

    def _drop(self, trial: str) -> None:
        path_of(self.store, trial).unlink(missing_ok=True)
