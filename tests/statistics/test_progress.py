"""Differences along training: known curves, and how often a settled difference is called moving."""

import numpy as np
import pandas as pd
import pytest

from odyssey.report.study.plots import plot_progress, small_multiples
from odyssey.report.study.protocol import claims
from odyssey.statistics.comparison import compare
from odyssey.statistics.progress import MOST_CHECKPOINTS, difference_by_characters

GUESS = 5.0  # bits: 32 symbols


def study(values, *, lost=()):
    """Makes curves and results: per cell (checkpoints, draws) of validation bits."""
    curves, results = [], []
    for label, table in values.items():
        for draw in range(table.shape[1]):
            status = "diverged" if (label, draw) in lost else "ok"
            final = np.nanmin(table[:, draw]) if status == "ok" else np.nan
            row = {"task": "xml", "label": label, "spec": label, "cell": label, "member": draw}
            results.append(
                row
                | {"status": status, "num_symbols": 32, "valid_bpc": final, "test_bpc": final}
                | {"seed": draw}
            )
            for place, value in enumerate(table[:, draw]):
                if not np.isnan(value):
                    at = {"characters": 1000 * (place + 1), "metric": "valid_nats"}
                    curves.append(row | at | {"value": value * np.log(2)})
    return pd.DataFrame(curves), pd.DataFrame(results)


def test_known_curves_have_known_differences():
    steps = np.arange(8.0)[:, None]
    luck = np.linspace(0, 0.1, 5)
    base = 4.6 - 0.4 * steps + luck
    shrinking = base - 0.4 * 0.5**steps
    frames = study({"base": base, "constant": base + 0.25, "shrinking": shrinking})
    found = difference_by_characters(*frames, baseline="base", seed=1)
    curve = found.curve.pivot(index="characters", columns="label", values="difference")
    np.testing.assert_allclose(curve["constant"], 0.25)
    np.testing.assert_allclose(curve["shrinking"], -0.4 * 0.5 ** steps[:, 0])
    settling = found.settling.set_index("label")
    assert settling["moving"].to_dict() == {"constant": False, "shrinking": True}
    assert settling.loc["shrinking", "half"] == 4000
    assert settling.loc["shrinking", "change"] == pytest.approx(0.4 * (0.5**3 - 0.5**7))
    assert (found.curve["low"] <= found.curve["high"]).all()


def test_the_best_are_chosen_anew_and_a_loss_once_reached_stays():
    base = np.full((3, 12), 4.0)
    other = base.copy()
    other[0, :5] = 3.0  # good at first, and never again
    other[2, 5:10] = 2.0  # other draws are the best at the end
    found = difference_by_characters(*study({"a": base, "b": other}), baseline="a", seed=1)
    assert found.curve["difference"].tolist() == [-1.0, -1.0, -2.0]


def test_lost_draws_are_guessing_from_their_last_measurement_on():
    base = np.full((4, 5), 3.0)
    other = base.copy()
    other[2:, 0] = np.nan  # measured twice, then lost
    other[:, 1] = np.nan  # never measured
    frames = study({"a": base, "b": other}, lost={("b", 0), ("b", 1)})
    found = difference_by_characters(*frames, baseline="a", seed=1).curve["difference"]
    np.testing.assert_allclose(found, [0.4, 0.4, 0.8, 0.8])
    assert pytest.approx(0.8) == 2 * (GUESS - 3) / 5


def test_a_settled_difference_is_called_moving_in_a_twentieth_of_studies():
    rng = np.random.default_rng(5)
    draws, points = 60, 4
    moving = []
    for _ in range(40):
        shape = np.linspace(1, 0, points)[:, None]
        luck = rng.normal(0, 0.3, (1, draws))
        noise = lambda: 0.1 * rng.normal(size=(points, draws)).cumsum(0)  # noqa: E731
        cells = {f"c{k}": 3 + shape + luck + noise() + 0.1 * k for k in range(6)}
        found = difference_by_characters(*study(cells), baseline="c0", seed=1, resamples=100)
        moving += found.settling["moving"].tolist()
    # 200 comparisons that share a baseline; 5 % and a wide band
    assert np.mean(moving) <= 0.12


def test_long_curves_are_looked_at_in_a_few_places():
    base = np.linspace(4, 3, 300)[:, None] + np.linspace(0, 0.1, 6)
    found = difference_by_characters(*study({"a": base, "b": base}), baseline="a", seed=1)
    assert len(found.curve) == MOST_CHECKPOINTS
    assert found.curve["characters"].iloc[-1] == 300_000
    nothing = difference_by_characters(*study({"a": base}), baseline="a", seed=1)
    assert nothing.curve.empty
    assert nothing.settling.empty
    assert difference_by_characters(*study({"a": base}), baseline="b", seed=1).curve.empty


def test_the_page_says_what_has_not_flattened():
    steps = np.arange(8.0)[:, None]
    base = 4.6 - 0.4 * steps + np.linspace(0, 0.1, 12)
    curves, results = study({"base": base, "gru": base - 0.4 * 0.5**steps, "lstm": base + 0.1})
    found = difference_by_characters(curves, results, baseline="base", seed=1)
    compared = compare(results, seed=1, baseline="base", resamples=0)
    (claim,) = claims(compared, "base", found.settling)
    assert "Not flattened: between 4,000 characters and the end" in claim.rest
    assert "1 of 2 still moved (gru +0.047)" in claim.rest
    assert "Not flattened" not in claims(compared, "base")[0].rest
    figure = small_multiples(found.curve, plot_progress)
    assert len([ax for ax in figure.axes if ax.get_visible()]) == 2
