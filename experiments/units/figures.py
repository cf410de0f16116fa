"""Tables, figures and the page of the study of units.

    python experiments/units/figures.py DIR OUT

DIR holds the Parquet that run.py has left, OUT gets the rest.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from odyssey.diagnostics.unit_scores import best_units
from odyssey.report.inside.unit_plots import plot_probes, plot_saturation
from odyssey.report.page.pictures import Picture
from odyssey.report.page.simple import PageSection, write_simple_page
from odyssey.report.page.style import figure_of

QUESTION = (
    "Karpathy, Johnson and Fei-Fei (2015) found by eye cells that follow quotes, the position in"
    " the line and nesting. Which units of lstm, gru and elman do, against chance and against the"
    " current symbol?"
)
RULE = (
    "Three models of each cell and corpus, 128 units. The best unit of each model and probe is"
    " chosen on the first half of 50,000 held-out symbols and judged on the second. rho: Spearman's"
    " correlation of unit and probe; auc: the probability that the unit is higher where the probe"
    " holds; chance: the 95 % quantile of the largest rho over all units when the probe is shifted"
    " against the text; symbol: what the current symbol alone reaches. A model has a unit for the"
    " probe (found) if p <= 0.05 against 999 shifts, corrected for all of its units but not for the"
    " number of probes, and if the unit beats the symbol. units: how many of all recorded values"
    " (states, gates, candidates) do. Probes that do not vary in a text have no rows. Medians over"
    " the three seeds."
)
LIMITS = (
    "Three seeds and one budget: enough to see what is always there, not to compare cells finely."
    " Losses differ, so a cell without a unit may only have learnt less of the text. A probe at"
    " chance may still be in a sum of units, which no single one shows."
)
KEYS = ["corpus", "probe", "name"]


def best_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Gives a row a corpus, probe, cell and seed: the best unit, and how many are found of all."""
    parts = []
    for (corpus, seed), part in scores.groupby(["corpus", "seed"], sort=False):
        sizes = part.groupby(["name", "probe"]).size().rename("of").reset_index()
        best = best_units(part).drop(columns=["corpus", "seed"], errors="ignore")
        parts.append(best.merge(sizes, on=["name", "probe"]).assign(corpus=corpus, seed=seed))
    return _ordered(pd.concat(parts, ignore_index=True), scores, [*KEYS, "seed"])


def summary(best: pd.DataFrame) -> pd.DataFrame:
    """Gives a row a corpus, probe and cell: medians over seeds, and in how many it was found."""
    groups = best.groupby(KEYS, sort=False)
    table = groups[["rho", "auc", "null_95", "symbol_rho", "units", "of"]].median()
    table.insert(0, "found", groups["found"].sum())
    table.insert(1, "seeds", groups["found"].size())
    return _ordered(table.reset_index(), best, KEYS)


def _ordered(table: pd.DataFrame, like: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Sorts rows by the order in which their keys first occur in another frame."""
    places = {
        key: table[key].map({v: k for k, v in enumerate(dict.fromkeys(like[key]))}) for key in keys
    }
    order = pd.DataFrame(places).sort_values(keys, kind="stable").index
    return table.loc[order, keys + [c for c in table if c not in keys]].reset_index(drop=True)


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """Makes a summary fit to read."""
    return pd.DataFrame(
        {
            "probe": found["probe"].str.replace("_", " "),
            "cell": found["name"],
            "found": [f"{n} of {of}" for n, of in zip(found["found"], found["seeds"], strict=True)],
            "rho": found["rho"].map("{:.2f}".format),
            "auc": [f"{a:.2f}" if a == a else "-" for a in found["auc"]],
            "chance": found["null_95"].map("{:.2f}".format),
            "symbol": found["symbol_rho"].map("{:.2f}".format),
            "units": [
                f"{n:.0f} of {of:.0f}" for n, of in zip(found["units"], found["of"], strict=True)
            ],
        }
    )


def pictures(best: pd.DataFrame, gates: pd.DataFrame) -> list[Picture]:
    """Draws the best units of each corpus, and the gates of each model that has some."""
    drawn = []
    for corpus, part in best.groupby("corpus", sort=False):
        drawn.append(
            Picture(
                f"probes_{corpus}",
                str(corpus),
                f"The best unit of each probe on {corpus}",
                f"{corpus}: rank correlation of the best unit with each probe, on held-out text;"
                " bars are medians, points the models. A unit counts if it passes both marks.",
                figure_of(plot_probes(part.assign(label=part["name"]))),
                part,
            )
        )
    for (corpus, cell), part in gates[gates["seed"] == 1].groupby(["corpus", "name"], sort=False):
        drawn.append(
            Picture(
                f"saturation_{corpus}_{cell}",
                str(corpus),
                f"Gates of {cell} on {corpus}",
                f"{cell} on {corpus}, seed 1: how often each unit of each gate is nearly shut"
                " (below 0.1) and nearly open (above 0.9), of 50,000 steps.",
                plot_saturation(part),
                part,
            )
        )
    return drawn


def main(data: Path, out: Path) -> None:
    """Writes everything into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    scores, gates, models = (
        pd.read_parquet(data / f"{name}.parquet") for name in ("scores", "gates", "models")
    )
    best = best_table(scores)
    found = summary(best)
    for name, table in (("best", best), ("summary", found), ("models", models)):
        table.to_csv(out / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")
    drawn = pictures(best, gates)
    for picture in drawn:
        picture.save(out)
    parts = [PageSection("How to read it", (RULE, LIMITS))]
    for corpus, part in found.groupby("corpus", sort=False):
        here = [p for p in drawn if p.task == corpus]
        parts.append(PageSection(f"On {corpus}", (), [shown(part), *here]))
    losses = models.rename(columns={"name": "cell", "num_parameters": "parameters"}).copy()
    for name in ("valid_bpc", "test_bpc", "test_accuracy"):
        losses[name] = losses[name].map("{:.3f}".format)
    losses["seconds"] = losses["seconds"].round()
    parts.append(PageSection("Models", ("Bits per character; seconds of training.",), (losses,)))
    units = best[["corpus", "probe", "name", "seed", "track", "unit", "rho", "p", "found"]].copy()
    units["rho"] = units["rho"].map("{:.3f}".format)
    units["found"] = units["found"].map({True: "yes", False: "no"})
    parts.append(
        PageSection("The units", ("Track and number, as the page of units has them.",), (units,))
    )
    write_simple_page(
        out / "report.html", title="Units that mean something", lead=QUESTION, parts=parts
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
