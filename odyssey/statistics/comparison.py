"""Is a variant better than the baseline? Two procedures, side by side.

`odyssey_test` is that of Greff et al. (2015, section 3.3): take each cell's best tenth by
validation, compare their test scores by Welch's t-test, correct by Bonferroni. The best tenth are
order statistics and no independent sample. Where every cell has draws of its own, as in the paper,
one cell under two names comes out different in a fifth of studies instead of a twentieth; on shared
draws in less than a twentieth, and true differences are missed (`checks/null_tests.py`).

`paired_test` is ours. Its statistic is the same difference of means, but all that makes it, the
choice by validation included, is done anew inside every resample, and the unit of resampling is the
draw: hyperparameters and seed, which all cells share. The p-value is a permutation test, exact for
any distribution of losses: see `permutation.py`. The interval of the difference holds the shifts
that this test does not reject (a variant that is worse by the shift at every draw); it is unbounded
where the draws are too few to reject anything. Holm (1979) corrects over all comparisons of the
table, and swaps are drawn until all verdicts are clear.

Lost draws (diverged or failed) are the worst draws of their cell and count as guessing, see
`draws.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from odyssey.statistics.draws import TaskDraws, first_cell, task_draws, top_scores
from odyssey.statistics.estimates import LEVEL, TAILS, best_of_n_weights
from odyssey.statistics.permutation import MOST_SWAPS, Pair, PermutationTest, decide, permutation_p
from odyssey.statistics.verdicts import BASELINE, BETTER, NO_TEST, UNCLEAR, UNDECIDED, WORSE
from odyssey.storage.guessing import lower_is_better
from odyssey.storage.schema import TEST_BPC, VALID_BPC
from odyssey.threads import one_thread

_CHUNK = 2_000_000  # values that a resampling step handles at a time


class PairedTest(NamedTuple):
    """What `paired_test` found; differences are variant minus baseline, lower is better.

    Attributes:
        difference: Mean test score of the variant's best draws minus that of the baseline's.
        low: Lower end of the interval of the difference.
        high: Upper end.
        improvement: Chance that one of the variant's best draws beats one of the baseline's; ties
            count half.
        improvement_low: Lower end of its interval.
        improvement_high: Upper end.
    """

    difference: float
    low: float
    high: float
    improvement: float
    improvement_low: float
    improvement_high: float


def pair_of(draws: TaskDraws, baseline: str, variant: str) -> Pair:
    """Takes the draws that two cells have in common."""
    independent = (baseline in draws.independent) != (variant in draws.independent)
    return Pair(*draws.common([baseline, variant]), independent, draws.counted)


def odyssey_test(pair: Pair) -> float:
    """Gives the p-value of the Odyssey's comparison, before its correction.

    Returns:
        Welch's two-sided p-value; NaN with fewer than two best draws, or when none of them differ
        within both cells.
    """
    top = pair.top
    if top < 2 or not testable(pair):
        return float("nan")
    best = top_scores(pair.valid, pair.test, top)
    means, spreads = best.mean(axis=1), best.std(axis=1, ddof=1)
    if not np.isfinite(means).all() or not spreads.any():
        return float("nan")
    first, second = ((means[i], spreads[i], top) for i in (0, 1))
    return float(stats.ttest_ind_from_stats(*first, *second, equal_var=False).pvalue)


def testable(pair: Pair) -> bool:
    """Tells whether there is anything to test: a draw, and one with a result."""
    return bool(np.isfinite(pair.test).all() and np.isfinite(pair.valid).any())


def paired_test(
    pair: Pair,
    *,
    seed: int,
    resamples: int = 2_000,
) -> PairedTest:
    """Estimates by how much the best draws of two cells differ.

    Args:
        pair: The draws; the same column is the same hyperparameters and seed, or two of them.
        seed: Of the resamples.
        resamples: Random swaps behind the interval of the difference where there are too many to
            count all, and samples of the percentile bootstrap over draws behind that of the
            improvement; 0 leaves the intervals out (NaN).

    Returns:
        All NaN when there is no draw, or no draw with a result.
    """
    if not testable(pair):
        return PairedTest(*[float("nan")] * 6)
    draws, top = pair.draws, pair.top
    best = top_scores(pair.valid, pair.test, top)
    ends = np.full(4, np.nan)
    if resamples:

        def rejected(shift: float) -> bool:
            p = permutation_p(pair, top=top, seed=seed, swaps=resamples, shift=shift)
            return p <= 1 - LEVEL

        rng = np.random.default_rng([seed, 1])

        def resampled(count: int) -> np.ndarray:
            return _improvement(_resampled_top(pair, rng, count))

        ends[:2] = _not_rejected(rejected, float(_difference(best)), scale=float(best.std()))
        samples = _in_chunks(resampled, resamples, max(draws, top * top))
        ends[2:] = np.quantile(samples, TAILS)
    low, high, less, more = ends.tolist()
    return PairedTest(float(_difference(best)), low, high, float(_improvement(best)), less, more)


def difference_error(pair: Pair, *, seed: int, resamples: int = 2_000) -> float:
    """Estimates the standard error of the difference of `paired_test`: bootstrap over draws.

    Returns:
        NaN with fewer than two draws, or no draw with a result.
    """
    draws = pair.valid.shape[1]
    if draws < 2 or not testable(pair):
        return float("nan")
    return float(resampled_differences(pair, seed=seed, resamples=resamples).std(ddof=1))


def resampled_differences(pair: Pair, *, seed: int, resamples: int) -> np.ndarray:
    """Gives the differences of `paired_test` on resamples of the draws, (resamples).

    Pairs of as many draws and one seed have the same draws in every resample.
    """
    rng = np.random.default_rng([seed, 2])
    return _in_chunks(
        lambda count: _difference(_resampled_top(pair, rng, count)), resamples, pair.draws
    )


def _resampled_top(pair: Pair, rng: np.random.Generator, count: int) -> np.ndarray:
    """Gives the best scores of both cells in resamples of their draws, (count, 2, top)."""
    draws = pair.valid.shape[1]
    chosen = rng.integers(draws, size=(count, draws))
    both = [chosen, rng.integers(draws, size=(count, draws)) if pair.independent else chosen]
    valid, test = (
        np.stack([values[k][both[k]] for k in (0, 1)], axis=1) for values in (pair.valid, pair.test)
    )
    return top_scores(valid, test, pair.top)


def holm(p_values: object) -> np.ndarray:
    """Adjusts p-values by Holm's step-down method (1979); NaN stays and does not count."""
    return _adjusted(
        p_values, lambda ranked: np.maximum.accumulate(ranked * np.arange(len(ranked), 0, -1))
    )


