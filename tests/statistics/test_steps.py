"""What each step of a path brings: steps add up, and one that does nothing is not found."""

import io

import numpy as np
import pytest
from rich.console import Console

from odyssey.report.page.tables import print_table
from odyssey.report.study.steps import steps_of, steps_table
from odyssey.statistics.comparison import compare
from odyssey.statistics.ranking import with_labels
from odyssey.statistics.simulation import SimulatedCell, simulate_results
from odyssey.statistics.steps import path_steps

PATH = ("lstm", "coupled", "twin", "gru")


def results(shifts, *, draws, seed=0):
    cells = {name: SimulatedCell(shift=s) for name, s in zip(PATH, shifts, strict=True)}
    return simulate_results(cells, rng=np.random.default_rng(seed), draws=draws)


def test_steps_add_up_and_the_one_that_brings_the_gap_is_found():
    found = path_steps(results([0, -0.3, -0.3, -0.32], draws=50), PATH, seed=1, resamples=0)
    assert found["step"].tolist() == [1, 2, 3, 0]
    steps, whole = found["difference"][:3], found["difference"][3]
    assert steps.sum() == pytest.approx(whole)
    assert found["share"][:3].sum() == pytest.approx(1)
    assert found["share"][3] == 1
    assert found["verdict"].tolist() == ["better", "n.s.", "n.s.", "better"]
    assert found["share"][0] > 0.75


def test_a_step_is_the_comparison_of_two_cells():
    frame = results([0, 0.1, 0.2, 0.3], draws=14)
    found = path_steps(frame, PATH, seed=1)
    compared = compare(frame, seed=1, baseline="coupled").set_index("label").loc["twin"]
    step = found[found["step"] == 2].iloc[0]
    for name in ("difference", "low", "high", "p", "draws"):
        assert step[name] == pytest.approx(compared[name])
    accuracy = {"valid": "valid_accuracy", "test": "test_accuracy"}
    worse = path_steps(results([0, 0.5, 1, 1.5], draws=14), PATH, seed=1, **accuracy)
    assert set(worse["verdict"]) == {"worse"}
    assert (worse["difference"] < 0).all()


def test_nothing_is_found_in_a_path_of_one_cell():
    wrong = 0
    for seed in range(30):
        frame = results([0, 0, 0, 0], draws=10, seed=seed)
        found = path_steps(frame, PATH, seed=1, resamples=0)
        wrong += found["verdict"].isin(["better", "worse"]).any()
    assert wrong <= 30 * 0.05 + 2.6 * np.sqrt(30 * 0.05 * 0.95)


def test_the_page_has_the_steps_of_a_study_with_a_path():
    frame = with_labels(results([0, -0.3, -0.3, -0.32], draws=12))
    found = steps_of(frame, {"path": list(PATH)}, seed=1)
    table = steps_table(found)
    assert table["effect"].tolist()[::3] == ["coupled (from lstm)", "whole way to gru"]
    assert steps_of(frame, {}, seed=1) is None
    assert steps_of(frame[frame["spec"] != "gru"], {"path": list(PATH)}, seed=1) is None


def test_long_names_fold_on_a_terminal():
    names = [
        f"lstm:{'+'.join(['no_output_activation', 'no_output_gate'][: k + 1])}" for k in (0, 1)
    ]
    path = ("lstm", *names, "gru")
    cells = {name: SimulatedCell(shift=0.1 * k) for k, name in enumerate(path)}
    frame = simulate_results(cells, rng=np.random.default_rng(0), draws=6)
    shown = io.StringIO()
    print_table(steps_table(path_steps(frame, path, seed=1)), Console(file=shown, width=80))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert "".join(line[:50].strip() for line in lines).count("no_output_activation") >= 2
    assert any(line.startswith("whole way to gru") for line in lines)
