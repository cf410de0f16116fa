"""Setting what a cell leaves open by name: its constants and its declared sizes."""

from __future__ import annotations

import dataclasses

from odyssey.errors import CellError
from odyssey.expr.cell import Cell, parse_cell
from odyssey.wording import quoted


def settings(cell: Cell) -> tuple[str, ...]:
    """Names of the constants and declared sizes of a cell."""
    return (*cell.constants, *(d.name for d in cell.sizes))


def set_value(cell: Cell, name: str, value: str) -> Cell:
    """Sets a constant to a number, or a declared size.

    Args:
        cell: The cell.
        name: One of its `settings`.
        value: As its line in a cell text has it: `0.05`, `16`, `H / 2`.

    Raises:
        CellError: The value is none, or leaves no legal cell.
    """
    word = "const" if name in cell.constants else "size"
    head = f"{word} {name} = "
    text = "".join(
        f"{head}{' '.join(value.split())}\n" if line.startswith(head) else f"{line}\n"
        for line in cell.text.splitlines()
    )
    try:
        return dataclasses.replace(parse_cell(text), lineage=cell.lineage)
    except CellError as error:
        reason = str(error).partition(": ")[2]
        raise CellError(f"{cell.name}: {name}={quoted(value)}: {reason}") from None
