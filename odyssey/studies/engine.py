"""Runs a study into a run directory; what is there already is not run again."""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from odyssey.errors import ConfigError, RunFailedError, StoreError
from odyssey.expr import Cell
from odyssey.expr.identity import repeated
from odyssey.specs import expand, shown_names
from odyssey.storage.places import Place
from odyssey.storage.schema import FAILED
from odyssey.storage.store import RunStore
from odyssey.studies.memory import check_memory
from odyssey.studies.sealed import check_trials, seal_of, sealed_cells, sealed_study
from odyssey.studies.study import Study
from odyssey.studies.trial import Trial, TrialResult
from odyssey.studies.weights import Keeper
from odyssey.studies.work import TrialWork, commit, failed_rows, versions
from odyssey.tasks.base import Task
from odyssey.tasks.registry import get_task, recorded_task
from odyssey.tasks.text import MissingText
from odyssey.training.space import draw_members

MODULES = {
    "local": "odyssey.studies.runners.local",
    "ray": "odyssey.studies.runners.ray",
}


class Watcher(Protocol):
    """Sees a run go by; the command line draws it."""

    def begin(self, total: int, finished: int) -> None:
        """Called once, with the number of trials and how many were finished before."""
        ...

    def trial_done(self, trial: Trial, rows: list[dict[str, Any]]) -> None:
        """Called after every trial, with its rows."""
        ...

    def tick(self, running: int) -> None:
        """Called now and then while trials run."""
        ...


@dataclass
class Recorder:
    """The runner's listener: keeps what workers could not write, and tells the watcher."""

    store: RunStore
    watcher: Watcher
    commit: str
    keeper: Keeper | None = None
    failures: int = 0
    started: int = 0

    def on_start(self, trial: Trial) -> None:
        """Counts."""
        self.started += 1

    def on_result(self, trial: Trial, result: TrialResult) -> None:
        """Keeps the rows, if the worker did not."""
        if not self.store.has(trial.id):
            self.store.write(result.trial_id, result.rows, result.curves)
        if self.keeper:
            self.keeper.trial_done(trial.id, result.rows)
        self.watcher.trial_done(trial, [dict(r) for r in result.rows])

    def on_failure(self, trial: Trial, reason: str) -> None:
        """Records the trial as failed, with the reason; it is not retried on resuming."""
        self.failures += 1
        rows = failed_rows(trial, reason, commit=self.commit)
        self.store.write(trial.id, rows, [])
        self.watcher.trial_done(trial, rows)

    def on_unmeasured(self, trial: Trial) -> None:
        """Never comes: the trials of a study have no limit."""
        raise AssertionError(f"trial {trial.id} has no limit")

    def on_tick(self, running: int) -> None:
        """Passes the tick on."""
        self.watcher.tick(running)


@dataclass(frozen=True)
class Summary:
    """What a run did: trials in all, run now, failed now, and wall time in seconds."""

    total: int
    ran: int
    failed: int
    seconds: float
    store: RunStore = field(repr=False)


@dataclass(frozen=True)
class Checked:
    """A study that makes sense, with what it is made of.

    Attributes:
        cells: Its cells, by the name to show.
        tasks: Its tasks by spec.
        trials: Its trials.
    """

    cells: dict[str, Cell]
    tasks: dict[str, Task]
    trials: list[Trial]


def check(study: Study) -> Checked:
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
        task.check_fits(study.config.batch_size, study.config.unroll)
    trials = study.trials(cells)
    check_memory(
        cells,
        {spec: task.num_symbols for spec, task in tasks.items()},
        draw_members(study.distributions, count=study.members, seed=study.seed),
        dataclasses.asdict(study.config),
        population=study.population or study.members,
    )
    return Checked(cells, tasks, trials)


def prepare(study: Study, out: str | Place, *, kind: str = "") -> tuple[RunStore, list[Trial]]:
    """Checks a study whole, makes its run directory, and lists its trials.

    Args:
        study: The study.
        out: The run directory.
        kind: What made the run, where it was no study: `train`.

    Raises:
        OdysseyError: As `check`, and nothing has been written then; or the directory cannot be.
    """
    checked = check(study)
    names = shown_names(expand(list(study.cells)))
    store = RunStore.create(
        out,
        study=study.to_toml(),
        run={
            "study": study.name,
            **({"kind": kind} if kind else {}),
            "description": study.description,
            "baseline": names.get(study.baseline, ""),
            "more_baselines": [names.get(m, m) for m in study.more_baselines],
            "trials": len(checked.trials),
            "members": sum(len(t.members) for t in checked.trials),
            **seal_of(study, checked.cells, checked.trials),
            "tasks": {spec: task.describe() for spec, task in checked.tasks.items()},
            "counted": {spec: task.counted for spec, task in checked.tasks.items()},
            "training": dataclasses.asdict(study.config),
            "space": {
                name: {drawn.kind: list(drawn.values)}
                for name, drawn in study.distributions.items()
            },
            "versions": versions(),
            "commit": commit(),
            "seed": study.seed,
            "created": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            "seconds": 0.0,
        },
    )
    return store, checked.trials


