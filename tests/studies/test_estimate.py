"""What a dry run says does not count what happens once."""

import random
from dataclasses import replace

import pytest

from odyssey.pace import Job
from odyssey.studies import estimate, work
from odyssey.studies.engine import prepare
from odyssey.studies.study import parse_study
from odyssey.studies.trial import Trial
from odyssey.studies.work import failed_rows


def one_trial(updates):
    training = {"epochs": 4, "updates_per_epoch": updates}
    return Trial(0, "elman", "text", "key", (), "xml", ({"member": 0},), training)


@pytest.mark.parametrize(("start_up", "busy"), [(0.0, 1.0), (30.0, 1.0), (30.0, 5.0)])
def test_a_warm_up_is_not_counted(monkeypatch, start_up, busy):
    """By a clock of its own: 2 s a validation and test, 0.5 s an update, and a start-up once.

    On a busy machine one waits five times as long as the processor works.
    """
    clock, seen = [100.0], set()

    def train(trial, *, task):
        if trial.cell_key not in seen:
            clock[0] += start_up
            seen.add(trial.cell_key)
        clock[0] += 2.0 + 0.5 * trial.training["updates_per_epoch"]

    monkeypatch.setattr(work, "trained_trial", train)
    monkeypatch.setattr(estimate.time, "process_time", lambda: clock[0])
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: busy * clock[0])

    # a screen of a tenth of the updates, and the whole: the second is no cheaper than the first
    short, whole = (estimate.estimate_trials([one_trial(n)]) for n in (10, 100))
    once = 2.0 + 0.5
    assert short.seconds == pytest.approx(busy * (4 * (10 * 0.5 + once / 2) + once))
    assert whole.seconds == pytest.approx(busy * (4 * (100 * 0.5 + once / 2) + once))
    assert short.start_up == pytest.approx(busy * start_up)
    assert whole.start_up == 0.0


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_of_a_large_population_some_members_stand_for_all(monkeypatch, device):
    """A CPU works at one member after the other, a GPU at all of them at once."""
    clock, seen = [0.0], []

    def train(trial, *, task):
        seen.append([member["hidden_size"] for member in trial.members])
        work = sum(seen[-1]) if device == "cpu" else 100.0
        clock[0] += work * (1 + trial.training["updates_per_epoch"])

    monkeypatch.setattr(work, "trained_trial", train)
    monkeypatch.setattr(estimate.time, "process_time", lambda: clock[0])
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: clock[0])
    sizes = random.Random(2).sample(range(100, 600), 50)
    members = tuple({"member": k, "hidden_size": size} for k, size in enumerate(sizes))
    training = {"epochs": 4, "updates_per_epoch": 10, "device": device}
    trial = replace(one_trial(10), members=members, training=training)
    found = estimate.estimate_trials([trial]).seconds
    each = sum(sizes) if device == "cpu" else 100.0
    assert found == pytest.approx(each * (4 * (10 + 1) + 2), rel=0.1)
    assert {len(timed) for timed in seen} == {8 if device == "cpu" else 50}
    assert {min(sizes), max(sizes)} <= set(seen[0])


def test_updates_that_are_lost_in_the_measurements_are_timed_in_greater_number(monkeypatch):
    """An update takes a four-hundredth of a validation, and that is a little longer or shorter."""
    clock, jitter = [0.0], random.Random(1)

    def train(trial, *, task):
        clock[0] += 2.0 + jitter.uniform(-0.02, 0.02) + 0.005 * trial.training["updates_per_epoch"]

    monkeypatch.setattr(work, "trained_trial", train)
    monkeypatch.setattr(estimate.time, "process_time", lambda: clock[0])
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: clock[0])
    for _ in range(20):
        found = estimate.estimate_trials([one_trial(10_000)]).seconds
        assert found == pytest.approx(4 * 10_000 * 0.005, rel=0.1)


def test_the_time_of_a_long_study_is_told_before_it_starts(monkeypatch, tmp_path):
    """By a trial of average work; a short study, and one that was begun, need no timing."""
    seen = []

    def train(trial, *, task):
        seen.append(trial.spec)

    monkeypatch.setattr(work, "trained_trial", train)

    def timed(epochs, folder):
        text = 'name="s"\ncells=["elman", "gru", "lstm"]\ntasks=["xml"]\nmembers=1\n'
        run = prepare(parse_study(f"{text}[training]\nepochs={epochs}"), tmp_path / folder)
        return run, estimate.timed_sample(run)

    run, found = timed(100, "long")
    assert list(found) == [next(t.id for t in run.trials if t.spec == "gru")]
    assert set(seen) == {"gru"}
    run.store.write(run.trials[0].id, failed_rows(run.trials[0], "why", commit=""), [])
    assert estimate.timed_sample(run) == {}
    assert timed(10, "short")[1] == {}


def many_trials():
    """Ten trials of each of two tasks, whose work is 1 to 10."""
    trials = [
        Trial(k, f"cell {k}", "text", "key", (), task, ({"member": 0},), {"epochs": 1})
        for task in ("xml", "arithmetic")
        for k in range(10)
    ]
    return trials, {trial.id: Job(trial.task, 1.0 + trial.index) for trial in trials}


@pytest.mark.parametrize(("enough", "timed"), [(0.0, 2), (7.0, 8), (1e9, 20)])
def test_a_study_is_told_from_some_of_its_trials(monkeypatch, enough, timed):
    """By a clock of its own: a trial is timed in a second. A task costs ten times the other."""
    trials, jobs = many_trials()
    clock, seen = [0.0], []

    def one(trial):
        clock[0] += 1.0
        seen.append((trial.task, int(jobs[trial.id].work)))
        rate = 10.0 if trial.task == "xml" else 1.0
        return estimate.Estimate(rate * jobs[trial.id].work, start_up=3.0)

    monkeypatch.setattr(estimate, "_estimate", one)
    monkeypatch.setattr(estimate, "ENOUGH_SECONDS", enough)
    monkeypatch.setattr(estimate.time, "monotonic", lambda: clock[0])
    found = estimate.estimate_study_time(trials, trials, jobs)
    assert found.seconds == pytest.approx(11 * 55)
    assert found.start_up == pytest.approx(3.0 * 10)
    assert found.timed == len(set(seen)) == len(seen) == timed
    assert seen[:2] == [("xml", 6), ("arithmetic", 6)]  # of median work


def test_later_rungs_are_told_from_the_first(monkeypatch):
    trials, jobs = many_trials()
    later = [replace(trial, training={"epochs": 5}) for trial in trials]
    jobs |= {
        trial.id: Job(trial.task, 5 * jobs[first.id].work)
        for trial, first in zip(later, trials, strict=True)
    }
    monkeypatch.setattr(
        estimate, "_estimate", lambda trial: estimate.Estimate(jobs[trial.id].work, 0.0)
    )
    found = estimate.estimate_study_time(trials, [*trials, *later], jobs)
    assert found.seconds == pytest.approx(2 * 55 * 6)
    assert found.timed == 20


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_places_are_spread_from_the_middle(count):
    places = list(estimate._spread(count))
    assert sorted(places) == list(range(count))
    assert places[:1] == [count // 2][:count]
