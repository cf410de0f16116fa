"""Main effects and interactions of changes that were made in all combinations.

Shapes: K changes, C = 2^K cells, N draws, S swaps.

With all combinations at hand, the effect of a change is the mean, over everything else, of the
score with it less the score without it; that of a pair is by how much the effect of one is larger
where the other is made, too; and so on. A cell's score is what it is everywhere: the mean test
score of its best draws by validation.

Had change a no part in an effect, then at any draw the cells with a and those without could change
names. That is the permutation: the names are swapped draw by draw, all pairs of cells that differ
in a at once, and the best draws are chosen anew. What else depends on a (its other effects, as
estimated) is taken out of the scores before, so that only the effect in question is tested. With
that step the test is no longer exact; its size is checked by simulation. Of a pair the larger
p-value of both changes counts. Intervals: percentile bootstrap over draws, the same ones for all
cells. Holm corrects over all effects of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from odyssey.errors import ConfigError
from odyssey.statistics.comparison import holm
from odyssey.statistics.draws import TaskDraws, task_draws
from odyssey.statistics.estimates import TAILS, top_count
from odyssey.statistics.permutation import all_signs, counted_interval, decide, random_signs
from odyssey.statistics.verdicts import verdict_of
from odyssey.storage.guessing import lower_is_better
from odyssey.storage.schema import TEST_BPC, VALID_BPC

HIGHEST = 2  # order of the effects that are reported
MOST_CHANGES = 6
EFFECT_COLUMNS = (
    *("task", "effect", "order", "draws", "estimate", "low", "high"),
    *("p", "swaps", "exact", "p_holm", "verdict"),
)
_EXACT_DRAWS = 12  # at most this many have all their swaps counted
_MOST_VALUES = 4_000_000  # scores handled at a time


def factorial_effects(
    results: pd.DataFrame,
    cells: Mapping[str, Sequence[str]],
    *,
    seed: int,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
    alpha: float = 0.05,
    permutations: int = 4_000,
    resamples: int = 1_000,
) -> pd.DataFrame:
    """Estimates and tests the effects of changes that were made in all combinations.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.
        cells: The changes that each cell has, by label; all combinations of them.
        seed: Of the resamples.
        valid: Column that chooses among draws.
        test: Column that is compared.
        alpha: Level of the verdicts.
        permutations: Random swaps of a test, where there are too many to count all.
        resamples: Bootstrap samples.

    Returns:
        One row a task that all cells have met and an effect of order 1 or 2: task, effect (`a`, or
        `a x b`), order, draws, estimate (of a change: score with less score without, so that below
        0 is better for a loss; of a pair: effect of one with the other less without), low, high
        (95 %), p, swaps, exact, p_holm, verdict (better or worse, of a pair: whether together they
        are better or worse than their sum).

    Raises:
        ConfigError: The cells are not all combinations of one to `MOST_CHANGES` changes.
    """
    changes = check_combinations(cells)
    rows: list[dict[str, object]] = []
    tests: list[FactorialTest] = []
    for draws in task_draws(results, valid=valid, test=test):
        if not set(cells) <= set(draws.labels):
            continue
        scores = _Scores.of(draws, cells, changes)
        if scores is None:
            continue
        estimates = scores.effects(scores.means())
        chosen = np.random.default_rng([seed, 1]).integers(
            scores.draws, size=(resamples, scores.draws)
        )
        ends = np.quantile(scores.effects(scores.resampled(chosen)), TAILS, axis=0)
        for number in sorted(range(1, 2 ** len(changes)), key=lambda n: (n.bit_count(), n)):
            if number.bit_count() > HIGHEST:
                break
            of = [name for bit, name in enumerate(changes) if number >> bit & 1]
            # of metrics of which more is better the ends change places
            signed = np.sort(draws.sign * ends[:, number])
            rows.append(
                {
                    "task": draws.task,
                    "effect": " x ".join(of),
                    "order": len(of),
                    "draws": scores.draws,
                    "estimate": draws.sign * estimates[number],
                    "low": signed[0],
                    "high": signed[1],
                }
            )
            tests.append(FactorialTest(scores, number, seed=seed))
    frame = pd.DataFrame(rows).reindex(columns=list(EFFECT_COLUMNS))
    found = decide(tests, alpha=alpha, adjust=holm, most=permutations)
    frame["p"] = [tried.p for tried in tests]
    frame["swaps"] = [tried.swaps for tried in tests]
    frame["exact"] = [tried.exact for tried in tests]
    frame["p_holm"] = holm(frame["p"])
    gain = frame["estimate"] * (1.0 if lower_is_better(test) else -1.0)
    frame["verdict"] = [verdict_of(r, g) for r, g in zip(found, gain, strict=True)]
    return frame


def check_combinations(cells: Mapping[str, Sequence[str]]) -> list[str]:
    """Names the changes that cells are all combinations of, in their order.

    Raises:
        ConfigError: They are not.
    """
    changes = max((list(of) for of in cells.values()), key=len, default=[])
    if not 1 <= len(changes) <= MOST_CHANGES:
        raise ConfigError(f"a factorial has 1 to {MOST_CHANGES} changes, got {len(changes)}")
    wanted = {
        frozenset(part) for size in range(len(changes) + 1) for part in combinations(changes, size)
    }
    there = [frozenset(of) for of in cells.values()]
    if set(there) != wanted or len(there) != len(wanted):
        raise ConfigError(
            f"the cells are not all combinations of {', '.join(changes)}: {len(wanted)} are needed"
        )
    return changes


class _Scores:
    """The scores of all combinations on the draws that all of them made.

    Attributes:
        valid: Order by validation, (C, N); cell c has the changes of its bits.
        test: Test scores, lower is better, (C, N).
        draws: N.
        contrast: What of each cell's mean makes each effect, (C effects, C cells).
    """

    def __init__(self, valid: np.ndarray, test: np.ndarray, *, counted: int = 0) -> None:
        self.valid, self.test = valid, test
        self.draws = valid.shape[1]
        self.top = top_count(self.draws, counted=counted)
        count = len(valid)
        numbers = np.arange(count)
        shared = np.bitwise_count(numbers[:, None] & numbers[None, :])
        order = np.bitwise_count(numbers)
        self.signs = np.where((order[:, None] - shared) % 2, -1.0, 1.0)
        self.contrast = self.signs * (2.0 ** order[:, None]) / count

    @staticmethod
    def of(
        draws: TaskDraws, cells: Mapping[str, Sequence[str]], changes: Sequence[str]
    ) -> _Scores | None:
        bit = {name: 1 << place for place, name in enumerate(changes)}
        numbered = {sum(bit[name] for name in of): label for label, of in cells.items()}
        valid, test = draws.common([numbered[number] for number in range(len(numbered))])
        if not test.size or not np.isfinite(test).all():
            return None
        return _Scores(valid, test, counted=draws.counted)

    def means(self) -> np.ndarray:
        """Gives the mean of every cell's best draws, (C,)."""
        return _best_means(self.valid, self.test, self.top)

    def resampled(self, chosen: np.ndarray) -> np.ndarray:
        """Gives those means on resamples of the draws, (S, C); `chosen` is (S, N)."""
        step = max(1, _MOST_VALUES // self.valid.size)
        parts = [
            _best_means(
                np.moveaxis(self.valid[:, chosen[start : start + step]], 0, 1),
                np.moveaxis(self.test[:, chosen[start : start + step]], 0, 1),
                self.top,
            )
            for start in range(0, len(chosen), step)
        ]
        return np.concatenate(parts)

    def effects(self, means: np.ndarray) -> np.ndarray:
        """Gives all effects from the means of the cells, (..., C); number 0 is the mean of all."""
        return means @ self.contrast.T

    def without_others(self, change: int, effect: int) -> tuple[np.ndarray, np.ndarray]:
        """Takes out of the scores what depends on a change but for one effect.

        Args:
            change: Bit of the change.
            effect: Bits of the effect.

        Returns:
            Validation and test scores, (C, N) each.
        """
        count = len(self.valid)
        others = [n for n in range(count) if n & change and n != effect]
        coefficients = self.signs @ self.means() / count
        # Losses on validation and test are on one scale: what a change does to both is the same.
        out = (coefficients[others] @ self.signs[others])[:, None]
        return self.valid - out, self.test - out


def _best_means(valid: np.ndarray, test: np.ndarray, top: int) -> np.ndarray:
    """Gives the mean test score of the best by validation, along the last axis."""
    if top == valid.shape[-1]:
        everything: np.ndarray = test.mean(axis=-1)
        return everything
    chosen = np.argpartition(valid, top - 1, axis=-1)[..., :top]
    found: np.ndarray = np.take_along_axis(test, chosen, axis=-1).mean(axis=-1)
    return found


class FactorialTest:
    """The test of one effect; `draw` counts more swaps. See the head of the file."""

    def __init__(self, scores: _Scores, effect: int, *, seed: int) -> None:
        self._members = [
            _ChangeTest(scores, 1 << bit, effect, seed=seed)
            for bit in range(effect.bit_length())
            if effect >> bit & 1
        ]

    @property
    def swaps(self) -> int:
        """Swaps counted so far."""
        return self._members[0].swaps

    @property
    def exact(self) -> bool:
        """Whether these are all."""
        return bool(self._members[0].exact)

    @property
    def p(self) -> float:
        """The two-sided p-value: the larger of all changes that the effect is of."""
        return max(member.p for member in self._members)

    def draw(self, swaps: int) -> None:
        """Counts as many random swaps more."""
        for member in self._members:
            member.draw(swaps)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Gives the interval of the p-value of all swaps."""
        ends = [member.interval(confidence) for member in self._members]
        return max(low for low, _ in ends), max(high for _, high in ends)


class _ChangeTest:
    """The swaps of one change, for one effect."""

    def __init__(self, scores: _Scores, change: int, effect: int, *, seed: int) -> None:
        self._valid, self._test = scores.without_others(change, effect)
        self._partner = np.arange(len(self._valid)) ^ change
        self._weights, self._top = scores.contrast[effect], scores.top
        self._rng = np.random.default_rng(seed)
        self._draws = scores.draws
        whole = _best_means(self._valid, self._test, self._top) @ self._weights
        self._least = abs(float(whole)) - 1e-10 * float(np.abs(self._test).max())
        self.exact = self._draws <= _EXACT_DRAWS
        self.swaps: int = 0
        self._reached = 0
        if self.exact:
            self._count(all_signs(self._draws))

    def draw(self, swaps: int) -> None:
        while swaps > 0 and not self.exact:
            count = min(swaps, max(1, _MOST_VALUES // self._valid.size))
            self._count(random_signs(self._rng, self._draws, count))
            swaps -= count

    def _count(self, signs_NS: np.ndarray) -> None:
        kept_SN = signs_NS.T[:, None, :] > 0
        valid, test = (
            np.where(kept_SN, values, values[self._partner]) for values in (self._valid, self._test)
        )
        found = np.abs(_best_means(valid, test, self._top) @ self._weights)
        self.swaps += signs_NS.shape[1]
        self._reached += int((found >= self._least).sum())

    @property
    def p(self) -> float:
        if self.exact:
            return self._reached / self.swaps
        return (1 + self._reached) / (1 + self.swaps)

    def interval(self, confidence: float) -> tuple[float, float]:
        if self.exact:
            return self.p, self.p
        return counted_interval(self._reached, self.swaps, confidence)
