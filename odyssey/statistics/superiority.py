"""The chance that one of these is more than one of those, with its interval.

The chance is the Mann-Whitney statistic over the number of pairs. Its variance follows from how
often each value is more than those of the other side (DeLong, DeLong & Clarke-Pearson 1988, equal
to that of Brunner & Munzel 2000), and the interval is made on the scale of log odds, so that it
stays between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats


class Chance(NamedTuple):
    """A chance with its 95 % interval; NaN where there are too few to say.

    Attributes:
        estimate: The chance; ties count half.
        low: Lower end.
        high: Upper end.
    """

    estimate: float
    low: float
    high: float


def chance_to_be_more(
    these: ArrayLike | Sequence[float], those: ArrayLike | Sequence[float], *, level: float = 0.95
) -> Chance:
    """Gives the chance that one of these is more than one of those.

    Args:
        these: Values that are independent of one another, (M,).
        those: Others, (N,).
        level: Of the interval.

    Returns:
        All NaN where a side is empty. The ends are NaN where a side has one value, or where all of
        these are more, or less, than all of those: such values do not say how sure that is.
    """
    one, other = (np.sort(np.asarray(values, dtype=float)) for values in (these, those))
    if not len(one) or not len(other):
        return Chance(np.nan, np.nan, np.nan)
    beaten_by_one = _below(one, other)
    estimate = float(beaten_by_one.mean())
    variance = np.nan
    if min(len(one), len(other)) > 1:
        beating = 1 - _below(other, one)
        variance = beaten_by_one.var(ddof=1) / len(one) + beating.var(ddof=1) / len(other)
    if not 0 < estimate < 1 or not variance > 0:
        return Chance(estimate, np.nan, np.nan)
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(variance) / (estimate * (1 - estimate))
    middle = special.logit(estimate)
    low, high = (float(special.expit(middle + side * half)) for side in (-1, 1))
    return Chance(estimate, low, high)


def _below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Gives the share of sorted others that is less than each value; ties count half."""
    less = np.searchsorted(others, values, side="left")
    not_more = np.searchsorted(others, values, side="right")
    share: np.ndarray = (less + not_more) / (2 * len(others))
    return share
