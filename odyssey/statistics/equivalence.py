"""Better, worse, equal or unknown: equivalence within a margin that was declared beforehand.

A difference that is not significant may be none, or may be one that the draws are too few to show.
Two one-sided tests (Schuirmann 1987) tell them apart: a cell is *equal* to the baseline within a
margin m where both "it is worse by m or more" and "it is better by m or more" are rejected. Each is
the permutation test of a shift (`permutation.py`): the variant less the shift is the baseline.
Under that hypothesis the difference is symmetric about nought, for a swap of all names turns its
sign; the one-sided p-value is half of the two-sided one. The p-value of equivalence is the larger
of the two, and Holm corrects over the claims of equality of a table, as over those of differences:
two families, each at its level.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from odyssey.errors import ConfigError
from odyssey.statistics.comparison import holm, pair_of, testable
from odyssey.statistics.draws import first_cell, task_draws
from odyssey.statistics.permutation import MOST_SWAPS, Pair, PermutationTest, decide
from odyssey.statistics.verdicts import BASELINE, DECIDED, EQUAL, NO_TEST, UNKNOWN
from odyssey.storage.schema import TEST_BPC, VALID_BPC

EQUIVALENCE_COLUMNS = ("margin", "p_equal", "p_equal_holm", "within")


class EquivalenceTest:
    """Two one-sided tests at the ends of a margin; `draw` counts more swaps for both.

    Args:
        pair: The draws of baseline and variant.
        top: How many draws count as the best.
        seed: Of the random swaps.
        margin: Half of the width of what counts as equal, in the unit of the test scores.
    """

    def __init__(self, pair: Pair, *, top: int, seed: int, margin: float) -> None:
        self._ends = [
            (PermutationTest(pair, top=top, seed=seed, shift=sign * margin), sign)
            for sign in (1, -1)
        ]

    @property
    def swaps(self) -> int:
        """The swaps that each of the tests has counted."""
        return self._ends[0][0].swaps

    @property
    def exact(self) -> bool:
        """Whether these are all."""
        return bool(self._ends[0][0].exact)

    def draw(self, swaps: int) -> None:
        """Counts as many random swaps more; nothing where all are counted."""
        for test, _ in self._ends:
            test.draw(swaps)

    @property
    def p(self) -> float:
        """The p-value of: the cells differ by the margin or more."""
        return max(_one_sided(test, test.p, sign) for test, sign in self._ends)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Gives the interval of the p-value of all swaps."""
        ends = [
            sorted(_one_sided(test, p, sign) for p in test.interval(confidence))
            for test, sign in self._ends
        ]
        return max(low for low, _ in ends), max(high for _, high in ends)


def _one_sided(test: PermutationTest, p: float, sign: int) -> float:
    """Gives the p-value of: the difference lies beyond the end of the margin on its side."""
    inside = test.difference * sign < 0  # of the difference less the shift
    return p / 2 if inside else 1 - p / 2


def with_equivalence(
    compared: pd.DataFrame,
    results: pd.DataFrame,
    *,
    margin: float,
    seed: int,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
    alpha: float = 0.05,
    permutations: int = MOST_SWAPS,
) -> pd.DataFrame:
    """Adds to a comparison with a baseline which cells are equal to it within a margin.

    Args:
        compared: As `comparison.compare` gives it, of the same columns and seed.
        results: The results behind it.
        margin: Declared before the results were seen; in the unit of `test`.
        seed: Of the random swaps.
        valid: Column that chooses among draws.
        test: Column that is compared.
        alpha: Level of the claims of equality, after Holm's correction over all of them.
        permutations: Random swaps of a comparison, at most.

    Returns:
        The comparison, and margin, p_equal, p_equal_holm and within: `equal` where the cells are
        shown to differ by less than the margin, however significant that difference is; else
        `better` or `worse` where the verdict is; else `unknown`.

    Raises:
        ConfigError: The margin is not above 0.
    """
    if not 0 < margin < np.inf:
        raise ConfigError(f"the margin must be a number above 0, got {margin}")
    tests: dict[tuple[str, str], EquivalenceTest] = {}
    tasks = task_draws(results, valid=valid, test=test)
    named = compared.loc[compared["baseline"], "label"]
    first = str(named.iloc[0]) if len(named) else first_cell(tasks)
    for draws in tasks:
        for label in draws.labels:
            pair = pair_of(draws, first, label)
            if label != first and testable(pair):
                key = (draws.task, label)
                tests[key] = EquivalenceTest(pair, top=pair.top, seed=seed, margin=margin)
    rejected = decide(list(tests.values()), alpha=alpha, adjust=holm, most=permutations)
    equal = {key for key, found in zip(tests, rejected, strict=True) if found}
    keys = list(zip(compared["task"].astype(str), compared["label"].astype(str), strict=True))
    frame = compared.assign(
        margin=margin, p_equal=[tests[k].p if k in tests else np.nan for k in keys]
    )
    frame["p_equal_holm"] = holm(frame["p_equal"])
    frame["within"] = [
        verdict
        if verdict in (BASELINE, NO_TEST)
        else EQUAL
        if key in equal
        else verdict
        if verdict in DECIDED
        else UNKNOWN
        for key, verdict in zip(keys, compared["verdict"], strict=True)
    ]
    return frame
