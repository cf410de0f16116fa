"""What the box plots show: the best by validation, and lost draws as guessing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from odyssey.statistics import boxes, ranking
from odyssey.statistics.simulation import SimulatedCell, simulate_results


def study(**values):
    frame = pd.DataFrame({"task": "t", "member": range(8), "status": "ok", "seed": range(8)})
    facts = {"cell": "x", "spec": "x", "num_parameters": 10, "num_symbols": 1024}
    return frame.assign(**(facts | values))


def test_box_summary_known_answer():
    valid = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, np.nan]
    frame = study(valid_bpc=valid, test_bpc=[v + 0.5 for v in valid])
    frame.loc[7, "status"] = "diverged"
    frame["num_parameters"] = [10, 20, 30, 40, 50, 60, 70, 0]
    every, best = boxes.box_summary(frame).to_dict("records")
    # In order: 2.5 to 8.5, and one lost that counts as guessing, log2 of 1024; the median is the
    # mean of the 4th and the 5th.
    assert (every["draws"], every["lost"], every["guessed"]) == (8, 1, 1)
    quantiles = [every[name] for name in ("low", "q1", "median", "q3", "high")]
    assert quantiles == [2.5, 4.25, 6.0, 7.75, 10.0]
    assert every["mean"] == (5.5 * 7 + 10) / 8
    assert every["parameters"] == 40
    assert (best["draws"], best["lost"], best["low"], best["high"]) == (5, 0, 2.5, 6.5)
    assert best["parameters"] == 50


def test_of_accuracies_lost_draws_are_at_the_low_end():
    frame = study(valid_accuracy=np.linspace(0.1, 0.8, 8), test_accuracy=np.linspace(0.1, 0.8, 8))
    frame.loc[7, "status"] = "diverged"
    every, best = boxes.box_summary(frame, valid="valid_accuracy", test="test_accuracy").to_dict(
        "records"
    )
    assert every["low"] == 1 / 1024
    assert every["high"] == pytest.approx(0.7)
    assert best["low"] == pytest.approx(0.3)


def test_best_draws_are_rows_and_never_lost_ones():
    cells = {"a": SimulatedCell(), "b": SimulatedCell(cliff=-9.0)}
    frame = simulate_results(cells, rng=np.random.default_rng(0), tasks=("x", "y"), draws=60)
    best = boxes.best_draws(frame)
    assert (best["status"] == "ok").all()
    for task, part in best.groupby("task"):
        a = frame[(frame["task"] == task) & (frame["spec"] == "a")]
        assert set(part["member"]) == set(a.nsmallest(6, "valid_bpc")["member"])
        assert set(part["label"]) == {"a"}


def test_winner_curves_are_those_of_the_best_draws(results, curves):
    part = results[results["label"] == "gru"]
    found = boxes.winner_curves(curves, part, fraction=0.5)
    # Four draws, at least five asked for: all that finished. Member 3 of the GRU diverged.
    assert set(found["members"]) == {3}
    assert set(found["label"]) == {"gru"}
    assert found["high"].notna().all()
    everything = ranking.with_labels(curves)
    assert found["characters"].max() == everything["characters"].max()
