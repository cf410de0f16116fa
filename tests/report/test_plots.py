"""Figures show what they are given and leave matplotlib as it was."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from odyssey.report.page import style
from odyssey.report.study import pictures as figures
from odyssey.report.study import plots
from odyssey.statistics import estimates, ranking
from odyssey.statistics.pareto import COSTS, FRONT, is_efficient


@pytest.fixture(scope="module")
def drawn(results, curves):
    before = dict(mpl.rcParams)
    made = list(figures.pictures(results, curves, seed=1))
    assert dict(mpl.rcParams) == before
    return made


@pytest.fixture(scope="module")
def bands(results, curves):
    frame = estimates.curve_bands(curves, results)
    return frame[frame["task"] == "xml"]


def texts(ax):
    return {text.get_text() for text in ax.texts}


def test_pictures_say_how_to_read_them(drawn):
    names = [p.name for p in drawn]
    kinds = [n.removeprefix("2_xml_") for n in names if n.startswith("2_xml_")]
    assert names == [f"{task}_{kind}" for task in ("1_arithmetic", "2_xml") for kind in kinds]
    assert {"members", "curves", "best_of_n", "pareto"} <= set(kinds)
    for picture in drawn:
        assert "n = 4" in picture.caption
        assert len(picture.data) > 0
        assert picture.task in picture.title


def test_members_are_ordered_by_median_and_losses_are_named(results):
    here = results[results["task"] == "xml"]
    ax = plots.plot_members(here)
    medians = here.groupby("label")["valid_bpc"].median().sort_values()
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[0] == medians.index[0]
    assert {"4 diverged", "4 failed", "1 diverged"} <= texts(ax)
    points = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "o"])
    np.testing.assert_array_equal(np.sort(points), np.sort(here["valid_bpc"].dropna()))


def test_of_many_cells_the_first_have_a_panel_and_company(monkeypatch, bands):
    labels = list(dict.fromkeys(bands["label"]))
    monkeypatch.setattr(plots, "MOST_PANELS", len(labels) - 1)
    figure = plots.small_multiples(bands, plots.plot_learning_curves, title="Curves")
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert len(shown) == len(labels) - 1
    assert all(len(ax.lines) == len(labels) - 1 for ax in shown)
    assert figure.get_suptitle() == f"Curves (the first {len(labels) - 1} of {len(labels)} cells)"


def test_small_multiples_have_a_panel_a_cell_with_the_others_in_grey(bands):
    figure = plots.small_multiples(bands, plots.plot_learning_curves)
    panels = [ax for ax in figure.axes if ax.get_visible()]
    titles = [ax.get_title(loc="left").replace("\n", "") for ax in panels]
    assert titles == list(dict.fromkeys(bands["label"]))
    for ax in panels:
        assert sum(line.get_color() == style.ACCENT for line in ax.lines) == 1
        assert len(ax.lines) == len(panels)


LONG = "lstm_peephole:couple=i:f+no_output_gate+no_output_activation+forget_bias=2"


def test_the_name_of_a_long_cell_stays_in_its_panel(bands):
    (last, *_) = reversed(list(dict.fromkeys(bands["label"])))
    named = bands.assign(label=bands["label"].replace({last: LONG}))
    figure = plots.small_multiples(named, plots.plot_learning_curves)
    figure.draw_without_rendering()
    titles = [ax._left_title for ax in figure.axes if ax.get_visible()]
    assert any("no_output_gate" in title.get_text() for title in titles)
    for title in titles:
        box = title.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert not any(box.overlaps(t.get_window_extent()) for t in titles if t is not title)


def test_names_are_broken_where_a_change_begins():
    title = style.panel_title
    assert title("gru") == "gru"
    assert title("lstm:couple=i:f") == "lstm:\ncouple=i:f"
    assert title("lstm:NOG+NFG") == "lstm:\nNOG+NFG"
    lines = title(LONG).split("\n")
    assert lines[:2] == ["lstm_peephole:", "couple=i:f+no_output_gate+"]
    assert lines[2].endswith("...")
    assert len(lines) == 3
    assert max(map(len, lines)) <= 26
    assert max(map(len, title("x" * 999 + ":" + "y" * 999).split("\n"))) <= 26


def test_few_cells_are_named_at_their_lines(bands):
    few = bands[bands["label"].isin(["gru", "elman"])]
    ax = plots.plot_learning_curves(few)
    assert texts(ax) == {"gru", "elman"}
    assert len({line.get_color() for line in ax.lines}) == 2
    for line in ax.lines:
        assert np.nanmax(line.get_ydata()) <= few["median"].max()


def test_labels_on_the_right_do_not_overlap():
    cost, loss = 10_000 * np.arange(1, 13), 2.0 - 0.001 * np.arange(12)
    columns = {"num_parameters": cost, "valid_bpc": loss, FRONT["num_parameters"]: True}
    ax = plots.plot_pareto(pd.DataFrame({"label": list("abcdefghijkl"), **columns}))
    style.figure_of(ax).draw_without_rendering()
    # The extent of an annotation would include its line.
    boxes = sorted((b.y0, b.y1) for b in (Text.get_window_extent(t) for t in ax.texts))
    assert len(boxes) == 12
    assert all(below[1] <= above[0] for below, above in itertools.pairwise(boxes))


def test_palette_gets_lighter_in_grey_steps():
    rgb = np.array([mpl.colors.to_rgb(c) for c in style.PALETTE])
    grey = rgb @ [0.299, 0.587, 0.114]
    assert (np.diff(grey) > 0.04).all()
    assert len(set(map(str, style.LINES))) == len(style.PALETTE)


def test_plots_draw_into_a_given_axes(results, bands):
    figure = Figure()
    axes = figure.subplots(2)
    assert plots.plot_members(results[results["task"] == "xml"], ax=axes[0]) is axes[0]
    assert plots.plot_learning_curves(bands, ax=axes[1]) is axes[1]


def test_save_figure_writes_picture_and_data_the_same_each_time(tmp_path, bands):
    frame = bands[bands["label"] == "gru"]
    made = []
    for folder in ("a", "b"):
        figure = style.figure_of(plots.plot_learning_curves(frame))
        made.append(style.save_figure(figure, tmp_path / folder / "x.y.png", data=frame))
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["x.y.csv", "x.y.pdf", "x.y.png"]
    for suffix in ("png", "pdf", "csv"):
        assert made[0][suffix].read_bytes() == made[1][suffix].read_bytes()
    assert made[0]["png"].read_bytes().startswith(b"\x89PNG")
    assert made[0]["pdf"].read_bytes().startswith(b"%PDF")
    pd.testing.assert_frame_equal(
        pd.read_csv(made[0]["csv"]), frame.reset_index(drop=True), check_dtype=False
    )
    assert style.to_svg(figure) == style.to_svg(figure)


def test_values_of_diverged_members_are_not_drawn(results, curves):
    # A store written by hand may hold a value for a member that diverged.
    filled = results.assign(valid_bpc=results["valid_bpc"].fillna(0.001))
    for picture in figures.pictures(filled, curves, seed=1):
        if "valid_bpc" in picture.data:
            assert picture.data["valid_bpc"].min() > 1


def test_one_point_is_visible():
    frame = pd.DataFrame({"label": ["x"], "n": [1], "expected": [2.0], "low": [2.0], "high": [2.0]})
    ax = plots.plot_best_of_n(frame)
    assert ax.lines[0].get_marker() == "o"
    low, high = ax.get_ylim()
    assert low < 2.0 < high
    curve = frame.assign(characters=0, median=2.0)
    assert plots.plot_learning_curves(curve).lines[0].get_marker() == "o"


def test_labels_of_leaderboards_are_those_of_pictures(results, drawn):
    board = ranking.leaderboard(results)
    curves = next(p for p in drawn if p.name == "1_arithmetic_curves")
    first = board[board["task"] == "arithmetic"]["label"]
    assert list(dict.fromkeys(curves.data["label"])) == list(first)


@pytest.mark.parametrize("cost", COSTS)
def test_the_front_is_marked_and_its_cells_are_named(cost):
    frame = pd.DataFrame(
        {
            "label": ["a", "b", "b", "c"],
            "num_parameters": [100, 200, 300, 400],
            "operations": [400, 300, 200, 100],
            "valid_bpc": [3.0, 2.0, 1.9, 2.5],
        }
    )
    front = is_efficient(frame[cost], frame["valid_bpc"])
    ax = plots.plot_pareto(frame.assign(**{FRONT[cost]: front}), cost=cost)
    everything, steps, points = (np.asarray(line.get_xydata()) for line in ax.lines)
    assert len(everything) == 4
    expected = frame[front].sort_values(cost)[[cost, "valid_bpc"]].to_numpy(float)
    assert (points == expected).all()
    assert (np.diff(points[:, 1]) < 0).all()
    assert steps[:, 1].min() == points[:, 1].min()
    assert texts(ax) == set(frame[front]["label"])
    assert ax.get_xlabel() == COSTS[cost]


def test_a_cost_that_nobody_knows_is_not_drawn():
    frame = pd.DataFrame({"label": ["a"], "operations": [np.nan], "valid_bpc": [3.0]})
    frame[FRONT["operations"]] = False
    assert texts(plots.plot_pareto(frame, cost="operations")) == set()
