"""Associations over kin: known answers, and what is not there is not found."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

from odyssey.statistics.families import family_difference, family_tau, leave_one_family_out
from odyssey.statistics.transfer import tau_b


def rng(seed=1):
    return np.random.default_rng(seed)


def test_tau_is_that_of_all_pairs_and_within_that_of_pairs_of_kin():
    x, y = rng().integers(5, size=(2, 30)).astype(float)
    family = np.repeat(["a", "b", "c"], 10)
    found = family_tau(x, y, family, rng=rng())
    assert found.value == pytest.approx(tau_b(x, y))
    assert (found.cells, found.families) == (30, 3)
    inside = family_tau(x, y, family, rng=rng(), within=True)
    pairs = [(i, j) for i in range(30) for j in range(i) if family[i] == family[j]]
    one, other = (np.array([np.sign(v[i] - v[j]) for i, j in pairs]) for v in (x, y))
    expected = one @ other / np.sqrt((one @ one) * (other @ other))
    assert inside.value == pytest.approx(expected)


def test_what_families_differ_in_is_not_within_them():
    level = np.repeat(np.arange(8.0), 6)
    noise = rng().normal(0, 0.1, (2, 48))
    x, y = level + noise
    family = np.repeat(np.arange(8), 6)
    assert family_tau(x, y, family, rng=rng()).value > 0.8
    inside = family_tau(x, y, family, rng=rng(), within=True)
    assert inside.low < 0 < inside.high


def test_a_resample_counts_a_family_as_often_as_it_is_drawn():
    x = np.array([0.0, 1.0, 2.0, 3.0])
    y = np.array([0.0, 1.0, 3.0, 2.0])
    family = ["a", "a", "b", "b"]
    # a twice, b twice, or both: 1, -1 and what all four give, with half of the draws for that
    found = family_tau(x, y, family, rng=rng(), resamples=4000)
    assert (found.low, found.high) == (-1, 1)
    assert found.value == pytest.approx(4 / 6)


def test_missing_numbers_leave_their_cells_out():
    x = np.array([1.0, 2.0, np.nan, 4.0])
    found = family_tau(x, [1.0, 2.0, 0.0, 3.0], list("abcd"), rng=rng())
    assert (found.value, found.cells, found.families) == (1.0, 3, 3)
    far = family_tau([-np.inf, -np.inf, 1.0, np.inf], [1.0, 1.0, 2.0, 3.0], list("abcd"), rng=rng())
    assert far.value == 1.0
    none = family_tau([np.nan], [1.0], ["a"], rng=rng())
    assert np.isnan(none.value)
    assert none.cells == 0


def test_the_interval_holds_no_association_where_kin_are_alike():
    families, size, studies = 20, 5, 100
    held, naive = 0, 0
    family = np.repeat(np.arange(families), size)
    for seed in range(studies):
        draws = rng(seed)
        both = draws.normal(size=(2, families)).repeat(size, 1)
        x, y = both + draws.normal(0, 0.3, both.shape)
        found = family_tau(x, y, family, rng=draws, resamples=400)
        held += found.low <= 0 <= found.high
        alone = family_tau(x, y, np.arange(len(x)), rng=draws, resamples=400)
        naive += alone.low <= 0 <= alone.high
    assert held >= 0.85 * studies
    assert naive < 0.7 * studies  # the test can fail: cells for independent are too sure


def test_differences_are_those_of_means_and_of_a_regression_with_an_intercept_a_family():
    family = np.repeat(["a", "b", "c"], [5, 4, 3])
    has = np.array([1, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1], bool)
    y = rng().normal(size=12)
    plain = family_difference(y, has, family, rng=rng())
    assert plain.value == pytest.approx(y[has].mean() - y[~has].mean())
    design = np.column_stack([has, *(family == name for name in "abc")]).astype(float)
    expected = np.linalg.lstsq(design, y, rcond=None)[0][0]
    inside = family_difference(y, has, family, rng=rng(), within=True)
    assert inside.value == pytest.approx(expected)


def test_a_difference_that_is_there_is_found_within_families_that_differ_more():
    family = np.repeat(np.arange(12), 10)
    has = np.tile([True, False], 60)
    y = 3.0 * family - 0.2 * has + rng().normal(0, 0.1, 120)
    found = family_difference(y, has, family, rng=rng(), within=True)
    assert found.low < -0.2 < found.high < 0
    whole = family_difference(y, np.ones(120), family, rng=rng())
    assert np.isnan(whole.value)


def known_world(seed, effect):
    draws = rng(seed)
    family = np.repeat(np.arange(12), 8)
    features = pd.DataFrame(draws.normal(size=(96, 4)), columns=list("abcd"))
    target = effect * features["a"] + draws.normal(size=12)[family] + draws.normal(0, 0.5, 96)
    return features, target.to_numpy(), family


MODELS = {
    "ridge": Ridge,
    "forest": lambda: RandomForestRegressor(8, random_state=0),
    "the mean": lambda: Ridge(alpha=1e12),
}


@pytest.mark.parametrize("model", ["ridge", "forest"])
def test_what_predicts_is_found_in_families_not_seen(model):
    features, target, family = known_world(1, 2.0)
    found = leave_one_family_out(features, target, family, model=MODELS[model])
    assert family_tau(found, target, family, rng=rng()).low > 0.3


@pytest.mark.parametrize("model", MODELS)
def test_permuted_targets_are_not_predicted(model):
    taus = []
    for seed in range(6):
        features, target, family = known_world(seed, 2.0)
        shuffled = rng(seed).permutation(target)
        found = leave_one_family_out(features, shuffled, family, model=MODELS[model])
        taus.append(family_tau(found, shuffled, family, rng=rng(), resamples=2).value)
    assert abs(np.mean(taus)) < 0.1


def test_no_cell_of_a_family_is_seen_by_what_predicts_it():
    seen = []

    class Watch:
        def fit(self, features, target):
            self.known = set(features[:, 0])
            return self

        def predict(self, features):
            seen.append((self.known, set(features[:, 0])))
            return np.zeros(len(features))

    features = pd.DataFrame({"a": np.arange(6.0)})
    found = leave_one_family_out(features, [1.0, 1, 2, 2, 6, 6], list("xxyyzz"), model=Watch)
    assert [out for _, out in seen] == [{0, 1}, {2, 3}, {4, 5}]
    assert all(not known & out for known, out in seen)
    assert found.tolist() == [-4, -4, -3.5, -3.5, -1.5, -1.5]


def test_gaps_are_filled_by_what_is_known_of_other_families():
    given = []

    class Watch:
        def fit(self, features, target):
            return self

        def predict(self, features):
            given.append(features.ravel().tolist())
            return np.zeros(len(features))

    features = pd.DataFrame({"a": [np.nan, np.inf, -np.inf, 1.0, 2.0, 9.0]})
    leave_one_family_out(features, np.zeros(6), list("xxxyyy"), model=Watch)
    assert given[0] == [2.0, 9.0, 1.0]
    with pytest.raises(ValueError, match="two families"):
        leave_one_family_out(features, np.zeros(6), ["x"] * 6, model=Watch)
