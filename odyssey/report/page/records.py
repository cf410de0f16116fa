"""What a report reads of a run: its records, with the names that people see.

A page and its tables are given away. They name a text or a cell by its file, never by the folders
of the machine that trained it, and in one line, whatever it is called.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import tomli_w

from odyssey.names import paths_in, renamed, short_names
from odyssey.storage import RunStore
from odyssey.storage.floors import floors_frame

# What run.json holds for the run itself, and a page shows elsewhere or not at all.
_INNER = ("study_toml", "resolved", "trial_ids", "format", "id")


@dataclass(frozen=True)
class Records:
    """The records of a run under the names to show.

    Attributes:
        run: The facts of run.json, without what only resuming needs.
        study_text: The study that the run began with.
        results: As `RESULT_COLUMNS`; no rows where they were not asked for.
        curves: As `CURVE_COLUMNS`; no rows where they were not asked for.
        floors: As `FLOOR_COLUMNS`; no rows where no report has measured them.
    """

    run: Mapping[str, Any]
    study_text: str
    results: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    curves: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    floors: pd.DataFrame = field(repr=False, default_factory=lambda: floors_frame([]))


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
    frames = (store.results(), store.curves()) if rows else ()
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
    results, curves = shown or (pd.DataFrame(), pd.DataFrame())
    return Records(renamed(run, names), text, results, curves, known)