def reopen(directory: str | Place) -> tuple[RunStore, Study, list[Trial]]:
    """Opens a run to go on with it: the study and the cells that it began with.

    Raises:
        StoreError: The directory is no run.
        ConfigError: Its study was edited, a text that a task reads has changed, or this version of
            Odyssey would train otherwise.
    """
    store = RunStore.open(directory)
    try:
        cells = sealed_cells(store)
        tasks = tasks_of(store)
    except (AttributeError, KeyError, TypeError):
        raise StoreError(
            f"{directory}: run.json does not hold the cells and tasks; the run cannot be resumed"
        ) from None
    study = sealed_study(store)
    check_texts(tasks)
    trials = study.trials(cells)
    check_trials(store, trials)
    return store, study, trials


def tasks_of(store: RunStore) -> dict[str, dict[str, Any]]:
    """Gives what every task said of itself when the run began, by spec."""
    return {spec: dict(task) for spec, task in store.run["tasks"].items()}


def check_texts(tasks: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises `ConfigError` where a text is gone, or is not the one that a run began with."""
    for spec, record in tasks.items():
        task = recorded_task(spec, record)
        if isinstance(task, MissingText):
            raise ConfigError(f"{task.why.partition('; --text')[0]}; start a new run")


def choose_runner(
    study: Study,
    *,
    runner: str | None = None,
    workers: int | None = None,
    address: str | None = None,
) -> tuple[str, int]:
    """Gives the runner's name and its number of workers: the study's, unless given.

    Raises:
        ConfigError: The local runner, which works in this process, was given more than one worker
            or an address.
    """
    name = runner or study.runner
    if name != "local":
        return name, study.workers if workers is None else workers
    if workers not in (None, 1) or address:
        what = f"{workers} workers" if workers not in (None, 1) else "a cluster's address"
        raise ConfigError(f"the local runner has no use for {what}; use the ray runner")
    return name, 1


def execute(
    store: RunStore,
    study: Study,
    trials: list[Trial],
    watcher: Watcher,
    *,
    runner: str | None = None,
    workers: int | None = None,
    address: str | None = None,
) -> Summary:
    """Runs the trials that are not finished yet.

    Args:
        store: The run directory.
        study: The study.
        trials: All its trials.
        watcher: Sees the run go by.
        runner: Instead of the study's.
        workers: Instead of the study's.
        address: Address of a Ray cluster to join.

    Raises:
        ConfigError: The runner cannot work with these workers or this address.
        RunFailedError: Not one trial of those run now succeeded.
        StoreError: Another process runs this directory, or it cannot be written.
    """
    name, workers = choose_runner(study, runner=runner, workers=workers, address=address)
    start = time.monotonic()
    with store.lock():
        store.repair()
        finished = store.finished()
        todo = [t for t in trials if t.id not in finished]
        watcher.begin(len(trials), len(trials) - len(todo))
        recorder = Recorder(store, watcher, commit(), Keeper(store, study.keep_weights))
        module: Any = importlib.import_module(MODULES[name])

        def source() -> Iterator[Trial | None]:
            yield from todo

        try:
            if todo:
                module.run_trials(
                    source(),
                    work=TrialWork(
                        store.path.absolute(), commit(), tasks_of(store), keep=study.keep_weights
                    ),
                    workers=workers,
                    address=address,
                    listener=recorder,
                )
        finally:
            seconds = time.monotonic() - start
            store.update_run(seconds=float(store.run.get("seconds", 0.0)) + seconds)
        store.compact()
    if todo and recorder.failures == len(todo):
        rows = store.results()
        reason = str(rows.loc[rows["status"] == FAILED, "reason"].iloc[0])
        every = "the only trial" if len(todo) == 1 else f"all {len(todo)} trials"
        first = "" if len(todo) == 1 else "; the first"
        raise RunFailedError(f"{every} failed{first}: {reason}")
    return Summary(len(trials), len(todo), recorder.failures, seconds, store)
