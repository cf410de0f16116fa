"""Records of one run or several as frames: what a person looks at."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from odyssey.errors import StoreError
from odyssey.storage import frames
from odyssey.storage.files import DamagedFileError, listed, why
from odyssey.storage.places import Place, place
from odyssey.storage.rungs import rung_draws
from odyssey.storage.schema import COLUMNS, ORDERS
from odyssey.storage.store import RunStore, is_run, not_a_run

# Columns without which a file is not one of its kind.
_REQUIRED = {
    "results": ("trial", "cell", "task", "member"),
    "curves": ("trial", "metric", "value"),
}


def load_results(path: str | Place, *, every_rung: bool = False) -> pd.DataFrame:
    """Reads results: one row a member, typed as in `RESULT_COLUMNS`.

    Args:
        path: A run directory, a results .parquet file, or a directory of run directories, or the
            URL of one; the last adds a `run` column with the name of the directory.
        every_rung: Of a ladder, whether a member has a row for every rung that it reached; else it
            has that of the last one (`storage.rungs`). A file holds the rows that it holds.

    Raises:
        StoreError: When there is nothing of the kind at `path`.
    """
    return _load(place(path), "results", every_rung=every_rung)


def load_curves(path: str | Place, *, every_rung: bool = False) -> pd.DataFrame:
    """Reads learning curves: one row a measurement, typed as in `CURVE_COLUMNS`.

    Args:
        path: As for `load_results`, with a curves .parquet file.
        every_rung: As for `load_results`.

    Raises:
        StoreError: When there is nothing of the kind at `path`.
    """
    return _load(place(path), "curves", every_rung=every_rung)


def _load(path: Place, folder: str, *, every_rung: bool) -> pd.DataFrame:
    columns = COLUMNS[folder]
    order, required = ORDERS[folder], _REQUIRED[folder]
    if is_run(path):
        store = RunStore(path)
        return _of_run(store, folder, every_rung=every_rung)
    if path.is_file():
        try:
            table = frames.decode(path, columns, required=required)
            return frames.typed_frame(table, columns, order=order)
        except (DamagedFileError, ValueError, TypeError) as error:
            raise StoreError(f"{path} is not a {folder} file in Parquet: {error}") from error
        except OSError as error:
            raise StoreError(f"cannot read {path}: {why(error)}") from error
    runs = [child for child in listed(path) if is_run(child)] if path.is_dir() else []
    if not runs:
        raise StoreError(not_a_run(path))
    tables = []
    for run in runs:
        store = RunStore(run)
        table = store.table(folder)
        if table is not None:
            if not every_rung and rung_draws(store.run):
                table = _rows_of(table, _of_run(store, folder, every_rung=False))
            # A run inside a run keeps the outer name: that is how the user addressed it.
            names = pa.array([run.name] * table.num_rows, pa.string())
            rest = [name for name in table.column_names if name != "run"]
            tables.append(table.select(rest).append_column("run", names))
    merged = frames.merge(tables) if tables else None
    frame = frames.typed_frame(merged, columns, order=order)
    if merged is None:
        frame["run"] = pd.Series([], dtype=pd.StringDtype())
    if folder == "results":
        frame = frames.with_symbols(
            frame, {r.name: RunStore(r).run for r in runs}, runs=frame["run"]
        )
    return frame.sort_values(["run", *order], kind="stable", ignore_index=True)


def _of_run(store: RunStore, folder: str, *, every_rung: bool) -> pd.DataFrame:
    if folder == "curves":
        return store.curves(every_rung=every_rung)
    return store.rows() if every_rung else store.results()


def _rows_of(table: pa.Table, frame: pd.DataFrame) -> pa.Table:
    """Gives the rows of a table whose trial and member are in a frame."""
    there = set(zip(frame["trial"].astype(str), frame["member"].astype(int), strict=True))
    names = table.column("trial").to_pylist(), table.column("member").to_pylist()
    return table.filter(pa.array([pair in there for pair in zip(*names, strict=True)], pa.bool_()))
