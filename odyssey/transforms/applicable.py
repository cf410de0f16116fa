"""Which ablations apply to a cell, found by trying them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from odyssey.errors import CellError
from odyssey.expr.cell import Cell
from odyssey.transforms.ablations import ABLATIONS, Ablation, ablate, gates

# What an argument of a kind is tried with. Where a function or a number may be of many, one of
# them stands for all: whether the ablation applies does not depend on it.
_TRIED: dict[str, Callable[[Cell], tuple[str, ...]]] = {
    "gate": gates,
    "other": gates,
    "equation": lambda cell: tuple(e.target for e in cell.equations),
    "state": lambda cell: cell.states,
    "function": lambda cell: ("sin",),
    "value": lambda cell: ("1",),
    "steps": lambda cell: ("50",),
}


def applicable(cell: Cell) -> dict[str, tuple[str, ...]]:
    """Lists the ablations that apply to a cell.

    Returns:
        Name -> the arguments with which it applies, as a spec writes them; "" where it needs none.
    """
    found = {
        name: tuple(a for a in _arguments(cell, row) if _applies(cell, name, a))
        for name, row in ABLATIONS.items()
    }
    return {name: arguments for name, arguments in found.items() if arguments}


def _arguments(cell: Cell, row: Ablation) -> list[str]:
    kinds = [kind.rstrip("?") for kind in row.arguments]
    if not _TRIED.keys() >= set(kinds):
        return list(row.examples)
    bare = [""] if all(kind.endswith("?") for kind in row.arguments) else []
    columns = [_TRIED[kind](cell) for kind in kinds]
    return [*bare, *map(":".join, product(*columns))] if kinds else bare


def _applies(cell: Cell, name: str, argument: str) -> bool:
    try:
        ablate(cell, f"{name}={argument}" if argument else name)
    except CellError:
        return False
    return True
