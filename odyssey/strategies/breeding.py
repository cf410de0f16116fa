"""Makes cells from cells with the operators of `odyssey.transforms`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from odyssey.expr import recall_cell
from odyssey.strategies.proposal import NoCellError, Outcome, Proposal
from odyssey.transforms.mutations import NotApplicable, crossover, mutate
from odyssey.transforms.random_cells import random_cell

SCRATCH_NODES = (6, 30)  # sizes of cells from scratch: from elman's to lstm's


@dataclass(frozen=True)
class CellBreeder:
    """Breeds cells.

    Attributes:
        weights: Weight of each mutation, by name; the table's own where empty.
        nodes: Least and largest size of a cell from scratch, in nodes.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    nodes: tuple[int, int] = SCRATCH_NODES

    def mutant(self, parent: Outcome, rng: np.random.Generator, *, times: int) -> Proposal:
        """Mutates a cell so many times; raises `NoCellError` when nothing applies."""
        try:
            made = mutate(recall_cell(parent.text), rng, weights=self.weights or None, steps=times)
        except NotApplicable as error:
            raise NoCellError("no mutation applies") from error
        operators = tuple(made.operator.split("+"))
        return Proposal(made.cell.text, operators, (parent.number,), missed=made.attempts)

    def child(self, one: Outcome, other: Outcome, rng: np.random.Generator) -> Proposal:
        """Puts an equation of the one cell into the other; raises `NoCellError`."""
        try:
            cell = crossover(recall_cell(other.text), recall_cell(one.text), rng)
        except NotApplicable as error:
            raise NoCellError("no crossover applies") from error
        return Proposal(cell.text, ("crossover",), (one.number, other.number))

    def scratch(self, rng: np.random.Generator) -> Proposal:
        """Draws a cell of a random size from nothing."""
        low, high = self.nodes
        cell = random_cell(rng, nodes=int(rng.integers(low, high + 1)))
        return Proposal(cell.text, ("scratch",))
