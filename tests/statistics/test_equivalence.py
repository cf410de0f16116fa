"""Equality within a margin: known answers, its size at the margin, its power at no difference."""

import itertools

import numpy as np
import pytest

from odyssey.errors import ConfigError
from odyssey.statistics.comparison import compare
from odyssey.statistics.draws import top_scores
from odyssey.statistics.equivalence import EquivalenceTest, with_equivalence
from odyssey.statistics.estimates import top_count
from odyssey.statistics.permutation import Pair
from odyssey.statistics.simulation import SimulatedCell, simulate_pairs, simulate_results


def by_hand(pair, margin, top):
    """The larger of both one-sided p-values, counted over all swaps of names."""
    draws = pair.valid.shape[1]
    found = []
    for sign in (1, -1):
        shift = np.array([[0.0], [sign * margin]])
        valid, test = pair.valid - shift, pair.test - shift
        differences = []
        for swaps in itertools.product((False, True), repeat=draws):
            own = np.where(swaps, [[1], [0]], [[0], [1]])
            there = np.arange(draws)
            best = top_scores(valid[own, there], test[own, there], top).mean(axis=1)
            differences.append(sign * (best[1] - best[0]))
        found.append(np.mean(np.array(differences) <= differences[0] + 1e-12))
    return max(found)


@pytest.mark.parametrize("margin", [0.02, 0.2, 0.3, 0.5])
def test_the_p_value_is_counted_by_hand(margin):
    rng = np.random.default_rng(3)
    scores = rng.normal(2, 0.2, size=(2, 9))
    pair = Pair(scores, scores + rng.normal(0, 0.02, size=(2, 9)))
    test = EquivalenceTest(pair, top=5, seed=0, margin=margin)
    assert test.exact
    expected = by_hand(pair, margin, 5)
    if expected <= 0.5:
        assert test.p == pytest.approx(expected)
    else:  # outside of the margin: how far decides nothing
        assert test.p > 0.5
    assert test.interval(0.99) == (test.p, test.p)


def equal(pair, margin):
    test = EquivalenceTest(pair, top=top_count(pair.valid.shape[1]), seed=1, margin=margin)
    test.draw(400)
    return test.p <= 0.05


def share_equal(shift, margin, *, draws=50, studies=150):
    rng = np.random.default_rng([7, draws])
    cells = (SimulatedCell(), SimulatedCell(shift=shift))
    drawn = (simulate_pairs(cells, rng=rng, draws=draws)[0] for _ in range(studies))
    return np.mean([equal(pair, margin) for pair in drawn])


def test_a_cell_at_the_margin_is_called_equal_in_a_twentieth_of_studies():
    # 5 % and its 99 % band over 150 studies
    assert share_equal(0.1, 0.1) <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 150)
    assert share_equal(-0.1, 0.1) <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 150)


def test_cells_without_a_difference_are_found_equal_in_a_wide_margin_only():
    assert share_equal(0.0, 0.15) > 0.9
    assert share_equal(0.0, 0.005) < 0.05


def test_the_four_verdicts():
    cells = {
        "base": SimulatedCell(),
        "twin": SimulatedCell(),
        "worse": SimulatedCell(shift=0.5),
        "better": SimulatedCell(shift=-0.5),
    }
    results = simulate_results(cells, rng=np.random.default_rng(2), draws=60)
    compared = compare(results, seed=1, baseline="base", resamples=0)
    found = with_equivalence(compared, results, margin=0.12, seed=1).set_index("label")
    expected = {"base": "baseline", "twin": "equal", "worse": "worse", "better": "better"}
    assert found["within"].to_dict() == expected
    narrow = with_equivalence(compared, results, margin=0.002, seed=1).set_index("label")
    assert narrow["within"].to_dict() == expected | {"twin": "unknown"}
    # a margin wider than every difference makes all equal, and leaves the verdicts as they are
    wide = with_equivalence(compared, results, margin=2.0, seed=1).set_index("label")
    assert set(wide["within"]) == {"baseline", "equal"}
    assert wide["verdict"].tolist() == compared["verdict"].tolist()
    # what is better in accuracy stays better
    accuracy = {"valid": "valid_accuracy", "test": "test_accuracy"}
    compared = compare(results, seed=1, baseline="base", resamples=0, **accuracy)
    found = with_equivalence(compared, results, margin=0.05, seed=1, **accuracy)
    assert found.set_index("label")["within"].to_dict().items() >= expected.items()


def test_nonsense_is_refused():
    results = simulate_results({"a": SimulatedCell()}, rng=np.random.default_rng(2), draws=9)
    compared = compare(results, seed=1, resamples=0)
    for margin in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="above 0"):
            with_equivalence(compared, results, margin=margin, seed=1)
