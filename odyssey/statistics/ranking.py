"""Results into rankings: the cells of a study on each of its tasks, and over all of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from odyssey.names import short_names
from odyssey.statistics import estimates
from odyssey.statistics.estimates import counted_of, rungs_of, top_count
from odyssey.storage.schema import (
    BLANK_NATS,
    DIVERGED,
    FIRST,
    METRIC,
    SHUFFLED_NATS,
    TEST_ACCURACY,
    TEST_BPC,
    TEST_EXACT,
    TEST_NATS,
    VALID_BPC,
)

SHUFFLED_BPC, BLANK_BPC = "shuffled_bpc", "blank_bpc"
WHERE_MEASURED = (TEST_EXACT, SHUFFLED_BPC, BLANK_BPC)
"""Columns of the leaderboard that are there where some member has them."""
FINALISTS = "finalists"
"""Column of the leaderboard of a ladder: draws on the last rung."""
RANK_ON = "rank on "  # columns of `overall`: one a task


def _parameters(group: pd.DataFrame) -> pd.Series[float]:
    """Gives the parameters of members that got as far as having some."""
    counts = group["num_parameters"].astype("float64")
    return counts[counts > 0]


def with_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds `label`, the cell as the study names it without the folder of a `.cell` file."""
    spec = frame["spec"].fillna(frame["cell"]).fillna("unnamed").astype("string")
    names = short_names(spec.unique())
    return frame.assign(label=spec.map(names).astype("string"))


def _where_measured(member: pd.Series[float] | None) -> dict[str, float]:
    """Gives what only some tasks measure; losses in the unit of the test loss."""
    if member is None:
        return dict.fromkeys(WHERE_MEASURED, np.nan)
    unit = member[TEST_BPC] / member.get(TEST_NATS, np.nan)
    losses = {SHUFFLED_BPC: SHUFFLED_NATS, BLANK_BPC: BLANK_NATS}
    found = {name: unit * member.get(source, np.nan) for name, source in losses.items()}
    return {TEST_EXACT: member.get(TEST_EXACT, np.nan), **found}


