"""Character n-grams with modified Kneser-Ney smoothing: what a model without memory predicts.

Shapes: N symbols of a training text, M of a held-out text, G different grams of one length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
    # The symbol V stands before both texts: a gram with it is counted nowhere.
    wall = np.full(longest + 1, num_symbols, dtype=np.int64)
    text = np.concatenate([wall, train_N.astype(np.int64), wall, held_M.astype(np.int64)])
    first = longest + 1
    counted = slice(first, first + len(train_N))
    predicted = slice(len(text) - len(held_M), len(text))
    lower = np.full(len(held_M), 1.0 / num_symbols)
    rows = []
    for grams in _lengths(text, longest + 1, num_symbols):
        rows.append(grams.probability(grams.counts(counted), predicted, lower))
        if len(rows) <= longest:
            lower = grams.probability(grams.continuations(counted), predicted, lower)
    return np.stack(rows)


@dataclass(frozen=True)
class _Grams:
    """All grams of one length l in a text.

    Attributes:
        length: l.
        ids: Number of the gram that ends at each place of the text.
        contexts: Number of its first l - 1 symbols, at each place.
        longer: Number of the gram of length l + 1 that ends at each place.
    """

    length: int
    ids: Ints
    contexts: Ints
    longer: Ints

    def counts(self, counted: slice) -> Ints:
        """Counts every gram, (G,)."""
        inside = slice(counted.start + self.length - 1, counted.stop)
        return np.bincount(self.ids[inside], minlength=int(self.ids.max()) + 1)

    def continuations(self, counted: slice) -> Ints:
        """Counts the different symbols that precede every gram, (G,)."""
        inside = slice(counted.start + self.length, counted.stop)
        places = _first_places(self.longer[inside])
        return np.bincount(self.ids[inside][places], minlength=int(self.ids.max()) + 1)

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


def _lengths(text: Ints, longest: int, num_symbols: int) -> Iterator[_Grams]:
    """Yields the grams of length 1, 2, ... of a text."""
    contexts, ids = np.zeros_like(text), _numbered(text)
    for length in range(1, longest + 1):
        before = np.concatenate([ids[:1], ids[:-1]])
        # numbered anew at every length, so that no number grows beyond 64 bits
        longer = _numbered(before * (num_symbols + 1) + text)
        yield _Grams(length, ids, contexts, longer)
        contexts, ids = before, longer


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
