"""Scores over tasks: known answers, and the properties that their scale promises."""

from __future__ import annotations

import numpy as np
import pytest

from odyssey.errors import ConfigError
from odyssey.statistics import aggregate
from odyssey.statistics.simulation import SimulatedCell, simulate_results

CELLS = {"base": SimulatedCell(), "same": SimulatedCell(), "worse": SimulatedCell(shift=0.1)}


@pytest.fixture(scope="module")
def frame():
    return simulate_results(CELLS, rng=np.random.default_rng(1), tasks=("a", "b", "c"), draws=100)


def test_interquartile_mean_known_answer():
    # Of eight values the middle four: 3, 4, 5, 6.
    assert aggregate.interquartile_mean([1, 2, 3, 4, 5, 6, 7, 1e9]) == 4.5
    np.testing.assert_array_equal(
        aggregate.interquartile_mean([[0, 1, 2, 9], [4, 4, 6, 6]], axis=1), [1.5, 5.0]
    )


@pytest.mark.parametrize(("metric", "guess", "perfect"), [("bpc", 5, 0), ("accuracy", 1 / 32, 1)])
def test_the_scale_is_from_guessing_to_perfect_and_nought_is_the_tuned_baseline(
    frame, metric, guess, perfect
):
    valid, test = f"valid_{metric}", f"test_{metric}"
    row = aggregate.score_scales(frame, valid=valid, test=test).iloc[1]
    base = frame[(frame["spec"] == "base") & (frame["task"] == "b")]
    best = base.sort_values(valid, ascending=metric == "bpc").head(10)
    assert row["tuned"] == pytest.approx(best[test].mean())
    assert row["scale"] == pytest.approx(abs(guess - perfect))


def test_scores_do_not_depend_on_the_unit(frame):
    found = aggregate.aggregate_scores(frame, seed=0, resamples=50)
    again = aggregate.aggregate_scores(
        frame, seed=0, valid="valid_nats", test="test_nats", resamples=50
    )
    for column in ("iqm", "low", "high", "difference"):
        np.testing.assert_allclose(found[column], again[column], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("learned", [1.0, 1e-3, 0.0])
def test_scores_stay_small_where_the_baseline_has_learned_almost_nothing(frame, learned):
    # Everything is squeezed to within `learned` bits of guessing: no score can leave [-1, 1].
    near = frame.assign(
        **{c: 5.0 - learned * (5.0 - frame[c]) / 5.0 for c in ("valid_bpc", "test_bpc")}
    )
    found = aggregate.aggregate_scores(near, seed=0, resamples=20)
    assert found[["iqm", "low", "high"]].abs().max(axis=None) <= learned


def test_aggregate_tells_the_worse_cell_from_the_same_one(frame):
    found = aggregate.aggregate_scores(frame, seed=0, resamples=300).set_index("label")
    assert found.loc["base", "iqm"] == pytest.approx(0.0, abs=0.01)
    assert found.loc["worse", "iqm"] == pytest.approx(-0.1 / 5, abs=0.01)
    assert (found.loc["base", ["difference", "difference_low", "difference_high"]] == 0).all()
    assert found.loc["worse", "difference_high"] < 0
    assert found.loc["same", "difference_low"] < 0 < found.loc["same", "difference_high"]
    assert (found["low"] < found["high"]).all()
    assert list(found["tasks"]) == [3, 3, 3]


def test_profiles_fall_from_all_draws_to_none(frame):
    found = aggregate.performance_profiles(frame, seed=0, resamples=50)
    for label, part in found.groupby("label"):
        assert (np.diff(part["share"]) <= 0).all(), label
        assert (part["low"] <= part["high"]).all()
    # A twentieth of the baseline's draws or so are better than the mean of its best tenth.
    base = found[found["label"] == "base"].set_index("score")["share"]
    assert 0.02 < np.interp(0, base.index, base) < 0.09


def test_of_accuracies_more_is_better(frame):
    found = aggregate.aggregate_scores(
        frame, seed=0, valid="valid_accuracy", test="test_accuracy", resamples=50
    ).set_index("label")
    assert found.loc["worse", "difference_high"] < 0


def test_what_cannot_be_aggregated_is_refused(frame):
    apart = frame.query("(spec == 'base' and member < 50) or (spec == 'same' and member >= 50)")
    with pytest.raises(ConfigError, match="no draw was made by every cell"):
        aggregate.aggregate_scores(apart, seed=0)
    with pytest.raises(ConfigError, match="no scale"):
        aggregate.aggregate_scores(frame.drop(columns="num_symbols"), seed=0)
    with pytest.raises(ConfigError, match="no results"):
        aggregate.aggregate_scores(frame[:0], seed=0)


def test_a_cell_that_misses_a_task_is_left_out(frame):
    part = frame.query("spec != 'worse' or task != 'c'")
    assert list(aggregate.aggregate_scores(part, seed=0, resamples=20)["label"]) == ["base", "same"]
