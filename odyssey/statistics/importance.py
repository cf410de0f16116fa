"""Which hyperparameters matter: functional ANOVA on a random forest (Hutter et al. 2014).

A forest learns the loss from the hyperparameters. Its mean function f is decomposed over the
product of the distributions that the study drew from: with a_S(x_S) the mean of f over all inputs
but those in S, the variance of a_j is the main effect of j, and the variance of a_ij less both main
effects that of the pair. A forest is constant on boxes, so means over inputs are sums over leaves
of box volumes; nothing is sampled but the total variance (quasi-Monte Carlo).

Two things differ from the paper. The mean function of the forest is decomposed instead of every
tree: single trees carry the noise of the trials into high-order interactions. And an interval is
the spread of forests on random halves of the trials (the delete-half jackknife of Shao & Wu 1989),
so that it speaks of trials, and not only of the forest's own dice.

A forest that does not predict trials it has not seen says nothing about hyperparameters. The
out-of-bag R² is part of every result, and where it is below `LEAST_FIT` nothing is ranked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import qmc

from odyssey.errors import ConfigError
from odyssey.hyperparameters import HYPERPARAMETERS, LINEAR, LOG, LOG_ONE_MINUS, OF_CELL
from odyssey.statistics import estimates
from odyssey.storage.schema import TEST_BPC, VALID_BPC
from odyssey.threads import one_thread

LEAST_FIT = 0.5  # out-of-bag R² below which nothing is ranked
GOOD_FIT = 0.8  # below it shares were wrong by a fifth of the variance, and their order too
LEAST_TRIALS = 30
LEARNED = 0.75  # of the best draw's way from guessing: such a draw learns
CONSTANT = "No variation: nothing to rank"
MARGINAL_GRID = 100  # points at which the effect of a continuous input is known
MOST_LEVELS = 10  # an input with no more values than this is a choice
_POINTS = 2**13  # quasi-random points behind the total variance
_LEAF = 3  # trials of a leaf, at least

SCALES: dict[str, str] = {name: row.scale for name, row in HYPERPARAMETERS.items()}
_DRAWN_ON = {"log_uniform": LOG, "one_minus_log_uniform": LOG_ONE_MINUS}


def scales_of(space: Mapping[str, Any]) -> dict[str, str]:
    """Gives `SCALES`, and how a space draws the constants and sizes of cells, which it names.

    Args:
        space: By the name of a hyperparameter, its distribution as run.json has it.
    """
    drawn = {name: next(iter(how)) for name, how in space.items() if name.startswith(OF_CELL)}
    return SCALES | {name: _DRAWN_ON.get(kind, LINEAR) for name, kind in drawn.items()}


@dataclass(frozen=True)
class InputRange:
    """One hyperparameter, mapped to [0, 1] so that draws are uniform.

    Attributes:
        name: Its column.
        scale: linear, log, or log of one minus.
        low: Least value, on its scale.
        high: Greatest value, on its scale.
        levels: The values of a choice, on its scale; empty when it is continuous.
    """

    name: str
    scale: str
    low: float
    high: float
    levels: tuple[float, ...] = ()

    def to_unit(self, values: object) -> np.ndarray:
        """Maps values to [0, 1]; a choice of K values lies in the middles of K equal cells."""
        scaled = on_scale(values, self.scale)
        if self.levels:
            return (np.searchsorted(self.levels, scaled - 1e-12) + 0.5) / len(self.levels)
        unit: np.ndarray = (scaled - self.low) / (self.high - self.low)
        return unit

    @property
    def grid(self) -> np.ndarray:
        """The points of [0, 1] at which effects are known, equally likely."""
        count = len(self.levels) or MARGINAL_GRID
        points: np.ndarray = (np.arange(count) + 0.5) / count
        return points

    @property
    def values(self) -> np.ndarray:
        """The values of the grid's points, as they stand in the column."""
        scaled = (
            np.array(self.levels) if self.levels else self.low + self.grid * (self.high - self.low)
        )
        if self.scale == LINEAR:
            return scaled
        values: np.ndarray = np.exp(scaled)
        return values if self.scale == LOG else 1.0 - values


