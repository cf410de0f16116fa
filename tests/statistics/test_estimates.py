"""Known answers, and properties that hold for any values."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odyssey.statistics import estimates

values = st.lists(st.floats(-100, 100), min_size=1, max_size=7)


def test_mean_interval_known_answer():
    # mean 5, s = 2.581989, t(0.975, 3) = 3.182446: half width 4.108521
    interval = estimates.mean_interval([2.0, 4.0, 6.0, 8.0])
    assert interval.estimate == 5.0
    assert interval.high - 5 == pytest.approx(4.108521, abs=1e-5)
    assert 5 - interval.low == pytest.approx(4.108521, abs=1e-5)
    assert interval.n == 4


def test_intervals_of_too_few_values_are_nan():
    assert estimates.mean_interval([]).n == 0
    assert np.isnan(estimates.mean_interval([np.nan, np.inf]).estimate)
    single = estimates.mean_interval([3.0, np.nan])
    assert (single.estimate, single.n) == (3.0, 1)
    assert np.isnan([single.low, single.high]).all()


def test_expected_best_of_n_known_answer():
    # Of {1, 2, 4}: n=1 the mean 7/3; n=2 pairs (1,2), (1,4), (2,4): minima 1, 1, 2; n=3: 1.
    frame = estimates.expected_best_of_n([4.0, 1.0, 2.0])
    np.testing.assert_allclose(frame["expected"], [7 / 3, 4 / 3, 1.0], rtol=1e-12)
    assert list(frame["n"]) == [1, 2, 3]
    best = estimates.expected_best_of_n([4.0, 1.0, 2.0], minimise=False)
    np.testing.assert_allclose(best["expected"], [7 / 3, 10 / 3, 4.0], rtol=1e-12)


@settings(deadline=None, max_examples=40)
@given(values)
def test_expected_best_of_n_is_the_mean_over_all_subsets(sample):
    frame = estimates.expected_best_of_n(sample)
    for n, expected in zip(frame["n"], frame["expected"], strict=True):
        subsets = [min(subset) for subset in itertools.combinations(sample, n)]
        assert expected == pytest.approx(np.mean(subsets), abs=1e-9)


def test_weights_are_the_binomials_and_do_not_overflow():
    weights = estimates.best_of_n_weights(12)
    for n, j in itertools.product(range(1, 13), repeat=2):
        assert weights[n - 1, j - 1] == pytest.approx(comb(j - 1, n - 1) / comb(12, n), abs=1e-12)
    many = estimates.best_of_n_weights(3000)
    np.testing.assert_allclose(many.sum(axis=1), 1.0, rtol=1e-9)


def test_band_holds_the_estimate_and_comes_with_the_generator_only():
    sample = np.random.default_rng(1).normal(size=30)
    frame = estimates.expected_best_of_n(sample, rng=np.random.default_rng(2))
    inner = frame[frame["n"] <= 15]
    assert (inner["low"] < inner["expected"]).all()
    assert (inner["expected"] < inner["high"]).all()
    assert frame["low"].iloc[-1] == sample.min()
    assert "low" not in estimates.expected_best_of_n(sample)


def test_expected_best_of_n_refuses_values_that_are_not_finite():
    with pytest.raises(ValueError, match="finite"):
        estimates.expected_best_of_n([1.0, np.nan])
    assert len(estimates.expected_best_of_n([])) == 0


def members(**columns):
    frame = pd.DataFrame({"task": "a", "label": "x", "member": range(4), "status": "ok"})
    return frame.assign(**columns)


def test_lost_members_count_as_the_worst_of_their_task():
    frame = pd.concat(
        [
            members(valid_bpc=[1.0, 2.0, np.nan, 9.0], status=["ok", "ok", "diverged", "failed"]),
            members(task="b", valid_bpc=[np.inf, 5.0, 6.0, np.nan]),
            members(task="c", valid_bpc=np.nan, status="diverged"),
        ],
        ignore_index=True,
    )
    counted = estimates.member_values(frame)
    # 9.0 belongs to a failed member: it is no result, and not the worst value either.
    np.testing.assert_array_equal(counted[:8], [1, 2, 2, 2, 6, 5, 6, 6])
    assert counted[8:].isna().all()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ok", "diverged", "failed"]),
            st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 0.7, 3.0, 5.0, 5.1, 1e300]),
        ),
        min_size=1,
        max_size=9,
    ),
    st.sampled_from(["valid_bpc", "test_bpc", "valid_nats", "valid_accuracy", "test_accuracy"]),
)
@settings(deadline=None, max_examples=60)
def test_no_counted_value_is_worse_than_guessing_and_no_other_is_touched(rows, value):
    frame = pd.DataFrame(rows, columns=["status", value]).assign(task="t", num_symbols=32)
    guess = {"bpc": 5.0, "nats": np.log(32), "accuracy": 1 / 32}[value.partition("_")[2]]
    counted = estimates.member_values(frame, value)
    marked = estimates.counts_as_guessing(frame, value)
    worse = np.less if value.endswith("accuracy") else np.greater
    for (status, given_value), found, mark in zip(rows, counted, marked, strict=True):
        lost = status != "ok" or not np.isfinite(given_value) or worse(given_value, guess)
        assert mark == lost
        assert found == pytest.approx(guess if lost else given_value)


def test_guessing_is_known_of_a_task_though_a_dead_trial_did_not_record_it():
    frame = members(valid_bpc=[1.0, np.nan, 9.0, 2.0], status=["ok", "failed", "ok", "ok"])
    frame["num_symbols"] = pd.array([16, None, 16, 16], dtype="Int64")
    np.testing.assert_array_equal(estimates.member_values(frame), [1, 4, 4, 2])
    other = frame.assign(task=["a", "b", "a", "a"])  # of b nothing is known
    np.testing.assert_array_equal(estimates.member_values(other), [1, np.nan, 4, 2])


def test_lost_members_of_a_curve_count_as_guessing():
    rows = [
        *curve(0, [(10, 1.0), (20, 1.0)]),
        *curve(1, [(10, 3.0), (20, np.nan)]),  # diverged
        *curve(2, [(10, 70.0), (20, 2.0)]),  # exploded, and came back
    ]
    results = members(status=["ok", "diverged", "ok", "ok"], num_symbols=32)[:3]
    bands = estimates.curve_bands(pd.DataFrame(rows), results)
    np.testing.assert_allclose(bands["median"], [3.0, 2.0])
    np.testing.assert_allclose(bands["high"], [4.0, 3.5])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9), st.floats(0, 1))
@settings(deadline=None, max_examples=60)
def test_quantiles_are_numpys_and_take_infinity(sample, share):
    (found,) = estimates.open_quantiles(sample, [share])
    assert found == pytest.approx(np.quantile(sample, share), abs=1e-6)
    both = estimates.open_quantiles(np.array([sample, [np.inf] * len(sample)]), [0.5, share])
    assert both.shape == (2, 2)
    assert both[0, 0] == pytest.approx(np.median(sample), abs=1e-6)
    assert (both[:, 1] == np.inf).all()
    low, middle = estimates.open_quantiles([-np.inf, *sample, np.inf], [0.0, 0.5])
    assert low == -np.inf
    assert middle == pytest.approx(np.median(sample), abs=1e-6)


def curve(member, pairs, label="x"):
    nats = np.log(2)
    return [
        {"task": "a", "label": label, "member": member, "metric": "valid_nats", "value": v * nats}
        | {"characters": c}
        for c, v in pairs
    ]


def test_curve_bands_known_answer():
    rows = [
        *curve(0, [(10, 1.0), (20, 1.0), (30, 1.0)]),
        *curve(1, [(10, 2.0), (20, 2.0)]),  # stopped early: stays at 2
        *curve(2, [(10, 3.0), (20, np.nan)]),  # diverged at 20: worse than all from there
    ]
    results = members(status=["ok", "ok", "diverged", "ok"])[:3]
    bands = estimates.curve_bands(pd.DataFrame(rows), results)
    np.testing.assert_allclose(bands["median"], [2.0, 2.0, 2.0])
    np.testing.assert_allclose(bands["low"], [1.5, 1.5, 1.5])
    np.testing.assert_allclose(bands["high"], [2.5, np.nan, np.nan])
    assert list(bands["members"]) == [3, 3, 3]


def test_curve_bands_end_where_most_members_are_lost():
    rows = [*curve(0, [(10, 1.0), (20, np.nan)]), *curve(1, [(10, 2.0), (20, 1.0)])]
    results = members(status=["diverged", "ok", "ok", "ok"])[:2]
    bands = estimates.curve_bands(pd.DataFrame(rows), results)
    np.testing.assert_allclose(bands["median"], [1.5, np.nan])
    # a member that was never measured is one of them all the same
    rows += curve(2, [(10, np.nan), (20, np.nan)])
    results = members(status=["diverged", "ok", "diverged", "ok"])[:3]
    bands = estimates.curve_bands(pd.DataFrame(rows), results)
    assert list(bands["members"]) == [3, 3]
    np.testing.assert_allclose(bands["median"], [2.0, np.nan])


def test_a_member_without_a_status_has_no_result():
    frame = members(valid_bpc=1.0)
    frame["status"] = pd.array(["ok", None, "diverged", "ok"], dtype="string")
    frame.loc[3, "valid_bpc"] = np.inf
    assert list(estimates.valid_rows(frame)) == [True, False, False, False]


def test_frames_of_no_rows_keep_their_columns(results, curves):
    none = results[:0]
    frame = estimates.best_of_n_frame(none, rng=np.random.default_rng(0))
    assert list(frame.columns) == ["task", "label", "n", "expected", "low", "high"]
    bands = estimates.curve_bands(curves[:0], none)
    assert {"characters", "median"} <= set(bands.columns)


def test_best_of_n_frame_at_n_equal_budget_is_the_best_member(results):
    frame = estimates.best_of_n_frame(results, rng=np.random.default_rng(0))
    last = frame[frame["n"] == 4].set_index(["task", "label"])["expected"]
    ok = results[results["status"] == "ok"]
    best = ok.groupby(["task", "label"])["valid_bpc"].min()
    np.testing.assert_allclose(last[best.index], best, rtol=1e-12)
    assert len(last) == 24


def test_expected_best_of_n_reports_another_score_of_the_best_draw():
    # Best by validation: of {0, 1} draw 1, of {0, 2} draw 2, of {1, 2} draw 1; tests 5, 7, 5.
    frame = estimates.expected_best_of_n([4.0, 1.0, 2.0], reported=[3.0, 5.0, 7.0])
    np.testing.assert_allclose(frame["expected"], [5.0, 17 / 3, 5.0], rtol=1e-12)
    with pytest.raises(ValueError, match="finite"):
        estimates.expected_best_of_n([1.0, 2.0], reported=[1.0, np.inf])


def test_of_accuracies_the_least_is_the_worst():
    frame = members(valid_accuracy=[0.9, 0.5, np.nan, 0.7], status=["ok", "ok", "diverged", "ok"])
    np.testing.assert_array_equal(
        estimates.member_values(frame, "valid_accuracy"), [0.9, 0.5, 0.5, 0.7]
    )
    best = estimates.best_of_n_frame(
        frame.assign(test_accuracy=frame["valid_accuracy"] - 0.1),
        rng=np.random.default_rng(0),
        value="valid_accuracy",
        reported="test_accuracy",
    )
    assert best["expected"].iloc[-1] == pytest.approx(0.8)
