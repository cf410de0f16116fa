"""A study as a source of trials: a fixed list of them, in logical order."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from odyssey.errors import ConfigError
from odyssey.expr import Cell
from odyssey.expr.identity import repeated
from odyssey.specs import expand, get_cell, shown_names
from odyssey.studies.board import StudyBoard
from odyssey.studies.growing import Remaining
from odyssey.studies.memory import check_memory
from odyssey.studies.source import CheckedStudy, OpenRun, Watcher
from odyssey.studies.study import Study
from odyssey.studies.trial import Trial
from odyssey.tasks.base import Task
from odyssey.tasks.registry import get_task
from odyssey.training.budget import check_training
from odyssey.training.sizes import check_reading


def check_listed(
    study: Study,
    *,
    known: Mapping[str, Cell] | None = None,
    recorded: Mapping[str, Task] | None = None,
) -> CheckedStudy:
    """Checks a study whole; writes nothing.

    Args:
        study: The study.
        known: Of a run that grows: the first of its cells, by the name to show, as it holds them.
        recorded: Its tasks, by spec, as it has read them.

    Raises:
        OdysseyError: A cell, task or hyperparameter is wrong, a cell is there twice, or a trial
            would be too large.
    """
    specs, known = expand(list(study.cells)), known or {}
    names = shown_names(specs, known=dict(zip(specs, known, strict=False)))
    cells = {name: known.get(name) or get_cell(spec) for spec, name in names.items()}
    twins = repeated(cells)
    if twins:
        # Draws, data and seeds do not depend on the cell: both would get the same numbers.
        raise ConfigError(f"{twins[1]} and {twins[0]} are the same cell: leave one out")
    tasks = {spec: (recorded or {}).get(spec) or get_task(spec) for spec in study.tasks}
    for task in tasks.values():
        check_training(study.config, task)
    trials = study.trials(cells)
    training = dataclasses.asdict(study.config)
    for name, cell in cells.items():
        here = [t for t in trials if (t.spec, t.task) == (name, study.tasks[0])]
        members = [member for trial in here for member in trial.members]
        population = study.population or study.members
        check_reading({name: cell}, tasks.values(), members)
        check_memory({name: cell}, tasks, members, training, population=population)
    facts = {
        "baseline": names.get(study.baseline, ""),
        "more_baselines": [names.get(m, m) for m in study.more_baselines],
        "trials": len(trials),
        "members": sum(len(t.members) for t in trials),
        "training": training,
        "space": {
            name: {drawn.kind: list(drawn.values)} for name, drawn in study.distributions.items()
        },
    }
    return CheckedStudy(cells, tasks, trials, facts)


class ListedTrials:
    """The trials of a study that are not finished yet, or what they lack; see `TrialSource`."""

    def __init__(self, run: OpenRun, watcher: Watcher[StudyBoard]) -> None:
        remaining = Remaining.of(run.store, run.trials)
        remaining.note(run.store)
        left = remaining.trials
        self.trials = iter(left)
        self.total, self.idle = len(run.trials), not left
        self._board = StudyBoard(run.tasks, self.total, self.total - len(left))
        self._board.include(run.store.results().to_dict("records"))
        self._watcher = watcher
        watcher.begin(self._board)

    def start(self, trial: Trial) -> None:
        """Needs not know."""

    def learn(self, trial: Trial, rows: Sequence[Mapping[str, Any]]) -> None:
        """Counts the trial."""
        self._board.take(rows)
        self._watcher.done(self._board, rows)

    def postpone(self, trial: Trial) -> bool:
        """Never comes: the trials of a study have no limit."""
        raise AssertionError(f"trial {trial.id} has no limit")

    def tick(self, running: int) -> None:
        """Passes the tick on."""
        self._board.running = running
        self._watcher.tick(self._board)

    def close(self) -> None:
        """Has nothing to record."""

    def counts(self) -> dict[str, Any]:
        """Has none of its own."""
        return {}
