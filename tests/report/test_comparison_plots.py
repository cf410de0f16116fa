"""Figures of comparisons and importance show what they are given, in any grey."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from odyssey.report.page import style, tables
from odyssey.report.study import box_plots, comparison_plots, importance_plots
from odyssey.statistics import aggregate, comparison, importance
from odyssey.statistics.boxes import box_summary
from odyssey.statistics.simulation import SimulatedCell, simulate_results
from odyssey.statistics.verdicts import VERDICTS

UNIT = "test bits per character"
CELLS = {
    "lstm": SimulatedCell(),
    "lstm:no_forget_gate": SimulatedCell(shift=0.4, cliff=-2.0),
    "lstm:coupled_gates": SimulatedCell(shift=-0.3),
    "lstm:no_bias": SimulatedCell(),
}


@pytest.fixture(scope="module")
def frame():
    return simulate_results(CELLS, rng=np.random.default_rng(0), tasks=("xml", "b"), draws=100)


@pytest.fixture(scope="module")
def compared(frame):
    return comparison.compare(frame, seed=0, resamples=100)


@pytest.fixture(scope="module")
def found(frame):
    part = frame[(frame["task"] == "xml") & (frame["spec"] == "lstm")]
    return importance.importance(part, seed=0, halves=3)


def words(ax):
    return {text.get_text() for text in ax.texts}


def test_boxes_are_coloured_by_the_verdict_asked_for(frame, compared):
    summary = box_summary(frame[frame["task"] == "xml"])
    here = compared[compared["task"] == "xml"]
    before = dict(mpl.rcParams)
    figure = box_plots.boxes_figure(summary, here, unit=UNIT)
    figure.draw_without_rendering()
    assert dict(mpl.rcParams) == before
    upper, lower = figure.axes[:2]
    lost = summary[(summary["which"] == "all") & (summary["guessed"] > 0)]["guessed"]
    assert words(upper) == {f"{n} guess" for n in lost}
    colors = [mpl.colors.to_hex(p.get_facecolor()) for p in lower.patches]
    expected = [comparison_plots.VERDICT_LOOKS[v][1] for v in here["verdict"]]
    assert list(here["verdict"]) == ["baseline", "worse", "better", "n.s."]
    assert colors == expected
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["baseline", "better", "worse", "not significant"]
    other = box_plots.boxes_figure(
        summary, here.assign(odyssey_verdict="n.s."), unit=UNIT, verdict="odyssey_verdict"
    )
    assert len({p.get_facecolor() for p in other.axes[1].patches}) == 1


def test_box_of_a_cell_that_lost_everything_is_drawn(frame, compared):
    summary = box_summary(frame[frame["task"] == "xml"]).assign(
        low=np.inf, q1=np.inf, median=np.inf, q3=np.inf, high=np.inf, mean=np.nan
    )
    figure = box_plots.boxes_figure(summary, compared, unit=UNIT)
    figure.draw_without_rendering()
    assert np.isfinite(figure.axes[0].get_ylim()).all()


def test_forest_plot_has_a_row_a_variant_and_arrows_for_open_ends(compared):
    here = compared[compared["task"] == "xml"].copy()
    here.loc[here["label"] == "lstm:no_bias", ["low", "high"]] = (-np.inf, np.inf)
    ax = comparison_plots.plot_effects(here, unit=UNIT)
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "no forget gate", "coupled gates", "no bias"
    ]  # fmt: skip
    arrows = [line.get_marker() for line in ax.lines if line.get_marker() in ("<", ">")]
    assert arrows == ["<", ">"]
    assert ax.get_xlabel() == "difference to lstm, test bits per character"


def test_heat_map_writes_every_number_and_significant_ones_in_bold(compared):
    ax = comparison_plots.plot_heat_map(compared, unit=UNIT)
    shown = compared[~compared["baseline"]]
    assert words(ax) == {f"{100 * value:+.1f}" for value in shown["relative"]}
    starred = compared.assign(top_guessed=1)
    assert words(comparison_plots.plot_heat_map(starred, unit=UNIT)) == {w + "*" for w in words(ax)}
    bold = sum(text.get_fontweight() == "bold" for text in ax.texts)
    assert bold == shown["verdict"].isin(["better", "worse"]).sum() > 0


def test_a_task_that_the_baseline_solved_does_not_wash_out_the_others(compared):
    solved = compared.assign(relative=compared["relative"].where(compared["task"] != "xml", 30.0))
    ax = comparison_plots.plot_heat_map(solved, unit=UNIT)
    assert "+3000" in words(ax)
    assert ax.images[0].norm.vmax == comparison_plots.MOST_RANGE


def test_scores_over_tasks(frame):
    scores = aggregate.aggregate_scores(frame, seed=0, resamples=20)
    ax = comparison_plots.plot_aggregate(scores)
    assert ax.get_yticklabels()[0].get_text() == "coupled gates"
    profiles = aggregate.performance_profiles(frame, seed=0, resamples=20)
    assert len(comparison_plots.plot_profiles(profiles).lines) == len(CELLS) + 1


def test_verdicts_survive_a_grey_printer():
    grey = [
        np.dot(mpl.colors.to_rgb(light), [0.299, 0.587, 0.114])
        for _, light, _ in comparison_plots.VERDICT_LOOKS.values()
    ][:4]
    assert np.diff(sorted(grey)).min() > 0.05
    assert set(comparison_plots.VERDICT_LOOKS) == set(VERDICTS)
    assert len({marker for *_, marker in comparison_plots.VERDICT_LOOKS.values()}) == len(VERDICTS)


def test_labels_lose_a_base_that_all_share():
    short = comparison_plots.short_labels
    assert short(["lstm", "lstm:no_bias"]) == ["lstm", "no bias"]
    assert short(["lstm:a", "gru:b"]) == ["lstm:a", "gru:b"]


def test_importance_bars_and_marginals(found):
    ax = importance_plots.plot_importance(found)
    assert ax.get_yticklabels()[0].get_text() == "learning rate"
    assert any(f"R² {found.fit:.2f}" in text for text in words(ax))
    widths = [p.get_width() for p in ax.patches]
    assert sum(widths) == pytest.approx(100, abs=0.5)
    figure = importance_plots.marginals_figure(found, unit=UNIT)
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_visible()]
    assert titles[0].endswith("% of the variance")
    assert len(titles) == 4


def test_a_poor_fit_says_so_in_the_picture(found):
    from dataclasses import replace

    poor = replace(found, ranked=False)
    ax = importance_plots.plot_importance(poor)
    assert any("the fit is poor" in text for text in words(ax))
    assert {mpl.colors.to_hex(p.get_facecolor()) for p in ax.patches} == {style.FAINT}


def test_pair_maps_have_the_axes_of_their_columns(found):
    figure = importance_plots.pairs_figure(found, unit=UNIT, most=100)
    by_labels = {(ax.get_xlabel(), ax.get_ylabel()): ax for ax in figure.axes}
    (labels,) = {("learning rate", "momentum"), ("momentum", "learning rate")} & set(by_labels)
    mesh = by_labels[labels].collections[0].get_array().reshape(100, 100)
    rates = mesh.mean(axis=labels.index("learning rate"))
    marginal = found.marginals[found.marginals["input"] == "learning_rate"]["mean"]
    np.testing.assert_allclose(rates, marginal, atol=1e-9)


def test_many_cells_lie_below_each_other(compared):
    cells = {f"lstm:no_{k}": SimulatedCell(shift=0.01 * k) for k in range(box_plots.MOST_UPRIGHT)}
    frame = simulate_results(
        {"lstm": SimulatedCell()} | cells, rng=np.random.default_rng(0), tasks=("xml",), draws=20
    )
    compared = comparison.compare(frame, seed=0, baseline="lstm", resamples=20)
    figure = box_plots.boxes_figure(box_summary(frame), compared, unit=UNIT)
    left = figure.axes[0]
    names = [text.get_text() for text in left.get_yticklabels()]
    assert names == ["lstm", *(f"no {k}" for k in range(box_plots.MOST_UPRIGHT))]
    assert left.yaxis_inverted()
    assert left.get_xlabel() == UNIT


def test_a_cell_at_guessing_is_marked_and_does_not_make_the_scale(compared):
    gone = compared["label"] == "lstm:no_forget_gate"
    wild = compared.assign(
        top_guessed=compared["top_guessed"].mask(gone, compared["top"]),
        difference=compared["difference"].mask(gone, 300.0),
        relative=compared["relative"].mask(gone, 100.0),
        high=compared["high"].mask(gone, 301.0),
    )
    here = wild[wild["task"] == "xml"]
    forest = comparison_plots.plot_effects(here, unit=UNIT)
    assert "+300; at guessing: 10 of 10" in words(forest)
    assert forest.get_xlim()[1] < 10
    heat = comparison_plots.plot_heat_map(wild, unit=UNIT)
    assert sum(text.get_text() == "+10000*" for text in heat.texts) == 2
    table = tables.comparison_table(here).set_index("label").loc["lstm:no_forget_gate"]
    assert table["guessing"] == "10 of 10"
    assert table["difference"] == 300
    # a baseline at guessing: everything is far to the left, and says why
    low = wild.assign(difference=-wild["difference"], low=-301.0, baseline_guessed=10)
    mirrored = comparison_plots.plot_effects(low[gone | low["baseline"]].iloc[:2], unit=UNIT)
    assert "-300; at guessing: 10 of 10, baseline 10 of 10" in words(mirrored)


@pytest.mark.parametrize(
    ("values", "span"),
    [
        ([], (0.0, 1.0)),
        ([np.nan, 2.0, np.inf], (2.0, 2.0)),
        ([*range(20), 15_000.0], (0.0, 19.0)),
        ([*range(20), 60.0], (0.0, 60.0)),
    ],
)
def test_axis_leaves_out_what_would_flatten_the_rest(values, span):
    assert style.main_range(values) == span
