"""Draws validation loss against learning rate, a panel a cell, one figure a task.

Usage: python analysis/learning_rate.py RUN OUT
"""

import sys
from pathlib import Path

from matplotlib.ticker import FixedLocator, NullFormatter

from odyssey import load_results
from odyssey.report.page.style import FAINT, INK, save_figure
from odyssey.report.study.plots import small_multiples
from odyssey.statistics.ranking import with_labels

TICKS = [m * 10.0**e for e in range(-8, 2) for m in (1, 2, 5)]


def plot_learning_rates(frame, *, highlight, ax):
    """Draws all members in grey, those of one cell dark: learning_rate (log), valid_bpc."""
    for chosen, color in ((frame["label"] != highlight, FAINT), (frame["label"] == highlight, INK)):
        part = frame[chosen]
        ax.plot(part["learning_rate"], part["valid_bpc"], "o", color=color, markersize=3.5)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(TICKS))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("learning rate")
    ax.set_ylabel("validation bits per character")
    return ax


def main(run: Path, out: Path) -> None:
    results = with_labels(load_results(run))
    for task, frame in results[results["status"] == "ok"].groupby("task"):
        order = frame.groupby("label")["valid_bpc"].min().sort_values().index
        data = frame.set_index("label").loc[order].reset_index()
        data = data[["label", "member", "hidden_size", "learning_rate", "valid_bpc"]]
        figure = small_multiples(data, plot_learning_rates, title=str(task))
        name = "".join(c if c.isalnum() else "_" for c in str(task))
        for path in save_figure(figure, out / f"learning_rate_{name}", data=data).values():
            print(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python analysis/learning_rate.py RUN OUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
