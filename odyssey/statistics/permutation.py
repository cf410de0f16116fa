"""The permutation test of a comparison: all swaps where that is possible, else as many as needed.

Were two cells one, their names could be swapped at any draw. The statistic is the difference of the
mean test scores of each cell's best draws by validation, and the best are chosen anew after every
swap. To do that for many swaps at once, the 2 N scores are sorted by validation once: a cell's best
draws are the first that it is given along that order.

With few draws all 2^(N-1) swaps are counted (a swap of all names turns the sign only, so half of
the 2^N suffice) and p is exact. With more, swaps are drawn at random until every verdict of the
table is the one that all swaps would give, with 99 % confidence for the whole table, or until
`MOST_SWAPS` (sequential Monte Carlo tests: Besag & Clifford 1991). What is not clear then has no
verdict.

Cells whose draws are not the same ones (`Pair.independent`) have nothing to swap draw by draw: were
they one cell, any half of all 2 N scores could be the baseline's. There are C(2N, N) ways to deal
them out, and all else is the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from scipy import stats

from odyssey.statistics.estimates import top_count

EXACT_DRAWS = 18  # at most this many draws have their 2^(N-1) swaps counted
LEAST_SWAPS, MOST_SWAPS = 10_000, 1_000_000
CONFIDENCE = 0.99  # that all verdicts of a table are those of all swaps
_BLOCK = 10_000  # swaps handled at a time
_MOST_SIGNS = 8_000_000  # draws times swaps handled at a time
_WORD = 64  # swaps in a random number


class Pair(NamedTuple):
    """Baseline and variant on the draws that both have; lower is better.

    Attributes:
        valid: Order by validation, (2, N): the baseline first.
        test: Test scores, (2, N).
        independent: Whether a column holds two draws that have nothing in common.
        counted: How many draws count as the best, where the design says so; else 0.
    """

    valid: np.ndarray
    test: np.ndarray
    independent: bool = False
    counted: int = 0

    @property
    def draws(self) -> int:
        """How many draws there are, N."""
        return int(self.valid.shape[1])

    @property
    def top(self) -> int:
        """How many of them count as the best."""
        return top_count(self.draws, counted=self.counted)


class PermutationTest:
    """One comparison under test; `draw` counts more swaps.

    Attributes:
        difference: Mean test score of the variant's best draws minus that of the baseline's, less
            `shift`.
        exact: Whether all swaps are counted; then there is nothing to draw.
        swaps: Swaps counted so far.
        reached: How many of them make a difference at least as large.
    """

    def __init__(self, pair: Pair, *, top: int, seed: int, shift: float = 0.0) -> None:
        """Sets the test of "the variant is the baseline, worse by `shift` at every draw" up.

        Args:
            pair: The draws; the same column is the same hyperparameters and seed, or two of them.
            top: How many draws count as the best.
            seed: Of the random swaps; tests with one seed and as many draws see the same ones.
            shift: Taken from the variant's scores before the names are swapped.
        """
        by = np.array([[0.0], [shift]])
        self._scores = _Scores.of(pair.valid - by, pair.test - by, top=top)
        self._rng = np.random.default_rng(seed)
        self.draws = pair.valid.shape[1]
        self.independent = pair.independent
        self.difference = float(self._scores.differences(self._scores.side[:, None], 1)[0])
        # Equal in exact arithmetic must be equal here: rounding is relative to the scores.
        self._least = abs(self.difference) - 1e-10 * float(np.abs(pair.test).max(initial=0.0))
        ways = math.comb(2 * self.draws, self.draws) if self.independent else 2**self.draws
        self._least_p = 2 / ways
        self.exact = ways <= 2**EXACT_DRAWS
        self.swaps: int = 0
        self.reached = 0
        if self.exact:
            owners = (_all_deals if self.independent else all_signs)(self.draws)
            for start in range(0, owners.shape[1], _BLOCK):
                self._count(owners[:, start : start + _BLOCK])

    def draw(self, swaps: int) -> None:
        """Counts as many random swaps more; nothing where all are counted."""
        while swaps > 0 and not self.exact:
            count = min(swaps, _BLOCK, max(_WORD, _MOST_SIGNS // self.draws))
            random = _random_deals if self.independent else random_signs
            self._count(random(self._rng, self.draws, count))
            swaps -= count

    def _count(self, drawn: np.ndarray) -> None:
        """Counts deals of all scores, (2N, S), or swaps of the draws' names, (N, S)."""
        owners = drawn if self.independent else self._scores.swapped(drawn)
        found = np.abs(self._scores.differences(owners, drawn.shape[1]))
        self.swaps += drawn.shape[1]
        self.reached += int((found >= self._least).sum())

    @property
    def p(self) -> float:
        """The two-sided p-value; of random swaps, the data as they are count as one more.

        Phipson & Smyth (2010). Never below 2^(1-N), or 2 / C(2N, N) of independent draws: that many
        of all swaps change the sign at most.
        """
        if self.exact:
            return float(self.reached / self.swaps)
        return max((1 + self.reached) / (1 + self.swaps), self._least_p)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Gives the interval of the p-value of all swaps (Clopper & Pearson 1934)."""
        if self.exact:
            return self.p, self.p
        return counted_interval(self.reached, self.swaps, confidence)


def counted_interval(reached: int, swaps: int, confidence: float) -> tuple[float, float]:
    """Gives the interval of a share of which `reached` of `swaps` random ones were counted.

    Clopper & Pearson (1934).
    """
    tail = (1 - confidence) / 2
    low = float(stats.beta.ppf(tail, reached, swaps - reached + 1)) if reached else 0.0
    high = float(stats.beta.ppf(1 - tail, reached + 1, swaps - reached)) if reached < swaps else 1.0
    return low, high


def permutation_p(
    pair: Pair, *, top: int, seed: int, swaps: int = LEAST_SWAPS, shift: float = 0.0
) -> float:
    """Gives the two-sided p-value of: the variant is the baseline, worse by `shift` at every draw.

    Args:
        pair: The draws; the same column is the same hyperparameters and seed.
        top: How many draws count as the best.
        seed: Of the random swaps.
        swaps: How many, where there are too many draws to count all.
        shift: Taken from the variant's scores before the names are swapped.
    """
    test = PermutationTest(pair, top=top, seed=seed, shift=shift)
    test.draw(swaps)
    return test.p


class SequentialTest(Protocol):
    """A test whose p-value is counted over swaps, more of which may be drawn."""

    @property
    def swaps(self) -> int:
        """Swaps counted so far."""

    def draw(self, swaps: int) -> None:
        """Counts as many random swaps more."""

    def interval(self, confidence: float) -> tuple[float, float]:
        """Gives the interval of the p-value of all swaps."""


def decide(
    tests: Sequence[SequentialTest],
    *,
    alpha: float,
    adjust: Callable[[np.ndarray], np.ndarray],
    most: int = MOST_SWAPS,
) -> list[bool | None]:
    """Draws until it is clear which tests the corrected procedure rejects, and says which.

    An adjustment that grows with every p-value rejects, at the lower ends of the intervals of all
    p-values, all that it could reject, and at the upper ends all that it must. Where both agree the
    verdict is clear. Only tests can be unclear whose own interval holds a threshold
    alpha / k of a step-down procedure, and these draw on, doubling.

    Args:
        tests: All tests that are corrected together; they keep what they have counted.
        alpha: The level.
        adjust: The correction, Holm's or Bonferroni's: p-values in, adjusted p-values out.
        most: Swaps of a test, at most.

    Returns:
        Per test True (rejected), False (not rejected) or None (not clear with `most` swaps).
    """
    looks, swaps = 1, min(LEAST_SWAPS, most)
    while swaps * 2 ** (looks - 1) < most:
        looks += 1
    # Every look at every test may err: the confidence is of all of them together.
    each = 1 - (1 - CONFIDENCE) / (looks * max(len(tests), 1))
    open_tests = list(tests)
    while True:
        for test in open_tests:
            test.draw(swaps - test.swaps)
        ends = np.array([test.interval(each) for test in tests]).reshape(-1, 2)
        could, must = (adjust(ends[:, side]) <= alpha for side in (0, 1))
        unclear = could & ~must
        if not unclear.any() or swaps >= most:
            break
        ranks = np.arange(1, len(tests) + 1)
        holds = (ends[:, :1] * ranks <= alpha) & (alpha < ends[:, 1:] * ranks)
        go_on = unclear & holds.any(axis=1)
        open_tests = [test for test, more in zip(tests, go_on, strict=True) if more]
        swaps = min(2 * swaps, most)
    return [None if u else bool(m) for u, m in zip(unclear, must, strict=True)]


class _Scores(NamedTuple):
    """The scores of both cells in one order by validation, the best first.

    Draws that validation cannot tell apart stand in the order of their numbers, for both cells
    alike, so that a swap of names changes nothing else.

    Attributes:
        draw: Number of the draw of every score, (2 N).
        side: -1 for scores of the baseline, 1 for those of the variant, (2 N) int8.
        test: Test scores, (2 N).
        top: How many draws count as the best.
    """

    draw: np.ndarray
    side: np.ndarray
    test: np.ndarray
    top: int

    @staticmethod
    def of(valid: np.ndarray, test: np.ndarray, *, top: int) -> _Scores:
        draws = valid.shape[1]
        number = np.tile(np.arange(draws), 2)
        order = np.lexsort((number, valid.ravel()))
        side = np.repeat(np.array([-1, 1], dtype=np.int8), draws)
        return _Scores(number[order], side[order], test.ravel()[order], top)

    def swapped(self, signs: np.ndarray) -> Iterator[np.ndarray]:
        """Gives who owns each score under swaps, (S,), the best score first.

        Args:
            signs: 1 where a draw keeps its names, -1 where they are swapped, (N, S) int8.
        """
        for draw, side in zip(self.draw, self.side, strict=True):
            yield signs[draw] if side > 0 else -signs[draw]

    def differences(self, owners: Iterable[np.ndarray], count: int) -> np.ndarray:
        """Gives the difference of means whoever owns the scores, (S,).

        Args:
            owners: 1 where the variant is given a score, -1 where the baseline is, (S,) int8 for
                each of the 2 N scores; not asked for where both cells have all that they can take.
            count: Their number S.
        """
        if not len(self.test):
            return np.zeros(count)
        # The variant's scores so far, less the baseline's.
        excess = np.zeros(count, dtype=np.min_scalar_type(-len(self.test)))
        total = np.zeros(count)
        for place, (owner, test) in enumerate(zip(owners, self.test, strict=True)):
            # Of `place` scores the owner has (place + owner * excess) / 2: it takes this one while
            # that is less than `top`.
            room = 2 * self.top - place
            if place < self.top:
                total += test * owner
            else:
                if room <= 0 and (np.abs(excess) <= -room).all():
                    break  # both have all that they can take
                total += test * (owner * (owner * excess < room))
            excess += owner
        return total / self.top


@lru_cache(maxsize=4)
def all_signs(draws: int) -> np.ndarray:
    """Gives all swaps but for a swap of all names: the first draw keeps its names, (N, 2^(N-1))."""
    codes = np.arange(2 ** max(draws - 1, 0), dtype=np.int64)
    signs = np.ones((draws, len(codes)), dtype=np.int8)
    for draw in range(1, draws):
        signs[draw] -= (2 * (codes >> (draw - 1) & 1)).astype(np.int8)
    signs.flags.writeable = False
    return signs


def random_signs(rng: np.random.Generator, draws: int, count: int) -> np.ndarray:
    """Draws random swaps, (N, count)."""
    words = rng.integers(2**64, size=(draws, -(-count // _WORD)), dtype=np.uint64)
    bits = np.unpackbits(words.view(np.uint8), axis=1)[:, :count]
    signs: np.ndarray = 1 - 2 * bits.astype(np.int8)
    return signs


@lru_cache(maxsize=4)
def _all_deals(draws: int) -> np.ndarray:
    """Gives all ways to deal 2 N scores out to two cells, (2N, C(2N, N))."""
    chosen = np.array(list(itertools.combinations(range(2 * draws), draws)), dtype=np.int64)
    owners = np.full((2 * draws, len(chosen)), -1, dtype=np.int8)
    owners[chosen.T, np.arange(len(chosen))] = 1
    owners.flags.writeable = False
    return owners


def _random_deals(rng: np.random.Generator, draws: int, count: int) -> np.ndarray:
    """Draws random deals, (2N, count)."""
    owners = np.repeat(np.array([-1, 1], dtype=np.int8), draws)[:, None]
    return rng.permuted(np.repeat(owners, count, axis=1), axis=0)
