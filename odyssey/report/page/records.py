"""What a report reads of a run: its records, with the names that people see.

A page and its tables are given away. They name a text or a cell by its file, never by the folders
of the machine that trained it, and in one line, whatever it is called.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import tomli_w

from odyssey.names import paths_in, renamed, short_names
from odyssey.statistics.ranking import with_labels
from odyssey.storage import RunStore
from odyssey.storage.floors import floors_frame
from odyssey.storage.rungs import LADDER, curves_of_draws, rung_draws, table_of_draws
from odyssey.storage.schema import FIRST

# What run.json holds for the run itself, and a page shows elsewhere or not at all.
_INNER = ("study_toml", "resolved", "trial_ids", "format", "id")


@dataclass(frozen=True)
class Records:
    """The records of a run under the names to show.

    Attributes:
        run: The facts of run.json, without what only resuming needs.
        study_text: The study that the run began with.
        results: As `RESULT_COLUMNS`, one row a draw; no rows where they were not asked for.
        curves: As `CURVE_COLUMNS`, of these rows; no rows where they were not asked for.
        climb: The rungs of a ladder; None without one.
        floors: As `FLOOR_COLUMNS`; no rows where no report has measured them.
    """

    run: Mapping[str, Any]
    study_text: str
    results: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    curves: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    floors: pd.DataFrame = field(repr=False, default_factory=lambda: floors_frame([]))
    climb: Climb | None = field(repr=False, default=None)


@dataclass(frozen=True)
class Climb:
    """The rungs of a run on a ladder, under the names to show.

    Attributes:
        rungs: What run.json says of each, from the first on: `draws` and a budget.
        tables: By rung the results as if the ladder ended there.
        curves: Those of the first rung.
        finished: Trials that are finished, on all rungs.
    """

    rungs: Sequence[Mapping[str, int]]
    tables: Mapping[int, pd.DataFrame] = field(repr=False)
    curves: pd.DataFrame = field(repr=False)
    finished: int

    @staticmethod
    def of(run: Mapping[str, Any], rows: pd.DataFrame, curves: pd.DataFrame) -> Climb | None:
        """Reads the ladder of a run, from all of its rows and curves; None without one."""
        draws = rung_draws(run)
        if not draws or rows.empty:
            return None
        rungs = range(FIRST, FIRST + len(draws))
        tables = {rung: with_labels(table_of_draws(rows, draws, last=rung)) for rung in rungs}
        first = with_labels(curves_of_draws(curves, tables[FIRST]))
        return Climb(run[LADDER], tables, first, int(rows["trial"].nunique()))

    @property
    def first(self) -> pd.DataFrame:
        """All draws at one budget: the results of the first rung."""
        return self.tables[FIRST]


def read_records(
    store: RunStore, *, rows: bool = True, floors: pd.DataFrame | None = None
) -> Records:
    """Reads a run.

    Args:
        store: The run.
        rows: Whether results and curves are read, too.
        floors: As `FLOOR_COLUMNS`, with the tasks as the run names them.

    Raises:
        StoreError: It cannot be read.
    """
    run = {name: value for name, value in store.run.items() if name not in _INNER}
    frames = (store.rows(), store.curves(every_rung=True)) if rows else ()
    try:
        study = tomllib.loads(store.study_text)
    except tomllib.TOMLDecodeError:  # no study that has run
        study = {}
    specs = [
        str(name)
        for frame in frames
        for column in ("spec", "task")
        for name in frame[column].dropna().unique()
    ]
    names = short_names([*specs, *paths_in(run), *paths_in(study)])
    shown = [
        frame.assign(**{c: frame[c].map(names).astype("string") for c in ("spec", "task")})
        for frame in frames
    ]
    text = tomli_w.dumps(renamed(study, names)) if study else store.study_text
    known = floors_frame([]) if floors is None else floors
    known = known.assign(task=known["task"].map(lambda task: names.get(task, task)))
    every, curves = shown or (pd.DataFrame(), pd.DataFrame())
    run = renamed(run, names)
    climb = Climb.of(run, every, curves)
    if climb is None:
        return Records(run, text, every, curves, known)
    results = table_of_draws(every, rung_draws(run))
    return Records(run, text, results, curves_of_draws(curves, results), known, climb)
