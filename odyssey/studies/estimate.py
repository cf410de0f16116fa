"""How long a trial will take, from a few timed updates after a warm-up."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from odyssey.pace import Job
from odyssey.studies.evolve.forecast import kind_of
from odyssey.studies.evolve.search import forecast_of, sample_trials
from odyssey.studies.listed import study_jobs
from odyssey.studies.source import OpenRun, recorded_tasks
from odyssey.studies.trial import Trial
from odyssey.tasks.base import Task
from odyssey.tasks.registry import get_task
from odyssey.training.budget import in_updates
from odyssey.training.config import training_config

UPDATES = 3  # that are timed, and three times as many where they are lost in the rest
MOST_UPDATES = 250
CLEAR = 0.5  # what they take at least, of a training of one update with its measurements
MOST_MEMBERS = 8  # of a population on a CPU
MOST_TIMED = 3  # trials of a search, each of another stage or task
ENOUGH_SECONDS = 20.0  # of timing; what is left of a study then is told from its work
WORTH_TIMING = 5_000  # updates of a run whose time is told before it begins


@dataclass(frozen=True)
class Estimate:
    """What trials will take on one thread of this machine.

    Attributes:
        seconds: Of training, without start-up.
        start_up: Seconds for imports, reading the task and compiling, which a worker spends once.
    """

    seconds: float
    start_up: float


@dataclass(frozen=True)
class StudyTime:
    """What all trials of a study will take on one thread of this machine.

    Attributes:
        seconds: Of training, without start-up.
        start_up: As of `Estimate`, with the compiling of all cells.
        timed: Trials that were timed.
    """

    seconds: float
    start_up: float
    timed: int


def estimate_study_time(
    first: Sequence[Trial], every: Sequence[Trial], jobs: Mapping[str, Job]
) -> StudyTime:
    """Estimates a study from as many of its trials as can be timed in `ENOUGH_SECONDS`.

    One of each task at least is timed, that of median work; then those in the middle of the gaps
    between them. The others take what their work says at the rate of their task.

    Args:
        first: Trials that may be timed: of a ladder those of its first rung.
        every: All trials.
        jobs: Their work, by id.
    """
    began = time.monotonic()
    by_task: dict[str, list[Trial]] = {}
    for trial in sorted(first, key=lambda trial: jobs[trial.id].work):
        by_task.setdefault(trial.task, []).append(trial)
    orders = ([trials[k] for k in _spread(len(trials))] for trials in by_task.values())
    found: dict[str, tuple[Trial, Estimate]] = {}
    for turn in zip_longest(*orders):
        if found and time.monotonic() - began > ENOUGH_SECONDS:
            break
        for trial in turn:
            if trial is not None:
                found[trial.id] = trial, _estimate(trial)
    seconds = sum(e.seconds for _, e in found.values())
    for task in by_task:
        told = [(jobs[t.id].work, e.seconds) for t, e in found.values() if t.task == task]
        rate = sum(s for _, s in told) / sum(work for work, _ in told)
        left = {t.id: jobs[t.id].work for t in every if t.task == task and t.id not in found}
        seconds += rate * sum(left.values())
    each = sum(e.start_up for _, e in found.values()) / len(found)
    return StudyTime(seconds, each * len({trial.spec for trial in every}), len(found))


def _spread(count: int) -> Iterator[int]:
    """Gives the places of a row, the middle first, and then the middles of what is between."""
    gaps = deque([(0, count)])
    while gaps:
        low, high = gaps.popleft()
        if low < high:
            middle = (low + high) // 2
            yield middle
            gaps += [(low, middle), (middle + 1, high)]


def estimate_trials(trials: Iterable[Trial]) -> Estimate:
    """Estimates trials one after the other.

    Each is trained twice for a moment, after once without being timed: the two differ only in their
    number of updates, so that what happens once per training cancels. On a CPU it is processor time
    that is compared, for on a busy machine the difference of two short waits says nothing; how
    much longer one waits than the processor works is counted over all of them.
    """
    found = [_estimate(trial) for trial in trials]
    return Estimate(sum(e.seconds for e in found), sum(e.start_up for e in found))


def timed_sample(run: OpenRun) -> dict[str, float]:
    """Times a trial of average work for a moment: its seconds, by its id.

    Of a search, trials of the baseline that stand for most of the work. Nothing is timed where
    it would take a share of the run, or an earlier run of the command has told.
    """
    if run.store.finished():
        return {}
    if run.study.search is not None:
        return _timed_candidate(run)
    trials = Counter(trial.task for trial in run.trials)
    tasks = recorded_tasks(run)
    budgets = {spec: in_updates(run.study.config, tasks[spec]) for spec in trials}
    if sum(n * budgets[spec].updates for spec, n in trials.items()) < WORTH_TIMING:
        return {}
    jobs = study_jobs(run.trials, cells=run.cells, tasks=tasks)
    average = sum(job.work for job in jobs.values()) / len(jobs)
    trial = min(run.trials, key=lambda trial: abs(jobs[trial.id].work - average))
    return {trial.id: _estimate(trial, tasks[trial.task]).seconds}


def _timed_candidate(run: OpenRun) -> dict[str, float]:
    """Times trials of the baseline, at the stages and tasks that most of a search is."""
    plan, forecast = run.study.search, forecast_of(run)
    assert plan is not None
    work = forecast.rest(seeds=len(run.cells), candidates=plan.candidates)
    samples = {kind_of(trial): trial for trial in sample_trials(run)}
    updates, tasks = 0.0, recorded_tasks(run)
    for kind, trial in samples.items():
        budget = in_updates(training_config(trial.training), tasks[trial.task])
        updates += work[kind] / forecast.work[kind] * budget.updates
    if updates < WORTH_TIMING:
        return {}
    whole = sum(work.values())
    most = sorted(samples, key=lambda kind: -work[kind])[:MOST_TIMED]
    trials = [samples[kind] for kind in most if work[kind] > whole / 10]
    return {trial.id: _estimate(trial, tasks[trial.task]).seconds for trial in trials}


def _estimate(trial: Trial, task: Task | None = None) -> Estimate:
    from odyssey.studies.work import trained_trial

    task = task or get_task(trial.task)
    config = training_config(trial.training)
    budget = in_updates(config, task)
    clock = time.process_time if config.device == "cpu" else time.perf_counter
    members = trial.members
    if config.device == "cpu":  # a GPU works at many at once, a CPU at one after the other
        members = _some(members)
    times = len(trial.members) / len(members)

    def seconds(count: int) -> float:
        short: Mapping[str, Any] = {
            **trial.training,
            "passes": 0,
            "epochs": 1,
            "updates_per_epoch": count,
        }
        start = clock()
        few = replace(trial, training=short, members=members)
        trained_trial(few, task=task)
        return clock() - start

    began, worked = time.perf_counter(), clock()
    first = seconds(1)
    once = seconds(1)
    updates = UPDATES
    more = seconds(1 + updates) - once
    while more < CLEAR * once and updates < min(MOST_UPDATES, budget.updates):
        updates *= 3
        more = seconds(1 + updates) - once
    busy = (time.perf_counter() - began) / max(clock() - worked, 1e-9)
    # `once` holds one validation and one test, which is about what an epoch adds to its updates
    epoch = budget.updates_per_epoch * max(more, 0.0) / updates + once / 2
    seconds_in_all = times * (budget.epochs * epoch + once)
    return Estimate(busy * seconds_in_all, busy * max(first - once, 0.0))


def _some(members: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Gives members that stand for a large population, of all its sizes: `MOST_MEMBERS` of it."""
    if len(members) <= MOST_MEMBERS:
        return tuple(members)
    sizes = ("num_layers", "parameters", "hidden_size")
    order = sorted(members, key=lambda member: [member.get(name) or 0 for name in sizes])
    step = (len(order) - 1) / (MOST_MEMBERS - 1)
    return tuple(order[round(place * step)] for place in range(MOST_MEMBERS))
