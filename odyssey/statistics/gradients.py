"""Summaries of what `odyssey.diagnostics` measured: medians and bands over seeds and rows.

Everything here takes and gives frames; nothing knows what made them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from odyssey.statistics.estimates import open_quantiles

LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9


def bands(frame: pd.DataFrame, value: str, by: Sequence[str]) -> pd.DataFrame:
    """Gives the median and the 10 % and 90 % quantiles of a column over all that is not in `by`.

    Quantiles interpolate between values, so that the median of an even number is the mean of the
    two in the middle; one that lies between a finite value and an infinite one, or between two
    infinite ones of one sign, is infinite, and half way between -inf and inf it is NaN. NaN are
    left out.

    Args:
        frame: Any tidy frame.
        value: The column.
        by: Columns whose values get a row each, in the order in which they first occur.

    Returns:
        The columns of `by`, then median, low, high, n (how many values).
    """
    rows = []
    for key, part in frame.groupby(list(by), sort=False):
        values = part[value].dropna().to_numpy(dtype=float)
        known = len(values) > 0
        found = open_quantiles(values, (MIDDLE, LOW, HIGH)) if known else np.full(3, np.nan)
        rows.append((*key, *(float(q) for q in found), len(values)))
    return pd.DataFrame(rows, columns=[*by, "median", "low", "high", "n"])


def summary(norms: pd.DataFrame, horizons: pd.DataFrame, exponents: pd.DataFrame) -> pd.DataFrame:
    """Gives one row a series: horizons of the whole state, decades lost, the largest exponent.

    Args:
        norms: Of `gradient_norms`, with a column `label` that tells series apart.
        horizons: Of `horizons` of these norms.
        exponents: Of `lyapunov_exponents`, with the same labels.

    Returns:
        Columns label, `steps to FACTOR` for every factor, decades (by how many powers of ten the
        gradient of the whole state has changed at the first step), exponent (the largest Lyapunov
        exponent, nats per step); all but the label as text `median [10 %, 90 %]`.
    """
    whole = norms[norms["state"] == "all"]
    last = whole[whole["steps_back"] == whole.groupby("label")["steps_back"].transform("max")]
    total = bands(last, "log10_norm", ["label"]).set_index("label")
    largest = bands(exponents[exponents["index"] == 1], "exponent", ["label"]).set_index("label")
    reach = bands(horizons[horizons["state"] == "all"], "steps", ["label", "factor"])
    rows = []
    for label in dict.fromkeys(norms["label"]):
        row: dict[str, object] = {"label": label}
        for _, found in reach[reach["label"] == label].iterrows():
            row[f"steps to {found['factor']}"] = _interval(found, ".1f")
        row["decades"] = _interval(total.loc[label], "+.1f")
        row["exponent"] = _interval(largest.loc[label], "+.2f")
        rows.append(row)
    return pd.DataFrame(rows)


def _interval(row: pd.Series[float], form: str) -> str:
    def number(value: float) -> str:
        if np.isposinf(value):
            return "never"
        return "to zero" if np.isneginf(value) else format(value, form)

    return f"{number(row['median'])} [{number(row['low'])}, {number(row['high'])}]"


def mean_shares(paths: pd.DataFrame) -> pd.DataFrame:
    """Gives the mean share of every route over seeds and rows; the means sum to one as well.

    Args:
        paths: Of `path_shares`, with a column `label`.

    Returns:
        Columns label, split, steps_back, route, direct, share. Origins are added up.
    """
    keys = ["label", "split", "steps_back", "member", "row", "route", "direct"]
    whole = paths.groupby(keys, sort=False)["share"].sum(min_count=1).reset_index()
    by = [k for k in keys if k not in ("member", "row")]
    return whole.groupby(by, sort=False)["share"].mean().reset_index()
