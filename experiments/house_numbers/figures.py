"""How many house numbers five cells read wholly right, with attention and without.

Usage: python experiments/house_numbers/figures.py RUN OUT

RUN is that of study.toml; that of first.toml is read as well where it lies beside it, with `_first`
behind its name.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from odyssey import load_results
from odyssey.report.page.style import PALETTE, new_axes, save_figure, styled
from odyssey.wording import NATS_PER_BIT

NAMES = {"house-numbers": "attention", "house-numbers@look=first": "first"}
PICTURES = 1_000  # of the test
Z = 1.96


def read(results: pd.DataFrame) -> pd.DataFrame:
    """Gives a row a cell and look: what was read right, and the three losses in bits per step.

    The 95 % interval of the share is Wilson's, over pictures: it knows nothing of other seeds.
    """
    p, n = results["test_exact"], PICTURES
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return pd.DataFrame(
        {
            "cell": results["cell"],
            "look": results["task"].map(NAMES),
            "parameters": results["num_parameters"],
            "exact": p,
            "low": middle - half,
            "high": middle + half,
            "own": results["test_nats"] / NATS_PER_BIT,
            "another": results["shuffled_nats"] / NATS_PER_BIT,
            "mean": results["blank_nats"] / NATS_PER_BIT,
            "best_update": results["best_update"],
            "processor_seconds": results["processor_seconds"].round(),
        }
    ).sort_values(["look", "exact"], ascending=[True, False], ignore_index=True)


@styled
def draw(frame: pd.DataFrame) -> Figure:
    """Draws a point a cell and look."""
    ax = new_axes(5.6, 2.4)
    cells = list(dict.fromkeys(frame["cell"]))
    for place, (look, part) in enumerate(frame.groupby("look")):
        y = part["cell"].map({c: k for k, c in enumerate(cells)}) + 0.16 * (2 * place - 1)
        error = [part["exact"] - part["low"], part["high"] - part["exact"]]
        ax.errorbar(
            part["exact"], y, xerr=error, fmt="os"[place], color=PALETTE[place], ms=4, label=look
        )
    ax.set_yticks(range(len(cells)), cells)
    ax.set_ylim(len(cells) - 0.5, -0.5)
    ax.set_xlim(max(0, frame["low"].min() - 0.03), 1.005)
    ax.set_xlabel("share of 1,000 test numbers wholly right, 95 % over pictures")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax.get_figure(root=True)


def main(run: Path, out: Path) -> None:
    """Writes the figure and its table into `out`."""
    runs = [path for path in (run, run.with_name(f"{run.name}_first")) if path.is_dir()]
    frame = read(pd.concat([load_results(path) for path in runs], ignore_index=True))
    for path in save_figure(draw(frame), out / "figures/exact", data=frame).values():
        print(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python experiments/house_numbers/figures.py RUN OUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
