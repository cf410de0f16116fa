"""Trained models on disk: what `odyssey train --out DIR` keeps beside the records of a run."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from odyssey.errors import StoreError, TaskError
from odyssey.evaluation.work import text_digest
from odyssey.expr import parse_cell
from odyssey.storage import frames
from odyssey.storage.store import RunStore
from odyssey.tasks.base import Task
from odyssey.tasks.registry import get_task

if TYPE_CHECKING:
    from odyssey.training.model import CharModel

WEIGHTS = "weights.npz"


@dataclass(frozen=True)
class TrainedModel:
    """A model with the best parameters of its run, one member, float32.

    Attributes:
        model: The model.
        task: What it was trained on.
        row: Its row of results.
    """

    model: CharModel
    task: Task
    row: pd.Series[float]


def save_weights(store: RunStore, model: CharModel) -> None:
    """Writes the parameters of a model's first member into the run directory, atomically."""
    weights = {n: p.detach().numpy()[0] for n, p in model.named_parameters()}
    buffer = io.BytesIO()
    np.savez(buffer, **weights)
    try:
        frames.write_atomically(store.path / WEIGHTS, buffer.getvalue())
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"cannot write {store.path / WEIGHTS}: {why}") from error


def load_trained(directory: str | Path) -> TrainedModel:
    """Reads the model of a run of `odyssey train --out DIR`.

    Raises:
        StoreError: There is no such run, it kept no weights, or they do not fit its record.
        TaskError: Its text is gone or has changed since.
    """
    import torch

    from odyssey.training.model import CharModel

    store = RunStore.open(directory)
    path = store.path / WEIGHTS
    if not path.is_file():
        raise StoreError(
            f"{store.path} keeps no weights;"
            " `odyssey train SPEC --task TASK --out DIR` makes a run that does"
        )
    results = store.results()
    if len(results) != 1:
        raise StoreError(f"{store.path} has {len(results)} results; expected those of one training")
    row = results.iloc[0]
    if row["status"] != "ok":
        raise StoreError(f"{store.path}: the training {row['status']} ({row['reason']})")
    task = get_task(str(row["task"]))
    digest = str(store.run.get("tasks", {}).get(row["task"], {}).get("sha256", ""))
    if text_digest(task) != digest:
        raise TaskError(f"{row['task']}: the text has changed since the model was trained on it")
    model = CharModel(
        parse_cell(str(row["cell_text"])),
        task.num_symbols,
        [int(row["hidden_size"])],
        int(row["num_layers"]),
    )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            weights = {n: torch.as_tensor(found[n])[None] for n in found.files}
        model.load_state_dict(weights)
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile):
        raise StoreError(
            f"{path} does not hold the weights of this run's model; train it again"
        ) from None
    return TrainedModel(model, task, row)
