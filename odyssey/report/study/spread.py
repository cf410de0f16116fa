"""In words: whether rankings agree between tasks, and how much of the spread is seeds."""

from __future__ import annotations

import pandas as pd

from odyssey.names import short_names
from odyssey.report.page.units import per


def transfer_lines(found: pd.DataFrame) -> list[str]:
    """Says of every pair of tasks how far they rank the cells alike.

    Args:
        found: As `statistics.transfer.transfer`.
    """
    if found.empty:
        return []
    names = short_names(pd.concat([found["first"], found["second"]]).unique())
    return [
        f"{names[row['first']]} and {names[row['second']]} rank {row['cells']} cells with "
        f"Kendall's tau {row['tau']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f}, "
        f"p {row['p']:.3f})."
        for row in found.to_dict("records")
    ]


def component_lines(found: pd.DataFrame) -> list[str]:
    """Says of every task whose seeds are repeated what the spread of its scores is made of.

    Args:
        found: As `statistics.components.variance_components`.
    """
    if found.empty:
        return []
    names = short_names(found["task"].unique())
    lines = []
    for task, part in found.groupby("task", sort=False):
        first = part.iloc[0]
        shares = ", ".join(
            f"{row['component']} {row['sd']:.3f} ({100 * row['share']:.0f} %)"
            for row in part.to_dict("records")
        )
        seeds = part[part["low"].notna()].iloc[0]
        lines.append(
            f"{names[str(task)]}: {first['cells']} cells, {first['settings']} settings with "
            f"{first['seeds']} seeds each. Standard deviations in {per()} and shares of variance: "
            f"{shares}; that of seeds with 95 % {seeds['low']:.3f} to {seeds['high']:.3f}."
        )
    return lines
