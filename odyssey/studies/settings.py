"""Constants and sizes of cells that vary over the draws of a study: which cell takes which.

A member with `cell.dt` trains the cell that the spec `cornn:dt=0.05` names, and is recorded under
the cell of the study. Constants and sizes stand in its row as its other hyperparameters do, so that
tables keep one row a cell, and the same draw meets every cell that has the constant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from odyssey.errors import CellError, ConfigError, suggest
from odyssey.expr import Cell
from odyssey.expr.sizes import UNITS, parts, resolve
from odyssey.hyperparameters import OF_CELL, Member
from odyssey.transforms.settings import fitting, open_settings, settings
from odyssey.wording import quoted


def check_settings(names: Sequence[str], cells: Mapping[str, Cell]) -> None:
    """Raises `ConfigError` for a constant or a size that no cell has, or that every spec sets."""
    for name in names:
        if any(name in open_settings(cell) for cell in cells.values()):
            continue
        if any(name in settings(cell) for cell in cells.values()):
            raise ConfigError(f"space.{OF_CELL}{name}: every cell that has {name} sets it itself")
        there = dict.fromkeys(s for cell in cells.values() for s in settings(cell))
        if not there:
            raise ConfigError(f"space.{OF_CELL}{name}: no cell of the study has constants or sizes")
        raise ConfigError(
            "space.cell: " + suggest(name, list(there), what="constant or size in the cells")
        )


def fitted_members(
    spec: str, cell: Cell, members: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Gives draws as a cell takes them: without the constants and sizes that are not open to it.

    Raises:
        ConfigError: A value leaves no legal cell; the message names the first.
    """
    free = {OF_CELL + name for name in open_settings(cell)}
    found: list[Mapping[str, Any]] = []
    for member in members:
        own = {k: v for k, v in member.items() if not k.startswith(OF_CELL) or k in free}
        for name in free & own.keys():
            try:
                own[name] = fitting(cell, name.removeprefix(OF_CELL), own[name])
            except CellError as error:
                reason = str(error).partition("=")[2].partition(": ")[2]
                raise ConfigError(
                    f"space.{name}: {quoted(own[name])} does not fit {spec}: {reason}"
                ) from None
        found.append(own)
    return found


def setting_columns(member: Member, *, hidden_size: int | None = None) -> dict[str, float]:
    """Gives the columns of a member's constants and sizes; a share of unknown units is NaN."""
    return {OF_CELL + name: _number(value, hidden_size) for name, value in member.settings.items()}


def _number(value: float | str, hidden_size: int | None) -> float:
    if not isinstance(value, str):
        return float(value)
    if hidden_size is None and parts(value)[0] == UNITS:
        return math.nan
    return float(resolve(value, 0, hidden_size or 0))


def recorded_settings(cell: Cell, row: Mapping[Any, Any]) -> dict[str, float]:
    """Gives the constants and sizes that a row of results says, as `with_settings` takes them."""
    names = (n for n in settings(cell) if not math.isnan(row.get(OF_CELL + n, math.nan)))
    values = {name: float(row[OF_CELL + name]) for name in names}
    return {n: v if n in cell.constants else int(v) for n, v in values.items()}
