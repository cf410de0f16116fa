"""Comparisons: known answers, exactness under the null, power, and what becomes of lost draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from odyssey.errors import ConfigError
from odyssey.statistics import comparison
from odyssey.statistics.draws import task_draws, top_scores
from odyssey.statistics.estimates import top_count
from odyssey.statistics.permutation import Pair, permutation_p
from odyssey.statistics.simulation import CHANCE, SimulatedCell, simulate_pairs, simulate_results


def pair(first, second):
    values = np.array([first, second], dtype=float)
    return Pair(values, values)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_holm_and_bonferroni_known_answers():
    # Rising: 0.01 * 4, 0.02 * 3, 0.03 * 2, 0.04 * 1, each at least the one before.
    given = [0.03, 0.01, np.nan, 0.04, 0.02]
    np.testing.assert_allclose(comparison.holm(given), [0.06, 0.04, np.nan, 0.06, 0.06])
    np.testing.assert_allclose(comparison.bonferroni(given), [0.12, 0.04, np.nan, 0.16, 0.08])
    assert comparison.holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert comparison.holm([]).size == 0


def test_best_draws_are_chosen_by_validation_and_scored_on_test():
    valid, test = np.array([3.0, 1.0, 2.0, np.inf]), np.array([30.0, 10.0, 20.0, 99.0])
    assert sorted(top_scores(valid, test, 2)) == [10.0, 20.0]
    assert sorted(top_scores(valid, test, 4)) == [10.0, 20.0, 30.0, 99.0]
    assert [top_count(n) for n in (3, 8, 49, 54, 55, 200)] == [3, 5, 5, 5, 6, 20]
    assert top_count(8, 1.0) == 8


def test_odyssey_test_is_welch_on_the_best_tenth():
    values = rng(3).normal(size=(2, 200))
    test = values + 0.1 * rng(4).normal(size=(2, 200))
    best = [test[i][np.argsort(values[i])[:20]] for i in (0, 1)]
    expected = stats.ttest_ind(*best, equal_var=False).pvalue
    assert comparison.odyssey_test(Pair(values, test)) == pytest.approx(expected, rel=1e-9)
    assert np.isnan(comparison.odyssey_test(pair([1.0], [2.0])))
    assert np.isnan(comparison.odyssey_test(pair([1.0] * 9, [2.0] * 9)))


def test_the_interval_holds_what_the_test_does_not_reject():
    data = task_draws(
        simulate_results({"a": SimulatedCell(), "b": SimulatedCell(shift=0.05)}, rng=rng(1))
    )[0]
    given = comparison.pair_of(data, "a", "b")
    found = comparison.paired_test(given, seed=0)
    assert found.low < found.difference < found.high
    for shift, inside in ((found.low - 0.01, False), (found.low + 0.01, True)):
        p = permutation_p(given, top=20, seed=9, shift=shift)
        assert (p > 0.05) == inside


def test_the_chance_to_be_better_lies_in_its_interval_from_either_side():
    data = task_draws(
        simulate_results({"a": SimulatedCell(), "b": SimulatedCell(shift=0.02)}, rng=rng(1))
    )[0]
    one = comparison.paired_test(comparison.pair_of(data, "a", "b"), seed=0)
    other = comparison.paired_test(comparison.pair_of(data, "b", "a"), seed=0)
    assert 0 < one.improvement_low < one.improvement < one.improvement_high < 1
    assert other.improvement == pytest.approx(1 - one.improvement)
    assert other.improvement_high == pytest.approx(1 - one.improvement_low, abs=0.02)
    assert other.improvement_low == pytest.approx(1 - one.improvement_high, abs=0.02)


def test_no_more_swaps_are_drawn_than_were_granted():
    frame = simulate_results(
        {"a": SimulatedCell(), "b": SimulatedCell(shift=0.03)}, rng=rng(1), draws=40
    )
    for granted in (100, 3_000):
        row = comparison.compare(frame, seed=0, permutations=granted).iloc[1]
        assert row["swaps"] <= granted
        assert row["p"] >= 1 / (granted + 1)


def test_intervals_of_too_few_draws_are_unbounded():
    given = pair([1.0, 2.0, 3.0], [1.1, 2.1, 3.3])
    found = comparison.paired_test(given, seed=0)
    assert (found.low, found.high) == (-np.inf, np.inf)
    # Of the eight swaps, the two that keep all signs alike reach the mean found.
    assert permutation_p(given, top=3, seed=0) == 0.25
    nothing = comparison.paired_test(pair([], []), seed=0)
    assert np.isnan(list(nothing)).all()


def test_one_cell_under_two_names_is_found_different_in_a_twentieth_of_studies():
    p = []
    for seed in range(300):
        (given,) = simulate_pairs([SimulatedCell(), SimulatedCell()], rng=rng(seed), draws=60)
        p.append(permutation_p(given, top=6, seed=seed, swaps=1999))
    share = np.mean(np.array(p) <= 0.05)
    # 300 studies at 5 %: 15 of them, and 27 or more once in a thousand times
    assert share <= 26 / 300
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.1)


def test_a_worse_cell_is_found_and_a_better_one_too():
    cells = {
        "base": SimulatedCell(),
        "worse": SimulatedCell(shift=0.15),
        "better": SimulatedCell(shift=-0.15),
    }
    frame = comparison.compare(simulate_results(cells, rng=rng(2)), seed=0, resamples=200)
    assert list(frame["verdict"]) == ["baseline", "worse", "better"]
    assert list(frame["odyssey_verdict"]) == ["baseline", "worse", "better"]
    assert frame["difference"][1] == pytest.approx(0.15, abs=0.06)
    assert frame["improvement"][1] < 0.2 < 0.8 < frame["improvement"][2]
    assert frame["low"][1] < 0.15 < frame["high"][1]
    relative = frame["difference"][1] / frame["top_score"][0]
    assert frame["relative"][1] == pytest.approx(relative)
    by_name = comparison.compare(
        simulate_results(cells, rng=rng(2)), seed=0, baseline="worse", resamples=0
    )
    assert list(by_name["verdict"]) == ["better", "baseline", "better"]


def test_of_accuracies_more_is_better():
    cells = {"base": SimulatedCell(), "worse": SimulatedCell(shift=0.3)}
    frame = comparison.compare(
        simulate_results(cells, rng=rng(2)),
        seed=0,
        valid="valid_accuracy",
        test="test_accuracy",
        resamples=100,
    )
    row = frame.iloc[1]
    assert row["verdict"] == "worse"
    assert row["low"] < row["difference"] < row["high"] < 0
    assert frame["top_score"][0] > frame["top_score"][1] > 0


def test_lost_draws_are_the_worst_and_stay_in():
    frame = simulate_results(
        {"base": SimulatedCell(), "lost": SimulatedCell(cliff=-9.0)}, rng=rng(4), draws=60
    )
    assert frame.loc[frame["spec"] == "lost", "status"].eq("diverged").all()
    frame.loc[(frame["spec"] == "lost") & (frame["member"] == 7), ["status", "valid_bpc"]] = (
        "ok",
        0.5,
    )
    frame.loc[(frame["spec"] == "lost") & (frame["member"] == 7), "test_bpc"] = 0.6
    row = comparison.compare(frame, seed=0, resamples=100).iloc[1]
    assert (row["draws"], row["lost"], row["guessed"]) == (60, 59, 59)
    assert (row["top"], row["top_guessed"], row["baseline_guessed"]) == (6, 5, 0)
    assert row["top_score"] == pytest.approx((0.6 + 5 * CHANCE) / 6)
    assert row["verdict"] == "worse"
    turned = comparison.compare(frame, seed=0, baseline="lost", resamples=0).iloc[0]
    assert (turned["top_guessed"], turned["baseline_guessed"]) == (0, 5)
    assert turned["difference"] == pytest.approx(-row["difference"])


@pytest.mark.parametrize("spoilt", [1e6, np.inf, np.nan, CHANCE + 0.01])
@pytest.mark.parametrize("spec", ["base", "other"])
def test_a_score_worse_than_guessing_counts_as_guessing_and_is_marked(spoilt, spec):
    frame = simulate_results(
        {"base": SimulatedCell(), "other": SimulatedCell()}, rng=rng(4), draws=20
    )
    best = frame[frame["spec"] == spec]["valid_bpc"].idxmin()
    at_chance, broken = (frame.copy() for _ in range(2))
    at_chance.loc[best, "test_bpc"] = CHANCE
    broken.loc[best, "test_bpc"] = spoilt
    expected, found = (
        comparison.compare(f, seed=0, resamples=0).iloc[1] for f in (at_chance, broken)
    )
    if np.isfinite(spoilt):  # it was chosen, and exploded on test
        numbers = ["difference", "p", "relative"]
        np.testing.assert_array_equal(found[numbers], expected[numbers])
        marks = (0, 1) if spec == "base" else (1, 0)
        assert (found["top_guessed"], found["baseline_guessed"]) == marks
    else:  # it has no result: another draw is chosen
        assert found["lost"] >= expected["lost"]
    assert abs(found["difference"]) < CHANCE


def test_a_cell_that_lost_all_draws_is_at_guessing_on_either_side():
    frame = simulate_results(
        {"base": SimulatedCell(), "lost": SimulatedCell(cliff=-9.0)}, rng=rng(4), draws=20
    )
    row = comparison.compare(frame, seed=0, resamples=0).iloc[1]
    assert row["top_score"] == CHANCE
    turned = comparison.compare(frame, seed=0, resamples=0, baseline="lost").iloc[0]
    assert (row["top_guessed"], row["baseline_guessed"]) == (5, 0)
    assert (turned["top_guessed"], turned["baseline_guessed"]) == (0, 5)
    assert (row["verdict"], turned["verdict"]) == ("worse", "better")


def test_without_the_number_of_symbols_lost_draws_are_the_worst_of_the_task():
    frame = simulate_results(
        {"base": SimulatedCell(), "lost": SimulatedCell(cliff=-9.0)}, rng=rng(4), draws=20
    )
    frame = frame.drop(columns="num_symbols")
    row = comparison.compare(frame, seed=0, resamples=0).iloc[1]
    assert row["top_score"] == frame["test_bpc"].max()
    assert row["top_guessed"] == 5


def test_a_task_without_any_result_is_not_tested():
    frame = simulate_results(
        {"a": SimulatedCell(cliff=-9.0), "b": SimulatedCell(cliff=-9.0)}, rng=rng(), draws=20
    )
    found = comparison.compare(frame, seed=0)
    assert list(found["verdict"]) == ["baseline", "no test"]
    assert found[["difference", "p", "swaps", "p_holm"]].isna().all(axis=None)
    assert found["top_score"].eq(CHANCE).all()


def test_a_simulated_pair_is_that_of_the_records():
    cells = (SimulatedCell(), SimulatedCell(shift=0.1, cliff=-2.0))
    frame = simulate_results(dict(zip("ab", cells, strict=True)), rng=rng(3), draws=50)
    expected = comparison.pair_of(task_draws(frame)[0], "a", "b")
    (found,) = simulate_pairs(cells, rng=rng(3), draws=50)
    np.testing.assert_array_equal(found.valid, expected.valid)
    np.testing.assert_array_equal(found.test, expected.test)


def test_only_draws_of_both_cells_are_compared():
    frame = simulate_results({"a": SimulatedCell(), "b": SimulatedCell()}, rng=rng(), draws=30)
    part = frame[~((frame["spec"] == "b") & (frame["member"] >= 20))]
    row = comparison.compare(part, seed=0, resamples=0).iloc[1]
    assert row["draws"] == 20
    alone = comparison.compare(frame[frame["member"] < 20], seed=0, resamples=0).iloc[1]
    assert row["p"] == alone["p"]


def test_a_cell_more_changes_no_other_row_but_by_the_correction():
    cells = {"a": SimulatedCell(), "b": SimulatedCell(shift=0.02), "c": SimulatedCell(shift=0.1)}
    frame = simulate_results(cells, rng=rng(5), draws=60)
    all_of_them = comparison.compare(frame, seed=3, resamples=100)
    two = comparison.compare(frame[frame["spec"] != "b"], seed=3, resamples=100)
    kept = ["difference", "low", "high", "improvement_low", "p", "odyssey_p"]
    np.testing.assert_array_equal(all_of_them.loc[2, kept], two.loc[1, kept])
    assert all_of_them["p_holm"][2] == pytest.approx(2 * two["p_holm"][1])


def test_mistakes_are_named():
    frame = simulate_results({"a": SimulatedCell(), "b": SimulatedCell()}, rng=rng(), draws=8)
    with pytest.raises(ConfigError, match="no cell with results on made-up called 'x'"):
        comparison.compare(frame, seed=0, baseline="x")
    with pytest.raises(ConfigError, match="twice"):
        comparison.compare(pd.concat([frame, frame]), seed=0)
    with pytest.raises(ConfigError, match="only one of them is a loss"):
        comparison.compare(frame, seed=0, test="test_accuracy")
    with pytest.raises(ConfigError, match="no results"):
        comparison.compare(frame[:0], seed=0)
    with pytest.raises(ConfigError, match="two seeds"):
        comparison.compare(frame.assign(seed=range(16)), seed=0)
    two_runs = pd.concat([frame.assign(run="x"), frame.assign(run="y")])
    assert comparison.compare(two_runs, seed=0, resamples=0)["draws"].tolist() == [16, 16]


def test_difference_by_budget_ends_at_the_best_draws():
    frame = simulate_results(
        {"a": SimulatedCell(), "b": SimulatedCell(shift=0.1)}, rng=rng(6), draws=50
    )
    found = comparison.difference_by_budget(frame, seed=0, resamples=200)
    assert list(found["n"]) == list(range(1, 51))
    best = frame.loc[frame.groupby("spec")["valid_bpc"].idxmin()].set_index("spec")["test_bpc"]
    assert found["difference"].iloc[-1] == pytest.approx(best["b"] - best["a"])
    draws = task_draws(frame)[0]
    assert found["difference"].iloc[0] == pytest.approx(np.diff(draws.test.mean(axis=1))[0])
    middle = found[found["n"].between(5, 20)]
    assert (middle["low"] < middle["difference"]).all()
    assert (middle["difference"] < middle["high"]).all()


def test_cells_with_baselines_of_their_own_are_pairs_in_one_table():
    names = ("a", "b", "a'", "b'")
    cells = {name: SimulatedCell(shift=0.05 * place) for place, name in enumerate(names)}
    results = simulate_results(cells, draws=12, rng=rng(5))
    found = comparison.compare(results, seed=0, baseline={"a'": "a", "b'": "b"})
    assert found[found["baseline"]]["label"].tolist() == ["a", "b"]
    pairs = [
        comparison.compare(results[results["cell"].isin(pair)], seed=0)
        for pair in (("a", "a'"), ("b", "b'"))
    ]
    alone = pd.concat(pairs).set_index("label")
    found = found.set_index("label")
    same = ["difference", "low", "high", "relative", "improvement", "p", "odyssey_p", "top_score"]
    pd.testing.assert_frame_equal(found[same], alone.loc[found.index, same])
    tested = found[~found["baseline"]]
    np.testing.assert_allclose(tested["p_holm"], comparison.holm(tested["p"]))
