"""Cochran's Q and I^2: known answers, and runs that agree are not called different."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from odyssey.statistics.comparison import compare, difference_error
from odyssey.statistics.permutation import Pair
from odyssey.statistics.ranking import with_labels
from odyssey.statistics.simulation import SimulatedCell, simulate_results
from odyssey.statistics.synthesis import heterogeneity, synthesis


def test_known_answers():
    found = heterogeneity([0.0, 4.0], [1.0, 1.0])
    assert (found.runs, found.q, found.i2, found.mean) == (2, 8.0, 7 / 8, 2.0)
    # two estimates: Q is the square of the z of their difference
    assert found.p == pytest.approx(2 * stats.norm.sf(4 / math.sqrt(2)))
    assert found.high - found.mean == pytest.approx(1.959964 / math.sqrt(2), rel=1e-6)
    assert heterogeneity([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])[1:4] == (0.0, 1.0, 0.0)
    # weights 1, 1/4: mean 0.4, Q = 0.16 + 2.56 / 4
    uneven = heterogeneity([0.0, 2.0], [1.0, 2.0])
    assert (uneven.mean, uneven.q) == (pytest.approx(0.4), pytest.approx(0.8))
    assert uneven.i2 == 0.0
    for few in (([], []), ([1.0], [1.0]), ([1.0, 2.0], [1.0, 0.0]), ([1.0, 2.0], [1.0, math.nan])):
        assert math.isnan(heterogeneity(*few).q)


@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(0.1, 9)), min_size=2, max_size=6),
    st.floats(-5, 5),
    st.floats(0.1, 10),
)
def test_neither_unit_nor_order_nor_a_shift_matters(estimates, shift, unit):
    differences, errors = map(np.array, zip(*estimates, strict=True))
    found = heterogeneity(differences, errors)
    other = heterogeneity(unit * (differences[::-1] + shift), unit * errors[::-1])
    assert other.q == pytest.approx(found.q, rel=1e-6, abs=1e-6)
    assert other.mean == pytest.approx(unit * (found.mean + shift), rel=1e-6, abs=1e-6)


def test_q_of_runs_that_agree_is_chi_squared():
    rng = np.random.default_rng(1)
    errors = np.array([0.5, 1.0, 2.0])
    ps = [heterogeneity(rng.normal(0.3, errors), errors).p for _ in range(2_000)]
    assert stats.kstest(ps, "uniform").pvalue > 1e-3


def test_the_error_of_a_difference_of_all_draws_is_that_of_a_mean():
    # five draws or fewer are all among the best: no choice, and the bootstrap has a closed form
    rng = np.random.default_rng(2)
    values = rng.normal(size=(2, 5))
    for independent in (False, True):
        pair = Pair(values, values, independent)
        spread = values[1] - values[0]
        wanted = spread.var() / 5 if not independent else (values.var(axis=1) / 5).sum()
        found = difference_error(pair, seed=3, resamples=40_000)
        assert found == pytest.approx(math.sqrt(wanted), rel=0.02)
    assert math.isnan(difference_error(Pair(values[:, :1], values[:, :1]), seed=0))


def runs(worse, count=3):
    """Gives studies of one baseline and one variant, each with draws of its own."""
    cells = {"base": SimulatedCell(), "variant": SimulatedCell(shift=worse)}
    return {
        f"run{k}": with_labels(simulate_results(cells, rng=np.random.default_rng(k), draws=12))
        for k in range(count)
    }


def test_runs_are_put_beside_each_other_and_pooled_only_where_they_may():
    found = runs(0.2)
    labels = list(dict.fromkeys(found["run0"]["label"]))
    plain = synthesis(found, seed=0, baseline=labels[0])
    assert list(plain["label"]) == labels[1:]
    assert (plain["runs"] == 3).all()
    assert plain["pooled"].isna().all()
    task = plain["task"].iloc[0]
    few = synthesis(found, seed=0, baseline=labels[0], poolable={task: ["run0", "run1"]})
    assert few["pooled"].isna().all()
    pooled = synthesis(found, seed=0, baseline=labels[0], poolable={task: list(found)})
    assert pooled["pooled"].between(pooled["least"], pooled["most"]).all()
    assert (pooled["pooled_low"] < pooled["pooled"]).all()
    single = compare(found["run1"], seed=0, baseline=labels[0], resamples=0)
    difference = single.loc[~single["baseline"], "difference"].iloc[0]
    assert plain["least"].iloc[0] <= difference <= plain["most"].iloc[0]
    assert synthesis({"one": found["run0"]}, seed=0, baseline=labels[0]).empty


def test_draws_of_their_own_are_compared_without_pairing():
    one, other = (runs(0.0, count=2)[name] for name in ("run0", "run1"))
    labels = list(dict.fromkeys(one["label"]))
    other = other[other["label"] == labels[1]].assign(label="theirs", independent=True)
    other["seed"] = other["member"] + 999
    whole = pd.concat([one.assign(independent=False), other], ignore_index=True)
    found = compare(whole, seed=0, baseline=labels[0], resamples=200).set_index("label")
    assert found.loc["theirs", "draws"] == 12
    assert 0 < found.loc["theirs", "p"] <= 1
    assert bool(found.loc[labels[1], "exact"])  # 2^11 swaps
    assert not bool(found.loc["theirs", "exact"])  # C(24, 12) deals
