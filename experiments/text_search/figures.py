"""Says by the rule of the promotion which cell is better than all that is known, and on which task.

Usage: python experiments/text_search/figures.py SEARCH OUT

The run with the promoted cells lies beside the search, as text_promoted, or, with a part of its
tasks, as text_promoted/run. A cell *wins* a task where it is better than each of the known cells:
p at most 0.01 (Holm over all comparisons with that one) and at least 0.03 bits.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import odyssey
from odyssey.report.page.style import ACCENT, INK, save_figure, styled
from odyssey.report.page.tables import to_csv
from odyssey.statistics.comparison import compare
from odyssey.statistics.verdicts import BETTER
from odyssey.storage import RunStore

PROMOTED = ("text_promoted", "text_promoted/run")
ALPHA, LEAST = 0.01, 0.03
TASKS, MOST = 12, 7  # of the promotion, and how many a cell must win


def promoted(search: Path) -> Path:
    """Gives the run with the promoted cells, that of a search."""
    runs = [search.parent / name for name in PROMOTED]
    return next(run for run in runs if (run / "run.json").is_file())


def comparisons(run: Path) -> pd.DataFrame:
    """Compares every promoted cell with every known one on the tasks that all cells have finished.

    Returns:
        Columns task, cell, known, difference, low, high, p_holm, beats.

    Raises:
        ConfigError: All cells have finished no task.
    """
    facts = RunStore.open(run).run
    results = odyssey.load_results(run)
    cells = results.groupby("task")["cell"].nunique()
    done = [task for task, count in cells.items() if count == len(facts["cells"])]
    results = results[results["task"].isin(done)]
    known = [facts["baseline"], *facts["more_baselines"]]
    parts = []
    for name in known:
        found = compare(results, seed=abs(facts["seed"]), baseline=name, alpha=ALPHA)
        parts.append(found[~found["label"].isin(known)].assign(known=name))
    table = pd.concat(parts, ignore_index=True).rename(columns={"label": "cell"})
    table["beats"] = (table["verdict"] == BETTER) & (table["difference"] <= -LEAST)
    return table[["task", "cell", "known", "difference", "low", "high", "p_holm", "beats"]]


def wins(table: pd.DataFrame) -> pd.DataFrame:
    """Counts the tasks that every promoted cell wins, and how many it can still reach."""
    won = table.groupby(["cell", "task"], sort=False)["beats"].all().unstack("task")
    left = TASKS - won.shape[1]
    counts = pd.DataFrame({"won": won.sum(axis=1).astype(int), "of": won.shape[1]})
    return counts.assign(can_reach=counts["won"] + left, most=counts["won"] + left >= MOST)


@styled
def draw(table: pd.DataFrame) -> Figure:
    """Draws every promoted cell beside the known one that comes out best against it, by task."""
    tasks = list(dict.fromkeys(table["task"]))
    cells = list(dict.fromkeys(table["cell"]))
    rows = -(-len(tasks) // 3)
    figure = Figure(figsize=(9.0, 0.9 + rows * (0.8 + 0.26 * len(cells))), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, min(3, len(tasks)), sharey=True)).ravel()
    for ax, task in zip(panels, tasks, strict=False):
        here = table[table["task"] == task]
        ax.axvline(0, color=INK, lw=0.9)
        ax.axvline(-LEAST, color=INK, lw=0.7, ls=":")
        for place, cell in enumerate(cells):
            own = here[here["cell"] == cell]
            hardest = own.loc[own["difference"].idxmax()]
            color = ACCENT if own["beats"].all() else "#8a9099"
            ax.plot(hardest[["low", "high"]].astype(float), [place, place], color=color, lw=1.6)
            ax.plot(hardest["difference"], place, "o", color=color, ms=5)
        ax.set_title(task)
        ax.set_yticks(range(len(cells)), cells)
    panels[0].invert_yaxis()  # which the others share
    for ax in panels[len(tasks) :]:
        ax.remove()
    figure.supxlabel("test bits minus those of the best known cell", fontsize=9)
    return figure


def main(search: Path, out: Path) -> None:
    """Writes table and figure into `out`, and prints who has won what."""
    table = comparisons(promoted(search))
    out.mkdir(parents=True, exist_ok=True)
    (out / "rule.csv").write_text(to_csv(table), encoding="utf-8")
    print(wins(table).to_string())
    for path in save_figure(draw(table), out / "figures/rule", data=table).values():
        print(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python experiments/text_search/figures.py SEARCH OUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