def bonferroni(p_values: object) -> np.ndarray:
    """Multiplies p-values by their number; NaN stays and does not count."""
    return _adjusted(p_values, lambda ranked: ranked * len(ranked))


def compare(
    results: pd.DataFrame,
    *,
    seed: int,
    baseline: str | Mapping[str, str] | None = None,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
    alpha: float = 0.05,
    permutations: int = MOST_SWAPS,
    resamples: int = 2_000,
) -> pd.DataFrame:
    """Compares every cell with the baseline on every task, by both procedures.

    Bonferroni counts the comparisons of a task, as in the paper (eight there); Holm counts all
    comparisons of the table.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.
        seed: Of the resamples. Every comparison uses the same ones, so that a cell more or less
            changes no other row but by the corrections and by how many swaps these ask for.
        baseline: Label of the baseline; the first cell of the results where it is None. Where
            cells have baselines of their own: the label of that of every such cell.
        valid: Column that chooses among draws.
        test: Column that is compared; a loss, or an accuracy when its name ends so.
        alpha: Level of both verdicts.
        permutations: Random swaps of a comparison, at most.
        resamples: Bootstrap samples of a comparison.

    Returns:
        One row a task and cell, in the order of the study, the baseline among them (its comparisons
        are missing): task, label, baseline, draws (in common with the baseline), lost (diverged or
        failed), guessed (those whose test score counts as guessing, the lost among them), top (best
        draws), top_guessed (those of them that count as guessing), baseline_guessed (of the
        baseline's best on the same draws), top_score (mean test score of the best), difference
        (variant minus baseline, in the unit of `test`), low, high, relative (difference over the
        baseline's score), improvement (chance that one of its best draws beats one of the
        baseline's), improvement_low, improvement_high, p, swaps (counted for it), exact (whether
        these are all), p_holm, verdict, odyssey_p, odyssey_p_bonferroni, odyssey_verdict.

    Raises:
        ConfigError: The baseline is not there, or the results are not of one study.
    """
    rows: list[dict[str, object]] = []
    tests: dict[int, PermutationTest] = {}  # by row
    tasks = task_draws(results, valid=valid, test=test)
    one = first_cell(tasks) if baseline is None else baseline
    for draws in tasks:
        for label in draws.labels:
            first = _baseline_of(label, one)
            row = _summary(draws, first, label)
            if label != first:
                pair = pair_of(draws, first, label)
                found = paired_test(pair, seed=seed, resamples=resamples)
                row |= with_sign(found, draws.sign)
                row["odyssey_p"] = odyssey_test(pair)
                if testable(pair):
                    tests[len(rows)] = PermutationTest(pair, top=pair.top, seed=seed)
            rows.append(row)
    rejected = decide(list(tests.values()), alpha=alpha, adjust=holm, most=permutations)
    clear = dict(zip(tests, (r is not None for r in rejected), strict=True))
    for place, tried in tests.items():
        rows[place] |= {"p": tried.p, "swaps": tried.swaps, "exact": tried.exact}
    frame = pd.DataFrame(rows).reindex(columns=list(COMPARISON_COLUMNS))
    frame["swaps"] = frame["swaps"].astype("Int64")
    frame["exact"] = frame["exact"].astype("boolean")
    scores = frame[frame["baseline"]].set_index(["task", "label"])["top_score"]
    firsts = [_baseline_of(label, one) for label in frame["label"]]
    of_rows = pd.MultiIndex.from_arrays([frame["task"], firsts])
    frame["relative"] = frame["difference"] / scores.reindex(of_rows).abs().to_numpy()
    frame["p_holm"] = holm(frame["p"])
    frame["odyssey_p_bonferroni"] = frame.groupby("task")["odyssey_p"].transform(bonferroni)
    gain = frame["difference"] * (1.0 if lower_is_better(test) else -1.0)
    for verdict, p in (("verdict", "p_holm"), ("odyssey_verdict", "odyssey_p_bonferroni")):
        frame[verdict] = [
            BASELINE if is_baseline else _verdict(g, q, alpha=alpha)
            for is_baseline, g, q in zip(frame["baseline"], gain, frame[p], strict=True)
        ]
    unclear = [place for place, known in clear.items() if not known]
    frame.loc[unclear, "verdict"] = UNDECIDED
    return frame


