"""Functional ANOVA against functions whose decomposition is known in closed form, and optuna's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from odyssey.errors import ConfigError
from odyssey.report.study.importance_plots import marginals_figure, plot_importance
from odyssey.statistics.importance import (
    InputRange,
    decompose,
    draws_that_learn,
    importance,
    inputs_of,
    on_scale,
)
from odyssey.statistics.simulation import CLOSED_FORMS, SimulatedCell, simulate_results


def unit(name):
    return InputRange(name, "linear", 0.0, 1.0)


@pytest.mark.parametrize(
    ("name", "trials", "within"),
    [("12 (a - 1/2)² + b", 200, 0.03), ("a b", 200, 0.05), ("Ishigami", 1000, 0.07)],
)
def test_closed_forms(name, trials, within):
    function, shares = CLOSED_FORMS[name]
    x = np.random.default_rng(0).random((trials, 3))
    found = decompose([unit(n) for n in "abc"], x, function(x), seed=0, halves=6)
    share = found.effects.set_index("inputs")["share"]
    assert set(shares) <= set(share.index)
    for effect in share.index:
        assert share[effect] == pytest.approx(shares.get(effect, 0.0), abs=within), effect
    assert found.ranked
    assert found.fit > 0.85
    assert share.sum() == pytest.approx(1.0)
    assert (found.effects["low"] <= found.effects["high"]).all()


def test_marginals_and_pairs_are_means_over_the_other_inputs():
    x = np.random.default_rng(1).random((600, 2))
    inputs = [unit("a"), InputRange("b", "log", np.log(10), np.log(1000))]
    y = 2 * x[:, 0] + 4 * x[:, 0] * x[:, 1]
    found = decompose(inputs, x, y, seed=0, halves=10)
    a = found.marginals[found.marginals["input"] == "a"]
    inner = a["value"].between(0.1, 0.9)
    np.testing.assert_allclose(a["mean"][inner], 4 * a["value"][inner], atol=0.25)
    assert (a["low"] <= a["mean"] + 1e-9).mean() > 0.9
    b = found.marginals[found.marginals["input"] == "b"]
    assert b["value"].between(10, 1000).all()
    assert np.interp(100, b["value"], b["mean"]) == pytest.approx(2.0, abs=0.2)
    pairs = found.pairs.pivot(index="first_value", columns="second_value", values="mean")
    assert pairs.shape == (100, 100)
    np.testing.assert_allclose(pairs.mean(axis=1), a["mean"], atol=1e-9)
    assert pairs.iloc[90, 90] == pytest.approx(2 * 0.905 + 4 * 0.905**2, abs=0.35)


def test_choices_are_decomposed_over_their_values():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "task": "t",
            "spec": "s",
            "status": "ok",
            "init_scale": rng.choice([0.3, 0.7, 1.0, 1.4], 300),
            "clip_norm": rng.choice([1.0, 5.0], 300),
            "momentum": 0.9,
        }
    )
    # Main effects: of (0, 0, 0, 4) the variance 3, of +-1 the variance 1; nothing else.
    frame["test_bpc"] = 4.0 * (frame["init_scale"] == 1.4) + np.where(frame["clip_norm"] > 2, 1, -1)
    found = importance(frame, seed=0, halves=4)
    assert [i.name for i in found.inputs] == ["init_scale", "clip_norm"]
    share = found.effects.set_index("inputs")["share"]
    assert share["init_scale"] == pytest.approx(0.75, abs=0.03)
    assert share["clip_norm"] == pytest.approx(0.25, abs=0.03)
    marginal = found.marginals[found.marginals["input"] == "init_scale"]
    np.testing.assert_allclose(marginal["value"], [0.3, 0.7, 1.0, 1.4])
    np.testing.assert_allclose(marginal["mean"], [0, 0, 0, 4], atol=0.1)


def test_noise_is_not_ranked():
    rng = np.random.default_rng(3)
    found = decompose(
        [unit("a"), unit("b")], rng.random((200, 2)), rng.normal(size=200), seed=0, halves=3
    )
    assert not found.ranked
    assert found.fit < 0.2
    assert found.effects["rank"].isna().all()
    assert "poor" in found.verdict


def test_the_learning_rate_rules_a_simulated_study():
    frame = simulate_results({"a": SimulatedCell()}, rng=np.random.default_rng(4), draws=200)
    found = importance(frame, seed=0, halves=10)
    assert found.ranked
    assert 0.5 < found.fit < 0.8
    assert "roughly" in found.verdict
    first = found.effects.iloc[0]
    assert (first["inputs"], first["rank"]) == ("learning_rate", 1)
    assert first["low"] > 0.5
    assert {i.name: i.scale for i in found.inputs} == {
        "learning_rate": "log",
        "hidden_size": "log",
        "momentum": "log of one minus",
        "input_noise": "linear",
    }
    again = importance(frame, seed=0, halves=10)
    pd.testing.assert_frame_equal(found.effects, again.effects)


def test_guessing_keeps_exploded_trials_from_being_all_there_is():
    frame = simulate_results(
        {"a": SimulatedCell(cliff=9.0)}, rng=np.random.default_rng(5), draws=150
    )
    plain = importance(frame, seed=0, halves=0)
    exploded = frame.assign(test_bpc=frame["test_bpc"].where(frame["member"] != 3, 1e6))
    capped = importance(exploded, seed=0, halves=0)
    unknown = exploded.drop(columns="num_symbols")
    assert not importance(unknown, seed=0, halves=0).ranked
    shares = [f.effects.set_index("inputs")["share"] for f in (plain, capped)]
    assert shares[0]["learning_rate"] == pytest.approx(shares[1]["learning_rate"], abs=0.1)
    assert plain.effects["low"].isna().all()


@pytest.mark.parametrize("value", [2.5, 0.0, 0.1])
def test_equal_results_have_nothing_to_rank(value):
    frame = simulate_results({"a": SimulatedCell()}, rng=np.random.default_rng(4), draws=40)
    frame = frame.assign(status="ok", test_bpc=value * (1 + 1e-16 * np.arange(40)))
    found = importance(frame, seed=0, halves=2)
    assert not found.ranked
    assert np.isnan(found.fit)
    assert found.effects[["share", "rank"]].isna().all(axis=None)
    assert found.verdict.startswith("No variation: nothing to rank")
    ax = plot_importance(found)
    assert any("No variation" in text.get_text() for text in ax.texts)
    figure = marginals_figure(found, unit="bits")
    assert "no variation" in {a.get_title(loc="left") for a in figure.axes}


def test_scales_are_inverted():
    for name, values in {
        "learning_rate": np.geomspace(1e-6, 1e-2, 50),
        "momentum": 1 - np.geomspace(0.01, 1, 50),
        "input_noise": np.linspace(0, 1, 50),
    }.items():
        (found,) = inputs_of(pd.DataFrame({name: values}))
        units = found.to_unit(values)
        assert sorted(units)[0] == pytest.approx(0)
        assert sorted(units)[-1] == pytest.approx(1)
        np.testing.assert_allclose(found.to_unit(found.values), found.grid, atol=1e-9)


def test_mistakes_are_named():
    frame = simulate_results(
        {"a": SimulatedCell(), "b": SimulatedCell()}, rng=np.random.default_rng(0), draws=40
    )
    with pytest.raises(ConfigError, match="one cell on one task"):
        importance(frame, seed=0)
    one = frame[frame["spec"] == "a"]
    with pytest.raises(ConfigError, match="too few"):
        importance(one[one["member"] < 20], seed=0)
    with pytest.raises(ConfigError, match="no hyperparameter varied"):
        importance(one, seed=0, scales={"num_layers": "linear"})
    with pytest.raises(ConfigError, match="above 0"):
        on_scale([0.0, 1.0], "log")
    with pytest.raises(ConfigError, match="no scale called"):
        on_scale([1.0], "log10")


def test_main_effects_agree_with_optuna():
    optuna = pytest.importorskip("optuna")
    from optuna.distributions import FloatDistribution
    from optuna.importance import FanovaImportanceEvaluator

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    x = np.random.default_rng(6).random((300, 3))
    added, product, _ = (form.function(x) for form in CLOSED_FORMS.values())
    y = added + product + np.sin(3 * x[:, 2])
    found = decompose([unit(n) for n in "abc"], x, y, seed=0, halves=0)
    # optuna integrates over a linear measure whatever the distribution says: it gets units.
    space = {n: FloatDistribution(0.0, 1.0) for n in "abc"}
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(zip(space, map(float, row), strict=True)),
                distributions=space,
                value=float(value),
            )
            for row, value in zip(x, y, strict=True)
        ]
    )
    theirs = FanovaImportanceEvaluator(n_trees=32, max_depth=64, seed=0).evaluate(study)
    ours = found.effects.set_index("inputs")["share"]
    assert set(theirs) == set(space)
    for name in space:
        assert ours[name] == pytest.approx(theirs[name], abs=0.05)


def test_a_rate_that_decides_whether_a_draw_learns_hides_what_decides_how_well():
    rng = np.random.default_rng(1)
    rate, noise = rng.uniform(-4, 0, 200), rng.uniform(0, 1, 200)
    learns = rate > -2
    bits = np.where(learns, 2 + 0.5 * noise, 4.9)
    frame = pd.DataFrame(
        {"task": "xml", "spec": "gru", "status": "ok", "num_symbols": 32}
        | {"learning_rate": 10.0**rate, "input_noise": noise, "valid_bpc": bits, "test_bpc": bits}
    )
    frame.loc[np.flatnonzero(learns)[0], "status"] = "diverged"
    part = draws_that_learn(frame)
    assert len(part) == learns.sum() - 1
    shares = [
        importance(of, seed=1, halves=0).effects.set_index("inputs")["share"]
        for of in (frame, part)
    ]
    assert shares[0]["learning_rate"] > 0.9
    assert shares[1]["input_noise"] > 0.8
    # nobody knows what guessing costs: the best quarter
    assert len(draws_that_learn(frame.drop(columns="num_symbols"))) == 50
