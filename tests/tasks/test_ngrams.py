"""Kneser-Ney against an implementation with dictionaries, and against one that sums to one."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from odyssey.errors import ConfigError
from odyssey.tasks.ngrams import ngram_probabilities

SYMBOLS = 5


def text(seed, length):
    """A text with structure: every symbol depends on the two before."""
    rng = np.random.default_rng(seed)
    found = [0, 1]
    for _ in range(length):
        likely = (found[-1] * 2 + found[-2]) % SYMBOLS
        found.append(likely if rng.random() < 0.7 else int(rng.integers(SYMBOLS)))
    return np.array(found)


class Dictionaries:
    """Modified Kneser-Ney as the paper writes it, one gram at a time."""

    def __init__(self, train):
        self.train = tuple(int(s) for s in train)
        self.estimated = 0

    def grams(self, length):
        return [self.train[k : k + length] for k in range(len(self.train) - length + 1)]

    def counts(self, length, top):
        if top:
            return Counter(self.grams(length))
        return Counter(g[1:] for g in set(self.grams(length + 1)))

    def probability(self, context, symbol, top=True):
        counts = self.counts(len(context) + 1, top)
        of = Counter(counts.values())
        d = [0, 0.5, 1.0, 1.5]  # where there is nothing to estimate them from
        if of[1] and of[2] and of[3]:
            y = of[1] / (of[1] + 2 * of[2])
            estimated = [0, *(k - (k + 1) * y * of[k + 1] / of[k] for k in (1, 2, 3))]
            if all(0 <= d <= k for k, d in enumerate(estimated)):
                d = estimated
                self.estimated += 1
        follow = defaultdict(int)
        for gram, c in counts.items():
            if gram[:-1] == context:
                follow[gram[-1]] = c
        lower = 1 / SYMBOLS if not context else self.probability(context[1:], symbol, top=False)
        total = sum(follow.values())
        if not total:
            return lower
        spare = sum(d[min(c, 3)] for c in follow.values()) / total
        return max(follow[symbol] - d[min(follow[symbol], 3)], 0) / total + spare * lower


def test_it_is_what_dictionaries_give():
    train, held = text(1, 600), text(2, 40)
    mine = ngram_probabilities(train, held, longest=3, num_symbols=SYMBOLS)
    truth = Dictionaries(train)
    for n in range(4):
        expected = [
            truth.probability(tuple(int(s) for s in held[k - n : k]), int(held[k]))
            for k in range(n, len(held))
        ]
        np.testing.assert_allclose(mine[n, n:], expected, rtol=1e-10)
    assert truth.estimated > 20


@pytest.mark.parametrize("length", [8, 600])
def test_the_probabilities_of_all_symbols_sum_to_one(length):
    train = text(1, length)
    for context in ([0, 1, 2], [4, 4, 4], [3]):
        found = [
            ngram_probabilities(train, np.array([*context, s]), longest=4, num_symbols=SYMBOLS)
            for s in range(SYMBOLS)
        ]
        total = sum(p[:, len(context)] for p in found)
        np.testing.assert_allclose(total, 1.0, rtol=1e-12)
        assert all((p > 0).all() for p in found)


def test_longer_contexts_help_until_the_structure_ends():
    train, held = text(1, 20_000), text(2, 2000)
    nats = -np.log(ngram_probabilities(train, held, longest=5, num_symbols=SYMBOLS)).mean(1)
    truth = -(0.76 * np.log(0.76) + 0.24 * np.log(0.06))
    assert nats[0] > nats[1] > nats[2]
    assert nats[2] == pytest.approx(truth, abs=0.05)
    assert nats[5] == pytest.approx(nats[2], abs=0.1)


def test_contexts_do_not_reach_into_the_training_text():
    train, held = text(1, 300), text(3, 20)
    many = ngram_probabilities(train, held, longest=6, num_symbols=SYMBOLS)
    # a context that was never seen leaves the counts of what precedes a symbol
    np.testing.assert_allclose(many[2:, 1], many[2, 1])
    np.testing.assert_allclose(many[4:, 3], many[4, 3])
    assert not np.allclose(many[3, 3], many[4, 3])


def test_nonsense_is_refused():
    with pytest.raises(ConfigError, match="must not be negative"):
        ngram_probabilities(text(1, 9), text(1, 9), longest=-1, num_symbols=SYMBOLS)
    with pytest.raises(ConfigError, match="need a text"):
        ngram_probabilities(np.zeros(0, int), text(1, 9), longest=1, num_symbols=SYMBOLS)
