"""What a search's report says, before it has a form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from odyssey.errors import CellError, StoreError
from odyssey.expr import parse_cell, text
from odyssey.report.page import style
from odyssey.report.page.pictures import Picture
from odyssey.report.page.records import read_records
from odyssey.report.search import plots as search_plots
from odyssey.statistics import search as st
from odyssey.statistics.pareto import is_efficient
from odyssey.storage import RunStore
from odyssey.storage.candidates import finished_candidates, load_candidates
from odyssey.storage.schema import KIND, RANDOM_ARM, SEED_ARM

BEST_SHOWN = 10


@dataclass(frozen=True)
class BestCell:
    """One of the best cells.

    Attributes:
        number: Number of the candidate.
        name: Its name.
        arm: Which arm proposed it.
        score: Its final score.
        parameters: Parameters of one layer.
        members: Draws that the score is the best of.
        made: How it came about, oldest ancestor first.
        text: Its text.
        nearest: The library cell that shares the largest part of its lines.
        change: Lines of both: a kind (same, out, in) and a text.
        key: The first digits of its content key.
    """

    number: int
    name: str
    arm: str
    score: float
    parameters: float
    members: int
    made: tuple[str, ...]
    text: str
    nearest: str
    change: tuple[tuple[str, str], ...]
    key: str


@dataclass(frozen=True)
class SearchContent:
    """What the report of a search says.

    Attributes:
        directory: The run directory.
        run: The facts of `run.json`.
        study_text: The resolved study.
        candidates: All that were told.
        arms: `statistics.search.arms_table`.
        refused: `statistics.search.refused_table`.
        operators: `statistics.search.operators_table`.
        audits: `statistics.search.audits`.
        noise: `statistics.search.fitness_noise`.
        duel: The strategy beside random search; None without a random arm.
        best: The best cells.
        pictures: The figures.
    """

    directory: Path
    run: Mapping[str, Any]
    study_text: str
    candidates: pd.DataFrame = field(repr=False)
    arms: pd.DataFrame = field(repr=False)
    refused: pd.DataFrame = field(repr=False)
    operators: pd.DataFrame = field(repr=False)
    audits: tuple[st.Audit, ...]
    noise: pd.DataFrame = field(repr=False)
    duel: st.Duel | None
    best: tuple[BestCell, ...] = field(repr=False)
    pictures: tuple[Picture, ...] = field(repr=False)


def read_search(run_dir: str | Path, *, drawn: bool = True) -> SearchContent:
    """Reads a search and computes what its report needs.

    Args:
        run_dir: The run.
        drawn: Whether its figures are drawn; its tables alone are quicker.

    Raises:
        StoreError: The directory is no run, or no candidate was told yet.
    """
    store = RunStore.open(run_dir)
    candidates, records = load_candidates(store.path), read_records(store, rows=False)
    run = records.run
    if candidates.empty:
        raise StoreError(
            f"{store.path} has no candidate yet; go on with `odyssey search --resume {store.path}`"
        )
    stages = [str(stage["name"]) for stage in run["stages"]]
    start = float(np.nanmax([1.0, *_seeds(candidates)["score"]]))
    arms = [str(a) for a in run["arms"]]
    paths = {arm: st.best_so_far(candidates[candidates["arm"] == arm], start=start) for arm in arms}
    band = None
    if RANDOM_ARM in arms and len(paths[RANDOM_ARM]) > 1:
        rng = np.random.default_rng([int(run["seed"]), 20150319])
        band = st.random_band(candidates[candidates["arm"] == RANDOM_ARM], start=start, rng=rng)
    rival = arms[0] != RANDOM_ARM and band is not None
    return SearchContent(
        directory=Path(run_dir),
        run=run,
        study_text=records.study_text,
        candidates=candidates,
        arms=st.arms_table(candidates),
        refused=st.refused_table(candidates),
        operators=st.operators_table(candidates),
        audits=tuple(st.audits(candidates, stages, top=BEST_SHOWN)),
        noise=st.fitness_noise(candidates, stages),
        duel=st.duel(candidates, strategy=arms[0], start=start, band=band)
        if rival and band is not None
        else None,
        best=tuple(_best(candidates, run["library"])),
        pictures=tuple(_pictures(candidates, run, paths, band)) if drawn else (),
    )


def _seeds(candidates: pd.DataFrame) -> pd.DataFrame:
    return candidates[candidates["arm"] == SEED_ARM]


def _best(candidates: pd.DataFrame, library: Mapping[str, str]) -> Iterator[BestCell]:
    names = dict(zip(candidates["number"], candidates["name"], strict=True))
    for row in (
        finished_candidates(candidates[candidates["arm"] != SEED_ARM])
        .head(BEST_SHOWN)
        .to_dict("records")
    ):
        line = st.ancestry(candidates, [int(row["number"])])
        made = []
        for one in line.to_dict("records"):
            of = ", ".join(str(names.get(p, p)) for p in st.parents_of(one))
            by = "" if one["arm"] == SEED_ARM else f" = {one['operators'].replace(' ', ' + ')}"
            made.append(f"{one['name']}{by}{f' of {of}' if of else ''}")
        nearest, change = nearest_cell(str(row["cell_text"]), library)
        yield BestCell(
            number=int(row["number"]),
            name=str(row["name"]),
            arm=str(row["arm"]),
            score=float(row["score"]),
            parameters=float(row["parameters"]),
            members=int(row["members"]),
            made=tuple(made),
            text=str(row["cell_text"]),
            nearest=nearest,
            change=change,
            key=str(row["cell_key"])[:12],
        )


def nearest_cell(
    cell_text: str, library: Mapping[str, str]
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Finds the library cell that shares the largest part of its lines, and the lines of both.

    Lines are compared as written: equal equations under other names differ.
    """
    try:
        mine = parse_cell(cell_text)
    except CellError:
        return "", ()
    if not library:
        return "", ()
    shares = {n: text.share_that_differs(_read(other), mine) for n, other in library.items()}
    nearest = min(shares, key=lambda name: shares[name])
    kinds = {"-": "out", "+": "in"}
    lines = text.diff(_read(library[nearest]), mine)
    return nearest, tuple((kinds.get(line[:1], "same"), line) for line in lines)


