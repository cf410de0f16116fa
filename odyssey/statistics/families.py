"""What holds over many cells that are kin: associations, differences and predictions by family.

Cells that were made from one parent are not independent, so that intervals come of resampling whole
families (the cluster bootstrap; Cameron, Gelbach, Miller 2008), and a prediction counts as one of
unseen cells only where their whole family was left out of what made it. *Within* families cells are
compared with their kin only: what families differ in as wholes is out of it.

Shapes: N cells, F families, S resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pandas as pd

from odyssey.statistics.estimates import TAILS
from odyssey.threads import one_thread

RESAMPLES = 2000


@dataclass(frozen=True)
class FamilyEstimate:
    """An estimate with its 95 % percentile interval over families.

    Attributes:
        value: The estimate; NaN where there is none.
        low: Lower end of the interval.
        high: Upper end.
        cells: Cells that it is of.
        families: Families that it is of.
    """

    value: float
    low: float
    high: float
    cells: int
    families: int


class Regression(Protocol):
    """A model that learns numbers from features, as those of scikit-learn do."""

    def fit(self, features: np.ndarray, target: np.ndarray) -> Self:
        """Learns from features (N, K) and targets (N,)."""

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Gives predictions (N,) of features (N, K)."""


@one_thread()
def family_tau(
    one: object,
    other: object,
    family: object,
    *,
    rng: np.random.Generator,
    within: bool = False,
    resamples: int = RESAMPLES,
) -> FamilyEstimate:
    """Gives Kendall's tau-b of two numbers over cells, with an interval over families.

    Args:
        one: A number a cell, (N,); NaN leaves a cell out.
        other: Another one.
        family: The family of each cell.
        rng: Draws families.
        within: Whether only pairs of cells of one family are compared.
        resamples: Bootstrap samples.
    """
    x, y = (np.asarray(v, dtype=np.float64) for v in (one, other))
    known = ~(np.isnan(x) | np.isnan(y))
    codes, count = _codes(np.asarray(family)[known])
    x, y = x[known], y[known]
    member_FN = codes[None, :] == np.arange(count)[:, None]
    # by comparison, for numbers may be infinite
    above = [(v[:, None] > v[None, :]).astype(np.float64) for v in (x, y)]
    sign_NN, also_NN = (one - one.T for one in above)
    # concordance of all pairs of two families; each resample then only counts families
    parts = (sign_NN * also_NN, sign_NN**2, also_NN**2)
    sums = [member_FN.astype(float) @ part @ member_FN.T.astype(float) for part in parts]

    def total(weights_SF: np.ndarray, sum_FF: np.ndarray) -> np.ndarray:
        if within:
            return np.asarray(weights_SF @ np.diag(sum_FF))
        return np.asarray(((weights_SF @ sum_FF) * weights_SF).sum(1))

    def tau(weights_SF: np.ndarray) -> np.ndarray:
        agree, first, second = (total(weights_SF, part) for part in sums)
        norm = np.sqrt(first * second)
        found: np.ndarray = np.where(norm > 0, agree / np.where(norm > 0, norm, 1.0), np.nan)
        return found

    return _estimate(tau, codes, count, rng=rng, resamples=resamples)


def family_difference(
    values: object,
    has: object,
    family: object,
    *,
    rng: np.random.Generator,
    within: bool = False,
    resamples: int = RESAMPLES,
) -> FamilyEstimate:
    """Gives the mean of cells that have something less that of cells without it.

    Args:
        values: A number a cell, (N,); NaN leaves a cell out.
        has: Whether each cell has it.
        family: The family of each cell.
        rng: Draws families.
        within: Whether cells are compared with their kin only: the mean of the families'
            differences, each weighted by n m / (n + m) for n cells with and m without it, which is
            the coefficient of a regression with an intercept a family.
        resamples: Bootstrap samples.
    """
    y, flag = np.asarray(values, dtype=np.float64), np.asarray(has, dtype=bool)
    known = ~np.isnan(y)
    y, flag = y[known], flag[known]
    codes, count = _codes(np.asarray(family)[known])
    sides = [
        [np.bincount(codes, weights=w * mask, minlength=count) for w in (np.ones(len(y)), y)]
        for mask in (flag, ~flag)
    ]
    (n_F, with_F), (m_F, without_F) = sides

    def difference(weights_SF: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            if within:
                both = (n_F > 0) & (m_F > 0)
                weight_F = np.where(both, n_F * m_F / (n_F + m_F), 0.0)
                apart_F = np.where(both, with_F / n_F - without_F / m_F, 0.0)
                found = weights_SF @ (weight_F * apart_F) / (weights_SF @ weight_F)
            else:
                means = [weights_SF @ s / (weights_SF @ n) for n, s in sides]
                found = means[0] - means[1]
        return np.asarray(found)

    return _estimate(difference, codes, count, rng=rng, resamples=resamples)


@one_thread()
def leave_one_family_out(
    features: pd.DataFrame,
    target: object,
    family: object,
    *,
    model: Callable[[], Regression],
) -> np.ndarray:
    """Predicts every cell by a model that has seen no cell of its family.

    What is given is the prediction less the mean of the targets that its model has learned. Without
    that a model that knows nothing and predicts this mean would be worse than nothing: the mean of
    the others is low where the family's own targets are high.

    Args:
        features: A row a cell, numbers only. What is missing or infinite is filled in: missing by
            the median of the cells that are learned from, infinite by their largest number.
        target: What is predicted, (N,).
        family: The family of each cell.
        model: Makes a model.

    Returns:
        Predictions (N,) for cells, in the order of the rows.

    Raises:
        ValueError: There is one family only.
    """
    y, names = np.asarray(target, dtype=np.float64), np.asarray(family)
    if len(np.unique(names)) < 2:
        raise ValueError("leave_one_family_out needs two families or more")
    found = np.full(len(y), np.nan)
    for name in pd.unique(names):
        out = names == name
        known, unknown = features[~out], features[out]
        fitted = model().fit(_filled(known, known), y[~out])
        found[out] = fitted.predict(_filled(unknown, known)) - y[~out].mean()
    return found


def _filled(frame: pd.DataFrame, known: pd.DataFrame) -> np.ndarray:
    """Fills gaps by what is known of other cells."""
    finite = known.astype(float).replace([np.inf, -np.inf], np.nan)
    given = frame.astype(float)
    given = given.mask(given == np.inf, finite.max().fillna(0.0), axis=1)
    given = given.mask(given == -np.inf, finite.min().fillna(0.0), axis=1)
    return given.fillna(finite.median().fillna(0.0)).to_numpy()


def _codes(family: np.ndarray) -> tuple[np.ndarray, int]:
    names, codes = np.unique(family.astype(str), return_inverse=True)
    return codes, len(names)


def _estimate(
    statistic: Callable[[np.ndarray], np.ndarray],
    codes: np.ndarray,
    count: int,
    *,
    rng: np.random.Generator,
    resamples: int,
) -> FamilyEstimate:
    """Estimates a statistic of how often each family counts, (S, F) -> (S,)."""
    if count == 0:
        return FamilyEstimate(np.nan, np.nan, np.nan, 0, 0)
    value = float(statistic(np.ones((1, count)))[0])
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(float)
    again = statistic(drawn)
    again = again[np.isfinite(again)]
    low, high = np.quantile(again, TAILS) if count > 1 and len(again) else (np.nan, np.nan)
    return FamilyEstimate(value, float(low), float(high), len(codes), count)
