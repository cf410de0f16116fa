"""Parquet shards to and from rows: the only place that reads and writes Parquet."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from odyssey.storage.files import (
    MOST_FILE_BYTES,
    SLOT,
    DamagedFileError,
    check_seal,
    read_regular,
    seal,
)
from odyssey.storage.places import Place
from odyssey.storage.schema import FORMER_VALUES

Columns = Mapping[str, tuple[str, str]]

_ARROW_TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "Int64": pa.int64(),
    "float64": pa.float64(),
}
_CASTS: dict[str, Any] = {"string": str, "int64": int, "Int64": int, "float64": float}


_text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null)
_whole = (pa.types.is_signed_integer, pa.types.is_null)
_number = (*_whole, pa.types.is_floating)
# What a column of a declared type may hold; other columns are text, numbers or yes and no.
_KINDS: dict[str, tuple[Callable[[Any], bool], ...]] = {
    "string": _text,
    "int64": _whole,
    "Int64": _whole,
    "float64": _number,
    "": (*_text, *_number, pa.types.is_boolean),
}
MOST_COLUMNS = 10_000
FEW = 16  # rows, as of most trials: packed they are no shorter, and take three times as long
_RUN = b"run"


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


def encode(table: pa.Table, *, run: str = "", rounded: Sequence[str] = ()) -> bytes:
    """Gives the Parquet file of a table, sealed (`files`), with a checksum on every page.

    Args:
        table: The table.
        run: The id of the run that it belongs to.
        rounded: Columns of floats that hardly repeat: their bytes are packed place by place, which
            takes half of the room where the last bits are nought, else three quarters.
    """
    buffer = io.BytesIO()
    marked = table.replace_schema_metadata({_RUN: run.encode(), b"digest": SLOT.encode()})
    few = table.num_rows < FEW
    pq.write_table(
        marked,
        buffer,
        compression="none" if few else "zstd",
        use_dictionary=[] if few else [n for n in table.column_names if n not in rounded],
        use_byte_stream_split=list(rounded),
        write_page_checksum=True,
    )
    return seal(buffer.getvalue())


def decode(
    path: Place,
    columns: Columns,
    *,
    required: Iterable[str] = ("trial",),
    only: Sequence[str] | None = None,
    sealed: bool = False,
) -> pa.Table:
    """Reads a shard, and compares it with its digest, its pages' checksums and its schema.

    Args:
        path: The file.
        columns: The types of its columns.
        required: Columns that must be there.
        only: Reads only these columns; all are compared with the digest.
        sealed: Whether it must have a digest.

    Raises:
        DamagedFileError: It is not a shard as it was written.
        OSError: The file itself cannot be read.
    """
    data = read_regular(path)
    check_seal(data, required=sealed)
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        _check_size(file.metadata)
        table = file.read(columns=only, use_threads=False)
        table.validate(full=True)
    except DamagedFileError:
        raise
    # What old and foreign files make of a parser is not ours to list.
    except Exception as error:
        raise DamagedFileError(_first_line(error)) from error
    _check_columns(table, columns, required=required)
    for place, field in enumerate(table.schema):
        if pa.types.is_large_string(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.string()))
    return table


def run_of(table: pa.Table) -> str:
    """Gives the id of the run that a shard was written for; empty where it says none."""
    return bytes((table.schema.metadata or {}).get(_RUN, b"")).decode("utf-8", "replace")


def _check_size(metadata: pq.FileMetaData) -> None:
    size = sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
    if size > MOST_FILE_BYTES or metadata.num_columns > MOST_COLUMNS:
        raise DamagedFileError(f"it unpacks to {size:,} bytes in {metadata.num_columns:,} columns")


def _check_columns(table: pa.Table, columns: Columns, *, required: Iterable[str]) -> None:
    names = table.column_names
    lacking = [name for name in required if name not in names]
    if lacking:
        raise DamagedFileError(f"no column {', '.join(map(repr, lacking))}")
    if len(set(names)) < len(names):
        raise DamagedFileError("a column is there twice")
    for field in table.schema:
        kind = columns[field.name][0] if field.name in columns else ""
        if not any(is_kind(field.type) for is_kind in _KINDS[kind]):
            expected = f", expected {kind}" if kind else ""
            raise DamagedFileError(f"column {field.name[:60]!r} holds {field.type}{expected}")
    if "trial" in names and table.column("trial").null_count:
        raise DamagedFileError("a row has no trial")


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
        if name in FORMER_VALUES:
            series = series.fillna(FORMER_VALUES[name])
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


def with_symbols(
    frame: pd.DataFrame, facts: Mapping[str, Mapping[str, Any]], *, runs: pd.Series[str]
) -> pd.DataFrame:
    """Fills `num_symbols` of rows that lack it from what run.json says about their task.

    Args:
        frame: Rows of results.
        facts: run.json by name of the run.
        runs: The run of every row.
    """
    known = {}
    for run, said in facts.items():
        tasks = said.get("tasks")
        for task, about in tasks.items() if isinstance(tasks, Mapping) else ():
            count = about.get("num_symbols") if isinstance(about, Mapping) else None
            if isinstance(count, int) and not isinstance(count, bool):
                known[run, str(task)] = count
    keys = zip(runs.astype(str), frame["task"].astype(str), strict=True)
    of_run = pd.array([known.get(key) for key in keys], dtype="Int64")
    return frame.assign(num_symbols=frame["num_symbols"].fillna(pd.Series(of_run, frame.index)))
