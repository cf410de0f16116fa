"""Kendall's tau between tasks: known answers, and rankings of nothing have none."""

import numpy as np
import pytest
from scipy import stats

from odyssey.statistics.simulation import SimulatedCell, simulate_results
from odyssey.statistics.transfer import tau_b, transfer

CELLS = {f"c{k}": SimulatedCell(shift=0.25 * k) for k in range(6)}


def test_tau_is_scipys_with_ties():
    rng = np.random.default_rng(1)
    for _ in range(20):
        one, other = rng.integers(4, size=(2, 9)).astype(float)
        assert tau_b(one, other) == pytest.approx(stats.kendalltau(one, other).statistic)
    assert np.isnan(tau_b(np.ones(4), np.arange(4.0)))


def test_cells_far_apart_rank_alike_on_all_tasks():
    frame = simulate_results(CELLS, rng=np.random.default_rng(1), tasks=("xml", "b"), draws=30)
    (found,) = transfer(frame, seed=1).to_dict("records")
    assert (found["first"], found["second"], found["cells"]) == ("xml", "b", 6)
    assert found["tau"] == 1
    assert found["low"] > 0.8
    assert found["p"] == pytest.approx(2 / 720)
    turned = frame.copy()
    there = turned["task"] == "b"
    for column in ("valid_bpc", "test_bpc"):
        turned.loc[there, column] = 9 - turned.loc[there, column].astype(float)
    names = turned.loc[there, "spec"].map(lambda n: f"c{5 - int(n[1])}")
    turned = frame.assign(spec=frame["spec"].where(~there, names), cell=frame["spec"])
    assert transfer(turned, seed=1)["tau"].tolist() == [-1]


def test_equal_cells_have_no_ranking_to_transfer():
    cells = dict.fromkeys(CELLS, SimulatedCell())
    small = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        frame = simulate_results(cells, rng=rng, tasks=("xml", "b"), draws=12)
        (found,) = transfer(frame, seed=1, resamples=60).to_dict("records")
        small += found["p"] <= 0.05
        assert found["low"] <= found["tau"] + 0.5
    assert small <= 40 * 0.05 + 2.6 * np.sqrt(40 * 0.05 * 0.95)


def test_few_cells_are_no_ranking():
    few = {name: CELLS[name] for name in ("c0", "c1", "c2")}
    frame = simulate_results(few, rng=np.random.default_rng(1), tasks=("xml", "b"), draws=9)
    assert transfer(frame, seed=1).empty
