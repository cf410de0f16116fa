"""A synthesis over studies: known answers, coverage where truths differ, groups under the null."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from odyssey.statistics.forest import between, forest, forest_groups, random_effects, run_effects
from odyssey.statistics.ranking import with_labels
from odyssey.statistics.simulation import SimulatedCell, simulate_results


def test_moments_by_hand():
    # weights 1: mean 1, Q = 8, k - 1 = 2, C = 3 - 1: tau² = (8 - 2) / 2
    given, spread = np.array([-1.0, 1.0, 3.0]), np.ones(3)
    assert between([(given, spread)]) == pytest.approx(3.0)
    found = random_effects(given, spread)
    assert found.mean == pytest.approx(1.0)
    error = np.sqrt(4 / 3)
    assert found.high - found.mean == pytest.approx(stats.norm.ppf(0.975) * error)
    wide = stats.t.ppf(0.975, 1) * np.sqrt(3 + error**2)
    assert found.next_high - found.mean == pytest.approx(wide)
    # estimates that agree better than chance have one truth
    alike = random_effects([1.0, 1.1], [1.0, 2.0])
    assert alike.tau == 0
    assert alike.mean == pytest.approx((1.0 + 1.1 / 4) / 1.25)
    assert np.isnan(alike.next_low)
    assert np.isnan(random_effects([], []).mean)


def test_intervals_hold_what_they_should_where_truths_differ():
    rng = np.random.default_rng(1)
    held = following = 0
    for _ in range(400):
        spread = rng.uniform(0.05, 0.15, 12)
        truths = rng.normal(0.3, 0.1, 13)
        found = random_effects(truths[:12] + spread * rng.normal(size=12), spread)
        held += found.low <= 0.3 <= found.high
        following += found.next_low <= truths[12] <= found.next_high
    assert 0.89 < held / 400 < 0.98
    assert 0.83 < following / 400 < 0.985  # 87 %: tau itself is estimated


def estimates(rng, *, shift=0.0, tau=0.0, count=8):
    error = rng.uniform(0.05, 0.1, 2 * count)
    group = np.repeat(["adam", "sgd"], count)
    truth = np.where(group == "adam", shift, 0.0) + tau * rng.normal(size=2 * count)
    return pd.DataFrame(
        {"change": "no_gate", "optimizer": group, "task": "xml", "run": group, "error": error}
        | {"difference": truth + error * rng.normal(size=2 * count), "characters": 5}
    )


def test_groups_that_are_alike_are_told_apart_in_a_twentieth_of_syntheses():
    rng = np.random.default_rng(2)
    found = [forest_groups(estimates(rng))["p_between"].iloc[0] < 0.05 for _ in range(300)]
    assert np.mean(found) <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 300)


def test_an_optimiser_that_decides_the_sign_is_seen():
    rng = np.random.default_rng(3)
    effects = estimates(rng, shift=0.4, tau=0.05)
    (whole,) = forest(effects).to_dict("records")
    assert (whole["change"], whole["estimates"], whole["runs"]) == ("no_gate", 16, 2)
    assert whole["i2"] > 0.7
    assert whole["next_low"] < 0 < whole["next_high"]
    groups = forest_groups(effects)
    assert groups[["by", "group", "estimates"]].values.tolist() == [
        ["optimizer", "adam", 8],
        ["optimizer", "sgd", 8],
    ]
    assert (groups["p_between"] < 1e-4).all()
    assert groups["mean"].tolist() == pytest.approx([0.4, 0.0], abs=0.08)


def test_changes_are_named_by_the_lineage_of_cells():
    cells = {"a": SimulatedCell(), "b": SimulatedCell(shift=0.4), "gru": SimulatedCell()}
    frame = simulate_results(cells, rng=np.random.default_rng(1), draws=30)
    lineage = {"a": "lstm", "b": "lstm > no_input_gate", "gru": "gru"}
    frame = with_labels(frame.assign(lineage=frame["spec"].map(lineage)))
    (found,) = run_effects(frame, baseline="a", seed=1).to_dict("records")
    assert (found["change"], found["draws"]) == ("no_input_gate", 30)
    assert abs(found["difference"] - 0.4) < 4 * found["error"]
    assert run_effects(frame, baseline="gru", seed=1).empty
    assert run_effects(frame, baseline="absent", seed=1).empty
