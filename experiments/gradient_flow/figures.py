"""Correlates the reach of gradients with test loss; tables, figures and the page.

Usage: python experiments/gradient_flow/figures.py DIR OUT [WORK]

DIR holds measured.parquet, OUT gets the rest; with WORK, the folder of run.py, measured.parquet is
made of what is there first.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from odyssey.report.page.pictures import Picture
from odyssey.report.page.simple import PageSection, write_simple_page
from odyssey.report.page.style import ACCENT, INK, styled

TASKS = ("tinyshakespeare", "arithmetic")
WHENS = ("initialisation", "trained")
ONE_EACH = "one of a family"
GROUPS = {
    ONE_EACH: lambda cell: ":" not in cell,
    "all cells": lambda cell: True,
    "gated cells": lambda cell: not cell.startswith("elman"),
    "the Odyssey's nine": lambda cell: cell.startswith("lstm_peephole"),
}
FACTORS = ("1/e", "10x", "1000x")
FACTOR = "10x"  # of the decision rule
RESAMPLES, PERMUTATIONS = 2_000, 10_000
WINDOW = 128
TICKS = {t: f"{t:g}" for t in (0.5, 1, 2, 5, 10, 20, 50)} | {WINDOW: f"≥{WINDOW}"}


def per_cell(measured: pd.DataFrame) -> pd.DataFrame:
    """Gives a row a cell, task and time: median horizons over models, and the test loss.

    Of an even number of models the lower of the two in the middle is the median horizon: horizons
    may be infinite. The loss is the median over seeds at the learning rate of the lower median
    validation loss, and horizons after training are those of the same models. A cell of which half
    of these or more diverged has no loss and is left out of what follows: its dead models would
    count as "no reach, no learning" and make the correlation. A gradient that stays above the
    threshold
    for the whole window has an infinite horizon.
    """
    valid = measured["valid_nats"].where(measured["status"] == "ok", np.inf)
    measured = measured.assign(valid=valid)
    rows = []
    for (task, cell, when), part in measured.groupby(["task", "cell", "when"], sort=False):
        by_rate = part.groupby("learning_rate")
        rate = by_rate["valid"].median().idxmin()
        best = by_rate.get_group(rate)
        alive = best[best["status"] == "ok"]
        horizons = {f: alive[f"horizon {f}"].quantile(0.5, interpolation="lower") for f in FACTORS}
        row = {"task": task, "cell": cell, "when": when, "learning_rate": rate}
        row |= {"models": len(best), "diverged": len(best) - len(alive)}
        loss = alive["test_nats"].median() if 2 * len(alive) > len(best) else np.nan
        rows.append(row | {"test_nats": loss, **horizons})
    return pd.DataFrame(rows)


def correlations(cells: pd.DataFrame) -> pd.DataFrame:
    """Gives Spearman's correlation of horizon and test loss, over cells, by task, time and group.

    Cells with one change are kin of the cell that they are made of, and no independent evidence:
    low and high are a percentile bootstrap over families, 95 %, and p (a permutation test,
    two-sided) is there only where every family has one cell. Negative: the farther a gradient
    reaches, the lower the loss.
    """
    rows = []
    for task in TASKS:
        for when in WHENS:
            for group, inside in GROUPS.items():
                part = cells[(cells["task"] == task) & (cells["when"] == when)]
                part = part[part["cell"].map(inside) & part["test_nats"].notna()]
                family = part["cell"].map(family_of)
                for factor in FACTORS:
                    found = correlate(part[factor], part["test_nats"], family)
                    sizes = (len(part), family.nunique())
                    rows.append((task, when, group, factor, *sizes, *found))
    names = ["task", "when", "group", "horizon", "cells", "families", "rho", "low", "high", "p"]
    return pd.DataFrame(rows, columns=names)


def family_of(cell: str) -> str:
    """Names the cell that a cell with changes is made of."""
    return cell.partition(":")[0]


def correlate(
    horizon: pd.Series, loss: pd.Series, family: pd.Series
) -> tuple[float, float, float, float]:
    """Gives Spearman's rho, its interval over families, and its p-value; NaN where there is none.

    Whole families are resampled, with all their cells. One family has no interval. Cells of one
    family cannot be exchanged with others, so families of several cells have no p-value.
    """
    rng = np.random.default_rng(1)
    x, y = horizon.rank().to_numpy(), loss.rank().to_numpy()
    rho = _rho(x, y)
    places = [np.flatnonzero(family.to_numpy() == name) for name in dict.fromkeys(family)]
    if len(places) < 2:
        return rho, np.nan, np.nan, np.nan
    draws = [rng.integers(len(places), size=len(places)) for _ in range(RESAMPLES)]
    resamples = [np.concatenate([places[k] for k in d]) for d in draws]
    again = np.array([_rho(pd.Series(x[r]).rank(), pd.Series(y[r]).rank()) for r in resamples])
    low, high = np.nanquantile(again, (0.025, 0.975)) if np.isfinite(again).any() else (np.nan,) * 2
    if len(places) < len(x):
        return rho, low, high, np.nan
    shuffled = [_rho(x, rng.permutation(y)) for _ in range(PERMUTATIONS)]
    as_far = np.sum(np.abs(shuffled) >= abs(rho) - 1e-12)
    return rho, low, high, (1 + as_far) / (1 + PERMUTATIONS)


def _rho(x: object, y: object) -> float:
    x, y = np.asarray(x), np.asarray(y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


@styled
def scatter(cells: pd.DataFrame) -> Figure:
    """Draws test loss against the horizon, a panel a task and time, a number a cell."""
    numbers = {cell: place for place, cell in enumerate(dict.fromkeys(cells["cell"]), 1)}
    figure = Figure(figsize=(7.4, 6.6), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    for row, task in enumerate(TASKS):
        for ax, when in zip(axes[row], WHENS, strict=True):
            part = cells[(cells["task"] == task) & (cells["when"] == when)]
            part = part[part["test_nats"].notna()]
            far = part[FACTOR].clip(upper=WINDOW).to_numpy(float)
            x = np.maximum(far, 0.5) + 0.0
            y = part["test_nats"].to_numpy(float)
            for place_x, place_y, cell in zip(x, y, part["cell"], strict=True):
                color = INK if cell.startswith("elman") else ACCENT
                ax.annotate(
                    str(numbers[cell]),
                    (place_x, place_y),
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color=color,
                )
            ax.plot(x, y, "o", color="#c4c7cc", markersize=11, alpha=0.45, markeredgewidth=0)
            ax.set_xscale("log")
            ax.set_yscale("log")
            ticks = [t for t in (1.7, 1.8, 2.0, 2.2, 2.5, 3.0, 4.0) if y.min() <= t <= y.max()]
            ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
            ax.minorticks_off()
            ax.set_xticks(list(TICKS), list(TICKS.values()))
            ax.set_title(f"{task}, horizon {'when trained' if when == 'trained' else 'at init.'}")
        axes[row][0].set_ylabel("test nats per character")
    for ax in axes[1]:
        ax.set_xlabel("steps until the gradient's norm is a tenth")
    names = [f"{n} {c.replace('lstm_peephole:', '')}" for c, n in numbers.items()]
    figure.supxlabel("\n".join(_lines(names, 5)), fontsize=7.5)
    return figure


@styled
def horizons(cells: pd.DataFrame) -> Figure:
    """Draws every cell's horizon before and after training, on both tasks."""
    names = list(dict.fromkeys(cells["cell"]))
    figure = Figure(figsize=(7.4, 4.8), layout="constrained")
    for ax, task in zip(figure.subplots(1, 2, sharey=True, sharex=True), TASKS, strict=True):
        part = cells[(cells["task"] == task) & cells["test_nats"].notna()].pivot(
            index="cell", columns="when", values=FACTOR
        )
        part = part.reindex(names).clip(lower=0.5, upper=WINDOW)
        rows = np.arange(len(names))
        ax.hlines(rows, part[WHENS[0]], part[WHENS[1]], color="#c4c7cc", linewidth=1.6)
        ax.plot(part[WHENS[0]], rows, "o", mfc="white", color=INK, markersize=5, label="at init.")
        ax.plot(part[WHENS[1]], rows, "o", color=ACCENT, markersize=5, label="trained")
        ax.set_xscale("log")
        ax.set_xticks(list(TICKS), list(TICKS.values()))
        ax.minorticks_off()
        ax.set_yticks(rows, [n.replace("lstm_peephole:", "") for n in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_title(task)
        ax.set_xlabel("steps until the gradient's norm is a tenth")
    figure.axes[0].legend(loc="upper right", fontsize=8)
    return figure


def _lines(words: list[str], per_line: int) -> list[str]:
    return ["   ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]


def main(data: Path, out: Path, work: Path | None) -> None:
    """Writes everything into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    if work:
        files = sorted(work.glob("*.parquet"))
        frame = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
        frame.to_parquet(data / "measured.parquet", compression="zstd", index=False)
    cells = per_cell(pd.read_parquet(data / "measured.parquet"))
    found = correlations(cells)
    for name, table in (("cells", cells), ("correlations", found)):
        table.to_csv(out / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")
    pictures = [
        Picture(
            "scatter",
            "",
            "Test loss against the horizon",
            "A number a cell, black the plain RNNs. Medians over seeds; loss at the better of two"
            " learning rates. Points on the right border kept their gradient over the whole window"
            " of 128 steps, points on the left border lost it in half a step.",
            scatter(cells),
            cells,
        ),
        Picture(
            "horizons",
            "",
            "Horizons before and after training",
            "Median over models of the steps back at which the norm of the loss's gradient with"
            " respect to the whole state has fallen to a tenth.",
            horizons(cells),
            cells,
        ),
    ]
    for picture in pictures:
        picture.save(out)
    first = found[found["horizon"] == FACTOR].drop(columns="horizon").round(3)
    lead = (
        "The recurrent cells of the library, and the Odyssey's nine, with 20,000 parameters each:"
        " does it help to know how far a gradient reaches back?"
    )
    parts = [
        PageSection(
            "Rank correlation",
            (
                "Spearman's correlation over cells between the horizon (steps until the gradient's"
                " norm is a tenth) and test nats per character. Negative: the farther the reach,"
                " the lower the loss. Seven of the cells are one LSTM with one change each, and no"
                " seven pieces of evidence: the row with one cell of a family decides, intervals"
                " are a percentile bootstrap over families, 95 %, and p (permutation of cells,"
                " two-sided, not corrected) is given only where every family has one cell; the"
                " decision rule divides 0.05 by its four comparisons. Cells of which half of the"
                " models or more diverged are left out.",
            ),
            (first,),
        ),
        PageSection("Figures", (), pictures),
        PageSection("Other horizons", ("The same for all three thresholds.",), (found.round(3),)),
        PageSection("Cells", ("What the correlations are made of.",), (cells.round(3),)),
    ]
    write_simple_page(
        out / "report.html", title="Gradient flow and learning", lead=lead, parts=parts
    )


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python experiments/gradient_flow/figures.py DIR OUT [WORK]")
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) == 4 else None)
