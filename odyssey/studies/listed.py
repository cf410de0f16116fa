"""A study as a source of trials: a fixed list of them, in logical order."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from odyssey.errors import ConfigError
from odyssey.expr.identity import repeated
from odyssey.pace import Job, Pace
from odyssey.specs import expand, shown_names
from odyssey.storage.schema import FAILED
from odyssey.studies.board import StudyBoard
from odyssey.studies.cost import trial_job
from odyssey.studies.memory import check_memory
from odyssey.studies.source import CheckedStudy, OpenRun, Watcher
from odyssey.studies.study import Study
from odyssey.studies.trial import Trial
from odyssey.tasks.registry import get_task, recorded_task
from odyssey.training.budget import check_training
from odyssey.training.space import draw_members


def check_listed(study: Study) -> CheckedStudy:
    """Checks a study whole; writes nothing.

    Raises:
        OdysseyError: A cell, task or hyperparameter is wrong, a cell is there twice, or a trial
            would be too large.
    """
    cells = study.resolve_cells()
    twins = repeated(cells)
    if twins:
        # Draws, data and seeds do not depend on the cell: both would get the same numbers.
        raise ConfigError(f"{twins[1]} and {twins[0]} are the same cell: leave one out")
    tasks = {spec: get_task(spec) for spec in study.tasks}
    for task in tasks.values():
        check_training(study.config, task)
    trials = study.trials(cells)
    training = dataclasses.asdict(study.config)
    check_memory(
        cells,
        tasks,
        draw_members(study.distributions, count=study.members, seed=study.seed),
        training,
        population=study.population or study.members,
    )
    names = shown_names(expand(list(study.cells)))
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


def study_jobs(run: OpenRun) -> dict[str, Job]:
    """Gives the trials of a study as jobs, by id."""
    tasks = {spec: recorded_task(spec, record) for spec, record in run.tasks.items()}
    return {
        trial.id: trial_job(trial, run.cells[trial.spec], tasks[trial.task]) for trial in run.trials
    }


class ListedTrials:
    """The trials of a study that are not finished yet; see `TrialSource`.

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
        finished = run.store.finished()
        left = [trial for trial in run.trials if trial.id not in finished]
        self.trials = iter(left)
        self.total, self.idle = len(run.trials), not left
        results = run.store.results()
        jobs = study_jobs(run)
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
