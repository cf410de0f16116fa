"""What a dry run says does not count what happens once."""

import pytest

from odyssey.studies import estimate, work
from odyssey.studies.engine import prepare
from odyssey.studies.study import parse_study
from odyssey.studies.trial import Trial
from odyssey.studies.work import failed_rows


@pytest.mark.parametrize("start_up", [0.0, 30.0])
def test_a_warm_up_is_not_counted(monkeypatch, start_up):
    """By a clock of its own: 2 s a validation and test, 0.5 s an update, and a start-up once."""
    clock, seen = [100.0], set()

    def train(trial, *, task):
        if trial.cell_key not in seen:
            clock[0] += start_up
            seen.add(trial.cell_key)
        clock[0] += 2.0 + 0.5 * trial.training["updates_per_epoch"]

    monkeypatch.setattr(work, "trained_trial", train)
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: clock[0])

    def trial(updates):
        training = {"epochs": 4, "updates_per_epoch": updates}
        return Trial(0, "elman", "text", "key", (), "xml", ({"member": 0},), training)

    # a screen of a tenth of the updates, and the whole: the second is no cheaper than the first
    short, whole = (estimate.estimate_trials([trial(n)]) for n in (10, 100))
    once = 2.0 + 0.5
    assert short.seconds == pytest.approx(4 * (10 * 0.5 + once / 2) + once)
    assert whole.seconds == pytest.approx(4 * (100 * 0.5 + once / 2) + once)
    assert (short.start_up, whole.start_up) == (start_up, 0.0)


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
