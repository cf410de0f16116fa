"""Numbers that papers printed, beside ours. `published.toml` holds them, each with its source."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from odyssey.errors import ConfigError, suggest
from odyssey.statistics.draws import task_draws, top_scores
from odyssey.statistics.ranking import with_labels

OURS_ON, PAPER_ON = "ours on ", "paper on "  # columns of verdicts: one a task
_FILE = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class Published:
    """One table of a paper.

    Attributes:
        name: Its name here.
        source: Where it was printed.
        metric: The column of ours that it compares with, or `verdict`.
        caption: What it measures, and why ours may differ.
        baseline: The spec that verdicts are against; empty for scores.
        where: Columns of results that a score is for one value of: those of a paper that has a
            table of sizes and depths. Empty where a paper has one number a cell and task.
        values: Columns task, those of `where`, paper (the paper's name of the cell), spec (ours),
            published, trust (read, quoted or recalled).
    """

    name: str
    source: str
    metric: str
    caption: str
    baseline: str
    where: tuple[str, ...]
    values: pd.DataFrame = field(repr=False)


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def list_published() -> list[str]:
    """Lists the tables there are."""
    return list(_tables())


def published(name: str) -> Published:
    """Gives a paper's table.

    Raises:
        ConfigError: There is none of that name.
    """
    tables = _tables()
    if name not in tables:
        raise ConfigError(suggest(name, tables, what="published table"))
    table = tables[name]
    where = tuple(table.get("where", ()))
    rows = []
    for task, given in table["values"].items():
        for line in given if isinstance(given, list) else [given]:
            at = [line[column] for column in where]
            for paper, number in line.items():
                if paper in where:
                    continue
                entry = number if isinstance(number, dict) else {"value": number}
                trust = entry.get("trust", table["trust"])
                for our_task, spec in product(
                    table.get("tasks", {}).get(task, [task]), _listed(table["cells"][paper])
                ):
                    rows.append((our_task, *at, paper, spec, entry["value"], trust))
    columns = ["task", *where, "paper", "spec", "published", "trust"]
    values = pd.DataFrame(rows, columns=columns)
    return Published(
        name,
        table["source"],
        table["metric"],
        table["caption"],
        table.get("baseline", ""),
        where,
        values,
    )


def _listed(specs: str | list[str]) -> list[str]:
    return [specs] if isinstance(specs, str) else specs


@dataclass(frozen=True)
class Beside:
    """Our table beside that of a paper.

    Attributes:
        name: Name of the published table.
        source: Where it was printed.
        caption: What each column is, and why ours may differ.
        table: As `scores_beside` or `verdicts_beside`.
    """

    name: str
    source: str
    caption: str
    table: pd.DataFrame = field(repr=False)


def beside(results: pd.DataFrame, compared: pd.DataFrame | None) -> list[Beside]:
    """Puts our numbers beside every published table that speaks of them.

    Scores stand beside scores where a cell and a task are both ours and the paper's; verdicts
    beside verdicts where the baseline is the paper's, whatever the tasks.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.
        compared: As `comparison.compare`, or None where no cell is the baseline.
    """
    found = []
    specs = _specs(results)
    first = [] if compared is None else compared.loc[compared["baseline"], "label"].astype(str)
    against = {specs[label] for label in first}
    for name in list_published():
        table = published(name)
        if table.metric not in (*results, "verdict"):
            continue
        if table.metric != "verdict":
            ours = scores_beside(results, name)
            words = _SCORES
        elif compared is not None and against == {table.baseline}:
            ours = verdicts_beside(compared, results, name)
            words = _VERDICTS
        else:
            continue
        if len(ours):
            found.append(
                Beside(name, table.source, f"{words} {table.source}. {table.caption}", ours)
            )
    return found


_SCORES = (
    "Ours is the test score of the draw that is best by validation, and the mean of our best "
    "draws; the published column is the paper's. Read: taken from the paper itself; quoted: from "
    "others who quote it; recalled: from memory, to be checked before it is used."
)
_VERDICTS = (
    "Our verdicts (corrected permutation test) beside the paper's; a question mark: recalled from "
    "memory, to be checked before it is used."
)


def scores_beside(results: pd.DataFrame, name: str) -> pd.DataFrame:
    """Puts our scores beside those of a paper, cell by cell.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.
        name: A published table of scores.

    Returns:
        Columns task, label, those of the table's `where`, ours (score on test of the draw that is
        best by validation), mean_best (mean of our best draws), draws, published, trust; the cells
        that both have, in the order of the study. Tasks are matched by name, whatever their
        options; where the table says of which sizes it speaks, draws of those only.

    Raises:
        ConfigError: There is no such table, or it holds verdicts.
    """
    table = published(name)
    if table.metric == "verdict":
        raise ConfigError(f"{name} holds verdicts, not scores; use verdicts_beside")
    results = results if "label" in results else with_labels(results)
    specs, where = _specs(results), list(table.where)
    if not where:
        rows = _rows_beside(results, table.metric, table.values, specs)
    else:
        rows = []
        for at, values in table.values.groupby(where, sort=False):
            asked = zip(where, at, strict=True)
            here = results[np.logical_and.reduce([results[c] == value for c, value in asked])]
            found = _rows_beside(here, table.metric, values, specs) if len(here) else []
            rows += [(*row[:2], *at, *row[2:]) for row in found]
    columns = ["task", "label", *where, "ours", "mean_best", "draws", "published", "trust"]
    return pd.DataFrame(rows, columns=columns)


def _rows_beside(
    results: pd.DataFrame, metric: str, values: pd.DataFrame, specs: Mapping[str, str]
) -> list[tuple[Any, ...]]:
    """Gives the rows of `scores_beside` for results that are all meant by the same numbers."""
    known = {(row.task, row.spec): row for row in values.itertuples()}
    rows = []
    for draws in task_draws(results, valid=metric.replace("test", "valid"), test=metric):
        for place, label in enumerate(draws.labels):
            row = known.get((draws.task.partition("@")[0], specs[label]))
            here = draws.present[place]
            if row is None or draws.lost[place, here].all():
                continue
            by_valid, by_test = draws.valid[place, here], draws.sign * draws.test[place, here]
            best = top_scores(by_valid, by_test, draws.top_count(len(by_valid)))
            ours = float(by_test[by_valid.argmin()])
            mean = float(best.mean())
            rows.append((draws.task, label, ours, mean, len(by_valid), row.published, row.trust))
    return rows


def verdicts_beside(comparison: pd.DataFrame, results: pd.DataFrame, name: str) -> pd.DataFrame:
    """Puts our verdicts beside those of a paper, cell by cell, all tasks in one row.

    Args:
        comparison: As `comparison.compare` gives it.
        results: The results behind it.
        name: A published table of verdicts.

    Returns:
        Columns label, paper (its name of the cell), one column `ours on TASK` a task of ours and
        `paper on TASK` a task of the paper's. A verdict that was recalled ends in "?".

    Raises:
        ConfigError: There is no such table, or it holds scores.
    """
    table = published(name)
    if table.metric != "verdict":
        raise ConfigError(f"{name} holds scores, not verdicts; use scores_beside")
    specs = _specs(results)
    theirs = table.values.assign(
        shown=table.values["published"] + table.values["trust"].map({"recalled": "?"}).fillna("")
    )
    paper = theirs.pivot(index="spec", columns="task", values="shown")
    names = dict(zip(theirs["spec"], theirs["paper"], strict=True))
    mine = comparison.pivot(index="label", columns="task", values="verdict")
    rows = []
    for label in dict.fromkeys(comparison["label"]):
        spec = specs[label]
        if spec in names:
            ours = {OURS_ON + str(t): mine.loc[label, t] for t in dict.fromkeys(comparison["task"])}
            beside = {PAPER_ON + str(t): paper.loc[spec, t] for t in dict.fromkeys(theirs["task"])}
            rows.append({"label": label, "paper": names[spec]} | ours | beside)
    return pd.DataFrame(rows)


def _specs(results: pd.DataFrame) -> dict[str, str]:
    """Gives the spec of every label."""
    labelled = results if "label" in results else with_labels(results)
    return dict(zip(labelled["label"].astype(str), labelled["spec"].astype(str), strict=True))
