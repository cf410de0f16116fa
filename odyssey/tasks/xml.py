"""The XML task of Jozefowicz et al. (2015, section 3.3).

Shapes: D documents, S steps, E tags (an opening or a closing one) of all documents in a row.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import guess
from odyssey.tasks.generated import GeneratedTask, Sequences
from odyssey.tasks.nesting import match

XML_SYMBOLS = tuple(string.ascii_lowercase + "</>")
_LESS, _SLASH, _GREATER = (XML_SYMBOLS.index(symbol) for symbol in "</>")
_SHORTEST, _LONGEST = 2, 10


class Xml(GeneratedTask):
    """Predicts nested tags with random names: `<ab><kqx></kqx></ab>`.

    At each step, with probability 1/2, the most recent open tag is closed, or the document ends
    if none is open; otherwise a new tag is opened. After `max_steps` steps all open tags are
    closed. Half the documents would be empty: those are skipped.

    Args:
        name: The normalised spec.
        max_steps: The number of steps after which tags are closed only.
    """

    warmup = 0  # the scores that are kept were measured so

    def __init__(self, name: str, *, max_steps: int) -> None:
        self._max_steps = max_steps
        super().__init__(
            name,
            symbols=XML_SYMBOLS,
            counted="every character",
            mean_length=8.5 * _mean_tags(max_steps),
            prime="<",
            options={"max_steps": max_steps},
        )
        # Of every two tags, one has a slash; a name has 6 letters on average. There is no closed
        # form of the optimum: the end of a document shows only where a tag could not be opened.
        self.chance = guess([*[2 * 6 / 26] * 26, 2, 1, 2])
        # A name has one of 9 lengths and 6 letters on average. Without a memory it is as new where
        # a tag is closed as where it is opened, and so is what a tag does; with one, only names of
        # opened tags are new, and what a tag does where it could be either.
        one_name = math.log(_LONGEST - _SHORTEST + 1) + 6 * math.log(26)
        self.memoryless_nats = (one_name + math.log(2)) / 8.5
        tags, either = _mean_tags(max_steps), _mean_choices(max_steps)
        self.bound_nats = (tags / 2 * one_name + either * math.log(2)) / (8.5 * tags)

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws documents that are not empty."""
        change_E, tags_D = self._walks(rng, count)
        opening_E = change_E > 0
        name_E, num_names = match(change_E)

        sizes = rng.integers(_SHORTEST, _LONGEST + 1, size=num_names)
        size_E = sizes[name_E]
        letters = rng.integers(26, size=int(sizes.sum()), dtype=np.uint8)
        letters_at_E = (np.cumsum(sizes) - sizes)[name_E]

        end_E = np.cumsum(size_E + np.where(opening_E, 2, 3))  # <name> or </name>
        start_E = np.append(0, end_E[:-1])
        symbols = np.empty(int(end_E[-1]), dtype=np.uint8)
        symbols[start_E] = _LESS
        symbols[start_E[~opening_E] + 1] = _SLASH
        symbols[end_E - 1] = _GREATER
        # The k-th letter of all written names comes from letters[k + a shift by tag].
        before_E = np.cumsum(size_E) - size_E
        kth = np.arange(int(size_E.sum()))
        to = kth + np.repeat(end_E - 1 - size_E - before_E, size_E)
        symbols[to] = letters[kth + np.repeat(letters_at_E - before_E, size_E)]
        ends = end_E[np.cumsum(tags_D) - 1]
        return Sequences(symbols, np.ones(symbols.shape, dtype=np.bool_), ends)

    def _walks(
        self, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        """Draws the documents without names: +1 opens, -1 closes (E,); tags in each (D,)."""
        steps = self._max_steps
        change_DS = rng.integers(2, size=(count, steps), dtype=np.int8)
        change_DS *= 2
        change_DS -= 1
        change_DS[:, 0] = 1  # what is left when empty documents are skipped
        depth_DS = np.cumsum(change_DS, axis=1, dtype=np.int16)
        stopped_DS = depth_DS < 0
        stops_D = stopped_DS.any(axis=1)
        steps_D = np.where(stops_D, stopped_DS.argmax(axis=1), steps)
        tags_D = steps_D + np.where(stops_D, 0, depth_DS[:, -1])
        # A document still open after the last step goes on with closing tags.
        closing = np.full((count, steps), -1, dtype=np.int8)
        rows = np.concatenate([change_DS, closing], axis=1)
        return rows[np.arange(2 * steps) < tags_D[:, None]], tags_D


def _mean_tags(max_steps: int) -> float:
    """Computes the mean number of tags of a document that is not empty."""
    depths = list(_depths(max_steps))
    return float(1.0 + sum(d.sum() for d in depths[1:]) + depths[-1] @ np.arange(depths[-1].size))


def _mean_choices(max_steps: int) -> float:
    """Computes the mean number of tags of a document that could have been either kind."""
    return float(sum(d[1:].sum() for d in list(_depths(max_steps))[:-1]))


def _depths(max_steps: int) -> Iterator[NDArray[np.float64]]:
    """Gives the probability of each depth after every step, of documents that have not ended."""
    depth = np.zeros(max_steps + 2)
    depth[1] = 1.0
    yield depth
    for _ in range(max_steps - 1):
        opened, closed = np.roll(depth, 1) / 2, np.roll(depth, -1) / 2
        opened[0], closed[-1] = 0.0, 0.0
        depth = opened + closed
        yield depth
