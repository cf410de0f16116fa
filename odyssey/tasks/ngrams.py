"""Character n-grams with modified Kneser-Ney smoothing: what a model without memory predicts.

Shapes: N symbols of a training text, M of a held-out text, G different grams of one length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from odyssey.errors import ConfigError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
FALLBACK = (0.5, 1.0, 1.5)
"""Discounts of a text too short to estimate them from."""


def ngram_probabilities(
    train_N: NDArray[np.integer],
    held_M: NDArray[np.integer],
    *,
    longest: int,
    num_symbols: int,
) -> Floats:
    """Gives the probability of every held-out symbol after its last n symbols, for n from 0.

    Interpolated modified Kneser-Ney (Chen and Goodman 1999, section 3): the longest context by
    counts, shorter ones by the number of different symbols before; three discounts a length,
    from counts of counts; below the unigrams the uniform distribution.

    Args:
        train_N: Class indices (N,) that are counted.
        held_M: Class indices (M,) that are predicted; contexts do not reach before the first.
        longest: The longest context, in symbols; an n-gram in the usual count has one more.
        num_symbols: V.

    Returns:
        (longest + 1, M); row n has contexts of n symbols.

    Raises:
        ConfigError: `longest` is negative, or there is no text to count.
    """
    if longest < 0:
        raise ConfigError(f"the longest context must not be negative, got {longest}")
    if len(train_N) == 0 or len(held_M) == 0:
        raise ConfigError("n-grams need a text to count and one to predict")
    return context_probabilities(
        _steps_of_text(train_N, num_symbols),
        _steps_of_text(held_M, num_symbols),
        longest=longest,
        num_symbols=num_symbols,
    )


class Steps(NamedTuple):
    """What a model reads and is to predict, step by step.

    Attributes:
        inputs: Class read at every step (N,); V where there is none: contexts do not reach behind.
        targets: Class that is to be predicted from it and the inputs before (N,).
        counted: The steps that are learned from, or scored, bool (N,).
    """

    inputs: Ints
    targets: Ints
    counted: NDArray[np.bool_]


def _steps_of_text(text_N: NDArray[np.integer], num_symbols: int) -> Steps:
    """Gives the steps of a text: the input of every symbol is the one before."""
    targets = text_N.astype(np.int64)
    inputs = np.concatenate([[num_symbols], targets[:-1]])
    return Steps(inputs, targets, np.ones(len(targets), dtype=np.bool_))


def context_probabilities(train: Steps, held: Steps, *, longest: int, num_symbols: int) -> Floats:
    """Gives the probability of every held-out target after the last n inputs, for n from 0.

    As `ngram_probabilities`, for what a model reads and predicts where that is no plain text: only
    counted targets are learned from, and inputs need not be the targets of the step before.

    Args:
        train: The steps that are counted.
        held: The M steps that are predicted, counted or not.
        longest: The longest context, in inputs.
        num_symbols: V.

    Returns:
        (longest + 1, M).
    """
    # The symbol V stands before both: a gram with it is counted nowhere.
    pad = np.full(longest + 1, num_symbols, dtype=np.int64)
    nowhere = np.zeros(longest + 1, dtype=np.bool_)
    inputs = np.concatenate([pad, train.inputs, pad, held.inputs])
    targets = np.concatenate([pad, train.targets, pad, held.targets])
    size = len(held.targets)
    counted = np.concatenate([nowhere, train.counted, nowhere, np.zeros(size, dtype=np.bool_)])
    place = np.arange(len(inputs))
    known = place - np.maximum.accumulate(np.where(inputs == num_symbols, place, 0))
    predicted = slice(len(inputs) - size, None)
    lower = np.full(size, 1.0 / num_symbols)
    rows = []
    for grams in _lengths(inputs, targets, longest + 1, num_symbols):
        whole = counted & (known >= grams.length - 1)
        rows.append(grams.probability(grams.counts(whole), predicted, lower))
        if len(rows) <= longest:
            continued = grams.continuations(counted & (known >= grams.length))
            lower = grams.probability(continued, predicted, lower)
    return np.stack(rows)


@dataclass(frozen=True)
class _Grams:
    """All grams of one length l: l - 1 inputs and the target of the last of them.

    Attributes:
        length: l.
        ids: Number of the gram that ends at each step.
        contexts: Number of its inputs, at each step.
        longer: Number of the gram of length l + 1 that ends at each step.
    """

    length: int
    ids: Ints
    contexts: Ints
    longer: Ints

    def counts(self, counted: NDArray[np.bool_]) -> Ints:
        """Counts every gram, (G,)."""
        return np.bincount(self.ids[counted], minlength=int(self.ids.max()) + 1)

    def continuations(self, counted: NDArray[np.bool_]) -> Ints:
        """Counts the different inputs that precede every gram, (G,)."""
        places = _first_places(self.longer[counted])
        return np.bincount(self.ids[counted][places], minlength=int(self.ids.max()) + 1)

    def probability(self, count_G: Ints, predicted: slice, lower_M: Floats) -> Floats:
        """Gives the probability of the symbols in a stretch, (M,), from counts of grams."""
        context_G = self.contexts[_first_places(self.ids)]
        discount = np.array([0.0, *_discounts(count_G)])
        cut_G = discount[np.minimum(count_G, 3)]
        size = int(self.contexts.max()) + 1
        total = np.bincount(context_G, weights=count_G, minlength=size)
        spare = np.bincount(context_G, weights=cut_G, minlength=size)
        gram, context = self.ids[predicted], self.contexts[predicted]
        seen = total[context] > 0
        whole = np.where(seen, total[context], 1.0)
        own = (count_G[gram] - cut_G[gram]) / whole
        found: Floats = np.where(seen, own + spare[context] / whole * lower_M, lower_M)
        return found


def _lengths(inputs: Ints, targets: Ints, longest: int, num_symbols: int) -> Iterator[_Grams]:
    """Yields the grams of length 1, 2, ... of what is read and predicted."""
    contexts = np.zeros_like(inputs)
    ids = _numbered(targets)
    for length in range(1, longest + 1):
        before = np.concatenate([contexts[:1], contexts[:-1]])
        # numbered anew at every length, so that no number grows beyond 64 bits
        wider = _numbered(before * (num_symbols + 1) + inputs)
        longer = _numbered(wider * (num_symbols + 1) + targets)
        yield _Grams(length, ids, contexts, longer)
        contexts, ids = wider, longer


def _numbered(keys: Ints) -> Ints:
    """Numbers what there is from 0 in its order, without gaps."""
    numbers: Ints = pd.factorize(keys, sort=True)[0].astype(np.int64, copy=False)
    return numbers


def _first_places(numbers: Ints) -> Ints:
    """Gives the place where each number stands first, in the order of the numbers."""
    places = np.full(int(numbers.max(initial=-1)) + 1, -1)
    places[numbers[::-1]] = np.arange(len(numbers))[::-1]  # of several, the last written stays
    return places[places >= 0]


def _discounts(count_G: Ints) -> tuple[float, float, float]:
    """Gives what is taken from counts of 1, 2 and more (Chen and Goodman 1999, equation 26)."""
    n = [int((count_G == k).sum()) for k in (1, 2, 3, 4)]
    if min(n[:3]) == 0:
        return FALLBACK
    y = n[0] / (n[0] + 2 * n[1])
    found = tuple(k - (k + 1) * y * n[k] / n[k - 1] for k in (1, 2, 3))
    if not all(0 <= d <= k for k, d in enumerate(found, start=1)):
        return FALLBACK
    return found[0], found[1], found[2]
