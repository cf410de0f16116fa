"""Puts every cell with dropout beside itself without: a table, and a figure.

Usage: python experiments/jozefowicz_dropout/figures.py DROPOUT OUT

DROPOUT is the run with dropout; the one without lies beside it, as jozefowicz_plain.
"""

import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

import odyssey
from odyssey.report.page.style import ACCENT, INK, save_figure, styled
from odyssey.report.page.tables import to_csv
from odyssey.statistics.verdicts import BETTER, WORSE

PLAIN = "jozefowicz_plain"
TITLES = {"tinyshakespeare": "tinyshakespeare", "nottingham@steps=100": "Nottingham"}
UNITS = {"tinyshakespeare": "test bits a character", "nottingham@steps=100": "test bits a frame"}


def settings(dropout: Path) -> pd.DataFrame:
    """Compares every cell with itself without dropout: the table of `compare --settings`."""
    return odyssey.compare(dropout.parent / PLAIN, dropout, settings=True).table


@styled
def draw(table: pd.DataFrame) -> Figure:
    """Draws both scores of every cell on both tasks, the best without dropout on top."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    panels = figure.subplots(1, len(TITLES))
    for ax, (task, title) in zip(panels, TITLES.items(), strict=True):
        here = table[table["task"] == task]
        plain = here[here["baseline"]].set_index("cell").sort_values("top_score", ascending=False)
        other = here[~here["baseline"]].set_index("cell").loc[plain.index]
        places = range(len(plain))
        pairs = zip(places, plain["top_score"], other["top_score"], other["verdict"], strict=True)
        for place, before, after, verdict in pairs:
            decided = verdict in (BETTER, WORSE)
            ax.plot(
                [before, after], [place, place], color=INK, lw=2.2 if decided else 0.8, zorder=2
            )
        looks = {"linestyle": "none", "marker": "o", "markersize": 6, "zorder": 3}
        ax.plot(plain["top_score"], places, color=INK, mfc="white", label="without", **looks)
        ax.plot(other["top_score"], places, color=ACCENT, label="with dropout", **looks)
        ax.set_yticks(places, plain.index)
        ax.set_title(title)
        ax.set_xlabel(f"{UNITS[task]}, mean of the best draws")
    panels[0].legend(loc="upper right")
    return figure


def main(dropout: Path, out: Path) -> None:
    """Writes table and figure into `out`."""
    table = settings(dropout)
    out.mkdir(parents=True, exist_ok=True)
    (out / "settings.csv").write_text(to_csv(table), encoding="utf-8")
    for path in save_figure(draw(table), out / "figures/dropout", data=table).values():
        print(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python experiments/jozefowicz_dropout/figures.py DROPOUT OUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