@dataclass(frozen=True)
class Importance:
    """What a forest says about hyperparameters.

    Attributes:
        inputs: The hyperparameters that varied.
        trials: How many trials it learned from.
        fit: Out-of-bag R²: the share of the variance of unseen trials that it predicts; NaN where
            all results are equal.
        ranked: Whether the fit is good enough to rank anything by it.
        effects: Columns inputs (one name, or two joined by " x "), order (1 main, 2 pair), share
            (of the variance of the forest's mean function; NaN where nothing varies), low, high
            (95 %), and rank (missing where the fit is poor). A last row "higher orders", of order
            3, has the rest.
        marginals: Columns input, value, mean (of the loss over all other inputs), low, high (95 %).
        pairs: Columns first, second, first_value, second_value, mean.
    """

    inputs: tuple[InputRange, ...]
    trials: int
    fit: float
    ranked: bool
    effects: pd.DataFrame = field(repr=False)
    marginals: pd.DataFrame = field(repr=False)
    pairs: pd.DataFrame = field(repr=False)

    @property
    def verdict(self) -> str:
        """Says in a line how far the shares can be trusted."""
        if np.isnan(self.fit):
            return f"{CONSTANT} (all {self.trials} trials have one result)."
        fit = f"out-of-bag R² {self.fit:.2f} on {self.trials} trials"
        if self.ranked and self.fit >= GOOD_FIT:
            return f"The forest predicts unseen trials ({fit})."
        if self.ranked:
            return (
                f"The forest predicts unseen trials roughly ({fit}): shares may be wrong by a fifth"
                " of the variance, and near ones in the wrong order."
            )
        return f"The fit is poor ({fit}): the shares say nothing about importance."


def on_scale(values: object, scale: str) -> np.ndarray:
    """Puts values on a scale: linear, log, or log of one minus."""
    given = np.asarray(values, dtype=np.float64)
    if scale == LINEAR:
        return given
    if scale not in (LOG, LOG_ONE_MINUS):
        raise ConfigError(f"no scale called {scale!r}; take linear, log or log of one minus")
    positive = given if scale == LOG else 1.0 - given
    if not (positive > 0).all():
        bound = "above 0" if scale == LOG else "below 1"
        raise ConfigError(f"the scale {scale!r} needs values {bound}")
    logs: np.ndarray = np.log(positive)
    return logs


def inputs_of(frame: pd.DataFrame, *, scales: Mapping[str, str] = SCALES) -> tuple[InputRange, ...]:
    """Finds the hyperparameters that varied, with their ranges as drawn.

    Args:
        frame: One column a hyperparameter; those with one value or a missing one are left out.
        scales: Scale by column; other columns are not looked at.
    """
    found = []
    for name, scale in scales.items():
        if name not in frame or frame[name].isna().any() or frame[name].nunique() < 2:
            continue
        if name == "hidden_size" and "parameters" in frame and frame["parameters"].notna().any():
            continue  # it follows from the parameters and was not drawn
        scaled = on_scale(frame[name], scale)
        levels = np.unique(scaled)
        choice = len(levels) <= MOST_LEVELS
        found.append(
            InputRange(
                name,
                scale,
                float(levels[0]),
                float(levels[-1]),
                tuple(levels.tolist()) if choice else (),
            )
        )
    return tuple(found)


