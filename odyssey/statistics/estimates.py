"""Estimates and their intervals: numbers in, numbers out.

Losses of members that diverged or failed are no numbers, and those of members that exploded are no
measure of a cell. `member_values` is the one place that says what they count as: guessing.
Everything else here takes finite values and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from odyssey.hyperparameters import HYPERPARAMETERS, OF_CELL
from odyssey.storage.guessing import guessing, lower_is_better
from odyssey.storage.schema import FIRST, OK, VALID_BPC, VALID_NATS
from odyssey.threads import one_thread

LEVEL = 0.95  # of every interval and band
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


class ConfidenceInterval(NamedTuple):
    """An estimate, its interval (NaN where the values are too few) and the number of values."""

    estimate: float
    low: float
    high: float
    n: int


def mean_interval(values: object) -> ConfidenceInterval:
    """Estimates a mean with Student's t interval; values that are not finite are left out."""
    finite = _finite(values)
    n = len(finite)
    if n == 0:
        return ConfidenceInterval(np.nan, np.nan, np.nan, 0)
    mean = float(finite.mean())
    if n == 1:
        return ConfidenceInterval(mean, np.nan, np.nan, 1)
    error = float(finite.std(ddof=1)) / np.sqrt(n)
    half = float(stats.t.ppf(TAILS[1], n - 1)) * error
    return ConfidenceInterval(mean, mean - half, mean + half, n)


def best_of_n_weights(size: int) -> np.ndarray:
    """Gives the weight of the j-th worst of `size` values in the expected best of n of them.

    Row n-1, column j-1 is C(j-1, n-1) / C(size, n): the chance that the j-th value from the worst
    is the best of n values drawn without replacement. Computed in logarithms: the binomials of a
    few thousand values overflow.
    """
    n = np.arange(1, size + 1)[:, None]
    j = np.arange(1, size + 1)[None, :]
    possible = j >= n
    upper = np.where(possible, j, n)  # keeps the logarithm defined where the weight is 0
    log_weight = _log_binomial(upper - 1, n - 1) - _log_binomial(np.array(size), n)
    weights: np.ndarray = np.where(possible, np.exp(log_weight), 0.0)
    return weights


@one_thread()
def expected_best_of_n(
    values: object,
    *,
    reported: object = None,
    minimise: bool = True,
    rng: np.random.Generator | None = None,
    resamples: int = 1000,
) -> pd.DataFrame:
    """Estimates the best value that n draws of hyperparameters would give, for every n.

    Expected validation performance (Dodge et al. 2019) in its unbiased form without replacement:
    the sum over j of v_(j) C(j-1, n-1) / C(B, n), with v_(j) the j-th worst of B values. Valid for
    independent draws (random search), and never beyond n = B.

    Args:
        values: One finite value a draw; see `member_values` for draws that gave none.
        reported: What is reported of the draw that is best by `values`, such as its test score;
            `values` themselves where it is None.
        minimise: Whether the smallest value is the best.
        rng: Makes the bootstrap band; without it there is none.
        resamples: Bootstrap samples.

    Returns:
        Columns n and expected, and with `rng` low and high: a pointwise percentile bootstrap.

    Raises:
        ValueError: When a value is not finite.
    """
    given = np.asarray(values, dtype=np.float64)
    shown = given if reported is None else np.asarray(reported, dtype=np.float64)
    if not (np.isfinite(given).all() and np.isfinite(shown).all()):
        raise ValueError("expected_best_of_n takes finite values; see member_values")
    size = len(given)
    weights = best_of_n_weights(size)
    # From the worst to the best, the order that the weights are for.
    order = np.argsort(-given if minimise else given, kind="stable")
    ranked = shown[order]
    frame = pd.DataFrame({"n": np.arange(1, size + 1)})
    frame["expected"] = weights @ ranked
    if rng is not None and size:
        # A resample of ranks, sorted, is a resample of draws, sorted.
        samples = ranked[np.sort(rng.integers(size, size=(resamples, size)), axis=1)]
        low, high = np.quantile(samples @ weights.T, TAILS, axis=0)
        frame["low"], frame["high"] = low, high
    return frame


def valid_rows(results: pd.DataFrame, value: str = VALID_BPC) -> pd.Series[bool]:
    """Tells which members have a result: status ok and a finite value."""
    finite = np.isfinite(results[value].to_numpy(dtype=np.float64, na_value=np.nan))
    ok = (results["status"] == OK).to_numpy(dtype=np.bool_, na_value=False)
    return pd.Series(ok & finite, index=results.index)