def leaderboard(results: pd.DataFrame) -> pd.DataFrame:
    """Compares the cells on every task.

    Cells are ranked by the best validation loss that the budget found, and with equal ones by
    their mean: a member that diverged is a draw of the budget that found nothing. The test
    columns are those of the member with the best validation loss. Mean and interval (Student's
    t) are over all members; those that were lost, or are worse than guessing, count as guessing
    (`estimates.member_values`), and so do best and test scores that are worse. Of a ladder these
    are the members on the last rung, and the best one is among them.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.

    Returns:
        One row a task and cell, sorted by task (in the order of the study) and rank: task, rank,
        label, spec, cell, members, finalists (of a ladder: on the last rung), ok, diverged, failed,
        guessed (members whose validation loss counts as guessing, the lost among them),
        mean_valid_bpc, low, high, half_width, best_valid_bpc, best_member, test_bpc, test_accuracy,
        top (how many draws count as the best), top_valid_bpc and top_test_bpc (their means),
        median_parameters; and where they were measured, of the best member, test_exact,
        shuffled_bpc, blank_bpc and the columns of metrics.
    """
    results = with_labels(results)
    usable = estimates.valid_rows(results)
    guessed = estimates.counts_as_guessing(results)
    scores = (VALID_BPC, TEST_BPC, TEST_ACCURACY)
    counted = {s: estimates.member_values(results, s) for s in scores if s in results}
    results = results.assign(**counted)
    metrics = [name for name in map(str, results) if name.startswith(METRIC)]
    rows = []
    lasts, tops = {}, {}
    for name, part in results.groupby("task", sort=False):
        lasts[str(name)], tops[str(name)] = rungs_of(part).max(), counted_of(part)
    for (task, label), group in results.groupby(["task", "label"], sort=False):
        valid = group[usable.loc[group.index]]
        best = valid.iloc[_best_first(valid)[0]] if len(valid) else None
        last = group[rungs_of(group) == lasts[str(task)]]
        mean = estimates.mean_interval(last[VALID_BPC])
        # Lost members stand behind all others also where these are no better than guessing.
        best_first = _best_first(group, lost=~usable.loc[group.index])
        top = group.iloc[best_first[: top_count(len(group), counted=tops[str(task)])]]
        diverged = int((group["status"] == DIVERGED).sum())
        rows.append(
            {
                "task": task,
                "rank": 0,
                "label": label,
                "spec": group["spec"].iloc[0],
                "cell": group["cell"].iloc[0],
                "members": len(group),
                FINALISTS: len(last),
                "ok": len(valid),
                "diverged": diverged,
                "failed": len(group) - len(valid) - diverged,
                "guessed": int(guessed.loc[group.index].sum()),
                "mean_valid_bpc": mean.estimate,
                "low": mean.low,
                "high": mean.high,
                "half_width": mean.high - mean.estimate,
                "best_valid_bpc": np.nan if best is None else best[VALID_BPC],
                "best_member": pd.NA if best is None else best["member"],
                TEST_BPC: np.nan if best is None else best[TEST_BPC],
                TEST_ACCURACY: np.nan if best is None else best[TEST_ACCURACY],
                **_where_measured(best),
                **{name: np.nan if best is None else best[name] for name in metrics},
                "top": len(top),
                "top_valid_bpc": top[VALID_BPC].mean(),
                "top_test_bpc": top[TEST_BPC].mean(),
                "median_parameters": _parameters(group).median(),
            }
        )
    board = pd.DataFrame(rows)
    if board.empty:
        return board
    board["best_member"] = board["best_member"].astype("Int64")
    board["median_parameters"] = board["median_parameters"].astype("float64")
    order = {task: place for place, task in enumerate(dict.fromkeys(results["task"]))}
    board = (
        board.assign(place=board["task"].map(order))
        .sort_values(
            ["place", "best_valid_bpc", "mean_valid_bpc"], kind="stable", ignore_index=True
        )
        .drop(columns=["place", *(c for c in WHERE_MEASURED if board[c].isna().all())])
        .drop(columns=[] if rungs_of(results).max() > FIRST else [FINALISTS])
    )
    # Cells without any result share the last place.
    board["rank"] = (
        board.groupby("task")["best_valid_bpc"]
        .rank(method="min", na_option="bottom")
        .astype("int64")
    )
    return board


def _best_first(group: pd.DataFrame, *, lost: pd.Series[bool] | None = None) -> np.ndarray:
    """Gives the places of draws, the best first: of a ladder those of the last rung."""
    keys = [group[VALID_BPC].to_numpy(float), -rungs_of(group).to_numpy()]
    if lost is not None:
        keys.append(lost.to_numpy())
    order: np.ndarray = np.lexsort(keys)
    return order


def overall(results: pd.DataFrame) -> pd.DataFrame:
    """Ranks the cells by their mean rank over tasks; cells that miss a task come last.

    Returns:
        rank, label, mean_rank, tasks, one column `rank on TASK` a task, members, ok, diverged,
        failed, guessed.
    """
    board = leaderboard(results)
    if board.empty:
        return board
    by_task = board.pivot(index="label", columns="task", values="rank")
    by_task = by_task[list(dict.fromkeys(board["task"]))]
    totals = board.groupby("label")[["members", "ok", "diverged", "failed", "guessed"]].sum()
    frame = pd.DataFrame({"mean_rank": by_task.mean(axis=1), "tasks": by_task.notna().sum(axis=1)})
    ranks = by_task.astype("Int64").rename(columns=lambda task: RANK_ON + str(task))
    frame = frame.join(ranks).join(totals).reset_index()
    frame = frame.sort_values(
        ["tasks", "mean_rank", "label"], ascending=[False, True, True], ignore_index=True
    )
    key = list(zip(-frame["tasks"], frame["mean_rank"], strict=True))
    frame.insert(0, "rank", [key.index(k) + 1 for k in key])
    return frame
