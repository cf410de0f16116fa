"""Random search: the control that every search is compared with."""

from __future__ import annotations

import numpy as np

from odyssey.strategies.proposal import Breeder, Outcome, Proposal, random_outcome


class RandomSearch:
    """Proposes mutants of the seeds, or cells from scratch; learns nothing.

    Args:
        breeder: Makes cells.
        scratch: Share of cells from scratch.
        mutations: At most so many mutations of a seed, uniformly drawn from 1 on.
    """

    def __init__(self, breeder: Breeder, *, scratch: float = 0.5, mutations: int = 3) -> None:
        self._breeder = breeder
        self._scratch, self._mutations = scratch, mutations
        self._seeds: list[Outcome] = []

    def ask(self, rng: np.random.Generator) -> Proposal:
        """Draws a cell."""
        if rng.random() < self._scratch:
            return self._breeder.scratch(rng)
        times = int(rng.integers(1, self._mutations + 1))
        return self._breeder.mutant(random_outcome(self._seeds, rng), rng, times=times)

    def tell(self, outcome: Outcome) -> None:
        """Keeps seeds and forgets all else."""
        if outcome.seed:
            self._seeds.append(outcome)
