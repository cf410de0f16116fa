"""The time that is left, told by a clock of its own: how far it is from what comes true."""

import functools
import heapq
import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import odyssey
from odyssey.expr import parse_cell
from odyssey.pace import Course, Job, Pace
from odyssey.storage.store import RunStore
from odyssey.studies.cost import seconds_taken, trial_job
from odyssey.studies.trial import Trial
from odyssey.tasks.registry import get_task

RESULTS = Path(__file__).parents[1] / "results"
TIMES = (120.0, 240.0, 600.0)
THIRD = math.log(1.5)  # told within a third: neither 1.5 times as long, nor so much shorter


def simulate(jobs, seconds, *, workers=1, before=(), speak=None, times=TIMES):
    """Runs jobs by a clock that jumps; gives what was told and what was true.

    Args:
        jobs: Jobs by key.
        seconds: What each takes, by key.
        workers: How many run at a time.
        before: Jobs of an earlier session, with what they took.
        times: When it is told.
        speak: Seconds between two words of a running job on how far it is; None: it says nothing.
    """
    clock = [0.0]
    pace = Pace(jobs, workers=workers, clock=lambda: clock[0])
    for job, took in before:
        pace.learn(job, took)
    waiting, running, events = iter(jobs), {}, []
    for at in times:
        heapq.heappush(events, (at, 1, "look"))
    told, end = [], 0.0

    def begin():
        key = next(waiting, None)
        if key is None:
            return
        pace.start(key)
        running[key] = clock[0]
        heapq.heappush(events, (clock[0] + seconds[key], 0, key))
        if speak:
            for k in range(int(seconds[key] / speak)):
                heapq.heappush(events, (clock[0] + k * speak, 2, (key, k * speak / seconds[key])))

    for _ in range(workers):
        begin()
    while events:
        clock[0], what, key = heapq.heappop(events)
        if what == 1:
            told.append((clock[0], pace.seconds_left))
        elif what == 2:
            pace.progress(*key)
        else:
            pace.finish(key)
            del running[key]
            end = clock[0]
            begin()
    assert pace.seconds_left == 0.0
    return [(left, end - at) for at, left in told if end - at > 60]


def off(told):
    """By which factor the times told are off, as a logarithm: the largest."""
    assert told
    return max(abs(math.log(left / true)) for left, true in told)


def study(rng, *, cells=12, draws=8, spread=0.3):
    """Trials in the order of a study: every block has all cells, which differ tenfold."""
    work = rng.permutation(np.geomspace(1.0, 10.0, cells))
    wrong = np.exp(rng.normal(0, spread, cells))  # the model of work is wrong by cell
    jobs, seconds = {}, {}
    for draw, cell in itertools.product(range(draws), range(cells)):
        size = rng.uniform(0.5, 1.5)
        jobs[draw, cell] = Job(cell, work[cell] * size)
        noise = np.exp(rng.normal(0, 0.1))
        seconds[draw, cell] = work[cell] * size * wrong[cell] * noise
    return jobs, seconds


SCALES = [2.0, 8.0]  # seconds of a unit of work: trials of 1 to 30, and of 4 to 120


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("scale", SCALES)
def test_trials_that_differ_tenfold_are_told_within_a_third(scale, workers, seed):
    jobs, seconds = study(np.random.default_rng(seed))
    assert off(simulate(jobs, {k: scale * s for k, s in seconds.items()}, workers=workers)) < THIRD


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("slow", [0.3, 1.0, 5.0])
def test_a_resumed_run_on_another_machine_is_told_within_a_third(slow, seed):
    jobs, seconds = study(np.random.default_rng(seed))
    done = list(jobs)[:30]
    before = [(jobs[key], 12 * seconds[key]) for key in done]
    left = {key: job for key, job in jobs.items() if key not in done}
    now = {key: 12 * slow * seconds[key] for key in left}
    assert off(simulate(left, now, workers=2, before=before)) < THIRD


@pytest.mark.parametrize("slow", [0.2, 1.0, 6.0])
def test_a_moment_that_was_timed_is_outweighed_on_a_slow_machine(slow):
    jobs, seconds = study(np.random.default_rng(7))
    timed = [(jobs[0, 3], 10 * seconds[0, 3])]
    now = {key: 10 * slow * s for key, s in seconds.items()}
    assert off(simulate(jobs, now, workers=2, before=timed)) < THIRD


@pytest.mark.parametrize("slow", [0.2, 1.0, 6.0])
def test_trials_longer_than_that_are_told_by_how_far_they_are(slow):
    """No trial ends within two minutes; a moment was timed, and trials speak."""
    jobs, seconds = study(np.random.default_rng(3), cells=3, draws=4)
    timed = [(jobs[0, 1], 300 * seconds[0, 1])]
    now = {key: 300 * slow * s for key, s in seconds.items()}
    assert off(simulate(jobs, now, workers=2, before=timed, speak=7.0)) < THIRD


def test_a_single_training_is_told_from_where_it_goes_on():
    clock = [0.0]
    pace = Pace({"train": Job("train", 1.0)}, clock=lambda: clock[0])
    pace.start("train")
    assert math.isnan(pace.seconds_left)
    clock[0] = 30.0  # batches are drawn again up to the checkpoint
    pace.progress("train", 0.5)
    clock[0] = 40.0
    pace.progress("train", 0.6)
    assert pace.seconds_left == pytest.approx(40.0)
    clock[0] = 45.0
    assert pace.seconds_left == pytest.approx(35.0)


