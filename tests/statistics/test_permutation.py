"""The permutation test: equal to brute force, and no verdict that hangs on the seed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from odyssey.statistics import permutation
from odyssey.statistics.comparison import bonferroni, compare, holm
from odyssey.statistics.permutation import EXACT_DRAWS, Pair, PermutationTest, decide, permutation_p
from odyssey.statistics.simulation import SimulatedCell, simulate_pairs, simulate_results
from odyssey.statistics.verdicts import UNDECIDED

# Few values, so that ties within and between cells, and lost draws, are common.
scores = st.sampled_from([0.0, 1.0, 1.1, 2.0, 3.5])
validations = st.one_of(scores, st.just(np.inf))


@st.composite
def pairs(draw):
    size = draw(st.integers(1, 7))
    both = st.lists(st.tuples(validations, validations), min_size=size, max_size=size)
    valid = np.array(draw(both)).T
    test = np.array(draw(st.lists(st.tuples(scores, scores), min_size=size, max_size=size))).T
    return Pair(valid, test), draw(st.integers(1, size))


def best_mean(valid, test, top):
    chosen = sorted(range(len(valid)), key=lambda i: (valid[i], i))[:top]
    return sum(test[i] for i in chosen) / top


def brute_force(pair, top, *, shift=0.0):
    """Counts all 2^N swaps one by one."""
    draws = pair.valid.shape[1]
    sizes = []
    for swap in itertools.product([0, 1], repeat=draws):
        means = []
        for cell in (0, 1):
            of = [cell ^ s for s in swap]
            valid = [pair.valid[o, i] - shift * o for i, o in enumerate(of)]
            test = [pair.test[o, i] - shift * o for i, o in enumerate(of)]
            means.append(best_mean(valid, test, top))
        sizes.append(abs(means[1] - means[0]))
    return np.mean(np.array(sizes) >= sizes[0] - 1e-9)


@settings(deadline=None, max_examples=80)
@given(pairs(), st.sampled_from([0.0, 0.5, -1.1]))
def test_p_is_the_share_of_all_swaps(drawn, shift):
    pair, top = drawn
    p = permutation_p(pair, top=top, seed=0, shift=shift)
    assert p == pytest.approx(brute_force(pair, top, shift=shift), abs=1e-12)
    assert p >= 2.0 ** (1 - pair.valid.shape[1])


def deal_out(pair, top):
    """Deals all 2 N scores out in all ways, one by one; gives the share as far apart as ours."""
    draws = pair.valid.shape[1]
    valid, test = pair.valid.ravel(), pair.test.ravel()
    sizes = []
    for mine in itertools.combinations(range(2 * draws), draws):
        theirs = [k for k in range(2 * draws) if k not in mine]
        means = [best_mean_of(valid, test, of, top) for of in (theirs, mine)]
        sizes.append((means[1] - means[0], mine == tuple(range(draws, 2 * draws))))
    observed = next(abs(size) for size, ours in sizes if ours)
    return np.mean([abs(size) >= observed - 1e-9 for size, _ in sizes])


def best_mean_of(valid, test, places, top):
    draws = len(valid) // 2
    ranked = sorted(places, key=lambda k: (valid[k], k % draws, k))
    return sum(test[k] for k in ranked[:top]) / top


@settings(deadline=None, max_examples=40)
@given(pairs())
def test_p_of_independent_draws_is_the_share_of_all_deals(drawn):
    pair, top = drawn
    pair = pair._replace(valid=pair.valid[:, :5], test=pair.test[:, :5], independent=True)
    draws = pair.valid.shape[1]
    top = min(top, draws)
    p = permutation_p(pair, top=top, seed=0)
    assert p == pytest.approx(deal_out(pair, top), abs=1e-12)
    assert p >= 2 / math.comb(2 * draws, draws)


def test_random_deals_are_fair_and_tell_what_all_of_them_do():
    draws = 9
    deals = permutation._random_deals(np.random.default_rng(5), draws, 20_000)
    assert (deals.sum(axis=0) == 0).all()
    assert np.abs(deals.mean(axis=1)).max() < 0.03
    rng = np.random.default_rng(6)
    values = rng.normal(size=(2, draws)) + np.array([[0.0], [0.8]])
    pair = Pair(values, values, independent=True)
    exact = PermutationTest(pair, top=5, seed=0)
    assert exact.exact
    assert exact.swaps == math.comb(2 * draws, draws)
    drawn = PermutationTest(pair, top=5, seed=0)
    drawn.exact, drawn.swaps, drawn.reached = False, 0, 0
    drawn.draw(20_000)
    assert drawn.p == pytest.approx(exact.p, abs=0.015)


def test_independent_draws_of_one_cell_keep_the_level():
    rng, rejected, studies = np.random.default_rng(7), 0, 400
    for _ in range(studies):
        values = rng.normal(size=(2, 7))
        pair = Pair(values, values + rng.normal(size=(2, 7)), independent=True)
        rejected += permutation_p(pair, top=5, seed=0) <= 0.05
    assert stats.binomtest(rejected, studies, 0.05, alternative="greater").pvalue > 1e-3


@settings(deadline=None, max_examples=40)
@given(pairs(), st.integers(0, 2**31))
def test_random_swaps_count_as_brute_force_does(drawn, seed):
    # What is done with swaps that are drawn, checked on swaps that can be looked up.
    pair, top = drawn
    draws = pair.valid.shape[1]
    signs = permutation.random_signs(np.random.default_rng(seed), draws, 20)
    assert set(np.unique(signs)) <= {-1, 1}
    scores = permutation._Scores.of(pair.valid, pair.test, top=top)
    found = scores.differences(scores.swapped(signs), signs.shape[1])
    for column, difference in zip(signs.T, found, strict=True):
        of = (column < 0).astype(int)
        means = [
            best_mean(pair.valid[c ^ of, range(draws)], pair.test[c ^ of, range(draws)], top)
            for c in (0, 1)
        ]
        assert difference == pytest.approx(means[1] - means[0], abs=1e-12)


def test_random_swaps_are_fair_and_independent_between_draws():
    signs = permutation.random_signs(np.random.default_rng(0), 70, 10_000).astype(float)
    assert signs.shape == (70, 10_000)
    assert np.abs(signs.mean(axis=1)).max() < 0.05
    assert np.abs(np.corrcoef(signs) - np.eye(70)).max() < 0.06


def test_many_swaps_agree_with_all_of_them(monkeypatch):
    (pair,) = simulate_pairs(
        [SimulatedCell(), SimulatedCell(shift=0.04)], rng=np.random.default_rng(4), draws=16
    )
    exact = permutation_p(pair, top=5, seed=0)
    assert 0.05 < exact < 0.95
    monkeypatch.setattr(permutation, "EXACT_DRAWS", 0)
    drawn = PermutationTest(pair, top=5, seed=0)
    assert (drawn.exact, drawn.swaps) == (False, 0)
    drawn.draw(100_000)
    assert drawn.swaps == 100_000
    assert drawn.p == (1 + drawn.reached) / 100_001
    low, high = drawn.interval(0.999)
    assert low < exact < high
    assert high - low < 0.012


def test_the_interval_of_a_drawn_p_is_clopper_and_pearsons():
    (pair,) = simulate_pairs(
        [SimulatedCell(), SimulatedCell()], rng=np.random.default_rng(4), draws=30
    )
    test = PermutationTest(pair, top=5, seed=0)
    assert test.interval(0.99) == (0.0, 1.0)
    test.draw(500)
    expected = stats.binomtest(test.reached, 500).proportion_ci(0.99, method="exact")
    assert test.interval(0.99) == pytest.approx((expected.low, expected.high), rel=1e-9)
    for reached, end in ((0, 0), (500, 1)):
        test.reached = reached
        assert test.interval(0.99)[end] == float(end)


@pytest.mark.parametrize("draws", [1, 2, 5, EXACT_DRAWS, EXACT_DRAWS + 1, 24])
def test_no_p_falls_below_the_floor_of_the_swaps(draws):
    far = Pair(
        np.stack([np.zeros(draws), np.ones(draws)]), np.stack([np.zeros(draws), np.ones(draws)])
    )
    test = PermutationTest(far, top=min(draws, 5), seed=0)
    assert test.exact == (draws <= EXACT_DRAWS)
    test.draw(300_000)
    floor = max(2.0 ** (1 - draws), 0.0 if test.exact else 1 / 300_001)
    assert floor <= test.p
    if draws <= 5:
        assert test.p == floor
    if test.exact:
        assert test.swaps == 2 ** (draws - 1)
    else:
        test.reached = 0
        assert test.p == floor


def test_as_many_swaps_are_counted_as_are_asked_for():
    (pair,) = simulate_pairs(
        [SimulatedCell(), SimulatedCell()], rng=np.random.default_rng(4), draws=30
    )
    test = PermutationTest(pair, top=5, seed=3)
    for count, total in ((0, 0), (1, 1), (499, 500), (20_001, 20_501)):
        test.draw(count)
        assert test.swaps == total
    again = PermutationTest(pair, top=5, seed=3)
    again.draw(500)
    assert permutation_p(pair, top=5, seed=3, swaps=500) == again.p == (1 + again.reached) / 501


class Known:
    """A test whose swaps reach with a chance that is known."""

    def __init__(self, chance, seed, *, exact=False):
        self.chance, self.exact, self.swaps, self.reached = chance, exact, 0, 0
        self.rng = np.random.default_rng(seed)
        self.asked = set()

    def draw(self, swaps):
        if not self.exact:
            self.swaps += swaps
            self.reached += int(self.rng.binomial(swaps, self.chance))

    def interval(self, confidence):
        self.asked.add(confidence)
        if self.exact:
            return self.chance, self.chance
        found = stats.binomtest(self.reached, self.swaps).proportion_ci(confidence, method="exact")
        return found.low, found.high


def test_verdicts_are_those_of_all_swaps_whatever_the_seed():
    # Holm's thresholds of five: 0.01, 0.0125, 0.01667, 0.025, 0.05.
    chances = [0.008, 0.0115, 0.015, 0.03, 0.9]
    truth = (holm(chances) <= 0.05).tolist()
    assert truth == [True, True, True, False, False]
    swaps = []
    for seed in range(20):
        tests = [Known(c, [seed, k]) for k, c in enumerate(chances)]
        assert decide(tests, alpha=0.05, adjust=holm) == truth
        swaps.append([test.swaps for test in tests])
    # The clear one is left alone, the near ones draw on.
    assert {row[4] for row in swaps} == {10_000}
    assert min(row[1] for row in swaps) > 10_000


def test_one_p_at_its_threshold_stays_open_and_holds_up_those_behind_it_only():
    tests = [Known(c, k) for k, c in enumerate([1e-4, 0.025, 0.03, 0.9])]
    # Holm: 0.0125, 0.01667, 0.025, 0.05. The second is not rejected, so none behind it is.
    assert decide(tests, alpha=0.05, adjust=holm, most=20_000) == [True, False, False, False]
    near = [Known(c, k) for k, c in enumerate([1e-4, 0.05 / 3, 0.02, 0.9])]
    assert decide(near, alpha=0.05, adjust=holm, most=40_000) == [True, None, None, False]
    assert [t.swaps for t in near][1:] == [40_000, 10_000, 10_000] or near[2].swaps > 10_000
    alone = [Known(0.05, 1)]
    assert decide(alone, alpha=0.05, adjust=bonferroni, most=30_000) == [None]
    assert alone[0].swaps == 30_000


@pytest.mark.parametrize(
    ("most", "looks"), [(5_000, 1), (10_000, 1), (20_000, 2), (80_000, 4), (1_000_000, 8)]
)
def test_the_confidence_is_shared_by_all_tests_and_all_looks(most, looks):
    tests = [Known(0.5, k) for k in range(3)]
    assert decide(tests, alpha=0.05, adjust=holm, most=most) == [False] * 3
    for test in tests:
        assert test.swaps == min(most, 10_000)
        assert list(test.asked) == [pytest.approx(1 - 0.01 / (3 * looks), abs=1e-9)]


def test_a_test_whose_own_interval_holds_no_threshold_draws_no_more():
    # Thresholds 0.025 and 0.05: the second waits for the first, and has nothing to add itself.
    tests = [Known(0.025, 1), Known(0.037, 2)]
    assert decide(tests, alpha=0.05, adjust=holm, most=40_000) == [None, None]
    assert [test.swaps for test in tests] == [40_000, 10_000]


def test_exact_ps_are_decided_without_drawing():
    tests = [Known(c, 0, exact=True) for c in (0.025, 0.0250001, 0.05)]
    assert decide(tests[:1] + tests[2:], alpha=0.05, adjust=holm) == [True, True]
    assert decide(tests[1:], alpha=0.05, adjust=holm) == [False, False]
    assert decide([], alpha=0.05, adjust=holm) == []


def test_what_a_million_swaps_leave_open_is_printed_as_such():
    frame = simulate_results(
        {"a": SimulatedCell(), "b": SimulatedCell(shift=0.02)},
        rng=np.random.default_rng(1),
        draws=40,
    )
    row = compare(frame, seed=0, resamples=0).iloc[1]
    assert (row["swaps"], row["exact"]) == (10_000, False)
    # A level at its own p is the case that no number of swaps decides.
    p = float(row["p"])
    near = compare(frame, seed=0, resamples=0, alpha=p, permutations=20_000).iloc[1]
    assert near["verdict"] == UNDECIDED
    assert near["swaps"] == 20_000
    for seed in range(3):
        for alpha in (p - 0.05, p + 0.05):
            again = compare(frame, seed=seed, resamples=0, alpha=alpha).iloc[1]
            assert again["verdict"] == ("n.s." if alpha < p else "better")


def test_with_few_draws_no_number_depends_on_the_seed():
    frame = simulate_results(
        {"a": SimulatedCell(), "b": SimulatedCell(shift=0.02)},
        rng=np.random.default_rng(1),
        draws=16,
    )
    first, again = (compare(frame, seed=s, resamples=0).iloc[1] for s in (0, 1))
    assert first["exact"]
    assert first["swaps"] == 2**15
    assert first["p"] == again["p"]


@pytest.fixture
def clear_pair():
    """Twenty draws, of which every swap but the one made halves the difference at least."""
    rng = np.random.default_rng(1)
    low = rng.normal(0, 0.01, 20)
    return Pair(np.stack([low, low + 1]), np.stack([low, low + 1]))


def test_swaps_are_counted_to_the_last(clear_pair):
    test = PermutationTest(clear_pair, top=20, seed=0)
    for swaps in (1, 2, 64, 65):
        before = test.swaps
        test.draw(swaps)
        assert test.swaps == before + swaps
    test.draw(0)
    assert test.swaps == 132


def test_the_floor_of_a_drawn_p(clear_pair):
    test = PermutationTest(clear_pair, top=20, seed=0)
    test.swaps, test.reached = 10**9, 0
    assert test.p == 2.0**-19


def test_a_p_of_many_draws_is_drawn(clear_pair):
    assert permutation_p(clear_pair, top=20, seed=0, swaps=999) == 1 / 1000


@pytest.mark.parametrize(("most", "looks"), [(10_000, 1), (20_000, 2), (20_001, 3), (160_000, 5)])
def test_the_confidence_is_shared_by_all_looks_at_all_tests(most, looks):
    asked = set()

    class Noted(Known):
        def interval(self, confidence):
            asked.add(confidence)
            return super().interval(confidence)

    decide([Noted(0.4, k) for k in range(3)], alpha=0.05, adjust=holm, most=most)
    assert list(asked) == pytest.approx([1 - 0.01 / (3 * looks)], abs=1e-12)


def test_who_is_near_a_later_threshold_draws_on():
    """0.025 is the threshold of the second of two: it draws on, the clear one does not."""
    tests = [Known(1e-4, 0), Known(0.05, 1)]
    decide(tests, alpha=0.05, adjust=holm, most=40_000)
    assert [test.swaps for test in tests] == [10_000, 40_000]
    tests = [Known(0.2, 0), Known(0.025, 1)]
    decide(tests, alpha=0.05, adjust=holm, most=40_000)
    assert [test.swaps for test in tests] == [10_000, 40_000]
