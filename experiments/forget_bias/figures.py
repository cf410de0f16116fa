"""Draws test accuracy against the length of the task, a line an initial forget bias.

Usage: python experiments/forget_bias/figures.py RUN OUT
"""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from odyssey import load_results
from odyssey.report.page.style import LINES, PALETTE, save_figure, styled
from odyssey.statistics.draws import top_scores
from odyssey.statistics.estimates import top_count

# Spec -> how the figure calls it, from the least bias to the most.
NAMES = {
    "lstm:forget_bias=-1": "-1",
    "lstm": "0",
    "lstm:forget_bias=1": "1",
    "lstm:forget_bias=2": "2",
    "lstm:forget_bias=5": "5",
    "lstm:chrono=40": "chrono, 40",
}
AXES = {"memorization": "symbols to remember", "arithmetic": "digits of an operand"}
RESAMPLES = 2_000


def lengths(results: pd.DataFrame) -> pd.DataFrame:
    """Gives the mean test accuracy of the best draws by validation, by kind, length and bias.

    The 95 % interval is a percentile bootstrap over draws, the choice of the best made anew in
    every resample. A draw that diverged is the worst, with no right answer.
    """
    rng = np.random.default_rng(1)
    rows = []
    for (task, spec), here in results.groupby(["task", "spec"], sort=False):
        lost = here["status"] != "ok"
        valid = here["valid_nats"].mask(lost, np.inf).to_numpy(float)
        test = here["test_accuracy"].mask(lost, 0.0).to_numpy(float)
        top = top_count(len(here))
        picks = rng.integers(len(here), size=(RESAMPLES, len(here)))
        means = top_scores(valid[picks], test[picks], top).mean(axis=-1)
        low, high = np.quantile(means, (0.025, 0.975))
        mean = top_scores(valid[None], test[None], top).mean()
        kind = str(task).partition("@")[0]
        length = int(re.findall(r"\d+", str(task))[0])
        rows.append((kind, length, NAMES[str(spec)], mean, low, high, len(here), top))
    columns = ["kind", "length", "bias", "accuracy", "low", "high", "draws", "best"]
    order = {name: place for place, name in enumerate(NAMES.values())}
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values(
        ["kind", "bias", "length"],
        key=lambda c: c.map(order) if c.name == "bias" else c,
        ignore_index=True,
    )


@styled
def draw(frame: pd.DataFrame) -> Figure:
    """Draws a panel a kind of task."""
    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    for ax, (kind, label) in zip(figure.subplots(1, 2, sharey=True), AXES.items(), strict=True):
        for place, name in enumerate(NAMES.values()):
            part = frame[(frame["kind"] == kind) & (frame["bias"] == name)]
            ax.errorbar(
                part["length"] * 1.015 ** (place - 2.5),
                part["accuracy"],
                yerr=[part["accuracy"] - part["low"], part["high"] - part["accuracy"]],
                color=PALETTE[place],
                ls=LINES[place],
                elinewidth=0.8,
                marker="o",
                markersize=3,
                label=name,
            )
        ax.set_xscale("log")
        ticks = sorted(frame.loc[frame["kind"] == kind, "length"].unique())
        ax.set_xticks(ticks, [str(t) for t in ticks])
        ax.minorticks_off()
        ax.set_xlabel(label)
        ax.set_title(kind)
        ax.set_ylim(0, 1.02)
    figure.axes[0].set_ylabel("test accuracy, best five draws")
    figure.axes[1].legend(title="initial forget bias", title_fontsize=8)
    return figure


def main(run: Path, out: Path) -> None:
    """Writes the figure and its table into `out`."""
    frame = lengths(load_results(run))
    for path in save_figure(draw(frame), out / "figures/lengths", data=frame).values():
        print(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python experiments/forget_bias/figures.py RUN OUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