def test_what_failed_says_nothing_of_the_others():
    clock = [0.0]
    jobs = {k: Job("cell", 1.0) for k in range(4)}
    pace = Pace(jobs, clock=lambda: clock[0])
    for key, seconds, fine in ((0, 10.0, True), (1, 0.1, False)):
        pace.start(key)
        clock[0] += seconds
        pace.finish(key, counts=fine)
    assert pace.seconds_left == pytest.approx(20.0)


@functools.cache
def real_run(name):
    """The trials of a run that was made, with what our model says of each and what it took."""
    results = odyssey.load_results(RESULTS / name)
    jobs, seconds = {}, {}
    training = RunStore.open(RESULTS / name).run["training"]
    for _, rows in results.groupby("trial_index"):
        first = rows.iloc[0]
        members = tuple(
            {"hidden_size": int(h), "num_layers": int(n)}
            for h, n in zip(rows["hidden_size"], rows["num_layers"], strict=True)
        )
        trial = Trial(
            int(first["trial_index"]), first["spec"], first["cell_text"], first["cell_key"], (),
            first["task"], members, training,
        )  # fmt: skip
        cell = parse_cell(first["cell_text"])
        jobs[trial.index] = trial_job(trial, cell, get_task(first["task"]))
        seconds[trial.index] = float(rows["seconds"].sum())
    return jobs, seconds


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_was_made_would_have_been_told(workers):
    """Of trials of 40 s whose machine was 1.7 times as slow in the first three minutes."""
    jobs, seconds = real_run("ablate_lstm")
    middle = sorted(jobs, key=lambda key: jobs[key].work)[len(jobs) // 2]
    told = simulate(jobs, seconds, workers=workers, before=[(jobs[middle], seconds[middle])])
    assert off(told) < math.log(1.6)
    assert off(told[2:]) < math.log(1.25)


@pytest.mark.parametrize("speak", [None, 20.0])
def test_a_machine_that_becomes_slow_on_the_way_is_told_within_a_third(speak):
    """Three times as slow after ten minutes: told so five minutes later, by the trials since."""
    jobs, took, at = {}, {}, 0.0
    for key in range(300):
        jobs[key] = Job(key % 6, 1.0 + key % 6)
        took[key] = jobs[key].work * (3.0 if at > 600.0 else 1.0)
        at += took[key]
    told = simulate(jobs, took, speak=speak, times=(600.0, 900.0, 1200.0, 1500.0))
    assert off(told[1:]) < THIRD
    assert off(told[:1]) > THIRD  # nobody can know


def test_a_training_on_a_machine_that_becomes_slow_is_told_by_its_updates_lately():
    clock = [0.0]
    pace = Pace({"train": Job("train", 1.0)}, clock=lambda: clock[0])
    pace.start("train")
    for second in range(2100):  # after 600 s a share of 1 / 1200 a second becomes a third of it
        clock[0] = float(second)
        share = min(second, 600) / 1200 + max(second - 600, 0) / 3600
        pace.progress("train", share)
        if second in (1200, 1500, 2000):
            assert abs(math.log(pace.seconds_left / (2400 - second))) < THIRD


def test_what_is_expected_beside_jobs_counts():
    clock = [0.0]
    pace = Pace({}, workers=2, clock=lambda: clock[0])
    assert pace.seconds_left == 0.0
    pace.expect({"a": 10.0})
    assert math.isnan(pace.seconds_left)
    pace.learn(Job("a", 1.0), 3.0)
    assert pace.seconds_left == pytest.approx(15.0)
    pace.add(1, Job("a", 2.0))
    pace.start(1)
    pace.expect({"a": 8.0, "b": 0.0})
    assert pace.seconds_left == pytest.approx(15.0)
    pace.expect({})
    assert pace.seconds_left == pytest.approx(6.0)
    clock[0] = 6.0
    pace.finish(1)
    assert pace.seconds_left == 0.0


def test_workers_that_wait_for_each_other_count_less():
    """One of four works at a time, for each trial needs the one before."""
    clock = [0.0]
    pace = Pace({}, workers=4, clock=lambda: clock[0])
    for key in range(10):
        pace.add(key, Job("a", 1.0))
        pace.start(key)
        clock[0] += 10.0
        pace.finish(key)
    pace.expect({"a": 10.0})
    assert pace.seconds_left == pytest.approx(100.0)


def test_a_course_of_steps_says_how_long_it_still_takes():
    clock = [0.0]
    course = Course(10, clock=lambda: clock[0])
    clock[0] = 60.0
    assert course.after(1) == "  about 9 min 00 s left"
    clock[0] = 596.0
    assert course.after(9.95) == ""


def test_a_course_of_many_steps_is_silent_between_its_words():
    clock = [0.0]
    course = Course(100, every=10.0, clock=lambda: clock[0])
    said = []
    for done in range(1, 101):
        clock[0] = done * 2.0
        if course.after(done):
            said.append(clock[0])
    assert said == [*range(2, 196, 10)]


def test_a_clock_that_went_on_while_nothing_was_computed_tells_nothing():
    rows = pd.DataFrame(
        [
            ("slept", 1000.0, 10.0, "cpu"),
            ("two threads", 5.0, 10.0, "cpu"),
            ("before there was a column", 7.0, float("nan"), "cpu"),
            ("not measured", 8.0, 0.0, "cpu"),
            ("waited for a GPU", 20.0, 3.0, "cuda"),
        ],
        columns=["trial", "seconds", "processor_seconds", "device"],
    )
    assert seconds_taken(rows).tolist() == [10.0, 5.0, 7.0, 8.0, 20.0]
    assert seconds_taken(rows[:0]).sum() == 0
