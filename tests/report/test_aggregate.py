"""Scores over tasks: known answers, and the properties that the anchors promise."""

from __future__ import annotations

import numpy as np
import pytest

from odyssey.errors import ConfigError
from odyssey.report import aggregate
from odyssey.report.simulation import Cell, simulate_results

CELLS = {"base": Cell(), "same": Cell(), "worse": Cell(shift=0.1)}


@pytest.fixture(scope="module")
def frame():
    return simulate_results(CELLS, rng=np.random.default_rng(1), tasks=("a", "b", "c"), draws=100)


def test_interquartile_mean_known_answer():
    # Of eight values the middle four: 3, 4, 5, 6.
    assert aggregate.interquartile_mean([1, 2, 3, 4, 5, 6, 7, 1e9]) == 4.5
    np.testing.assert_array_equal(
        aggregate.interquartile_mean([[0, 1, 2, 9], [4, 4, 6, 6]], axis=1), [1.5, 5.0]
    )


def test_anchors_are_the_tuned_and_the_untuned_baseline(frame):
    anchors = aggregate.score_anchors(frame)
    base = frame[(frame["spec"] == "base") & (frame["task"] == "b")]
    best = base.nsmallest(10, "valid_bpc")["test_bpc"].mean()
    worst = frame.loc[frame["task"] == "b", "test_bpc"].max()
    row = anchors.iloc[1]
    assert row["one"] == pytest.approx(best)
    assert row["zero"] == pytest.approx(base["test_bpc"].fillna(worst).median())


def test_scores_do_not_depend_on_the_unit(frame):
    found = aggregate.aggregate_scores(frame, seed=0, resamples=50)
    scaled = frame.assign(valid_bpc=7 * frame["valid_bpc"] - 3, test_bpc=7 * frame["test_bpc"] - 3)
    again = aggregate.aggregate_scores(scaled, seed=0, resamples=50)
    for column in ("iqm", "low", "high", "difference"):
        np.testing.assert_allclose(found[column], again[column], rtol=1e-9, atol=1e-12)


def test_aggregate_tells_the_worse_cell_from_the_same_one(frame):
    found = aggregate.aggregate_scores(frame, seed=0, resamples=300).set_index("label")
    assert found.loc["base", "iqm"] == pytest.approx(1.0, abs=0.15)
    assert (found.loc["base", ["difference", "difference_low", "difference_high"]] == 0).all()
    assert found.loc["worse", "difference_high"] < 0
    assert found.loc["same", "difference_low"] < 0 < found.loc["same", "difference_high"]
    assert (found["low"] < found["iqm"]).all()
    assert list(found["tasks"]) == [3, 3, 3]


def test_profiles_fall_from_all_draws_to_none(frame):
    found = aggregate.performance_profiles(frame, seed=0, resamples=50)
    for label, part in found.groupby("label"):
        assert (np.diff(part["share"]) <= 0).all(), label
        assert (part["low"] <= part["high"]).all()
    # Half of the baseline's draws are better than its median draw, which has the score 0.
    base = found[found["label"] == "base"].set_index("score")["share"]
    assert np.interp(0, base.index, base) == pytest.approx(0.5, abs=0.03)


def test_of_accuracies_more_is_better(frame):
    found = aggregate.aggregate_scores(
        frame, seed=0, valid="valid_accuracy", test="test_accuracy", resamples=50
    ).set_index("label")
    assert found.loc["worse", "difference"] < -0.1


def test_what_cannot_be_aggregated_is_refused(frame):
    apart = frame.query("(spec == 'base' and member < 50) or (spec == 'same' and member >= 50)")
    with pytest.raises(ConfigError, match="no draw was made by every cell"):
        aggregate.aggregate_scores(apart, seed=0)
    flat = frame.assign(valid_bpc=1.0, test_bpc=1.0, status="ok")
    with pytest.raises(ConfigError, match="no scale"):
        aggregate.aggregate_scores(flat, seed=0)
    with pytest.raises(ConfigError, match="no results"):
        aggregate.aggregate_scores(frame[:0], seed=0)


def test_a_cell_that_misses_a_task_is_left_out(frame):
    part = frame.query("spec != 'worse' or task != 'c'")
    assert list(aggregate.aggregate_scores(part, seed=0, resamples=20)["label"]) == ["base", "same"]
