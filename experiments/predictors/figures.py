"""Says which predictors go with the loss of cells, and whether they predict families not seen.

Usage: python experiments/predictors/figures.py DIR OUT [WORK]

DIR is the run with measured.parquet in it, OUT gets tables, figures and the page; with WORK, the
folder of measure.py, measured.parquet is made of what is there first.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from odyssey.report.page.pictures import Picture
from odyssey.report.page.simple import PageSection, write_simple_page
from odyssey.report.page.style import ACCENT, INK, styled
from odyssey.statistics.estimates import filled_curves, member_values
from odyssey.statistics.families import (
    FamilyEstimate,
    Regression,
    family_difference,
    family_tau,
    leave_one_family_out,
)
from odyssey.storage.loading import load_curves, load_results
from odyssey.storage.schema import TEST_BPC, VALID_BPC
from odyssey.transforms.features import FEATURES

LISTED = Path(__file__).parent / "cells.csv"
GRAPH = (*FEATURES, "bounded", "units", "operations")
NOT_MEASURED = ("cell", "member", "reason", *GRAPH)
MODELS: Mapping[str, Callable[[], Regression]] = {
    "random forest": lambda: RandomForestRegressor(TREES, random_state=1),
    "ridge": lambda: make_pipeline(StandardScaler(), Ridge()),
}
TREES, PERMUTATIONS, RESAMPLES = 100, 20, 2_000
DECIDING = ("random forest", "graph and untrained layer")
EARLY = "loss after 150 updates"
GREY = "#c4c7cc"


def losses(results: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Gives a row a cell: test loss at the rate of the lower validation loss, in bits.

    What diverged, or is worse than guessing, counts as guessing. `early` is the lowest validation
    loss at the first checkpoint, at the better of the rates then.
    """
    counted = results.assign(
        valid=member_values(results, VALID_BPC), loss=member_values(results, TEST_BPC)
    )
    best = counted.sort_values(["valid", "member"], kind="stable").groupby("spec", sort=False)
    found = best.first()[["loss", "learning_rate"]]
    found["diverged"] = counted["status"].ne("ok").groupby(counted["spec"]).sum()
    labelled = [frame.assign(label=frame["spec"]) for frame in (curves, results)]
    first = {label: table.iloc[0].min() for (_, label), table in filled_curves(*labelled).items()}
    found["early"] = pd.Series(first)
    return found.rename_axis("cell").reset_index()


def joined(run: Path) -> pd.DataFrame:
    """Gives a row a cell: its family, its loss and the median of each predictor over members.

    Cells that are not measured, or not trained, are left out.
    """
    measured = pd.read_parquet(run / "measured.parquet")
    names = [name for name in measured if name not in ("cell", "member", "reason")]
    medians = measured.groupby("cell")[names].median().reset_index()
    table = pd.read_csv(LISTED, keep_default_na=False).merge(medians, on="cell", how="inner")
    return table.merge(losses(load_results(run), load_curves(run)), on="cell", how="inner")


def untrained(cells: pd.DataFrame, measured: pd.DataFrame) -> list[str]:
    """Lists the predictors that were measured on untrained layers."""
    return [name for name in measured if name not in NOT_MEASURED and name in cells]


def _row(estimate: FamilyEstimate, **labels: object) -> dict[str, object]:
    ends = {"low": estimate.low, "high": estimate.high}
    counts = {"cells": estimate.cells, "families": estimate.families}
    return labels | {"value": estimate.value} | ends | counts


def single(cells: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Gives tau of every predictor and the loss, over all pairs of cells and over pairs of kin.

    Negative: the more of it, the lower the loss. Nothing corrects the intervals for their number.
    """
    rows = []
    for name in names:
        for within in (False, True):
            found = family_tau(
                cells[name],
                cells["loss"],
                cells["family"],
                rng=np.random.default_rng(1),
                within=within,
                resamples=RESAMPLES,
            )
            pairs = "of one family" if within else "all"
            rows.append(_row(found, predictor=name, pairs=pairs))
    return pd.DataFrame(rows)


def predictions(
    cells: pd.DataFrame, sets: Mapping[str, list[str]]
) -> dict[tuple[str, str], object]:
    """Predicts ranks of losses by every model and set of predictors, family by family."""
    rank = cells["loss"].rank().to_numpy()
    return {
        (model, name): leave_one_family_out(cells[names], rank, cells["family"], model=make)
        for model, make in MODELS.items()
        for name, names in sets.items()
    }


def out_of_sample(cells: pd.DataFrame, found: Mapping[tuple[str, str], object]) -> pd.DataFrame:
    """Gives tau of predictions for families not seen and losses."""
    rows = []
    for (model, name), predicted in found.items():
        for within in (False, True):
            tau = family_tau(
                predicted,
                cells["loss"],
                cells["family"],
                rng=np.random.default_rng(1),
                within=within,
                resamples=RESAMPLES,
            )
            pairs = "of one family" if within else "all"
            rows.append(_row(tau, model=model, predictors=name, pairs=pairs))
    return pd.DataFrame(rows)


def null_taus(cells: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Gives tau of predictions where losses were permuted over cells: a row a model."""
    rows = []
    for model, make in MODELS.items():
        taus = []
        for seed in range(PERMUTATIONS):
            rng = np.random.default_rng(seed)
            loss = rng.permutation(cells["loss"].to_numpy())
            rank = pd.Series(loss).rank().to_numpy()
            found = leave_one_family_out(cells[names], rank, cells["family"], model=make)
            tau = family_tau(found, loss, cells["family"], rng=rng, resamples=2)
            taus.append(tau.value)
        spread = float(np.std(taus, ddof=1))
        rows.append(
            {"model": model, "permutations": PERMUTATIONS, "mean": np.mean(taus), "sd": spread}
        )
    return pd.DataFrame(rows)


def additive(cells: pd.DataFrame) -> pd.DataFrame:
    """Gives the mean loss of cells with an additive path less that of cells without, in bits."""
    rows = []
    for what, part in (
        ("all cells", cells),
        ("without the plain cells of the library", cells[cells["made"] != "library"]),
    ):
        for within in (False, True):
            found = family_difference(
                part["loss"],
                part["additive_path"] == 1,
                part["family"],
                rng=np.random.default_rng(1),
                within=within,
                resamples=RESAMPLES,
            )
            compared = "kin" if within else "all"
            row = _row(found, cells_of=what, compared=compared)
            rows.append(row | {"with": int((part["additive_path"] == 1).sum())})
    return pd.DataFrame(rows)


@styled
def plot_single(table: pd.DataFrame) -> Figure:
    """Draws tau of every predictor with its interval, over all pairs and over pairs of kin."""
    whole = table[table["pairs"] == "all"].sort_values("value", ascending=False)
    order = list(whole["predictor"])
    figure = Figure(figsize=(7.2, 0.8 + 0.24 * len(order)), layout="constrained")
    ax = figure.subplots()
    styles = {"all": (INK, "o", -0.16), "of one family": (ACCENT, "s", 0.16)}
    for pairs, (color, marker, shift) in styles.items():
        part = table[table["pairs"] == pairs].set_index("predictor").loc[order]
        y = np.arange(len(order)) + shift
        ax.hlines(y, part["low"], part["high"], color=color, linewidth=1.2)
        label = "all pairs of cells" if pairs == "all" else "pairs of one family"
        ax.plot(part["value"], y, marker, color=color, markersize=4, label=label)
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(order)), [name.replace("_", " ") for name in order])
    ax.set_ylim(len(order) - 0.5, -0.5)
    ax.set_xlabel("Kendall's tau with the test loss (negative: the more, the better)")
    ax.legend(loc="lower right")
    return figure


