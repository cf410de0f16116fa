"""The smallest difference that a study finds, beside the share of fresh studies that find it."""

import math

import numpy as np
import pytest

from odyssey.errors import ConfigError
from odyssey.statistics.estimates import top_count
from odyssey.statistics.permutation import permutation_p
from odyssey.statistics.power import (
    least_shift,
    smallest_difference,
    study_power,
    without_difference,
)
from odyssey.statistics.simulation import SimulatedCell, simulate_pairs, simulate_results


def test_the_least_shift_is_where_the_test_turns():
    (pair,) = simulate_pairs([SimulatedCell()] * 2, rng=np.random.default_rng(1), draws=12)
    found = least_shift(pair, alpha=0.05, seed=0, swaps=100)
    for factor, rejected in ((1.0, True), (0.97, False)):
        p = permutation_p(pair, top=5, seed=0, shift=-factor * found)
        assert (p <= 0.05) == rejected


def test_four_in_five_fresh_studies_find_it():
    rng = np.random.default_rng(4)
    twins = [SimulatedCell()] * 2
    pilots = [simulate_pairs(twins, rng=rng, draws=100)[0] for _ in range(4)]
    shift = smallest_difference(pilots, draws=20, comparisons=1, seed=1, studies=60)
    cells = (SimulatedCell(), SimulatedCell(shift=shift))
    hits = []
    for _ in range(150):
        (pair,) = simulate_pairs(cells, rng=rng, draws=20)
        hits.append(permutation_p(pair, top=top_count(20), seed=1, swaps=500) <= 0.05)
    assert 0.65 < np.mean(hits) < 0.92


def test_more_draws_find_less_and_more_comparisons_more():
    pilots = simulate_pairs([SimulatedCell()] * 3, rng=np.random.default_rng(3), draws=60)
    options = {"seed": 1, "studies": 25}
    found = [
        smallest_difference(pilots, draws=draws, comparisons=comparisons, **options)
        for draws, comparisons in ((60, 1), (20, 1), (20, 20))
    ]
    assert found[0] < found[1] < found[2] < 2
    # five draws have 16 swaps: no p-value is below a sixteenth
    assert smallest_difference(pilots, draws=5, comparisons=1, **options) == math.inf
    assert math.isnan(smallest_difference([], draws=20, comparisons=1, **options))


def test_a_difference_of_the_pilot_does_not_count():
    cells = (SimulatedCell(), SimulatedCell(shift=0.7))
    (pair,) = simulate_pairs(cells, rng=np.random.default_rng(3), draws=40)
    (twin,) = simulate_pairs([SimulatedCell()] * 2, rng=np.random.default_rng(3), draws=40)
    options = {"draws": 20, "comparisons": 1, "seed": 1, "studies": 25}
    with_it = smallest_difference([pair], **options)
    assert with_it == pytest.approx(smallest_difference([twin], **options), rel=0.15)
    assert without_difference(pair).independent is pair.independent


def test_a_pilot_is_asked_task_by_task():
    cells = {"lstm": SimulatedCell(), "gru": SimulatedCell(), "lost": SimulatedCell(cliff=-9.0)}
    pilot = simulate_results(cells, rng=np.random.default_rng(1), tasks=("xml", "b"), draws=20)
    found = study_power(pilot, draws=16, comparisons=4, seed=1, tasks=["b"], baseline="absent")
    assert found[["task", "draws", "comparisons", "pilot_draws", "pairs"]].values.tolist() == [
        ["b", 16, 4, 20, 1]
    ]
    assert 0 < found["difference"].iloc[0] < 1
    with pytest.raises(ConfigError, match="two cells"):
        study_power(pilot[pilot["cell"] == "gru"], draws=16, comparisons=4, seed=1)
