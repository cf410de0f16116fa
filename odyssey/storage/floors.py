"""The floors and ceilings of a run's tasks on disk: one small table, made by its report.

It can be measured again at any time, so one that cannot be read is no error.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pandas as pd

FLOORS_FILE = "floors.csv"
# name -> (pandas dtype, meaning)
FLOOR_COLUMNS: dict[str, tuple[str, str]] = {
    "task": ("string", "task spec"),
    "kind": ("string", "chance, grammar, context, optimum or bound"),
    "context": ("Int64", "inputs of an n-gram's context"),
    "nats": ("float64", "mean loss on the test, nats per counted symbol"),
    "symbols": ("Int64", "symbols that it was counted over"),
}


def read_floors(directory: Path) -> pd.DataFrame:
    """Reads the floors that a report has left in a run; no rows where there are none."""
    dtypes = {name: dtype for name, (dtype, _) in FLOOR_COLUMNS.items()}
    with contextlib.suppress(OSError, ValueError):
        found = pd.read_csv(directory / FLOORS_FILE, dtype=dtypes)
        if set(FLOOR_COLUMNS) <= set(found):
            return found[list(FLOOR_COLUMNS)]
    return floors_frame([])


def floors_frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    """Makes the table of rows in the order of `FLOOR_COLUMNS`."""
    frame = pd.DataFrame(rows, columns=list(FLOOR_COLUMNS))
    return frame.astype({name: dtype for name, (dtype, _) in FLOOR_COLUMNS.items()})
