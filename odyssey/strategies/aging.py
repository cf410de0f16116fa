"""Aging evolution: the oldest dies, however good (Real et al. 2019, algorithm 1)."""

from __future__ import annotations

from collections import deque

import numpy as np

from odyssey.strategies.proposal import Breeder, Outcome, Proposal


class AgingEvolution:
    """Mutates the best of a random sample of the latest cells.

    Args:
        breeder: Makes cells.
        population: Cells that live.
        sample: Cells of a tournament.
        mutations: At most so many mutations of a parent, uniformly drawn from 1 on.
    """

    def __init__(
        self, breeder: Breeder, *, population: int = 100, sample: int = 25, mutations: int = 1
    ) -> None:
        self._breeder = breeder
        self._sample, self._mutations = sample, mutations
        self._living: deque[Outcome] = deque(maxlen=population)

    def ask(self, rng: np.random.Generator) -> Proposal:
        """Mutates the winner of a tournament; of equals the older wins."""
        size = min(self._sample, len(self._living))
        places = sorted(rng.choice(len(self._living), size=size, replace=False).tolist())
        parent = max((self._living[place] for place in places), key=lambda o: o.rank)
        times = int(rng.integers(1, self._mutations + 1))
        return self._breeder.mutant(parent, rng, times=times)

    def tell(self, outcome: Outcome) -> None:
        """Lets the cell live, and the oldest die when there are too many."""
        self._living.append(outcome)
