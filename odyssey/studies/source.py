"""What the engine and the two kinds of run agree on: a study's list of trials, and a search.

Both check a study, are a source of trials for a runner, learn what comes of them, and show a board
of it to who watches. What is there only once is in `engine.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from odyssey.expr import Cell
from odyssey.storage.store import RunStore
from odyssey.studies.study import Study
from odyssey.studies.trial import Trial
from odyssey.tasks.base import Task
from odyssey.tasks.recorded import recorded_task

Board = TypeVar("Board", contravariant=True)


@dataclass(frozen=True)
class CheckedStudy:
    """A study that makes sense, with what it is made of.

    Attributes:
        cells: Its cells by the name to show; of a search those that evolution begins with.
        tasks: Its tasks by spec; of a search those of all stages.
        trials: Its trials; none of a search, which makes them as it goes.
        facts: What `run.json` says of it that a study of the other kind has not.
    """

    cells: dict[str, Cell]
    tasks: dict[str, Task]
    trials: list[Trial]
    facts: dict[str, Any]


@dataclass(frozen=True)
class OpenRun:
    """A run directory with the study that it began with.

    Attributes:
        store: Its records.
        study: The study.
        cells: As in `CheckedStudy`.
        trials: As in `CheckedStudy`.
    """

    store: RunStore
    study: Study
    cells: Mapping[str, Cell]
    trials: Sequence[Trial] = ()

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """What every task said of itself when the run began, by spec."""
        return {spec: dict(task) for spec, task in self.store.run["tasks"].items()}


def recorded_tasks(run: OpenRun) -> dict[str, Task]:
    """Gives the tasks of a run as they were when it began, by spec."""
    return {spec: recorded_task(spec, record) for spec, record in run.tasks.items()}


class Watcher(Protocol[Board]):
    """Sees a run go by; the command line draws it.

    The board is a `StudyBoard` or a `SearchBoard`, and the same at every call.
    """

    def begin(self, board: Board) -> None:
        """Called once, with what an earlier command left."""

    def done(self, board: Board, rows: Sequence[Mapping[str, Any]]) -> None:
        """Called after every trial with its rows; of a search, after a candidate, with its row."""

    def tick(self, board: Board) -> None:
        """Called now and then."""


class Unwatched:
    """A watcher that looks away."""

    def begin(self, board: object) -> None:
        """Looks away."""

    def done(self, board: object, rows: Sequence[Mapping[str, Any]]) -> None:
        """Looks away."""

    def tick(self, board: object) -> None:
        """Looks away."""


class TrialSource(Protocol):
    """Where the trials of a run come from; it hears what comes of them, and tells the watcher.

    Attributes:
        total: Trials of a study, or candidates of a search.
        idle: Whether there is nothing to run.
    """

    total: int
    idle: bool

    @property
    def trials(self) -> Iterator[Trial | None]:
        """The trials, for a runner to pull; None while one must end first."""

    def start(self, trial: Trial) -> None:
        """Hears that a worker was given a trial."""

    def learn(self, trial: Trial, rows: Sequence[Mapping[str, Any]]) -> None:
        """Hears what a trial left; its rows are recorded."""

    def postpone(self, trial: Trial) -> bool:
        """Hears that a trial was stopped at its limit; gives whether it will be tried again."""

    def tick(self, running: int) -> None:
        """Hears how many trials run."""

    def close(self) -> None:
        """Records what there is to record when the command ends, in whatever way."""

    def counts(self) -> dict[str, Any]:
        """Gives the fields of `Summary` that only this kind of run has."""


@dataclass(frozen=True)
class Summary:
    """What a command did of a run.

    Attributes:
        total: Trials of the study, or candidates of the search with its seeds.
        ran: Trials run now.
        failed: Trials failed now.
        seconds: Wall time.
        store: The run.
        told: Of a search: candidates told now.
        unmeasured: Of a search: candidates that stay without a verdict, for a trial was stopped at
            its limit.
        overhead: Of a search: share of the workers' time since the first trial that was not
            training; or NaN.
    """

    total: int
    ran: int
    failed: int
    seconds: float
    store: RunStore = field(repr=False)
    told: int = 0
    unmeasured: int = 0
    overhead: float = math.nan