def guessing_values(results: pd.DataFrame, value: str = VALID_BPC) -> pd.Series[float]:
    """Gives every member what guessing scores on its task; NaN where V is not recorded."""
    if "num_symbols" not in results:
        return pd.Series(np.nan, index=results.index, dtype="float64")
    symbols = results["num_symbols"].astype("Float64")
    if "guess_nats" in results:  # of bits: as many symbols as there are patterns
        patterns = np.exp(results["guess_nats"].to_numpy(float))
        symbols = symbols.fillna(pd.Series(patterns, results.index, dtype="Float64"))
    # A trial whose worker died records no V; its task has one all the same.
    known = symbols.groupby(results["task"]).transform("max")
    scores = known.map({v: guessing(v, value) for v in known.dropna().unique()})
    return scores.astype("float64")


def member_values(results: pd.DataFrame, value: str = VALID_BPC) -> pd.Series[float]:
    """Gives every member a number, so that a draw that was lost is a draw of the budget.

    A member that diverged or failed, or whose value is not finite or is worse than guessing, counts
    as guessing. Records that do not say of how many symbols a task has know no guessing: there a
    lost member counts as the worst finite value of any cell's members on the task (NaN where none
    has a result), and nothing is capped.
    """
    finite = results[value].where(valid_rows(results, value)).astype("float64")
    guess = guessing_values(results, value)
    low = lower_is_better(value)
    worst = finite.groupby(results["task"]).transform("max" if low else "min")
    counted = finite.fillna(guess.fillna(worst))
    beyond = counted > guess if low else counted < guess
    return counted.where(~beyond, guess)


def counts_as_guessing(results: pd.DataFrame, value: str = VALID_BPC) -> pd.Series[bool]:
    """Tells of which members `member_values` is no measurement: lost, or worse than guessing."""
    usable = valid_rows(results, value)
    measured = results[value].astype("float64")
    return ~usable | (member_values(results, value) != measured)


def top_count(draws: int, fraction: float = 0.1, *, least: int = 5, counted: int = 0) -> int:
    """Gives how many draws count as the best `fraction` of them: at least `least`.

    The mean of one or two best draws is a matter of luck that no test can see through: with fewer
    than 50 draws the best five are taken, with five or fewer all of them.

    Args:
        draws: How many there are.
        fraction: The share.
        least: The least number.
        counted: How many count whatever the share, see `counted_of`; 0 where the share decides.
    """
    if counted:
        return min(draws, counted)
    return min(draws, max(least, int(np.floor(fraction * draws + 0.5))))


def counted_of(results: pd.DataFrame) -> int:
    """Gives how many draws of a cell count as its best where the design says so, else 0.

    Of a ladder those are the best half of the finalists. Where each setting was tried with several
    seeds, there are as many as that: seeds are no choice of anybody's, so all of the best setting
    count, and of a single setting all draws do.

    Args:
        results: One row a draw of one task, with `label`.
    """
    if finalists := finalists_of(results):
        return (finalists + 1) // 2
    repeats = repeats_of(results)
    return counted_with(int(results["label"].value_counts().max()), repeats)


def counted_with(draws: int, repeats: int) -> int:
    """Gives how many of so many draws count where each setting has so many; see `counted_of`."""
    return max(repeats, top_count(draws)) if repeats > 1 else 0


def repeats_of(results: pd.DataFrame) -> int:
    """Gives with how many seeds a cell tried each of its settings; 1 where they are not alike many.

    Args:
        results: One row a draw of one task, with `label`; of the cells that with the most counts.
    """
    names = [n for n in results if n in HYPERPARAMETERS or str(n).startswith(OF_CELL)]
    if not results[names].notna().any(axis=None):
        return 1
    several = [name for name in names if results[name].nunique(dropna=False) > 1]
    times = results.groupby(["label", *several], dropna=False).size().groupby("label")
    draws, least = times.sum(), times.min()
    alike = least.where(least == times.max(), 1)
    return int(alike[draws == draws.max()].max())


def rungs_of(results: pd.DataFrame) -> pd.Series[int]:
    """Gives the rung of a ladder of every row; 1 where the rows say none."""
    if "rung" not in results:
        return pd.Series(FIRST, index=results.index)
    return results["rung"].fillna(FIRST).astype(int)


def finalists_of(results: pd.DataFrame) -> int:
    """Gives how many draws the cells of a task have on the last rung, at most; 0 of a single rung.

    Args:
        results: One row a draw of one task, with `label`.
    """
    rung = rungs_of(results)
    last = rung.max()
    return int((rung == last).groupby(results["label"]).sum().max()) if last > FIRST else 0


