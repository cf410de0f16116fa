"""The end of a ladder: known answers, the level under the null, power, and what comes first."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from odyssey.errors import ConfigError
from odyssey.statistics.by_rung import difference_by_rung
from odyssey.statistics.comparison import compare, pair_of
from odyssey.statistics.draws import rung_first, task_draws, top_scores
from odyssey.statistics.estimates import counted_of, finalists_of, top_count
from odyssey.statistics.permutation import Pair, permutation_p
from odyssey.statistics.ranking import leaderboard, with_labels
from odyssey.statistics.simulation import SimulatedCell, simulate_ladder
from odyssey.storage.rungs import table_of_draws

RUNGS = (40, 24, 12)


def climbed(cells, seed, rungs=RUNGS, shared=0.7):
    rng = np.random.default_rng([5, seed])
    return simulate_ladder(cells, rng=rng, rungs=rungs, shared=shared)


def table(rows, rungs=RUNGS, last=None):
    return with_labels(table_of_draws(rows, rungs, last=last))


def hand_made(shift):
    """Gives 20 draws, 10 and 6 of which go on; the variant is worse by `shift` at every one."""
    rng = np.random.default_rng(3)
    base, parts = 2 + rng.random(20), []
    members = np.arange(20)
    for rung, count in ((1, 20), (2, 10), (3, 6)):
        members = members[np.argsort(base[members], kind="stable")][:count]
        base = base - 0.3 + 0.05 * rng.random(20)
        for label, by in (("base", 0.0), ("variant", shift)):
            rows = {"trial": f"{rung}{label}", "trial_index": rung, "rung": rung, "spec": label}
            rows |= {"cell": label, "task": "t", "num_symbols": 64, "status": "ok"}
            rows |= {"test_accuracy": 0.5, "num_parameters": 1}
            rows |= {"member": members, "seed": members, "characters": 1000 * 4**rung}
            rows |= {"valid_nats": base[members] + by, "valid_bpc": base[members] + by}
            parts.append(pd.DataFrame(rows | {"test_bpc": base[members] + by + 0.01}))
    return pd.concat(parts, ignore_index=True)


def test_a_cell_that_is_worse_by_d_at_every_draw_is_found_worse_by_d():
    rows = hand_made(0.4)
    found = compare(table(rows, (20, 10, 6)), seed=1).set_index("label").loc["variant"]
    assert found["top"] == 3
    assert found["difference"] == pytest.approx(0.4)
    assert found["low"] <= 0.4 <= found["high"]
    assert found["low"] > 0
    assert found["verdict"] == "worse"
    same = compare(table(hand_made(0.0), (20, 10, 6)), seed=1).set_index("label").loc["variant"]
    assert same["difference"] == 0
    assert same["verdict"] == "n.s."


def test_the_rung_comes_first_and_validation_second():
    order = rung_first(np.array([1.0, 2.0, 1.5, np.nan, 1.9]), np.array([1, 3, 2, 3, 3]))
    assert np.argsort(order[:3]).tolist() == [1, 2, 0]
    assert np.isnan(order[3])
    assert order[4] < order[1]
    assert order[1] - order[4] == pytest.approx(0.1)  # a shift in a rung is a shift
    flat = np.array([3.0, 1.0])
    assert rung_first(flat, np.array([1, 1])) is flat
    # a finalist that is bad on the last rung still stands before the best of those before it
    rows = hand_made(0.0)
    rows.loc[rows["rung"] == 3, ["valid_bpc", "test_bpc"]] += 2.5
    (draws,) = task_draws(table(rows, (20, 10, 6)))
    pair = pair_of(draws, "base", "variant")
    assert pair.counted == 3
    assert (top_scores(pair.valid, pair.test, 6) > 3.5).all()
    assert (top_scores(pair.valid, pair.test, 7)[:, 6] < 3.5).all()


def test_half_of_the_finalists_are_the_best_and_a_lost_one_is_the_last():
    for finalists, counted in ((1, 1), (4, 2), (5, 3), (12, 6)):
        rung = [2] * finalists + [1] * (200 - finalists)
        assert counted_of(pd.DataFrame({"label": "a", "rung": rung})) == counted
        assert top_count(200, counted=counted) == counted
    assert top_count(200) == 20
    rows = hand_made(0.0)
    lost = (rows["rung"] == 3) & (rows["spec"] == "variant")
    rows.loc[lost & (rows["member"] == rows[lost]["member"].iloc[0]), "status"] = "diverged"
    draws = table(rows, (20, 10, 6))
    assert (finalists_of(draws), counted_of(draws)) == (6, 3)
    (of,) = task_draws(draws)
    assert np.isinf(of.valid[of.place("variant")]).sum() == 1
    assert finalists_of(table(rows, (20, 10, 6), last=1)) == 0
    (first,) = task_draws(table(rows, (20, 10, 6), last=1))
    assert first.top_count(20) == 5


def test_one_cell_under_two_names_is_called_different_in_a_twentieth_of_studies():
    cells = {"a": SimulatedCell(), "b": SimulatedCell()}
    rejected = 0
    for seed in range(80):
        (draws,) = task_draws(table(climbed(cells, seed)))
        pair = pair_of(draws, "a", "b")
        rejected += permutation_p(pair, top=pair.top, seed=seed, swaps=300) <= 0.05
    # of 80 with a chance of 5 % each, 11 or more have a chance of 0.3 %
    assert 1 <= rejected <= 10


def test_a_cell_that_is_worse_is_seen_more_often_than_by_draws_trained_to_the_end():
    cells = {"a": SimulatedCell(), "b": SimulatedCell(shift=0.06)}
    paid = (40 + 4 * 24 + 16 * 12) // 16
    seen = {"ladder": 0, "all": 0}
    for seed in range(25):
        (draws,) = task_draws(table(climbed(cells, seed)))
        pair = pair_of(draws, "a", "b")
        seen["ladder"] += permutation_p(pair, top=pair.top, seed=seed, swaps=300) <= 0.05
        rows = climbed(cells, seed, rungs=(paid,) * 3)
        (draws,) = task_draws(table(rows, (paid,) * 3).assign(rung=1))
        pair = pair_of(draws, "a", "b")
        seen["all"] += permutation_p(pair, top=pair.top, seed=seed, swaps=300) <= 0.05
    assert seen["ladder"] > seen["all"]
    assert seen["ladder"] >= 12


def test_at_every_rung_the_difference_is_as_if_the_ladder_ended_there():
    cells = {"a": SimulatedCell(), "b": SimulatedCell(shift=0.1)}
    rows = climbed(cells, 1).assign(characters=lambda r: 1000 * r["rung"])
    tables = {rung: table(rows, last=rung) for rung in (1, 2, 3)}
    found = difference_by_rung(tables, baseline="a", seed=1, resamples=100)
    curve = found.curve
    assert curve["rung"].tolist() == [1, 2, 3]
    assert curve["top"].tolist() == [5, 12, 6]
    assert curve["reached"].tolist() == [40, 24, 12]
    assert curve["characters"].tolist() == [1000, 2000, 3000]
    for rung, of in tables.items():
        expected = compare(of, seed=1, resamples=0).set_index("label").loc["b", "difference"]
        assert curve.set_index("rung").loc[rung, "difference"] == pytest.approx(expected)
    assert ((curve["low"] <= curve["difference"]) & (curve["difference"] <= curve["high"])).all()
    (settled,) = found.settling.to_dict("records")
    assert settled["rung"] == 2
    assert settled["change"] == pytest.approx(curve["difference"].diff().iloc[-1])
    unfinished = {rung: of[of["rung"] < 3] for rung, of in tables.items()}
    assert difference_by_rung(unfinished, baseline="a", seed=1).curve["rung"].tolist() == [1, 2]


def test_the_leaderboard_is_of_the_last_rung():
    rows = hand_made(0.0)
    rows.loc[rows["rung"] == 1, "valid_bpc"] = 0.1  # below all that follows
    draws = table(rows, (20, 10, 6))
    board = leaderboard(draws).set_index("label")
    last = rows[(rows["rung"] == 3) & (rows["spec"] == "base")]
    assert board.loc["base", "finalists"] == 6
    assert board.loc["base", "members"] == 20
    assert board.loc["base", "top"] == 3
    assert board.loc["base", "best_valid_bpc"] == last["valid_bpc"].min()
    assert board.loc["base", "mean_valid_bpc"] == pytest.approx(last["valid_bpc"].mean())
    assert "finalists" not in leaderboard(table(rows, (20, 10, 6), last=1))


def test_two_rows_of_one_draw_are_refused():
    with pytest.raises(ConfigError, match="twice on t;"):
        task_draws(with_labels(hand_made(0.0)))


def test_a_pair_counts_its_best():
    values = np.zeros((2, 30))
    assert (Pair(values, values).top, Pair(values, values, counted=5).top) == (5, 5)
    assert (Pair(values, values, counted=12).top, Pair(values, values, counted=99).top) == (12, 30)
    assert Pair(values, values).draws == 30
