"""Printing: tables and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from odyssey.progress.output import console, print_line


def teller(*, quiet: bool) -> Callable[[str], None]:
    """Gives what prints lines of a job on its way; nothing where there is to be JSON alone."""
    return (lambda line: None) if quiet else print_line


def print_json(data: Any) -> None:
    """Prints data as JSON; what JSON lacks, such as NaN, becomes null."""
    print(json.dumps(_clean(data), indent=2, default=str))


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    if isinstance(value, float) and not (value == value and abs(value) != float("inf")):
        return None
    return value


def print_rows(
    rows: Sequence[Mapping[str, Any]], *, title: str = "", right: Collection[str] = ()
) -> None:
    """Prints rows of one shape as a table that fits the terminal.

    Numbers stand on the right of their columns, and so do the columns named in `right`.
    """
    from rich.table import Table

    wide = console(width=None if sys.stdout.isatty() else 120)
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for name in rows[0] if rows else ():
        numeric = name in right or all(isinstance(r[name], int | float) for r in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if v is None else _cell(v) for v in row.values()))
    wide.print(table, markup=False, highlight=False)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
