"""The studentised permutation test: by hand, its size, and what it says of constant scores."""

import itertools

import numpy as np
import pytest

from odyssey.statistics.draws import top_scores
from odyssey.statistics.permutation import Pair
from odyssey.statistics.simulation import SimulatedCell, simulate_pairs
from odyssey.statistics.studentised import studentised_p


def by_hand(pair, top):
    draws = pair.valid.shape[1]
    found = []
    for swaps in itertools.product((False, True), repeat=draws):
        own = np.where(swaps, [[1], [0]], [[0], [1]])
        there = np.arange(draws)
        best = top_scores(pair.valid[own, there], pair.test[own, there], top)
        error = np.sqrt((best.var(axis=1, ddof=1) / top).sum())
        found.append(abs(best[1].mean() - best[0].mean()) / error)
    return np.mean(np.array(found) >= found[0] * (1 - 1e-10))


def test_the_p_value_is_counted_by_hand():
    rng = np.random.default_rng(3)
    for shift in (0.0, 0.2):
        scores = rng.normal(2, 0.2, size=(2, 8)) + np.array([[0.0], [shift]])
        pair = Pair(scores, scores + rng.normal(0, 0.02, size=(2, 8)))
        assert studentised_p(pair, seed=0) == pytest.approx(by_hand(pair, 5))


@pytest.mark.parametrize("luck", [1.0, 3.0])
def test_cells_of_equal_scores_are_called_different_in_about_a_twentieth(luck):
    rng = np.random.default_rng(4)
    shift = 0.0 if luck == 1 else 0.0717  # what makes tuned scores equal, by 1,500 studies
    cells = (SimulatedCell(), SimulatedCell(luck=luck, shift=shift))
    studies = 150
    drawn = (simulate_pairs(cells, rng=rng, draws=50)[0] for _ in range(studies))
    found = np.mean([studentised_p(pair, seed=1, swaps=200) <= 0.05 for pair in drawn])
    assert found <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / studies) + 0.01 * (luck > 1)


def test_a_difference_is_found_and_nothing_is_said_of_nothing():
    cells = (SimulatedCell(), SimulatedCell(shift=0.5))
    (pair,) = simulate_pairs(cells, rng=np.random.default_rng(1), draws=30)
    assert studentised_p(pair, seed=1, swaps=1000) < 0.01
    assert np.isnan(studentised_p(Pair(pair.valid[:, :1], pair.test[:, :1]), seed=1))
    assert np.isnan(studentised_p(pair._replace(independent=True), seed=1))
