"""NSGA-II: score against cost (Deb et al. 2002), one candidate at a time.

Shapes: N cells, M objectives, all to be made large.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from odyssey.strategies.proposal import Breeder, Outcome, Proposal


def fronts(values_NM: np.ndarray) -> np.ndarray:
    """Gives the front of every row, (N,): 0 for those that nobody dominates.

    A row dominates another when it is nowhere less and somewhere more.
    """
    one, other = values_NM[:, None, :], values_NM[None, :, :]
    dominates_NN = np.logical_and((one >= other).all(2), (one > other).any(2))
    front_N = np.full(len(values_NM), -1)
    level = 0
    while (front_N < 0).any():
        left_N = front_N < 0
        beaten_N = dominates_NN[left_N].any(0)
        front_N[left_N & ~beaten_N] = level
        level += 1
    return front_N


def crowding(values_NM: np.ndarray, front_N: np.ndarray) -> np.ndarray:
    """Gives the crowding distance of every row within its front, (N,); inf at the ends."""
    distance_N = np.zeros(len(values_NM))
    for level in range(int(front_N.max(initial=-1)) + 1):
        places = np.flatnonzero(front_N == level)
        for values in values_NM[places].T:
            order = places[np.argsort(values, kind="stable")]
            sorted_ = np.sort(values, kind="stable")
            span = sorted_[-1] - sorted_[0]
            distance_N[order[[0, -1]]] = np.inf
            if span > 0:
                distance_N[order[1:-1]] += (sorted_[2:] - sorted_[:-2]) / span
    return distance_N


class ParetoSearch:
    """Keeps a population spread along the front of score against cost.

    As each candidate joins, the worst by (front, crowding) leaves. Objectives are measured in
    places among the population, so that one cell far out does not decide who is crowded.

    Args:
        breeder: Makes cells.
        population: Cells that live.
        crossover: Share of proposals that cross two parents; the rest mutate one.
        mutations: At most so many mutations of a parent, uniformly drawn from 1 on.
    """

    def __init__(
        self,
        breeder: Breeder,
        *,
        population: int = 100,
        crossover: float = 0.2,
        mutations: int = 1,
    ) -> None:
        self._breeder = breeder
        self._population, self._crossover, self._mutations = population, crossover, mutations
        self._living: list[Outcome] = []
        self._front_N: np.ndarray = np.zeros(0, int)
        self._crowding_N: np.ndarray = np.zeros(0)

    @property
    def front(self) -> list[Outcome]:
        """The cells of the population that nobody in it dominates."""
        return [o for o, f in zip(self._living, self._front_N, strict=True) if f == 0]

    def ask(self, rng: np.random.Generator) -> Proposal:
        """Crosses or mutates winners of binary tournaments."""
        if rng.random() < self._crossover:
            return self._breeder.child(self._winner(rng), self._winner(rng), rng)
        times = int(rng.integers(1, self._mutations + 1))
        return self._breeder.mutant(self._winner(rng), rng, times=times)

    def tell(self, outcome: Outcome) -> None:
        """Lets the cell join, and the worst leave when there are too many."""
        self._living.append(outcome)
        self._sort()
        if len(self._living) > self._population:
            last = max(range(len(self._living)), key=self._badness)
            del self._living[last]
            self._sort()

    def _winner(self, rng: np.random.Generator) -> Outcome:
        one, other = (int(n) for n in rng.integers(len(self._living), size=2))
        return self._living[min(one, other, key=self._badness)]

    def _badness(self, place: int) -> tuple[int, float]:
        return int(self._front_N[place]), -float(self._crowding_N[place])

    def _sort(self) -> None:
        score_N = _places([o.rank for o in self._living])
        cost_N = _places([-o.cost for o in self._living])
        values_NM = np.stack([score_N, cost_N], axis=1)
        self._front_N = fronts(values_NM)
        self._crowding_N = crowding(values_NM, self._front_N)


def _places(values: list[Any]) -> np.ndarray:
    """Gives every value's place among the distinct values, from 0 for the least."""
    place = {value: n for n, value in enumerate(sorted(set(values)))}
    return np.array([place[value] for value in values], float)
