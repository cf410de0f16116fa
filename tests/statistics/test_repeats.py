"""Where a setting is tried with several seeds, all of them count: nobody chooses a seed."""

import numpy as np
import pandas as pd
import pytest

from odyssey.statistics.comparison import compare
from odyssey.statistics.draws import task_draws
from odyssey.statistics.equivalence import with_equivalence
from odyssey.statistics.estimates import counted_of, counted_with, repeats_of
from odyssey.statistics.permutation import Pair, permutation_p
from odyssey.statistics.power import smallest_difference
from odyssey.statistics.ranking import leaderboard, with_labels
from odyssey.training import space

SD = 0.03  # of a seed


def results(rates, seeds, *, shift=0.0, rng=None, cells=("lstm", "gru")):
    """Normal luck around a loss of 2 at the best rate; `shift` is added to all but the first."""
    rng = rng or np.random.default_rng(0)
    rows = []
    for place, cell in enumerate(cells):
        for member, rate in enumerate(np.tile(rates, seeds)):
            loss = 2 + 0.2 * abs(np.log(rate / rates[0])) + shift * (place > 0)
            valid, test = loss + SD * rng.standard_normal(2)
            rows.append(
                {
                    "task": "t", "spec": cell, "cell": cell, "member": member, "seed": member,
                    "status": "ok", "learning_rate": rate, "hidden_size": 8 + place,
                    "valid_bpc": valid, "test_bpc": test, "test_accuracy": 0.5,
                    "valid_nats": valid, "guess_nats": 4.0, "num_symbols": 100,
                    "num_parameters": 99, "parameters": 99,
                }
            )  # fmt: skip
    return with_labels(pd.DataFrame(rows))


@pytest.mark.parametrize(
    ("rates", "seeds", "repeats", "counted"),
    [
        ([1e-3], 16, 16, 16),  # one setting
        ([1e-3], 3, 3, 3),
        ([1e-3, 1e-2, 1e-1], 16, 16, 16),  # a grid
        ([1e-3, 1e-2, 1e-1], 2, 2, 5),  # two seeds are a matter of luck: the best five of six
        (np.geomspace(1e-4, 1e-1, 16), 1, 1, 0),  # drawn: the share decides
    ],
)
def test_as_many_count_as_a_setting_has_seeds(rates, seeds, repeats, counted):
    frame = results(rates, seeds)
    assert repeats_of(frame) == repeats
    assert counted_of(frame) == counted
    (draws,) = task_draws(frame)
    top = counted or 5
    assert draws.top_count(len(rates) * seeds) == top
    assert set(leaderboard(frame)["top"]) == {top}
    compared = compare(frame, baseline="lstm", seed=1).set_index("label")
    assert set(compared["top"]) == {top}
    means = {
        cell: own.sort_values("valid_bpc")["test_bpc"].head(top).mean()
        for cell, own in frame.groupby("cell")
    }
    assert compared.loc["gru", "difference"] == pytest.approx(means["gru"] - means["lstm"])


def test_settings_that_are_not_alike_often_tried_are_draws():
    assert repeats_of(results([1e-3, 1e-3, 1e-2], 1)) == 1
    assert counted_of(results([1e-3, 1e-3, 1e-2], 4)) == 0
    one = results([1e-3], 16)
    assert repeats_of(one[(one["cell"] == "lstm") | (one["member"] < 3)]) == 16  # on its way
    two = one.assign(**{"cell.dt": [0.1, 0.2] * 16})
    assert repeats_of(two) == 8  # settings of cells are settings
    assert repeats_of(one.iloc[:0]) == 1
    assert repeats_of(one.assign(learning_rate=np.nan, hidden_size=None, parameters=None)) == 1


def test_two_names_of_one_cell_are_told_apart_once_in_twenty():
    rng = np.random.default_rng(3)
    found = []
    for _ in range(300):
        (draws,) = task_draws(results([1e-3, 1e-2], 9, rng=rng))
        valid, test = draws.common(draws.labels)
        pair = Pair(valid, test, counted=draws.counted)
        assert pair.top == 9
        found.append(permutation_p(pair, top=pair.top, seed=1, swaps=400))
    assert 0.02 < np.mean(np.array(found) <= 0.05) < 0.09
    assert 0.4 < np.mean(found) < 0.6


def test_all_seeds_find_smaller_differences_and_equality_than_the_best_five():
    rng = np.random.default_rng(5)
    pilot = results([1e-3], 64, rng=rng)
    (draws,) = task_draws(pilot)
    pair = Pair(*draws.common(draws.labels), counted=64)
    options = {"draws": 16, "comparisons": 1, "seed": 1, "studies": 40}
    few, all_of_them = (smallest_difference([pair], counted=c, **options) for c in (0, 16))
    # of a t test with 16 and 16 seeds: 2.9 sd sqrt(2 / 16)
    assert all_of_them == pytest.approx(2.9 * SD * np.sqrt(2 / 16), rel=0.25)
    assert few > 1.15 * all_of_them
    frame = results([1e-3], 16, rng=rng)
    compared = compare(frame, baseline="lstm", seed=1)
    judged = with_equivalence(compared, frame, margin=0.05, seed=1).set_index("label")
    assert judged.loc["gru", "within"] == "equal"


def test_a_study_knows_its_repeats_before_it_runs():
    read = space.search_space
    grid = {"learning_rate": {"grid": [1e-3, 1e-2]}, "clip_norm": {"grid": [1, 5, 10]}}
    assert space.repeats_of(read({"learning_rate": 1e-3, "hidden_size": 8}), 16) == 16
    assert space.repeats_of(read(grid), 24) == 4
    assert space.repeats_of(read(grid), 6) == 1
    drawn = {"learning_rate": {"log_uniform": [1e-3, 1e-2]}}
    assert space.repeats_of(read(drawn), 24) == 1
    assert [counted_with(n, r) for n, r in ((24, 1), (24, 4), (24, 12), (200, 2))] == [0, 5, 12, 20]