def _baseline_of(label: str, baseline: str | Mapping[str, str]) -> str:
    return baseline if isinstance(baseline, str) else baseline.get(label, label)


COMPARISON_COLUMNS = (
    *("task", "label", "baseline", "draws", "lost", "guessed"),
    *("top", "top_guessed", "baseline_guessed", "top_score"),
    *("difference", "low", "high", "relative"),
    *("improvement", "improvement_low", "improvement_high"),
    *("p", "swaps", "exact", "p_holm", "verdict"),
    *("odyssey_p", "odyssey_p_bonferroni", "odyssey_verdict"),
)


@one_thread()
def difference_by_budget(
    results: pd.DataFrame,
    *,
    seed: int,
    baseline: str | None = None,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
    resamples: int = 1_000,
) -> pd.DataFrame:
    """Says how the conclusion depends on the tuning budget: variant minus baseline, best of n.

    For every n, the expected test score of the draw that is best by validation among n draws
    without replacement (Dodge et al. 2019, see `statistics.estimates.expected_best_of_n`), of the
    variant minus that of the baseline, on the draws that both have. Bands: pointwise percentile
    bootstrap over draws, the same draws for both cells.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.
        seed: Of the bootstrap.
        baseline: Label of the baseline; the first cell where it is None.
        valid: Column that chooses.
        test: Column that is compared.
        resamples: Bootstrap samples.

    Returns:
        Columns task, label, n, difference (in the unit of `test`), low, high.
    """
    parts = []
    tasks = task_draws(results, valid=valid, test=test)
    first = first_cell(tasks) if baseline is None else baseline
    for draws in tasks:
        for label in draws.labels:
            pair = pair_of(draws, first, label)
            size = pair.valid.shape[1]
            if label == first or not testable(pair):
                continue
            weights = best_of_n_weights(size).T
            worst_first = np.argsort(-pair.valid, axis=1, kind="stable")
            ranked = draws.sign * np.take_along_axis(pair.test, worst_first, axis=1)
            rank = np.argsort(worst_first, axis=1)

            chosen = np.random.default_rng(seed).integers(size, size=(resamples, size))
            # A resample of ranks, sorted, is a resample of draws, sorted.
            best = [ranked[i][np.sort(rank[i][chosen], axis=1)] @ weights for i in (0, 1)]
            low, high = np.quantile(best[1] - best[0], TAILS, axis=0)
            parts.append(
                pd.DataFrame(
                    {
                        "task": draws.task,
                        "label": label,
                        "n": np.arange(1, size + 1),
                        "difference": (ranked[1] - ranked[0]) @ weights,
                        "low": low,
                        "high": high,
                    }
                )
            )
    columns = ["task", "label", "n", "difference", "low", "high"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _summary(draws: TaskDraws, baseline: str, label: str) -> dict[str, object]:
    """Describes a cell's draws that the baseline has too."""
    here, there = draws.place(label), draws.place(baseline)
    common = draws.present[here] & draws.present[there]
    count = int(common.sum())
    top = draws.top_count(count)

    def best(row: int, values: np.ndarray) -> np.ndarray:
        return top_scores(draws.valid[row, common], values[row, common], top)

    known = bool(count) and bool(np.isfinite(draws.test[here, common]).all())
    return {
        "task": draws.task,
        "label": label,
        "baseline": label == baseline,
        "draws": count,
        "lost": int(draws.lost[here, common].sum()),
        "guessed": int(draws.guessed[here, common].sum()),
        "top": top,
        "top_guessed": int(best(here, draws.guessed).sum()),
        "baseline_guessed": int(best(there, draws.guessed).sum()),
        "top_score": draws.sign * float(best(here, draws.test).mean()) if known else np.nan,
    }


def with_sign(found: PairedTest, sign: float) -> dict[str, object]:
    """Turns the difference back into the unit of the metric."""
    low, high = sorted((sign * found.low, sign * found.high))
    return found._asdict() | {"difference": sign * found.difference, "low": low, "high": high}


def _verdict(gain: float, p: float, *, alpha: float) -> str:
    if not np.isfinite(p):
        return NO_TEST
    if p > alpha or gain == 0:
        return UNCLEAR
    return BETTER if gain < 0 else WORSE


def _not_rejected(
    rejected: Callable[[float], bool], estimate: float, *, scale: float
) -> tuple[float, float]:
    """Finds the ends of the shifts around an estimate that a test does not reject.

    An end beyond a thousand scales is infinite; the others are right to a thousandth of their
    distance from the estimate.
    """
    ends = []
    for side in (-1.0, 1.0):
        inside, outside = 0.0, scale or 1e-6
        while not rejected(estimate + side * outside):
            inside, outside = outside, 2 * outside
            if outside > 1e3 * (scale or 1e-6):
                break
        else:
            while outside - inside > 1e-3 * outside:
                middle = (inside + outside) / 2
                if rejected(estimate + side * middle):
                    outside = middle
                else:
                    inside = middle
            ends.append(estimate + side * outside)
            continue
        ends.append(side * np.inf)
    return ends[0], ends[1]


def _difference(best: np.ndarray) -> np.ndarray:
    means = best.mean(axis=-1)
    difference: np.ndarray = means[..., 1] - means[..., 0]
    return difference


def _improvement(best: np.ndarray) -> np.ndarray:
    """Gives the share of pairs in which the second is lower, ties half (Mann & Whitney 1947)."""
    first, second = best[..., 0, :, None], best[..., 1, None, :]
    share: np.ndarray = ((second < first) + 0.5 * (second == first)).mean(axis=(-1, -2))
    return share


def _in_chunks(make: Callable[[int], np.ndarray], total: int, size: int) -> np.ndarray:
    """Makes `total` resamples of `size` values in pieces that fit into memory."""
    step = max(1, _CHUNK // max(size, 1))
    counts = [min(step, total - start) for start in range(0, total, step)]
    return np.concatenate([make(count) for count in counts], axis=-1)


def _adjusted(p_values: object, adjust: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Applies a correction to the p-values in rising order."""
    given = np.asarray(p_values, dtype=np.float64)
    result = np.full(given.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    result[order] = np.minimum(adjust(given[order]), 1.0)
    return result
