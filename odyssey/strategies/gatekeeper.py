"""What is refused before any training: broken constraints, degenerate cells, duplicates.

A duplicate is a cell that agrees with one that was seen in key or fingerprint: `Cell.identity`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from odyssey.errors import CellError
from odyssey.expr import Cell, parse_cell

# Gives the reason against a cell in a few words that are the same for all like it, or None.
CellCheck = Callable[[Cell], str | None]

ILLEGAL = "not a legal cell"
SEEN_KEY = "seen before, by key"
SEEN_FINGERPRINT = "seen before, by fingerprint"


class RefusedError(Exception):
    """Carries the reason for which a cell is not measured."""


@dataclass(frozen=True)
class Admitted:
    """A cell that may be measured.

    Attributes:
        cell: The cell, named by its key.
        key: Its content key.
        fingerprint: Its numeric fingerprint, initial values included.
        twin: Number of a candidate of another arm that is the same function, or None.
    """

    cell: Cell = field(repr=False)
    key: str
    fingerprint: str
    twin: int | None = None


def name_of(key: str) -> str:
    """Gives the name of the cell with a content key."""
    return f"m-{key[:8]}"


class Gatekeeper:
    """Remembers what was admitted, by arm, and refuses what must not be measured.

    Args:
        checks: Asked in order, cheapest first; a reason refuses.
    """

    def __init__(self, checks: Sequence[CellCheck]) -> None:
        self._checks = checks
        self._by_key: dict[str, int] = {}
        self._by_fingerprint: dict[str, int] = {}
        self._arms: dict[str, set[int]] = {}

    def judge(self, text: str, *, arm: str) -> Admitted:
        """Judges a proposal of an arm.

        Raises:
            RefusedError: It must not be measured.
        """
        try:
            cell = parse_cell(text)
        except CellError:
            raise RefusedError(ILLEGAL) from None
        key = cell.key
        twin = self._known(self._by_key.get(key), arm, SEEN_KEY)
        for check in self._checks:
            reason = check(cell)
            if reason is not None:
                raise RefusedError(reason)
        _, fingerprint = cell.identity
        if twin is None:
            twin = self._known(self._by_fingerprint.get(fingerprint), arm, SEEN_FINGERPRINT)
        named = cell.renamed(name_of(key))
        return Admitted(named, key, fingerprint, twin)

    def remember(self, number: int, *, arms: Sequence[str], key: str, fingerprint: str) -> None:
        """Notes a candidate as seen by these arms; the first with a key or fingerprint stands."""
        first = self._by_fingerprint.setdefault(fingerprint, number)
        first = self._by_key.setdefault(key, first)
        for arm in arms:
            self._arms.setdefault(arm, set()).add(first)

    def _known(self, number: int | None, arm: str, reason: str) -> int | None:
        if number is not None and number in self._arms.get(arm, ()):
            raise RefusedError(reason)
        return number
