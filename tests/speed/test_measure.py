"""Measuring: candidates take turns, time is counted once, numbers are means of what they say."""

import itertools

import pytest

from odyssey.speed import measure, tracing
from odyssey.speed.measure import geometric_mean, interleaved
from odyssey.speed.tracing import traced


def test_candidates_take_turns(monkeypatch):
    monkeypatch.setattr(measure, "repeats_for", lambda step: 2)
    calls = []
    interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert calls == ["a", "a", "a", "b", "b", "b"] * 3  # the first brings its data back


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved on."""
    now = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])
    return now


def test_a_quick_candidate_is_repeated(clock):
    def step():
        clock[0] += measure.SAMPLE_SECONDS / 100

    calls = []
    assert interleaved({"a": lambda: calls.append(step())}, rounds=2) == {
        "a": pytest.approx(measure.SAMPLE_SECONDS / 100)
    }
    assert len(calls) == pytest.approx(4 + 2 * 101, abs=2)


def test_medians(clock):
    # three calls to warm up, one to count the repeats; then every first call and the slow round do
    # not count
    waits = iter([1.0, 1.0, 1.0, 0.004, 9.0, 0.004, 9.0, 0.030, 9.0, 0.005])

    def step():
        clock[0] += next(waits)

    assert interleaved({"a": step}, rounds=3)["a"] == pytest.approx(0.005)


def test_geometric_mean():
    assert geometric_mean([1.0, 4.0]) == pytest.approx(2.0)
    assert geometric_mean([0.5, 2.0, 8.0]) == pytest.approx(2.0)


class Work:
    def outer(self):
        self.inner()
        self.inner()

    def inner(self):
        pass

    def fails(self):
        self.inner()
        raise ValueError("on purpose")


def test_time_is_counted_for_the_innermost_part(monkeypatch):
    clock = itertools.count()  # every reading is one second after the last
    monkeypatch.setattr(tracing.time, "perf_counter", lambda: float(next(clock)))
    before = Work.outer
    parts = {
        "out": [f"{__name__}:Work.outer"],
        "in": [f"{__name__}:Work.inner", f"{__name__}:Work.fails"],
    }
    with traced(parts) as spent:
        Work().outer()
        # outer | inner | outer | inner | outer
        assert spent == {"out": 3.0, "in": 2.0}
        with pytest.raises(ValueError, match="on purpose"):
            Work().fails()
        assert spent == {"out": 3.0, "in": 5.0}
    assert Work.outer is before


def test_what_moved_is_missed():
    with (
        pytest.raises(AssertionError, match="it has moved"),
        traced({"x": [f"{__name__}:Work.gone"]}),
    ):
        pass
