"""What the box plots of the Odyssey show: all draws of a cell, and the best by validation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from odyssey.statistics import estimates
from odyssey.statistics.draws import task_draws
from odyssey.statistics.ranking import with_labels
from odyssey.storage.schema import TEST_BPC, VALID_BPC

BOX_COLUMNS = (
    *("task", "label", "which", "draws", "lost", "guessed"),
    *("low", "q1", "median", "q3", "high", "mean", "parameters"),
)


def best_draws(
    results: pd.DataFrame,
    *,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
    fraction: float = 0.1,
) -> pd.DataFrame:
    """Gives the rows of the draws that are best by validation, of every task and cell.

    Lost draws are never among them, so a cell that lost most draws has fewer rows.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.
        valid: Column that chooses.
        test: Column that is reported.
        fraction: Share of the draws that counts as the best.
    """
    results = results if "label" in results else with_labels(results)
    names = ["run", "member"] if "run" in results else ["member"]
    wanted = []
    for draws in task_draws(results, valid=valid, test=test):
        for place, label in enumerate(draws.labels):
            by_valid = draws.valid[place]
            top = draws.top_count(int(draws.present[place].sum()), fraction)
            order = np.argsort(by_valid, kind="stable")[:top]
            wanted += [
                (draws.task, label, *np.atleast_1d(draws.keys[i]))
                for i in order
                if np.isfinite(by_valid[i])
            ]
    index = pd.MultiIndex.from_frame(results[["task", "label", *names]].astype(str))
    keep = index.isin([tuple(map(str, key)) for key in wanted])
    return results[keep]


def winner_curves(
    curves: pd.DataFrame,
    results: pd.DataFrame,
    *,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
    fraction: float = 0.1,
) -> pd.DataFrame:
    """Summarises the learning curves of the draws that are best by validation.

    Args:
        curves: As `CURVE_COLUMNS`, with `label`.
        results: As `RESULT_COLUMNS`, with `label`.
        valid: Column that chooses.
        test: Column that is reported.
        fraction: Share of the draws that counts as the best.

    Returns:
        As `estimates.curve_bands`: median and quartiles over the best draws, in bits per
        character; their number in `members`.
    """
    best = best_draws(results, valid=valid, test=test, fraction=fraction)
    wanted = pd.MultiIndex.from_frame(best[["trial", "member"]])
    kept = pd.MultiIndex.from_frame(curves[["trial", "member"]]).isin(wanted)
    return estimates.curve_bands(curves[kept], best)


def box_summary(
    results: pd.DataFrame,
    *,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
    fraction: float = 0.1,
) -> pd.DataFrame:
    """Summarises the test scores of every cell, of all draws and of the best by validation.

    Draws that are lost, or worse than guessing, count as guessing, in all that follows. Quantiles
    interpolate between draws: the median of an even number is the mean of the two in the middle.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.
        valid: Column that chooses.
        test: Column that is shown.
        fraction: Share of the draws that counts as the best.

    Returns:
        Columns task, label, which (all or best), draws, lost (diverged or failed), guessed (counted
        as guessing, the lost among them), low (least value), q1, median, q3, high (greatest value),
        mean, parameters (mean over the draws that have some).
    """
    results = results if "label" in results else with_labels(results)
    parameters = results["num_parameters"].astype("float64")
    results = results.assign(num_parameters=parameters.where(parameters > 0))
    best = best_draws(results, valid=valid, test=test, fraction=fraction)
    mean_parameters = {
        "all": results.groupby(["task", "label"])["num_parameters"].mean(),
        "best": best.groupby(["task", "label"])["num_parameters"].mean(),
    }
    rows = []
    for draws in task_draws(results, valid=valid, test=test):
        for place, label in enumerate(draws.labels):
            here = draws.present[place]
            by_valid, lost = draws.valid[place, here], draws.lost[place, here]
            scores, guessed = draws.sign * draws.test[place, here], draws.guessed[place, here]
            top = draws.top_count(len(scores), fraction)
            for which, chosen in (
                ("all", np.arange(len(scores))),
                ("best", np.argsort(by_valid, kind="stable")[:top]),
            ):
                these = scores[chosen]
                ends = np.quantile(these, (0, 0.25, 0.5, 0.75, 1))
                rows.append(
                    (
                        *(draws.task, label, which, len(these)),
                        *(int(lost[chosen].sum()), int(guessed[chosen].sum())),
                        *ends.tolist(),
                        float(these.mean()),
                        mean_parameters[which].get((draws.task, label), np.nan),
                    )
                )
    return pd.DataFrame(rows, columns=list(BOX_COLUMNS))
