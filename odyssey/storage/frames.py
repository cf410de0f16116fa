"""Parquet shards to and from rows: the only place that speaks pyarrow."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from odyssey.storage.places import Place, RemotePath

Columns = Mapping[str, tuple[str, str]]

_ARROW_TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "Int64": pa.int64(),
    "float64": pa.float64(),
}
_CASTS: dict[str, Any] = {"string": str, "int64": int, "Int64": int, "float64": float}


class UnreadableShardError(Exception):
    """Marks a file that is no Parquet shard of a run; the store decides what becomes of it."""


def table_of(rows: Sequence[Mapping[str, Any]], columns: Columns) -> pa.Table:
    """Makes an Arrow table of rows; columns outside the schema are float64, or string.

    A missing or null value stays null, and NaN in an integer column becomes null.
    """
    extra = dict.fromkeys(key for row in rows for key in row if key not in columns)
    arrays: dict[str, pa.Array] = {}
    for name in [*columns, *extra]:
        values = [row.get(name) for row in rows]
        kind = columns[name][0] if name in columns else _kind(values)
        # A column without a value has no type yet: null is promoted when shards meet.
        target = _ARROW_TYPES[kind] if name in columns or kind else pa.null()
        cast_value = _CASTS.get(kind, lambda value: value)
        kept_nan = kind == "float64"
        arrays[name] = pa.array(
            [
                None if v is None or (not kept_nan and _missing(v)) else cast_value(v)
                for v in values
            ],
            type=target,
        )
    return pa.table(arrays)


def write_atomically(path: Place, data: bytes) -> None:
    """Writes a file so that a reader, or a kill at any moment, sees all of it or none of it."""
    if isinstance(path, RemotePath):
        path.write_bytes(data)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def move(path: Place, target: Place) -> None:
    """Moves a file to another name in its run; what had the name before is gone."""
    if isinstance(path, RemotePath):
        assert isinstance(target, RemotePath), "both of one run"
        path.replace(target)
    else:
        path.replace(str(target))


def sync_directory(path: Path) -> None:
    """Makes renames in a directory survive a power cut, where the file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems cannot sync a directory; the rename is still atomic
    finally:
        os.close(descriptor)


def encode(table: pa.Table) -> bytes:
    """Gives the Parquet file of a table."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def decode(path: Place, *, required: Iterable[str] = ("trial",)) -> pa.Table:
    """Reads a shard.

    Raises:
        UnreadableShardError: When the file is not Parquet or lacks a required column.
        OSError: When the file itself cannot be read.
    """
    data = path.read_bytes()
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableShardError(_first_line(error)) from error
    lacking = [name for name in required if name not in table.column_names]
    if lacking:
        raise UnreadableShardError(f"no column {', '.join(map(repr, lacking))}")
    return table


def trial_ids(path: Place) -> frozenset[str]:
    """Reads the trial ids of a shard, and no other column of it."""
    with path.open("rb") as file:
        try:
            table = pq.ParquetFile(file).read(columns=["trial"], use_threads=False)
            return frozenset(table.column("trial").unique().to_pylist())
        except (pa.ArrowException, OSError, KeyError) as error:
            raise UnreadableShardError(_first_line(error)) from error


def merge(tables: Sequence[pa.Table]) -> pa.Table:
    """Joins tables; a column that is text in one and a number in another becomes text."""
    types: dict[str, set[Any]] = {}
    for table in tables:
        for field in table.schema:
            types.setdefault(field.name, set()).add(field.type)
    mixed = {name for name, kinds in types.items() if pa.string() in kinds and len(kinds) > 1}
    aligned = []
    for table in tables:
        for name in mixed.intersection(table.column_names):
            place = table.column_names.index(name)
            table = table.set_column(place, name, table.column(name).cast(pa.string()))
        aligned.append(table)
    return pa.concat_tables(aligned, promote_options="permissive")


def typed_frame(table: pa.Table | None, columns: Columns, *, order: Sequence[str]) -> pd.DataFrame:
    """Makes a frame with the schema's columns first, in its dtypes, sorted by `order`.

    Missing columns are filled with NA, further columns are kept behind. A declared int64 column in
    which a value is missing becomes Int64, for int64 cannot say so.
    """
    table = table_of([], columns) if table is None else table
    dtypes = {pa.string(): pd.StringDtype(), pa.int64(): pd.Int64Dtype()}
    frame = cast(pd.DataFrame, table.to_pandas(types_mapper=dtypes.get))
    extra = [name for name in frame.columns if name not in columns]
    typed: dict[str, pd.Series[Any]] = {}
    for name, (dtype, _) in columns.items():
        nullable = "Int64" if dtype == "int64" else dtype
        if name in frame:
            series = frame[name].astype(cast(Any, nullable))
        else:
            series = pd.Series(pd.NA, index=frame.index, dtype=cast(Any, "Int64"))
            series = series.astype(cast(Any, nullable))
        typed[name] = series.astype("int64") if dtype == "int64" and not series.hasnans else series
    for name in extra:
        null = table.schema.field(name).type == pa.null()
        typed[name] = frame[name].astype("float64") if null else frame[name]
    result = pd.DataFrame(typed, index=frame.index)
    return result.sort_values(list(order), kind="stable", ignore_index=True)


def _kind(values: Sequence[Any]) -> str:
    present = [v for v in values if v is not None]
    if not present:
        return ""
    numeric = all(not isinstance(v, (str, bytes)) and _is_number(v) for v in present)
    return "float64" if numeric else "string"


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _missing(value: Any) -> bool:
    return bool(value is pd.NA or (isinstance(value, float) and value != value))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
