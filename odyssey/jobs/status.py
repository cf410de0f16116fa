"""How far a run is, as another process sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from odyssey.storage.files import read_json
from odyssey.storage.places import Place
from odyssey.storage.rungs import rung_draws, rungs_finished
from odyssey.storage.store import RunStore


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Attributes:
        path: The run directory.
        study: Name of the study.
        active: Whether a process works on it.
        trials: Trials that are finished; of a search see `board`.
        planned: Trials in all; None where the run does not say.
        climbed: Of a ladder: how many cells on tasks have finished each rung; else empty.
        climbs: Of a ladder: how many there are.
        board: Of a search: the snapshot of its `SearchBoard` as it was last written.
    """

    path: Place
    study: str | None
    active: bool
    trials: int
    planned: int | None
    board: Mapping[str, Any] | None
    climbed: tuple[int, ...] = ()
    climbs: int = 0


def run_status(directory: str | Place) -> RunStatus:
    """Looks how far a run is; raises `StoreError` where there is none."""
    store = RunStore.open(directory)
    active = store.is_running()
    try:
        board = read_json(store.path / "progress.json", required=True)
    except FileNotFoundError:
        board = None
    done = 0 if board else len(store.finished())
    facts = store.run
    study, planned = facts.get("study"), facts.get("trials")
    if not (draws := rung_draws(facts)):
        return RunStatus(store.path, study, active, done, planned, board)
    climbs = len(facts["cells"]) * len(facts["tasks"])
    climbed = tuple(rungs_finished(store.rows(), draws))
    return RunStatus(store.path, study, active, done, planned, board, climbed, climbs)
