"""Margins of the right picture, and of the two ways in which it is read.

Usage: python experiments/captions/figures.py RUN OUT
"""

import sys
from pathlib import Path

import pandas as pd

from odyssey import load_results
from odyssey.statistics.estimates import mean_interval
from odyssey.wording import NATS_PER_BIT

EVERY = "icons@look=every"
FIRST = "icons"


def margins(results: pd.DataFrame) -> pd.DataFrame:
    """Gives means over seeds with 95 % intervals (Student's t), in bits per character.

    Positive is in favour of the picture, or of reading it at the first step alone; seeds are
    paired.
    """
    results = results.set_index("member")
    rows = []
    for task, part in results.groupby("task", sort=False):
        for name, column in (("another's", "shuffled_nats"), ("the mean", "blank_nats")):
            margin = (part[column] - part["test_nats"]) / NATS_PER_BIT
            rows.append((task, f"own picture against {name}", *mean_interval(margin)))
        rows.append((task, "test loss", *mean_interval(part["test_nats"] / NATS_PER_BIT)))
    losses = results.pivot(columns="task", values="test_nats")
    difference = (losses[EVERY] - losses[FIRST]) / NATS_PER_BIT
    rows.append(("both", "at the first step against at every step", *mean_interval(difference)))
    return pd.DataFrame(rows, columns=["task", "what", "bits", "low", "high", "seeds"])


def main(run: Path, out: Path) -> None:
    """Writes the table into `out`."""
    path = out / "margins.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    margins(load_results(run)).to_csv(path, index=False, lineterminator="\n")
    print(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python experiments/captions/figures.py RUN OUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
