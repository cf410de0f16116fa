"""The one answer to "is this the same cell?": content key and numeric fingerprint.

Both hold the initial values of the weights: cells that compute the same and start otherwise are two
cells. The key never takes two functions for one, but may take one function for two where its
algebra ends; the fingerprint does not owe anything to the algebra. Two cells that agree in either
are the same, whatever they are called and however they are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from odyssey.expr.equations import Init, without_source
from odyssey.expr.fingerprint import react
from odyssey.expr.initial import format_init
from odyssey.expr.program import Program


class Identified(Protocol):
    """What has an identity: a cell."""

    @property
    def identity(self) -> tuple[str, str]:
        """Key and fingerprint, initial values included in both."""
        ...


def identity(key: str, program: Program, inits: Iterable[Init]) -> tuple[str, str]:
    """Gives the key, 64 hex digits, and the fingerprint with initial values, 16 hex digits.

    Args:
        key: The content key of a cell.
        program: The cell, of which nothing is dead.
        inits: Its initial values.
    """
    reactions = react(program)
    declared = list(inits)
    live = reactions.alone.keys()
    by_name = {i.parameter: without_source(i, declared, live) for i in declared}

    def start(name: str) -> str:
        return format_init(by_name[name]) if name in by_name and not by_name[name].source else ""

    lines = [
        f"{reactions.alone[name]} = {start(name)}"
        if not init.source
        else f"{reactions.alone[name]} = -{reactions.alone.get(init.source, start(init.source))}"
        for name, init in by_name.items()
        if name in reactions.alone
    ]
    return key, reactions.digest(*sorted(lines))


def repeated(cells: Mapping[str, Identified]) -> tuple[str, str] | None:
    """Gives the first two names that stand for the same cell, the earlier first, or None."""
    seen: dict[str, str] = {}
    for name, cell in cells.items():
        for mark in cell.identity:
            if mark in seen:
                return seen[mark], name
        seen |= dict.fromkeys(cell.identity, name)
    return None
