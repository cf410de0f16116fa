"""Runs a study or a search into a run directory; what is there already is not run again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from odyssey import plugins
from odyssey.errors import ConfigError, OdysseyError, RunFailedError, StoreError
from odyssey.storage.places import Place
from odyssey.storage.schema import FAILED, KIND, UNMEASURED
from odyssey.storage.store import RunStore
from odyssey.studies.checkpoints import remove_checkpoints
from odyssey.studies.evolve.candidate import OVER_LIMIT
from odyssey.studies.evolve.search import SearchTrials, check_search
from odyssey.studies.growing import Remaining, regroup
from odyssey.studies.listed import ListedTrials, check_listed, known_trials
from odyssey.studies.placing import gpus_of_worker
from odyssey.studies.runners.contract import Work
from odyssey.studies.runners.registry import RUNNERS, load_runner
from odyssey.studies.sealed import check_trials, seal_of, sealed_cells, sealed_study
from odyssey.studies.source import (
    CheckedStudy,
    OpenRun,
    Summary,
    TrialSource,
    Watcher,
    recorded_tasks,
)
from odyssey.studies.study import Study
from odyssey.studies.tracking import Tracking
from odyssey.studies.trial import Trial, TrialResult
from odyssey.studies.weights import Keeper
from odyssey.studies.work import TrialWork, commit, failed_rows, versions
from odyssey.tasks.recorded import recorded_task, with_moved
from odyssey.tasks.text import MissingText
from odyssey.training.metrics import METRICS, describe_metrics

_WHEN = "%Y-%m-%d %H:%M:%S %z"
HISTORY = "history"  # in run.json of a run that has grown: when it began, and when it grew


def check(study: Study) -> CheckedStudy:
    """Checks a study or a search whole; writes nothing.

    Raises:
        OdysseyError: Something in it is wrong; the message says what.
    """
    return check_listed(study) if study.search is None else check_search(study)


def prepare(study: Study, out: str | Place, *, kind: str = "") -> OpenRun:
    """Checks a study or a search whole, and makes its run directory.

    Args:
        study: The study.
        out: The run directory.
        kind: What made the run, where it was no study: `train`.

    Raises:
        OdysseyError: As `check`, and nothing has been written then; or the directory cannot be.
    """
    present = plugins.loaded()
    study = replace(study, plugins=tuple(source.kept for source in present))
    checked = check(study)
    kind = kind if study.search is None else KIND
    store = RunStore.create(
        out,
        study=study.to_toml(),
        run={
            **({"kind": kind} if kind else {}),
            **_facts(study, checked),
            **({"plugins": {s.name: s.record() for s in present}} if present else {}),
            "created": time.strftime(_WHEN),
            "seconds": 0.0,
        },
        plugins=present,
    )
    return OpenRun(store, study, checked.cells, checked.trials)


def grow(run: OpenRun, study: Study, changed: Mapping[str, Any]) -> OpenRun:
    """Gives a run a larger study; what it lacks of that is run by `execute`.

    Args:
        run: The run.
        study: Its study, with more draws, cells or tasks; or more candidates, of a search.
        changed: What grows, for the history in run.json: its value before and now, by field.

    Raises:
        OdysseyError: As `check`, and nothing has been written then; or another process runs the
            directory, or it cannot be written.
    """
    checked, remaining = check_growth(run, study)
    facts = run.store.run
    now = _facts_again(run, study, checked)
    moments = facts.get(HISTORY) or [_moment(facts, facts.get("created"))]
    moments = [*moments, {**_moment(now, time.strftime(_WHEN)), "changed": dict(changed)}]
    with run.store.lock():
        run.store.repair()
        if remaining is not None:  # looks once more, now that nobody else can change anything
            now |= _lacking(run, study, checked).facts()
        run.store.rewrite(study.to_toml(), {**now, HISTORY: moments})
    return OpenRun(run.store, study, checked.cells, checked.trials)


def check_growth(run: OpenRun, study: Study) -> tuple[CheckedStudy, Remaining | None]:
    """Checks the larger study of a run whole; gives what the run lacks of it, unless it searches.

    Raises:
        OdysseyError: As `check`; or a trial would not be what it was.
    """
    if study.search is not None:
        facts = {"candidates": study.search.candidates}
        return CheckedStudy(dict(run.cells), {}, [], facts), None
    checked = _check_again(run, study)
    return checked, _lacking(run, study, checked)


def _lacking(run: OpenRun, study: Study, checked: CheckedStudy) -> Remaining:
    larger = OpenRun(run.store, study, checked.cells, checked.trials)
    return Remaining.of(run.store, known_trials(larger), before=known_trials(run))


def _moment(facts: Mapping[str, Any], when: str | None) -> dict[str, Any]:
    """Gives when a run began or grew, and what made it."""
    return {"when": when, "versions": facts.get("versions"), "commit": facts.get("commit")}


def rewrite(run: OpenRun, study: Study) -> OpenRun:
    """Gives a run another study, as a training gets more epochs; call it while holding its lock.

    Raises:
        OdysseyError: As `check`, and nothing has been written then; or the files cannot be.
    """
    checked = _check_again(run, study)
    run.store.rewrite(study.to_toml(), _facts_again(run, study, checked))
    return OpenRun(run.store, study, checked.cells, checked.trials)


def _facts(study: Study, checked: CheckedStudy) -> dict[str, Any]:
    outputs = {spec: task.signature.outputs for spec, task in checked.tasks.items()}
    return {
        "study": study.name,
        "description": study.description,
        **checked.facts,
        **seal_of(study, checked.cells, checked.trials),
        "tasks": {spec: task.describe() for spec, task in checked.tasks.items()},
        "counted": {spec: task.counted for spec, task in checked.tasks.items()},
        "versions": versions(),
        "commit": commit(),
        "seed": study.seed,
        **({"metrics": describe_metrics(outputs)} if METRICS else {}),
    }


def _check_again(run: OpenRun, study: Study) -> CheckedStudy:
    """Checks another study of a run, with the cells and tasks that it holds."""
    return check_listed(study, known=run.cells, recorded=recorded_tasks(run))


def _facts_again(run: OpenRun, study: Study, checked: CheckedStudy) -> dict[str, Any]:
    """Gives the facts of another study of a run; what it has read of its tasks stands."""
    before, now = run.store.run, _facts(study, checked)
    for name in ("tasks", "counted"):
        now[name] |= before.get(name, {})
    return now


def reopen(directory: str | Place, *, texts: Sequence[str] = ()) -> OpenRun:
    """Opens a run to go on with it: the study and the cells that it began with.

    Args:
        directory: The run directory or its URL.
        texts: Where texts that it reads lie now, if in other places; the run keeps them.

    Raises:
        StoreError: The directory is no run, or texts have moved and another process runs it.
        TaskError: Nothing in the run reads what lies at a place of `texts`.
        ConfigError: Its study was edited, a text that a task reads has changed, or this version of
            Odyssey would train otherwise.
    """
    store = RunStore.open(directory)
    _check_plugins(store)
    try:
        cells = sealed_cells(store)
        tasks = {spec: dict(task) for spec, task in store.run["tasks"].items()}
    except (AttributeError, KeyError, TypeError):
        raise StoreError(
            f"{directory}: run.json does not hold the cells and tasks; the run cannot be resumed"
        ) from None
    study = sealed_study(store)
    tasks = with_moved(tasks, texts)
    _check_texts(tasks)
    trials = study.trials(cells) if study.search is None else []
    check_trials(store, trials)
    if texts:
        with store.lock():
            store.update_run(tasks={**store.run["tasks"], **tasks})
    return OpenRun(store, study, cells, trials)


def _check_plugins(store: RunStore) -> None:
    """Raises `ConfigError` where a plug-in is loaded that the run began without."""
    more = [s for s in plugins.loaded() if s.name not in store.run.get("plugins", {})]
    if more:
        raise ConfigError(
            f"{store.path} began without the plug-in {more[0].label}, and goes on without it: "
            f"do not load it ({plugins.SWITCH}=none leaves those of installed packages out)"
        )


def _check_texts(tasks: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises `ConfigError` where a text is gone, or is not the one that a run began with."""
    for spec, record in tasks.items():
        task = recorded_task(spec, record)
        if isinstance(task, MissingText):
            raise ConfigError(task.why)


