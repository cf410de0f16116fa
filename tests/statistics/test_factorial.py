"""Effects of changes in all combinations: known answers, size under the null, power."""

import itertools

import numpy as np
import pandas as pd
import pytest

from odyssey.errors import ConfigError
from odyssey.report.study.factorial import effects_table, factorial_of
from odyssey.statistics.factorial import FactorialTest, _Scores, factorial_effects
from odyssey.statistics.ranking import with_labels
from odyssey.statistics.simulation import SimulatedCell, simulate_results


def cells_of(*changes):
    return {
        "lstm" + ":" * bool(part) + "+".join(part): part
        for size in range(len(changes) + 1)
        for part in itertools.combinations(changes, size)
    }


def results(shifts, *, draws, seed=0, tasks=("xml",)):
    made = {label: SimulatedCell(shift=shift) for label, shift in shifts.items()}
    return simulate_results(made, rng=np.random.default_rng(seed), draws=draws, tasks=tasks)


def with_shift(cells, **effects):
    """Adds up what changes and pairs of them cost."""
    cost = {frozenset(name.split("_x_")): shift for name, shift in effects.items()}
    return {
        label: sum(shift for of, shift in cost.items() if of <= frozenset(part))
        for label, part in cells.items()
    }


def test_effects_of_constant_scores_are_exact():
    cells = cells_of("a", "b", "c")
    frame = results(dict.fromkeys(cells, 0.0), draws=6).assign(status="ok")
    value = with_shift(cells, a=0.3, b=-0.1, a_x_b=0.5, b_x_c=0.2)
    for column in ("valid_bpc", "test_bpc"):
        frame[column] = frame["spec"].map(value).astype(float) + 2.0
    found = factorial_effects(frame, cells, seed=1).set_index("effect")["estimate"]
    # a pair counts with half of the cells of either change
    expected = {"a": 0.3 + 0.25, "b": -0.1 + 0.25 + 0.1, "c": 0.1}
    expected |= {"a x b": 0.5, "a x c": 0.0, "b x c": 0.2}
    assert found.to_dict() == pytest.approx(expected)
    names = {f"{part}_accuracy": frame[f"{part}_bpc"] / 9 for part in ("valid", "test")}
    accuracy = frame.assign(**names)
    columns = {"valid": "valid_accuracy", "test": "test_accuracy"}
    again = factorial_effects(accuracy, cells, seed=1, **columns).set_index("effect")
    assert again["estimate"].to_dict() == pytest.approx({k: v / 9 for k, v in expected.items()})
    assert (again["low"] <= again["high"]).all()


def scores(rng, shifts, draws):
    """Draws the four cells of two changes: normal luck, half of it shared, the best chosen."""
    luck = rng.normal(size=draws) + rng.normal(size=(4, draws))
    bits = 3 + np.abs(rng.normal(size=draws)) + 0.1 * luck + np.array(shifts)[:, None]
    valid, test = (bits + 0.02 * rng.normal(size=bits.shape) for _ in range(2))
    return _Scores(valid, test)


@pytest.mark.parametrize(
    ("shifts", "null"),
    [([0, 0, 0, 0], (1, 2, 3)), ([0, 0.3, 0.2, 0.5], (3,)), ([0, 0.3, 0, 0.3], (2, 3))],
)
def test_what_is_not_there_is_found_in_a_twentieth_of_studies(shifts, null):
    rng = np.random.default_rng(2)
    rejected = dict.fromkeys(null, 0)
    studies = 150
    for _ in range(studies):
        drawn = scores(rng, shifts, 20)
        for effect in null:
            test = FactorialTest(drawn, effect, seed=1)
            test.draw(200)
            rejected[effect] += test.p <= 0.05
    most = studies * (0.05 + 2.6 * np.sqrt(0.05 * 0.95 / studies))
    assert max(rejected.values()) <= most


def test_what_is_there_is_found():
    cells = cells_of("a", "b")
    shifts = with_shift(cells, a=0.3, a_x_b=-0.4)
    found = factorial_effects(results(shifts, draws=40), cells, seed=1).set_index("effect")
    assert found["verdict"].to_dict() == {"a": "worse", "b": "better", "a x b": "better"}
    assert found.loc["a", "estimate"] == pytest.approx(0.1, abs=0.05)
    assert found.loc["b", "estimate"] == pytest.approx(-0.2, abs=0.05)
    assert found.loc["a x b", "low"] < -0.4 < found.loc["a x b", "high"]
    nothing = factorial_effects(results(dict.fromkeys(cells, 0.0), draws=10), cells, seed=1)
    assert set(nothing["verdict"]) == {"n.s."}
    assert nothing["exact"].all()


def test_only_tasks_that_all_cells_have_met_count():
    cells = cells_of("a", "b")
    frame = results(dict.fromkeys(cells, 0.0), draws=8, tasks=("xml", "b"))
    part = frame[(frame["task"] == "xml") | (frame["spec"] != "lstm:a+b")]
    found = factorial_effects(part, cells, seed=1)
    assert set(found["task"]) == {"xml"}
    labelled = with_labels(part)
    run = {"factorial": {label: list(of) for label, of in cells.items()}}
    shown = factorial_of(labelled, run, seed=1)
    pd.testing.assert_frame_equal(shown.effects, found)
    assert [p.name for p in shown.pictures] == ["1_xml_factorial"]
    assert effects_table(found)["interval"].str.contains(" to ").all()
    assert factorial_of(labelled, {}, seed=1) is None
    assert factorial_of(labelled[labelled["spec"] == "lstm"], run, seed=1) is None


def test_other_cells_are_no_factorial():
    cells = cells_of("a", "b")
    frame = results(dict.fromkeys(cells, 0.0), draws=8)
    for wrong in ({"lstm": ()}, {"lstm": (), "lstm:a+b": ("a", "b")}):
        with pytest.raises(ConfigError, match=r"factorial|combinations"):
            factorial_effects(frame, wrong, seed=1)
