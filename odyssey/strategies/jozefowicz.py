"""The search of Jozefowicz et al. (2015, section 3.2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from odyssey.strategies.proposal import Breeder, Outcome, Proposal, random_outcome


class TopList:
    """Keeps a list of the best; mutates a random one of it, or measures one again.

    The paper does not say how often it measured again. A cell that was measured again has
    the best of its scores, as there, where the best of all draws counts.

    Args:
        breeder: Makes cells.
        size: Length of the list.
        again: Share of proposals that measure a cell of the list on fresh draws.
        mutations: At most so many mutations of a parent, uniformly drawn from 1 on.
    """

    def __init__(
        self, breeder: Breeder, *, size: int = 100, again: float = 0.1, mutations: int = 3
    ) -> None:
        self._breeder = breeder
        self._size, self._again, self._mutations = size, again, mutations
        self._list: list[Outcome] = []  # best first; of equals the older

    def ask(self, rng: np.random.Generator) -> Proposal:
        """Draws a cell of the list, and mutates it or asks for more draws of it."""
        known = rng.random() < self._again
        parent = random_outcome(self._list, rng)
        if known and not parent.seed:
            return Proposal(parent.text, ("again",), (parent.number,), again=True)
        times = int(rng.integers(1, self._mutations + 1))
        return self._breeder.mutant(parent, rng, times=times)

    def tell(self, outcome: Outcome) -> None:
        """Puts the cell where it belongs, or updates it."""
        for place, known in enumerate(self._list):
            if known.key == outcome.key:
                if outcome.rank <= known.rank:
                    return
                passed, score = outcome.rank
                outcome = replace(known, passed=passed, score=score)
                del self._list[place]
                break
        else:
            if outcome.again:  # it has left the list since
                return
        better = sum(known.rank >= outcome.rank for known in self._list)
        self._list.insert(better, outcome)
        del self._list[self._size :]
