"""Nested brackets of some kinds, to a bounded depth: Dyck-(k, m).

Shapes: E brackets of all sequences in a row, S sequences, X excursions from depth 0 and back.
"""

from __future__ import annotations

import math
import string

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import CERTAIN, Baseline, guess
from odyssey.tasks.generated import END, GeneratedTask, Sequences
from odyssey.tasks.nesting import match

OPENING = "([{<" + string.ascii_lowercase
CLOSING = ")]}>" + string.ascii_uppercase
ALL, CLOSED = "all", "closing"
COUNTED = {ALL: "every character", CLOSED: "the closing brackets"}


class Dyck(GeneratedTask):
    """Predicts nested brackets: `([]{()}).`

    The language Dyck-(k, m) of Hewitt et al. (2020): k kinds, at most m open at a time. A bracket
    opens or closes with the same probability; at depth 0 it opens, at the greatest depth it
    closes. A sequence that is back at depth 0 ends with probability 1/2, so that it has 4m
    brackets on average. Which kind closes is certain for who kept a stack.

    Args:
        name: The normalised spec.
        kinds: The number of kinds of brackets.
        depth: The most brackets that are open at a time.
        counts: `all` symbols, or `closing` brackets only: what opens and when is left out.
    """

    def __init__(self, name: str, *, kinds: int, depth: int, counts: str) -> None:
        self._kinds, self._depth, self._counts = kinds, depth, counts
        nested = OPENING[: min(kinds, depth)]
        super().__init__(
            name,
            symbols=(*OPENING[:kinds], *CLOSING[:kinds], END),
            counted=COUNTED[counts],
            mean_length=4 * depth + 1,
            prime=nested + CLOSING[len(nested) - 1],
            options={"kinds": kinds, "depth": depth, "counts": counts},
        )
        if counts == CLOSED:
            self.chance, self.optimum = guess([1.0] * kinds), CERTAIN
        else:
            share = 2 * depth / kinds
            self.chance = guess([*[share] * (2 * kinds), 1])
            self.optimum = _optimum(kinds, depth)

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws when brackets open and close, of which kind they are, and when a sequence ends."""
        excursions_S = rng.geometric(0.5, size=count)
        change_E, ends_X = _excursions(rng, int(excursions_S.sum()), self._depth)
        pair_E, pairs = match(change_E)
        kind_E = rng.integers(self._kinds, size=pairs, dtype=np.uint8)[pair_E]
        brackets_E = np.where(change_E > 0, kind_E, kind_E + np.uint8(self._kinds))
        ends_S = ends_X[np.cumsum(excursions_S) - 1]
        symbols_N = np.insert(brackets_E, ends_S, 2 * self._kinds)
        if self._counts == ALL:
            counted_N = np.ones(symbols_N.shape, dtype=np.bool_)
        else:
            counted_N = (symbols_N >= self._kinds) & (symbols_N < 2 * self._kinds)
        return Sequences(symbols_N, counted_N, ends_S + np.arange(1, count + 1))


def _excursions(
    rng: np.random.Generator, count: int, depth: int
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Draws walks from depth 0 that end where they are back, reflected at the greatest depth.

    A free walk that is folded at every multiple of `depth` is reflected at both ends.

    Returns:
        +1 or -1 for every step (E,), and where each of the `count` excursions ends (X,).
    """
    position, back, pieces = 0, 0, [np.zeros(1, dtype=np.int64)]
    while back < count:
        steps = 2 * depth * (count - back + 8)  # an excursion has 2 * depth on average
        walk = position + np.cumsum(2 * rng.integers(2, size=steps, dtype=np.int8) - 1, dtype=int)
        position = int(walk[-1])
        folded = walk % (2 * depth)
        pieces.append(np.minimum(folded, 2 * depth - folded))
        back += int(np.count_nonzero(pieces[-1] == 0))
    depth_E = np.concatenate(pieces)
    ends_X = np.flatnonzero(depth_E == 0)[1 : count + 1]
    return np.diff(depth_E[: ends_X[-1] + 1]).astype(np.int8), ends_X


def _optimum(kinds: int, depth: int) -> Baseline:
    """Computes the entropy rate, and how often the likeliest symbol comes.

    An excursion passes every depth below the greatest twice, and the greatest once. A sequence
    has two excursions on average.
    """
    free = 4 * (depth - 1) + 2  # a bracket opens or closes; or at depth 0, the sequence ends
    certain = 2  # at the greatest depth
    symbols = 1 + free + certain
    kind = math.log(kinds)
    nats = kind + free * (math.log(2) + kind / 2)
    right = 1 / kinds + free / 2 + certain
    return Baseline(nats=nats / symbols, accuracy=right / symbols)