@styled
def plot_predicted(cells: pd.DataFrame) -> Figure:
    """Draws measured losses against predictions for families not seen."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    ax = figure.subplots()
    for has, color, marker in ((1, INK, "o"), (0, ACCENT, "^")):
        part = cells[cells["additive_path"] == has]
        label = f"{'with' if has else 'without'} an additive path ({len(part)})"
        ax.plot(
            part["predicted"], part["loss"], marker, color=color, ms=3.5, alpha=0.6, label=label
        )
    ax.set_yscale("log")
    ticks = [t for t in (2.5, 2.75, 3, 3.5, 4, 5, 6) if cells["loss"].min() <= t]
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel("predicted rank, family left out (0: the mean of the others)")
    ax.set_ylabel("test loss, bits per character")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def analysed(run: Path) -> tuple[dict[str, pd.DataFrame], list[Picture]]:
    """Gives all tables and figures."""
    cells = joined(run)
    names = untrained(cells, pd.read_parquet(run / "measured.parquet"))
    graph = list(GRAPH)
    sets = {"graph": graph, "untrained layer": names, DECIDING[1]: [*graph, *names]}
    found = predictions(cells, sets)
    cells["predicted"] = found[DECIDING]
    tables = {
        "cells": cells,
        "single": single(cells.rename(columns={"early": EARLY}), [*graph, *names, EARLY]),
        "models": out_of_sample(cells, found),
        "null": null_taus(cells, sets[DECIDING[1]]),
        "additive": additive(cells),
    }
    shown = ["cell", "family", "additive_path", "predicted", "loss"]
    pictures = [
        Picture(
            "single",
            "",
            "Every predictor alone",
            "Kendall's tau of each predictor and the test loss, 95 % intervals over families."
            f" The last of them to compare with: {EARLY}, which is none that is known before.",
            plot_single(tables["single"]),
            tables["single"],
        ),
        Picture(
            "predicted",
            "",
            "Predicted and measured",
            "A point a cell. A random forest learned from all other families.",
            plot_predicted(cells),
            cells[shown],
        ),
    ]
    return tables, pictures


def main(run: Path, out: Path, work: Path | None) -> None:
    """Writes everything into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    if work:
        frames = [pd.read_parquet(file) for file in sorted(work.glob("*.parquet"))]
        whole = pd.concat(frames, ignore_index=True).sort_values(["cell", "member"])
        whole.to_parquet(run / "measured.parquet", compression="zstd", index=False)
    tables, pictures = analysed(run)
    for name, table in tables.items():
        table.to_csv(out / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")
    for picture in pictures:
        picture.save(out)
    parts = [
        PageSection(
            "Families not seen",
            (
                "Kendall's tau of predicted ranks and test losses; models have learned from all"
                " other families. 95 % intervals resample families. The decision rule asks for"
                " more than 0.3 of the random forest with all predictors, over all pairs.",
            ),
            (tables["models"].round(3),),
        ),
        PageSection(
            "Permuted losses", ("The same where there is nothing.",), (tables["null"].round(3),)
        ),
        PageSection(
            "Additive interactions",
            ("Mean loss with an additive path less that without, bits per character.",),
            (tables["additive"].round(3),),
        ),
        PageSection("Figures", (), pictures),
        PageSection("Every predictor alone", (), (tables["single"].round(3),)),
    ]
    lead = f"{len(tables['cells'])} cells: does anything that is known before training predict it?"
    write_simple_page(out / "report.html", title="What predicts the loss", lead=lead, parts=parts)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python experiments/predictors/figures.py DIR OUT [WORK]")
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) == 4 else None)
