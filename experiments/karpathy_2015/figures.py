"""Ours beside table 1 of Karpathy et al. (2015), and how validation falls pass by pass.

Usage: python experiments/karpathy_2015/figures.py RUN... OUT

RUN is a run of study.toml, streams.toml or gpu.toml, or a folder that has it as `run`. It need not
be finished: what has not been trained has no number. What several have trained is that of the
first.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from odyssey import load_curves, load_results
from odyssey.report.page.style import PALETTE, new_axes, save_figure, styled
from odyssey.statistics.published import published

PAPER = published("karpathy2015")
PRINTED = PAPER.values[PAPER.values["task"] == "warpeace"]
UNITS = {44_567: 64, 121_815: 128, 374_615: 256}  # parameters -> units of a one-layer LSTM
SIZE = ["spec", *PAPER.where]


def table(results: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Gives a row a number of the paper: ours, where there is one, and by how much it is higher.

    Columns units (of the LSTM that has as many parameters), layers, cell, device, hidden_size,
    num_parameters, best_pass (whose weights are tested), train, valid, test, published, difference;
    losses in nats a character.
    """
    per_pass = curves.groupby("trial")["update"].agg(lambda u: u[u > 0].min())
    ours = results.assign(best_pass=results["best_update"] / results["trial"].map(per_pass))
    found = PRINTED.merge(ours, on=SIZE, how="left", suffixes=("", "_ours"))
    return pd.DataFrame(
        {
            "units": found["parameters"].map(UNITS),
            "layers": found["num_layers"],
            "cell": found["paper"],
            "device": found["device"],
            "hidden_size": found["hidden_size"].astype("Int64"),
            "num_parameters": found["num_parameters"].astype("Int64"),
            "best_pass": found["best_pass"].astype("Int64"),
            "train": found["train_nats"],
            "valid": found["valid_nats"],
            "test": found["test_nats"],
            "published": found["published"],
            "difference": found["test_nats"] - found["published"],
        }
    )


def falling(results: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Gives the validation after every pass: columns units, layers, cell, pass, valid (nats)."""
    names = dict(zip(PRINTED["spec"], PRINTED["paper"], strict=True))
    sizes = results.set_index("trial")[list(PAPER.where)]
    valid = curves[(curves["metric"] == "valid_nats") & (curves["update"] > 0)].join(sizes, "trial")
    done = valid.groupby("trial")["update"].rank().astype(int)
    return pd.DataFrame(
        {
            "units": valid["parameters"].map(UNITS),
            "layers": valid["num_layers"],
            "cell": valid["spec"].map(names),
            "pass": done,
            "valid": valid["value"],
        }
    ).sort_values(["units", "layers", "cell", "pass"], ignore_index=True)


@styled
def draw(frame: pd.DataFrame) -> Figure:
    """Draws validation against passes, one line a model; the published test loss is dashed."""
    ax = new_axes(5.6, 3.4)
    printed = PRINTED.assign(units=PRINTED["parameters"].map(UNITS))
    printed = printed.set_index(["units", "num_layers", "paper"])["published"]
    cells = list(dict.fromkeys(printed.index.get_level_values("paper")))
    styles = dict(zip(((u, n) for u in UNITS.values() for n in (1, 2, 3)), range(9), strict=True))
    for (units, layers, cell), line in frame.groupby(["units", "layers", "cell"], sort=False):
        color = PALETTE[cells.index(cell)]
        label = f"{cell}, {layers} layer{'s' if layers > 1 else ''}, size {units}"
        marker = "os^Dv<>ph"[styles[units, layers]]
        ax.plot(line["pass"], line["valid"], color=color, label=label, marker=marker, ms=2.5)
        ax.axhline(printed[units, layers, cell], color=color, ls="--", lw=0.8)
    ax.set_ylim(None, frame["valid"].min() + 0.6)
    ax.set_xlabel("passes")
    ax.set_ylabel("validation, nats a character")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax.get_figure(root=True)


def read(folders: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reads results and curves of runs; what several have trained is that of the first."""
    runs = [folder / "run" if (folder / "run").is_dir() else folder for folder in folders]
    results = pd.concat(map(load_results, runs), ignore_index=True).drop_duplicates(SIZE)
    curves = pd.concat(map(load_curves, runs), ignore_index=True)
    return results, curves[curves["trial"].isin(results["trial"])]


def main(folders: Sequence[Path], out: Path) -> None:
    """Writes the table and the figure into `out`."""
    results, curves = read(folders)
    out.mkdir(parents=True, exist_ok=True)
    text = table(results, curves).to_csv(index=False, lineterminator="\n", float_format="%.4f")
    (out / "table.csv").write_text(text, encoding="utf-8")
    print(out / "table.csv")
    frame = falling(results, curves)
    for path in save_figure(draw(frame), out / "figures/passes", data=frame).values():
        print(path)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python experiments/karpathy_2015/figures.py RUN... OUT")
    *given, place = map(Path, sys.argv[1:])
    main(given, place)
