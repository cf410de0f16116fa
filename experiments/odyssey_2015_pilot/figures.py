"""Chooses the budget of a trial from the pilot's learning curves, and draws them.

Usage: python experiments/odyssey_2015_pilot/figures.py RUN OUT

Progress is the fall of the best validation loss so far from that of a uniform guess, ln V. The good
draws at a budget are the best quarter by what they reach with four times as much.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from odyssey import load_curves
from odyssey.report.page.style import ACCENT, FAINT, INK, save_figure, styled

SYMBOLS = {"arithmetic": 40, "xml": 29, "tinyshakespeare": 65}
SHARE, FACTOR = 4, 4  # the best quarter; four times the budget
ENOUGH = 0.9
BUDGET = 1_200_000  # characters: what study.toml of odyssey_2015 gives a trial


def best_so_far(curves: pd.DataFrame) -> pd.DataFrame:
    """Gives the lowest validation loss so far: rows are characters, columns draws."""
    valid = curves[curves["metric"] == "valid_nats"]
    wide = valid.pivot(index="characters", columns="member", values="value")
    return wide.fillna(np.inf).cummin()


def progress(curves: pd.DataFrame) -> pd.DataFrame:
    """Gives, by task and budget, the share of the progress with four times as much that is made."""
    rows = []
    for task, here in curves.groupby("task", sort=False):
        best = best_so_far(here)
        start = np.log(SYMBOLS[str(task).partition("@")[0]])
        for characters in best.index[best.index * FACTOR <= best.index[-1]]:
            late = best.loc[characters * FACTOR]
            good = late.nsmallest(len(late) // SHARE).index
            made = start - best.loc[characters, good]
            whole = start - late[good]
            share = made / whole
            rows.append((task, characters, len(good), float(share.mean()), float(share.min())))
    return pd.DataFrame(rows, columns=["task", "characters", "draws", "share", "least"])


@styled
def draw(curves: pd.DataFrame, shares: pd.DataFrame) -> Figure:
    """Draws the curves of all draws, a panel a task, and below the shares."""
    tasks = list(shares["task"].unique())
    figure = Figure(figsize=(2.6 * len(tasks), 4.2), layout="constrained")
    axes = figure.subplots(2, len(tasks), sharex="col", squeeze=False)
    for column, task in enumerate(tasks):
        best = best_so_far(curves[curves["task"] == task]) / np.log(2)
        good = best.iloc[-1].nsmallest(best.shape[1] // SHARE).index
        top, low = axes[:, column]
        for member in best:
            top.plot(
                best.index / 1e6, best[member], color=ACCENT if member in good else FAINT, lw=1
            )
        top.set_title(task)
        here = shares[shares["task"] == task]
        low.plot(here["characters"] / 1e6, here["share"], color=INK)
        low.axhline(ENOUGH, color=FAINT, lw=1)
        low.set_ylim(0.7, 1.01)
        low.set_xlabel("million characters")
        for ax in (top, low):
            ax.set_xscale("log")
            ax.axvline(BUDGET / 1e6, color=INK, lw=0.8, ls=":")
    axes[0, 0].set_ylabel("best validation loss,\nbits/char")
    axes[1, 0].set_ylabel("share of the progress\nwith four times as much")
    return figure


def main(run: Path, out: Path) -> None:
    """Writes the figure into `out`, and prints the shares at the budget."""
    curves = load_curves(run)
    shares = progress(curves)
    for path in save_figure(draw(curves, shares), out / "figures/budget", data=shares).values():
        print(path)
    print(shares[shares["characters"] == BUDGET].to_string(index=False))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python experiments/odyssey_2015_pilot/figures.py RUN OUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
