"""In words: what a task costs without a memory, and whether a study's cells have learned it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from odyssey.names import short_names
from odyssey.statistics.floors import SOLVED
from odyssey.wording import in_bits, loss_of, symbol_count

_KINDS = {
    "chance": "a guess by frequencies",
    "grammar": "the grammar without memory",
    "context": "the current input alone",
}


def not_learned(learning: pd.DataFrame, run: Mapping[str, Any]) -> list[str]:
    """Says of every task whose floor the baseline has not left that it has not, a line each.

    Args:
        learning: As `statistics.floors.learning`.
        run: The facts of `run.json`.
    """
    names = short_names(learning["task"].unique()) if len(learning) else {}
    lines = []
    for row in learning[~learning["learned"].astype(bool)].to_dict("records"):
        record = task_record(run, str(row["task"]))
        score, floor = (in_bits(row[name], record) for name in ("score", "floor"))
        lines.append(
            f"Not learned: {names[row['task']]}. The best draws of {row['label']} score "
            f"{score:.3f} {loss_of(record)}, {_KINDS[row['kind']]} {floor:.3f}: what differs here "
            "is not how well cells remember."
        )
    return lines


def floors_text(floors: pd.DataFrame, task: str, run: Mapping[str, Any]) -> str:
    """Lists the floors and the ceiling of a task in a sentence; nothing where none is known."""
    here = floors[floors["task"] == task]
    record = task_record(run, task)
    shown = {
        str(row["kind"]): f"{in_bits(row['nats'], record):.3f}"
        for row in here[here["kind"] != "context"].to_dict("records")
    }
    contexts = here[here["kind"] == "context"].sort_values("context")
    parts = [f"{_KINDS[kind]} {shown[kind]}" for kind in ("chance", "grammar") if kind in shown]
    if len(contexts):
        values = ", ".join(f"{in_bits(v, record):.3f}" for v in contexts["nats"])
        counted = symbol_count(int(contexts["symbols"].max()), record)
        last = int(contexts["context"].max())
        parts.append(f"n-grams with 0 to {last} inputs of context {values} ({counted} counted)")
    if "optimum" in shown:
        parts.append(f"the optimum {shown['optimum']}")
    if "bound" in shown:
        parts.append(f"no predictor is below {shown['bound']}")
    return f"Without having learned it, {loss_of(record)}: {'; '.join(parts)}." if parts else ""


def learned_text(learning: pd.DataFrame, task: str, run: Mapping[str, Any]) -> str:
    """Says how far the baseline has come on a task; nothing where no floor is known."""
    found = learning[learning["task"] == task]
    if found.empty:
        return ""
    row = found.iloc[0]
    record = task_record(run, task)
    score, floor, ceiling = (in_bits(row[n], record) for n in ("score", "floor", "ceiling"))
    text = (
        f"The best draws of {row['label']} score {score:.3f}, {100 * row['share']:.1f} % of the "
        f"way from the floor ({_KINDS[row['kind']]}, {floor:.3f}) to {ceiling:.3f}."
    )
    if row["share"] < SOLVED:
        return text
    return (
        f"{text} No cell can be better than that by more than {max(score - ceiling, 0):.3f}: to "
        "see which is better asks for a harder task, or for less training."
    )


def task_record(run: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    """Gives what a task of a run says of itself; nothing where the run does not say."""
    tasks = run.get("tasks")
    record = tasks.get(task) if isinstance(tasks, Mapping) else None
    return record if isinstance(record, Mapping) else {}
