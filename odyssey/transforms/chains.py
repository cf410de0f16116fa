"""From one cell to another by single changes: which step brings what.

Ablations take away. So two cells are joined where what is left of one after some of them is what is
left of the other: from the first cell forwards, from the last one backwards, breadth first, until
both sides hold the same cell (by key or fingerprint). A step back from the last cell's side gives
what an ablation of it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from odyssey.errors import CellError
from odyssey.expr.cell import Cell
from odyssey.transforms.ablations import SHORT, ablate, gates

MOST_STEPS = 6
MOST_CELLS = 2_500  # that a search looks at, but for its last step


@dataclass(frozen=True)
class Chain:
    """A way between two cells.

    Attributes:
        away: Ablations of the first cell, one after the other.
        back: Ablations of the last cell, one after the other; what is left of both is one cell.
    """

    away: tuple[str, ...]
    back: tuple[str, ...]


def _moves(cell: Cell) -> Iterator[str]:
    """Lists the changes by which published cells differ: couplings first, so that they are kept."""
    names = gates(cell)
    yield from (f"couple={first}:{second}" for first, second in permutations(names, 2))
    yield from SHORT.values()
    yield from ("no_reset_gate", "no_update_gate")
    yield from (f"drop_gate={name}" for name in names)
    others = (e.target for e in cell.equations if e.target not in names)
    yield from (f"drop_activation={name}" for name in others)
    yield "peepholes"


class _Side:
    """What can be reached from one of the cells.

    Attributes:
        reached: The steps to a cell, by its key and by its fingerprint.
        front: The cells that were reached last, with their steps.
        steps: How many these are.
    """

    def __init__(self, cell: Cell) -> None:
        self.reached: dict[str, tuple[str, ...]] = dict.fromkeys(cell.identity, ())
        self.front: list[tuple[Cell, tuple[str, ...]]] = [(cell, ())]
        self.steps = 0

    def grow(self) -> int:
        """Goes one step further; gives how many cells were looked at."""
        front, looked = self.front, 0
        self.front, self.steps = [], self.steps + 1
        for cell, steps in front:
            for move in _moves(cell):
                try:
                    changed = ablate(cell, move)
                except CellError:
                    continue
                looked += 1
                if self.reached.keys().isdisjoint(changed.identity):
                    longer = (*steps, move)
                    self.reached |= dict.fromkeys(changed.identity, longer)
                    self.front.append((changed, longer))
        return looked


def find_chain(first: Cell, last: Cell) -> Chain | None:
    """Finds a shortest chain of single changes between two cells.

    Args:
        first: Where it begins.
        last: Where it ends.

    Returns:
        The chain; None where there is none of `MOST_STEPS` steps from each side, or none was found
        among `MOST_CELLS` cells.
    """
    sides, looked = (_Side(first), _Side(last)), 0
    while True:
        both = [mark for mark in sides[0].reached if mark in sides[1].reached]
        if both:
            mark = min(both, key=lambda m: len(sides[0].reached[m]) + len(sides[1].reached[m]))
            return Chain(sides[0].reached[mark], sides[1].reached[mark])
        growing = min(
            (side for side in sides if side.front and side.steps < MOST_STEPS),
            key=lambda side: len(side.front),
            default=None,
        )
        if growing is None or looked > MOST_CELLS:
            return None
        looked += growing.grow()
