"""A study as a source of trials: a fixed list of them, in logical order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from odyssey.errors import ConfigError
from odyssey.expr import Cell
from odyssey.expr.identity import repeated
from odyssey.pace import Job, Pace
from odyssey.specs import expand, get_cell, shown_names
from odyssey.storage.schema import FAILED
from odyssey.studies.board import StudyBoard
from odyssey.studies.cost import trial_job
from odyssey.studies.factorial import combined_specs
from odyssey.studies.growing import Remaining
from odyssey.studies.memory import check_memory
from odyssey.studies.source import CheckedStudy, OpenRun, Watcher, recorded_tasks
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
    members_of: dict[str, list[Mapping[str, Any]]] = {name: [] for name in cells}
    for trial in trials:
        if trial.task == study.tasks[0]:
            members_of[trial.spec] += trial.members
    training = dataclasses.asdict(study.config)
    for name, cell in cells.items():
        members = members_of[name]
        population = study.population or study.members
        check_reading({name: cell}, tasks.values(), members)
        check_memory({name: cell}, tasks, members, training, population=population)
    facts = {
        "baseline": names.get(study.baseline, ""),
        "more_baselines": [names.get(m, m) for m in study.more_baselines],
        "margin": study.margin,
        "path": [names[step] for step in study.path],
        "factorial": {
            names[spec]: list(changes)
            for spec, changes in (
                combined_specs(study.baseline, study.factorial) if study.factorial else {}
            ).items()
        },
        "trials": len(trials),
        "members": sum(len(t.members) for t in trials),
        "training": training,
        "space": {
            name: {drawn.kind: list(drawn.values)} for name, drawn in study.distributions.items()
        },
    }
    return CheckedStudy(cells, tasks, trials, facts)


def study_jobs(run: OpenRun, *, parts: Iterable[Trial] = ()) -> dict[str, Job]:
    """Gives the trials of a study as jobs, by id, and parts of them that are to be run."""
    tasks = recorded_tasks(run)
    return {
        trial.id: trial_job(trial, run.cells[trial.spec], tasks[trial.task])
        for trial in (*run.trials, *parts)
    }


class ListedTrials:
    """The trials of a study that are not finished yet, or what they lack; see `TrialSource`.

    Args:
        run: The run.
        watcher: Sees it go by.
        workers: Trials at a time.
        timed: Seconds that trials would take, by id, where some were timed for a moment.
    """

    def __init__(
        self,
        run: OpenRun,
        watcher: Watcher[StudyBoard],
        workers: int = 1,
        timed: Mapping[str, float] | None = None,
    ) -> None:
        remaining = Remaining.of(run.store, run.trials)
        remaining.note(run.store)
        left = remaining.trials
        self.trials = iter(left)
        self.total, self.idle = len(run.trials), not left
        results = run.store.results()
        jobs = study_jobs(run, parts=left)
        self._pace = Pace({trial.id: jobs[trial.id] for trial in left}, workers=workers)
        for trial, seconds in [
            *results.groupby("trial")["seconds"].sum().items(),
            *(timed or {}).items(),
        ]:
            if trial in jobs:
                self._pace.learn(jobs[str(trial)], float(seconds))
        self._board = StudyBoard(run.tasks, self.total, self.total - len(left), pace=self._pace)
        self._board.include(results.to_dict("records"))
        self._watcher = watcher
        watcher.begin(self._board)

    def start(self, trial: Trial) -> None:
        """Notes when the trial began."""
        self._pace.start(trial.id)

    def learn(self, trial: Trial, rows: Sequence[Mapping[str, Any]]) -> None:
        """Counts the trial."""
        self._pace.finish(trial.id, counts=any(row["status"] != FAILED for row in rows))
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