def choose_runner(
    study: Study,
    *,
    runner: str | None = None,
    workers: int | None = None,
    address: str | None = None,
) -> tuple[str, int]:
    """Gives the runner's name and its number of workers: the study's, unless given.

    Raises:
        ConfigError: A runner that works in this process was given more than one worker or an
            address.
    """
    name = runner or study.runner
    if RUNNERS[name].parallel:
        return name, study.workers if workers is None else workers
    if workers not in (None, 1) or address:
        what = f"{workers} workers" if workers not in (None, 1) else "a cluster's address"
        raise ConfigError(f"the {name} runner has no use for {what}; use the ray runner")
    return name, 1


def place_workers(
    study: Study,
    *,
    runner: str | None = None,
    workers: int | None = None,
    address: str | None = None,
) -> tuple[str, int, float]:
    """Gives the runner's name, its number of workers and the GPUs of each.

    Raises:
        ConfigError: As `choose_runner` and `placing.gpus_of_worker`.
    """
    name, count = choose_runner(study, runner=runner, workers=workers, address=address)
    return name, count, gpus_of_worker(study, runner=name, workers=count, address=address)


@dataclass
class Recorder:
    """The runner's listener: keeps what workers could not write, and lets the source know."""

    store: RunStore
    source: TrialSource
    commit: str
    keeper: Keeper
    tracking: Tracking = field(default_factory=Tracking)
    failed: int = 0
    started: int = 0

    def on_start(self, trial: Trial) -> None:
        """Counts."""
        self.started += 1
        self.source.start(trial)

    def on_result(self, trial: Trial, result: TrialResult) -> None:
        """Keeps the rows, if the worker did not."""
        if not self.store.has(trial.id):
            self.store.write(result.trial_id, result.rows, result.curves)
        self.keeper.trial_done(trial.id, result.rows)
        self.tracking.whole(trial, result.rows, result.curves)
        self.source.learn(trial, [dict(row) for row in result.rows])

    def on_failure(self, trial: Trial, reason: str) -> None:
        """Records the trial as failed, with the reason; it is not retried on resuming."""
        self.failed += 1
        self._record(trial, reason, FAILED)

    def on_unmeasured(self, trial: Trial) -> None:
        """Records that the trial stays without a result, unless it comes again."""
        if not self.source.postpone(trial):
            self._record(trial, OVER_LIMIT, UNMEASURED)

    def on_tick(self, running: int) -> None:
        """Passes the tick on."""
        self.source.tick(running)

    def _record(self, trial: Trial, reason: str, status: str) -> None:
        rows = failed_rows(trial, reason, commit=self.commit, status=status)
        self.store.write(trial.id, rows, [])
        self.source.learn(trial, rows)


