"""A study as a source of trials: a fixed list of them, in logical order."""

from __future__ import annotations

import dataclasses
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from odyssey.errors import ConfigError
from odyssey.expr import Cell
from odyssey.expr.identity import repeated
from odyssey.pace import Job, Pace
from odyssey.specs import expand, get_cell, shown_names
from odyssey.storage.rungs import LADDER
from odyssey.storage.schema import FAILED, FIRST, VALID_NATS
from odyssey.studies.board import StudyBoard
from odyssey.studies.cost import seconds_taken, trial_job
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

_Climb = tuple[str, str, int]  # task, spec and rung
_CLIMB_COLUMNS = ("member", "status", VALID_NATS)  # that say who goes on


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
    every = study.ladder_of(trials).every
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
        **({LADDER: [rung.plain() for rung in study.rungs]} if study.ladder else {}),
        "trials": len(every),
        "members": sum(len(t.members) for t in every),
        "training": training,
        "space": {
            name: {drawn.kind: list(drawn.values)} for name, drawn in study.distributions.items()
        },
    }
    return CheckedStudy(cells, tasks, trials, facts)


def known_trials(run: OpenRun, rows: pd.DataFrame | None = None) -> list[Trial]:
    """Gives the trials of a study: of a ladder those that what is recorded calls for.

    Args:
        run: The run.
        rows: All its rows, where they are read already.
    """
    if not run.study.ladder:
        return list(run.trials)
    return run.study.ladder_of(run.trials).trials(run.store.rows() if rows is None else rows)


def study_jobs(
    trials: Iterable[Trial], *, cells: Mapping[str, Cell], tasks: Mapping[str, Task]
) -> dict[str, Job]:
    """Gives trials of a study as jobs, by id; one that is named twice is looked at once."""
    different = {trial.id: trial for trial in trials}
    return {name: trial_job(t, cells[t.spec], tasks[t.task]) for name, t in different.items()}


class ListedTrials:
    """The trials of a study that are not finished yet, or what they lack; see `TrialSource`.

    Those of a ladder's next rung follow when a cell has finished the rung before on a task.

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
        rows = run.store.rows()
        known = known_trials(run, rows)
        remaining = Remaining.of(run.store, known)
        remaining.note(run.store)
        left = remaining.trials
        self._run, self._ladder = run, run.study.ladder_of(run.trials)
        self._waiting = [(trial.index, trial.id, trial) for trial in left]
        heapq.heapify(self._waiting)
        self._open: Counter[_Climb] = Counter(_climb(trial) for trial in left)
        self._rows: dict[_Climb, list[dict[str, Any]]] = defaultdict(list)
        for row in rows.to_dict("records") if run.study.ladder else ():
            climb = str(row["task"]), str(row["spec"]), int(row["rung"])
            self._rows[climb].append({name: row[name] for name in _CLIMB_COLUMNS})
        self._tasks = recorded_tasks(run)
        self._jobs = self._jobs_of([*self._ladder.every, *known, *left])
        self._pace = Pace({trial.id: self._jobs[trial.id] for trial in left}, workers=workers)
        took = seconds_taken(rows).groupby(rows["trial"]).sum()
        for trial, seconds in [*took.items(), *(timed or {}).items()]:
            if trial in self._jobs:
                self._pace.learn(self._jobs[str(trial)], float(seconds))
        self._unknown = self._ladder.to_come(known, left)
        self._tell_pace()
        self.total = len(known) + sum(len(trials) for trials in self._unknown.values())
        self.idle = not left
        self._board = StudyBoard(
            run.tasks,
            self.total,
            len(known) - len(left),
            pace=self._pace,
            climbs=len(list(self._ladder.keys)),
            climbed=[
                sum(1 for climb in self._rows if climb[-1] == rung.number and not self._open[climb])
                for rung in self._ladder.rungs
            ],
        )
        self._board.include(rows.to_dict("records"))
        self._watcher = watcher
        watcher.begin(self._board)

    @property
    def trials(self) -> Iterator[Trial | None]:
        """The trials, the first in logical order first; None while only a result can bring more."""
        while self._waiting or any(self._unknown.values()):
            yield heapq.heappop(self._waiting)[-1] if self._waiting else None

    def start(self, trial: Trial) -> None:
        """Notes when the trial began."""
        self._pace.start(trial.id)

    def learn(self, trial: Trial, rows: Sequence[Mapping[str, Any]]) -> None:
        """Counts the trial."""
        self._pace.finish(trial.id, counts=any(row["status"] != FAILED for row in rows))
        self._climb_on(trial, rows)
        self._board.total = self.total
        self._board.take(rows)
        self._watcher.done(self._board, rows)

    def _climb_on(self, trial: Trial, rows: Sequence[Mapping[str, Any]]) -> None:
        """Makes the trials of the next rung when a cell has finished one on a task."""
        if not self._ladder.rungs:
            return
        climb, key = _climb(trial), (trial.task, trial.spec)
        self._open[climb] -= 1
        self._rows[climb] += [{name: row.get(name) for name in _CLIMB_COLUMNS} for row in rows]
        if self._open[climb]:
            return
        self._board.climbed[trial.rung - FIRST] += 1
        found = self._ladder.next_trials(key, trial.rung, pd.DataFrame(self._rows[climb]))
        later = [t for t in self._unknown[key] if found and t.rung > trial.rung + 1]
        self.total += len(found) + len(later) - len(self._unknown[key])
        self._unknown[key] = later
        self._tell_pace()
        for one, job in self._jobs_of(found).items():
            self._pace.add(one, job)
        for follower in found:
            heapq.heappush(self._waiting, (follower.index, follower.id, follower))
            self._open[_climb(follower)] += 1

    def _jobs_of(self, trials: Iterable[Trial]) -> dict[str, Job]:
        return study_jobs(trials, cells=self._run.cells, tasks=self._tasks)

    def _tell_pace(self) -> None:
        """Tells how much work may follow of which nobody knows yet what trials it will be."""
        work: dict[Any, float] = defaultdict(float)
        for unknown in self._unknown.values():
            for trial in unknown:
                job = self._jobs[trial.id]
                work[job.kind] += job.work
        self._pace.expect(work)

    def postpone(self, trial: Trial) -> bool:
        """Never comes: the trials of a study have no limit."""
        raise AssertionError(f"trial {trial.id} has no limit")

    def tick(self, running: int) -> None:
        """Passes the tick on."""
        self._board.running = running
        self._watcher.tick(self._board)

    def close(self) -> None:
        """Records how many trials there are: of a ladder that is known at its end."""
        if self._ladder.rungs:
            self._run.store.update_run(trials=self.total)

    def counts(self) -> dict[str, Any]:
        """Has none of its own."""
        return {}


def _climb(trial: Trial) -> _Climb:
    return trial.task, trial.spec, trial.rung
