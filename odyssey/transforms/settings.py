"""Setting what a cell leaves open by name: its constants and its declared sizes."""

from __future__ import annotations

from collections.abc import Mapping

from odyssey.errors import CellError
from odyssey.expr.cell import Cell, parse_cell
from odyssey.expr.sizes import INPUTS, parts
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
        return parse_cell(text).renamed(lineage=cell.lineage)
    except CellError as error:
        reason = str(error).partition(": ")[2]
        raise CellError(f"{cell.name}: {name}={quoted(value)}: {reason}") from None


def open_settings(cell: Cell) -> tuple[str, ...]:
    """Names the settings of a cell that its spec has left as the cell has them."""
    said = {step.partition("=")[0] for step in cell.lineage if "=" in step}
    return tuple(name for name in settings(cell) if name not in said)


def fitting(cell: Cell, name: str, value: float | str) -> float | str:
    """Gives the value that a setting takes: numbers of units are whole, texts have no spaces.

    Args:
        cell: The cell.
        name: One of its `settings`.
        value: A number; or of a size a number of the units, as in `H / 4`.

    Raises:
        CellError: The cell is none with it, or it is a size that depends on the input.
    """
    fit = "".join(value.split()) if isinstance(value, str) else value
    if name not in cell.constants and not isinstance(fit, str):
        fit = round(fit)
    own = set_value(cell, name, _written(fit))
    size = next((d.sizes[0] for d in own.sizes if d.name == name), "")
    if size and parts(size)[0] == INPUTS:
        raise CellError(
            f"{cell.name}: {name}={quoted(value)}: the size of a member is a number, or one of H"
        )
    return fit


def with_settings(cell: Cell, values: Mapping[str, float | str]) -> Cell:
    """Sets constants and sizes to what `fitting` gave, as specs do; raises `CellError`."""
    for name, value in values.items():
        cell = set_value(cell, name, _written(value))
    return cell


def _written(value: float | str) -> str:
    return value if isinstance(value, str) else repr(value)