_read = cache(parse_cell)  # a library, which each of the best cells is compared with


def _pictures(
    candidates: pd.DataFrame,
    run: Mapping[str, Any],
    paths: Mapping[str, pd.DataFrame],
    band: pd.DataFrame | None,
) -> Iterator[Picture]:
    stages = [str(stage["name"]) for stage in run["stages"]]
    yield _progress(paths, band, last=stages[-1])
    done = finished_candidates(candidates)
    if len(done):
        yield _front(done, run)
        top = done[done["arm"] != SEED_ARM].head(BEST_SHOWN)
        if len(top):
            yield _lineage(candidates, [int(n) for n in top["number"]])


def _progress(
    paths: Mapping[str, pd.DataFrame], band: pd.DataFrame | None, *, last: str
) -> Picture:
    ax = search_plots.plot_progress(paths, band)
    data = [path.assign(line=arm) for arm, path in paths.items()]
    if band is not None:
        data.append(band.assign(line="random band"))
        reading = (
            "Grey: what random search finds at the same budget, 5 % to 95 % of 1,000 random orders "
            "of the random arm, with their median. It ends where the budget of that arm ends, and "
            "all orders agree there: it can be read up to about half of its length."
        )
    else:
        reading = "There is no random arm (strategy.random = 0), so there is no band."
    return Picture(
        name="progress",
        task="",
        title="Best score so far",
        caption=f"The best score of a candidate that passed all stages, measured in stage {last}, "
        "against the characters that its arm has trained on. Lines begin at the best seed. "
        f"{reading}",
        figure=style.figure_of(ax),
        data=pd.concat(data, ignore_index=True),
    )


def layer_parameters(run: Mapping[str, Any]) -> str:
    """Says what `parameters` of a candidate are: of so many units, whatever size was trained."""
    return f"parameters at {run['sizes']['hidden_size']} units"


def _front(done: pd.DataFrame, run: Mapping[str, Any]) -> Picture:
    loss = run["measure"] == "loss"
    size = f"{layer_parameters(run)} of one layer"
    cost = size if run["cost"] == "parameters" else "operations per character"
    frame = done.assign(
        front=is_efficient(done["cost"], -done["score"]),
        value=1.0 / done["score"] if loss else done["score"],
    )
    if not loss:
        frame["value"] = 1.0 / done["score"].clip(lower=1e-9)
    value = f"{run['measure']} relative to {run['baseline']}" + ("" if loss else ", inverted")
    ax = search_plots.plot_pareto(
        frame[["name", "arm", "cost", "value", "front"]], cost=cost, value=value
    )
    return Picture(
        name="pareto",
        task="",
        title=f"{str(run['measure']).capitalize()} against {run['cost']}",
        caption="Every cell that passed all stages, seeds included; less is better on both axes. "
        "The value is that of the worst task, the best of the draws. The line is the Pareto "
        f"front. {run['cost'].capitalize()} are counted at hidden size "
        f"{run['sizes']['hidden_size']} and input size {run['sizes']['input_size']}. The worst 5 % "
        "may leave the picture.",
        figure=style.figure_of(ax),
        data=frame[["number", "name", "arm", "cost", "score", "value", "front"]],
    )


def _lineage(candidates: pd.DataFrame, numbers: Sequence[int]) -> Picture:
    line = st.ancestry(candidates, numbers)
    frame = line[["number", "name", "arm", "score"]].assign(kept=line["number"].isin(numbers))
    parents = [st.parents_of(row) for row in line.to_dict("records")]
    frame["parents"] = pd.Series(parents, index=frame.index, dtype=object)
    frame = frame[frame["score"].notna()].reset_index(drop=True)
    ax = search_plots.plot_lineage(frame, best=numbers[0])
    table = frame.assign(parents=frame["parents"].map(lambda p: " ".join(map(str, p))))
    return Picture(
        name="lineage",
        task="",
        title="Where the best come from",
        caption=f"The {len(numbers)} best cells (blue points) and all their ancestors, in the "
        "order of the search; the line of the best is strong. Scores of ancestors that were "
        "stopped are those of the stage where they were. Cells without a line come from scratch.",
        figure=style.figure_of(ax),
        data=table,
    )


def is_search(run: Mapping[str, Any]) -> bool:
    """Tells whether the facts of a run are those of a search."""
    return run.get("kind") == KIND


def format_score(value: float, digits: int = 4) -> str:
    """Prints a number, or a dash where there is none."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