def best_of_n_frame(
    results: pd.DataFrame,
    *,
    rng: np.random.Generator,
    value: str = VALID_BPC,
    reported: str | None = None,
) -> pd.DataFrame:
    """Gives the expected best of n for every task and cell: task, label, n, expected, low, high.

    Args:
        results: One row a member, as `RESULT_COLUMNS`, with `label`.
        rng: Makes the bands.
        value: The column that chooses the best draw.
        reported: The column that is reported of it, such as test_bpc; `value` where it is None.
    """
    shown = reported or value
    counted = results.assign(
        counted=member_values(results, value), shown=member_values(results, shown)
    ).dropna(subset=["counted", "shown"])
    parts = [
        expected_best_of_n(
            group["counted"],
            reported=group["shown"],
            minimise=lower_is_better(value),
            rng=rng,
        ).assign(task=str(task), label=str(label))
        for (task, label), group in counted.groupby(["task", "label"], sort=False)
    ]
    columns = ["task", "label", "n", "expected", "low", "high"]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)[columns]


def filled_curves(
    curves: pd.DataFrame, results: pd.DataFrame, *, metric: str = VALID_NATS
) -> dict[tuple[str, str], pd.DataFrame]:
    """Gives learning curves of all members of a cell at all of its checkpoints.

    A member that stopped early keeps its last value, and one that diverged or failed counts as
    guessing from its last measurement on, as does every value that is worse; where nobody knows
    what guessing is, such a member is infinite.

    Args:
        curves: As `CURVE_COLUMNS`, with `label`.
        results: As `RESULT_COLUMNS`, with `label`: says which members diverged.
        metric: A loss in nats; given back in bits per character.

    Returns:
        By task and label: a row a checkpoint (characters), a column a member.
    """
    lost = set(map(tuple, results.loc[results["status"] != OK, ["task", "label", "member"]].values))
    worst_of = guessing_values(results, VALID_BPC).groupby(results["task"]).max()
    wanted = curves[curves["metric"] == metric]
    found = {}
    for (task, label), group in wanted.groupby(["task", "label"], sort=False):
        table = group.pivot_table(
            index="characters", columns="member", values="value", aggfunc="last", dropna=False
        ).sort_index()
        worst = float(worst_of.get(task, np.nan))
        worst = worst if np.isfinite(worst) else np.inf
        values = table.to_numpy(dtype=np.float64) / np.log(2)
        filled = table.ffill().to_numpy(dtype=np.float64) / np.log(2)
        for column, member in enumerate(table.columns):
            measured = np.flatnonzero(np.isfinite(values[:, column]))
            last = measured[-1] if len(measured) else -1
            if (task, label, member) in lost:
                filled[last + 1 :, column] = worst
        filled = np.minimum(np.where(np.isfinite(filled), filled, worst), worst)
        key = (str(task), str(label))
        found[key] = pd.DataFrame(filled, index=table.index, columns=table.columns)
    return found


def curve_bands(
    curves: pd.DataFrame, results: pd.DataFrame, *, metric: str = VALID_NATS
) -> pd.DataFrame:
    """Summarises learning curves over members: the median and the quartiles.

    A member that stopped early keeps its last value. One that diverged or failed counts as guessing
    from its last measurement on, so that a cell does not look better for losing members, and so
    does every value that is worse. Where the number of symbols of the task is not recorded such
    a member counts as worse than every other, and quartiles that this reaches are NaN.

    Args:
        curves: As `CURVE_COLUMNS`, with `label`.
        results: As `RESULT_COLUMNS`, with `label`: says which members diverged.
        metric: A loss in nats; given back in bits per character.

    Returns:
        Columns task, label, characters, median, low, high (bits per character), members.
    """
    parts = []
    for (task, label), filled in filled_curves(curves, results, metric=metric).items():
        bands = open_quantiles(filled.to_numpy(), (0.25, 0.5, 0.75))
        low, median, high = np.where(np.isinf(bands), np.nan, bands)
        parts.append(
            pd.DataFrame(
                {
                    "task": task,
                    "label": label,
                    "characters": filled.index.to_numpy(),
                    "median": median,
                    "low": low,
                    "high": high,
                    "members": filled.shape[1],
                }
            )
        )
    columns = ["task", "label", "characters", "median", "low", "high", "members"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def open_quantiles(values: object, shares: Sequence[float]) -> np.ndarray:
    """Gives interpolated quantiles of values that may be infinite, along the last axis.

    A quantile between a finite and an infinite value is infinite; between -inf and inf it is NaN.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=-1)
    at = (ordered.shape[-1] - 1) * np.asarray(shares, dtype=np.float64)
    below = np.floor(at).astype(np.int64)
    left, right = ordered[..., below], ordered[..., np.ceil(at).astype(np.int64)]
    with np.errstate(invalid="ignore"):
        between = left * (1 - (at - below)) + right * (at - below)
    found: np.ndarray = np.where((at == below) | (left == right), left, between)
    return np.moveaxis(found, -1, 0)


def _finite(values: object) -> np.ndarray:
    array = pd.Series(values, dtype="float64").to_numpy()
    return array[np.isfinite(array)]  # type: ignore[no-any-return]


def _log_binomial(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    result: np.ndarray = (
        special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    )
    return result