def draws_that_learn(results: pd.DataFrame, *, valid: str = VALID_BPC) -> pd.DataFrame:
    """Gives the rows of the draws that learn: `LEARNED` of the way from guessing to the best one.

    Where that are fewer than a quarter of the draws, or nobody knows what guessing costs, it is the
    best quarter. Lost draws are left out.

    Args:
        results: One row a member, as `RESULT_COLUMNS`, of one task and one cell.
        valid: Column that chooses; a loss.
    """
    usable = results[estimates.valid_rows(results, valid)]
    values = usable[valid].astype("float64")
    guess = float(estimates.guessing_values(usable, valid).max()) if len(usable) else np.nan
    least = guess - LEARNED * (guess - float(values.min()))
    count = max(int((values <= least).sum()), -(-len(results) // 4))
    chosen: pd.DataFrame = usable.loc[values.sort_values(kind="stable").index[:count]]
    return chosen.sort_index()


def importance(
    results: pd.DataFrame,
    *,
    seed: int,
    value: str = TEST_BPC,
    scales: Mapping[str, str] = SCALES,
    trees: int = 64,
    halves: int = 40,
) -> Importance:
    """Asks which hyperparameters decide the result of one cell on one task.

    Args:
        results: One row a member, as `RESULT_COLUMNS`, of one task and one cell. Members that were
            lost or are worse than guessing count as guessing (`estimates.member_values`): a few
            exploded trials are not all there is to explain.
        seed: Of the forests.
        value: The column that is explained.
        scales: Scale by column; see `SCALES`.
        trees: Trees of a forest.
        halves: Forests of half as many trees on halves of the trials, which make the intervals.

    Raises:
        ConfigError: There are too few trials, no hyperparameter varied, or several tasks or cells.
    """
    counted = estimates.member_values(results, value)
    if len(results[["task", "spec"]].drop_duplicates()) > 1:
        raise ConfigError("importance is asked of one cell on one task at a time")
    known = counted.notna()
    inputs = inputs_of(results[known], scales=scales)
    if not inputs:
        raise ConfigError("no hyperparameter varied: there is nothing to ask")
    x = np.stack([i.to_unit(results.loc[known, i.name]) for i in inputs], axis=1)
    return decompose(inputs, x, counted[known].to_numpy(), seed=seed, trees=trees, halves=halves)


@one_thread()
def decompose(
    inputs: Sequence[InputRange],
    x: np.ndarray,
    y: np.ndarray,
    *,
    seed: int,
    trees: int = 64,
    halves: int = 40,
) -> Importance:
    """Decomposes the variance of y over inputs that are uniform on [0, 1] each.

    Args:
        inputs: The D inputs.
        x: Their values, (N, D), mapped by `InputRange.to_unit`.
        y: Results, (N,), finite.
        seed: Of the forests.
        trees: Trees of a forest.
        halves: Forests of half as many trees on halves of the trials, which make the intervals.
    """
    if len(y) < LEAST_TRIALS:
        raise ConfigError(f"{len(y)} trials are too few for a forest; at least {LEAST_TRIALS}")
    rng = np.random.default_rng(seed)
    pairs = list(combinations(range(len(inputs)), 2))
    points = qmc.Sobol(len(inputs), rng=rng).random(_POINTS)
    grids = [i.grid for i in inputs]
    for j, i in enumerate(inputs):
        if i.levels:  # quasi-random points of a choice are its values
            points[:, j] = (np.floor(points[:, j] * len(i.levels)) + 0.5) / len(i.levels)
    options: dict[str, Any] = {"grids": grids, "pairs": pairs, "points": points, "trees": trees}
    half_options = options | {"trees": max(8, trees // 2)}
    whole = _Effects.of(x, y, **options, rng=rng, judged=True)
    shares, means = [], []
    for _ in range(halves):
        half = rng.choice(len(y), size=len(y) // 2, replace=False)
        part = _Effects.of(x[half], y[half], **half_options, rng=rng)
        shares.append(part.shares)
        means.append(np.concatenate(part.mains))
    # Rounding among equal results is no variation either.
    varied = float(np.ptp(y)) > 1e-12 * float(np.abs(y).max())
    fit = whole.fit if varied else float("nan")
    ranked = bool(fit >= LEAST_FIT)
    return Importance(
        inputs=tuple(inputs),
        trials=len(y),
        fit=fit,
        ranked=ranked,
        effects=_effects_frame(
            inputs,
            pairs,
            whole.shares if varied else whole.shares * np.nan,
            np.array(shares),
            ranked=ranked,
        ),
        marginals=_marginals_frame(inputs, whole.mains, np.array(means)),
        pairs=_pairs_frame(inputs, pairs, whole.maps),
    )


@dataclass(frozen=True)
class _Effects:
    """The decomposition of one forest.

    Attributes:
        shares: Main effects, then pairs, then the rest, as shares of the total variance.
        mains: Marginal means of every input on its grid.
        maps: Marginal means of every pair on both grids.
        fit: Out-of-bag R²; NaN where it was not asked for.
    """

    shares: np.ndarray
    mains: list[np.ndarray]
    maps: list[np.ndarray]
    fit: float

    @staticmethod
    def of(
        x: np.ndarray,
        y: np.ndarray,
        *,
        grids: Sequence[np.ndarray],
        pairs: Sequence[tuple[int, int]],
        points: np.ndarray,
        trees: int,
        rng: np.random.Generator,
        judged: bool = False,
    ) -> _Effects:
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(
            n_estimators=trees,
            min_samples_leaf=_LEAF,
            max_features=max(1, -(-2 * x.shape[1] // 3)),
            oob_score=judged,
            random_state=int(rng.integers(2**31)),
        ).fit(x, y)
        values, inside = _leaves(forest, grids)
        weights = np.stack([a.mean(axis=1) for a in inside])  # (D, L): share of each axis
        mains, maps = [], []
        for j in range(len(grids)):
            rest = values * np.delete(weights, j, axis=0).prod(axis=0)
            mains.append(rest @ inside[j])
        for i, j in pairs:
            rest = values * np.delete(weights, (i, j), axis=0).prod(axis=0)
            maps.append((inside[i] * rest[:, None]).T @ inside[j])
        total = float(forest.predict(points).var())
        variances = [float(m.var()) for m in mains]
        both = [
            m.var() - variances[i] - variances[j] for (i, j), m in zip(pairs, maps, strict=True)
        ]
        known = np.array([*variances, *both])
        shares = np.append(known, max(total - known.sum(), 0.0))
        # The total is estimated: what is more than it is its error.
        shares /= max(total, known.sum()) or 1.0
        return _Effects(shares, mains, maps, float(forest.oob_score_) if judged else float("nan"))


def _leaves(forest: Any, grids: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Takes a forest apart into its leaves.

    Returns:
        The values of the L leaves, divided by the number of trees, (L,), and for every input
        whether a leaf's box holds each grid point, (L, G) float64.
    """
    values, lows, highs = [], [], []
    for tree in (e.tree_ for e in forest.estimators_):
        left, right, feature, threshold = (
            tree.children_left,
            tree.children_right,
            tree.feature,
            tree.threshold,
        )
        low = np.full((tree.node_count, len(grids)), -np.inf)
        high = np.full((tree.node_count, len(grids)), np.inf)
        # sklearn numbers children after their parent.
        for node in np.flatnonzero(left >= 0):
            j = feature[node]
            for child in (left[node], right[node]):
                low[child], high[child] = low[node], high[node]
            high[left[node], j] = threshold[node]
            low[right[node], j] = threshold[node]
        leaf = left < 0
        values.append(tree.value[leaf, 0, 0] / len(forest.estimators_))
        lows.append(low[leaf])
        highs.append(high[leaf])
    low, high = np.concatenate(lows), np.concatenate(highs)
    inside = [
        ((grid > low[:, j, None]) & (grid <= high[:, j, None])).astype(np.float64)
        for j, grid in enumerate(grids)
    ]
    return np.concatenate(values), inside


def _effects_frame(
    inputs: Sequence[InputRange],
    pairs: Sequence[tuple[int, int]],
    shares: np.ndarray,
    halves: np.ndarray,
    *,
    ranked: bool,
) -> pd.DataFrame:
    names = [i.name for i in inputs] + [f"{inputs[i].name} x {inputs[j].name}" for i, j in pairs]
    low, high = np.clip(_ends(shares, halves), 0.0, 1.0)
    frame = pd.DataFrame(
        {
            "inputs": [*names, "higher orders"],
            "order": [1] * len(inputs) + [2] * len(pairs) + [3],
            "share": shares,
            "low": low,
            "high": high,
        }
    )
    named = frame["share"].where(frame["order"] < 3)
    rank = named.rank(ascending=False, method="min") if ranked else named * np.nan
    frame["rank"] = rank.astype("Int64")
    return frame.sort_values(["order", "share"], ascending=[True, False], ignore_index=True)


def _marginals_frame(
    inputs: Sequence[InputRange], mains: Sequence[np.ndarray], halves: np.ndarray
) -> pd.DataFrame:
    low, high = _ends(np.concatenate(mains), halves)
    names = np.repeat([i.name for i in inputs], [len(m) for m in mains])
    values = np.concatenate([i.values for i in inputs])
    columns = {"input": names, "value": values, "mean": np.concatenate(mains)}
    return pd.DataFrame(columns | {"low": low, "high": high})


def _pairs_frame(
    inputs: Sequence[InputRange], pairs: Sequence[tuple[int, int]], maps: Sequence[np.ndarray]
) -> pd.DataFrame:
    parts = []
    for (i, j), means in zip(pairs, maps, strict=True):
        first, second = np.meshgrid(inputs[i].values, inputs[j].values, indexing="ij")
        parts.append(
            pd.DataFrame(
                {
                    "first": inputs[i].name,
                    "second": inputs[j].name,
                    "first_value": first.ravel(),
                    "second_value": second.ravel(),
                    "mean": means.ravel(),
                }
            )
        )
    columns = ["first", "second", "first_value", "second_value", "mean"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _ends(estimate: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Gives 95 % intervals: what half-sample forests differ by among themselves, (2, ...).

    Forests on halves of the trials vary as an estimate from all trials does (n - d = d in the
    jackknife that deletes d), but are biased as forests on fewer trials are: their mean is taken
    out.
    """
    if not len(halves):
        return np.full((2, *estimate.shape), np.nan)
    away = halves - halves.mean(axis=0)
    ends: np.ndarray = estimate - np.quantile(away, (0.975, 0.025), axis=0)
    return ends
