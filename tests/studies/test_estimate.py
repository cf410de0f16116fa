"""What a dry run says does not count what happens once."""

import pytest

from odyssey.studies import estimate, work
from odyssey.studies.trial import Trial


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
