"""The one answer to "is this the same cell?": content key and numeric fingerprint.

Both hold the initial values of the weights: cells that compute the same and start otherwise are two
cells. The key never takes two functions for one, but may take one function for two where its
algebra ends; the fingerprint does not owe anything to the algebra. Two cells that agree in either
are the same, whatever they are called and however they are written.
"""

from __future__ import annotations

from collections.abc import Mapping

from odyssey.expr.cell import Cell
from odyssey.expr.fingerprint import react
from odyssey.expr.text import format_init


def identity(cell: Cell) -> tuple[str, str]:
    """Gives the key, 64 hex digits, and the fingerprint with initial values, 16 hex digits."""
    found = react(cell)
    inits = {i.parameter: i for i in cell.inits}

    def start(name: str) -> str:
        return format_init(inits[name]) if name in inits and not inits[name].source else ""

    lines = [
        f"{found.alone[name]} = {start(name)}"
        if not init.source
        else f"{found.alone[name]} = -{found.alone.get(init.source, start(init.source))}"
        for name, init in inits.items()
        if name in found.alone
    ]
    return cell.key, found.digest(*sorted(lines))


def same_cell(one: Cell, other: Cell) -> bool:
    """Says whether two cells are the same: they agree in key or fingerprint."""
    return any(a == b for a, b in zip(one.identity, other.identity, strict=True))


def repeated(cells: Mapping[str, Cell]) -> tuple[str, str] | None:
    """Gives the first two names that stand for the same cell, the earlier first, or None."""
    seen: dict[str, str] = {}
    for name, cell in cells.items():
        for mark in cell.identity:
            if mark in seen:
                return seen[mark], name
        seen |= dict.fromkeys(cell.identity, name)
    return None