def execute(
    run: OpenRun,
    watcher: Watcher[Any],
    *,
    runner: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    work: Work | None = None,
    timed: Mapping[str, float] | None = None,
    tracking: Tracking | None = None,
) -> Summary:
    """Runs what is not finished yet.

    Args:
        run: The run, of `prepare` or `reopen`.
        watcher: Sees it go by.
        runner: Instead of the study's.
        workers: Instead of the study's.
        address: Address of a Ray cluster to join.
        work: What is done with a trial instead of training it, for measuring the engine.
        timed: Seconds that trials would take, by id, where some were timed for a moment; it tells
            the time that is left, until others are seen.
        tracking: Gets curves and scores of every trial of a study; a search is not tracked.

    Raises:
        ConfigError: The runner cannot work with these workers or this address.
        RunFailedError: Not one trial of those run now succeeded, or the baseline of a search.
        StoreError: Another process runs this directory, or it cannot be written.
    """
    store, study = run.store, run.study
    name, workers, gpus = place_workers(study, runner=runner, workers=workers, address=address)
    start = time.monotonic()
    with store.lock():
        store.repair()
        source: TrialSource
        if study.search is None:
            source = ListedTrials(run, watcher, workers, timed)
        else:
            source = SearchTrials(run, watcher, workers, timed)
        keeper = Keeper(store, study.keep_weights)
        recorder = Recorder(store, source, commit(), keeper, tracking or Tracking())
        done = False
        try:
            if not source.idle:
                load_runner(name)(
                    source.trials,
                    work=work
                    or TrialWork(
                        store.path.absolute(),
                        commit(),
                        run.tasks,
                        keep=study.keep_weights,
                        plugins=plugins.loaded(),
                    ),
                    workers=workers,
                    gpus=gpus,
                    address=address,
                    listener=recorder,
                )
            if store.labels:
                regroup(store, known_trials(run))
            remove_checkpoints(store)
            done = True
        finally:
            seconds = time.monotonic() - start
            # after a failure, what cannot be written must not hide it
            with contextlib.nullcontext() if done else contextlib.suppress(OdysseyError):
                source.close()
                store.update_run(seconds=float(store.run.get("seconds", 0.0)) + seconds)
        store.compact()
    if run.trials and recorder.failed == recorder.started > 0:
        _raise_failed(store, recorder.failed)
    return Summary(
        source.total, recorder.started, recorder.failed, seconds, store, **source.counts()
    )


def _raise_failed(store: RunStore, count: int) -> None:
    rows = store.rows()
    reason = str(rows.loc[rows["status"] == FAILED, "reason"].iloc[0])
    every = "the only trial" if count == 1 else f"all {count} trials"
    raise RunFailedError(f"{every} failed{'' if count == 1 else '; the first'}: {reason}")
