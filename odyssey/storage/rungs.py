"""Rungs of a ladder: which draws go on, and the table of draws that its rows come to.

On a ladder (successive halving: Jamieson and Talwalkar 2016; Li et al. 2018) all draws of a cell on
a task are trained with a small budget, the best of them again with a larger one, and so on. A draw
leaves a row on every rung that it reaches. Whoever counts or compares draws reads one row a draw,
which is what `table_of_draws` makes: the row of the last rung that it reached. Draws are then
ordered by the rung first and by validation second.

A run that is not finished has cells on different rungs, whose scores are of different budgets. The
table of a task therefore ends at the last rung that all of its cells have finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from odyssey.storage.schema import FIRST, OK, VALID_NATS

LADDER = "ladder"  # in run.json: the rungs, from the first on


def rung_draws(run: Mapping[str, Any]) -> tuple[int, ...]:
    """Gives how many draws each rung of a run takes, from the first on; empty without a ladder."""
    found = run.get(LADDER)
    return tuple(int(rung["draws"]) for rung in found) if isinstance(found, list) else ()


def budget_of(rung: Mapping[str, int]) -> tuple[int, str]:
    """Gives the budget of a rung as run.json says it, and what it is counted in."""
    ((unit, budget),) = ((name, n) for name, n in rung.items() if name != "draws")
    return budget, unit


def going_on(rows: pd.DataFrame, draws: int) -> list[int]:
    """Gives the members that go on to the next rung, in the order of their numbers.

    Args:
        rows: The rows of one cell on one task on one rung, all of them.
        draws: How many go on at most. Draws that diverged or failed do not; of equal validation
            losses those of the lower numbers do.
    """
    loss = rows[VALID_NATS].to_numpy(dtype=float, na_value=np.nan)
    sound = (rows["status"] == OK).to_numpy(dtype=bool, na_value=False) & np.isfinite(loss)
    members = rows["member"].to_numpy(dtype=int)
    order = np.lexsort((members[sound], loss[sound]))
    return sorted(members[sound][order[:draws]].tolist())


def best_first(rows: pd.DataFrame, value: str = VALID_NATS) -> pd.DataFrame:
    """Sorts rows of draws: those of the last rung first, within a rung the lowest loss."""
    return rows.sort_values(["rung", value], ascending=[False, True], kind="stable")


def reached(rows: pd.DataFrame, draws: Sequence[int]) -> list[dict[int, int]]:
    """Gives how far a cell on a task is: of every rung it has finished, the row of each draw.

    Args:
        rows: All rows of the cell on the task.
        draws: As of `rung_draws`.

    Returns:
        One dict a finished rung: member -> place of its row. The first rung is there also where it
        is not finished, and then nothing else. Rungs that no draw could reach are empty.
    """
    places: dict[int, dict[int, int]] = {rung: {} for rung in range(FIRST, FIRST + len(draws))}
    pairs = zip(rows["rung"].to_numpy(int), rows["member"].to_numpy(int), strict=True)
    for place, (rung, member) in enumerate(pairs):
        if rung in places:
            places[rung][member] = place
    found = [places[FIRST]]
    if len(found[0]) < draws[0]:
        return found
    for rung, most in enumerate(draws[1:], start=FIRST + 1):
        expected = going_on(rows.iloc[list(found[-1].values())], most)
        if not places[rung].keys() >= set(expected):
            break
        found.append({member: places[rung][member] for member in expected})
    return found


def table_of_draws(
    rows: pd.DataFrame, draws: Sequence[int], *, last: int | None = None
) -> pd.DataFrame:
    """Gives one row a draw: that of the last rung which it reached.

    Args:
        rows: As `RESULT_COLUMNS`, of one run: a row a draw and rung.
        draws: As of `rung_draws`.
        last: The rung at which the ladder ends, as if there were no more; the last one if None.

    Returns:
        The rows, in the order of the first rung. The rungs of a task end where all of its cells
        have finished.
    """
    if len(draws) < 2 or rows.empty:
        return rows
    kept: list[tuple[int, int]] = []  # place of the first row, place of the last
    place_of = np.arange(len(rows))
    tasks, specs = (rows[name].astype("string").fillna("") for name in ("task", "spec"))
    for _, of_task in pd.Series(place_of).groupby(tasks.to_numpy(), sort=False):
        names = specs.iloc[of_task.to_numpy()].to_numpy()
        cells = [part.to_numpy() for _, part in of_task.groupby(names, sort=False)]
        climbed = [reached(rows.iloc[places], draws) for places in cells]
        end = min(map(len, climbed))
        for places, rungs in zip(cells, climbed, strict=True):
            ends = dict(rungs[0])
            for rung in rungs[1 : min(end, last or end)]:
                ends |= rung
            kept += [(places[rungs[0][m]], places[place]) for m, place in ends.items()]
    return rows.iloc[[place for _, place in sorted(kept)]].reset_index(drop=True)


def rungs_finished(rows: pd.DataFrame, draws: Sequence[int]) -> list[int]:
    """Counts for every rung how many cells on tasks have finished it.

    Args:
        rows: All rows of a run.
        draws: As of `rung_draws`.
    """
    counts = [0] * len(draws)
    for _, of_cell in rows.groupby(["task", "spec"], sort=False):
        rungs = reached(of_cell, draws)
        if len(rungs[0]) >= draws[0]:
            for rung in range(len(rungs)):
                counts[rung] += 1
    return counts


def curves_of_draws(curves: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Gives the curves that belong to rows of results: of a ladder those of each draw's last rung.

    Args:
        curves: As `CURVE_COLUMNS`.
        results: Rows of the same run, as of `table_of_draws`.
    """
    keys = ["trial", "member"]
    there = pd.MultiIndex.from_frame(results[keys].astype({"trial": str, "member": int}))
    here = pd.MultiIndex.from_frame(curves[keys].astype({"trial": str, "member": int}))
    return curves[here.isin(there)].reset_index(drop=True)
