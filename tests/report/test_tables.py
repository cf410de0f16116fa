"""Leaderboards: what they say, and how they look in text."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from odyssey.report.page import tables
from odyssey.statistics import aggregate, comparison, ranking
from odyssey.statistics.simulation import SimulatedCell, simulate_results
from odyssey.statistics.verdicts import DECIDED, UNDECIDED, VERDICTS


def row(spec, member, bpc, *, task="a", status="ok", test=None, parameters=100):
    return {
        "spec": spec,
        "cell": spec,
        "task": task,
        "num_symbols": 32,
        "member": member,
        "status": status,
        "valid_bpc": bpc,
        "test_bpc": bpc if test is None else test,
        "test_accuracy": 0.5,
        "num_parameters": parameters,
    }


NAN = float("nan")
SMALL = pd.DataFrame(
    [
        row("steady", 0, 2.0, test=2.5),
        row("steady", 1, 2.2, test=2.1),
        row("lucky", 0, 1.5, parameters=300),
        row("lucky", 1, NAN, status="diverged", parameters=500),
        row("lost", 0, NAN, status="diverged"),
        row("lost", 1, NAN, status="failed", parameters=0),
        row("steady", 0, 1.0, task="b"),
        row("lucky", 0, 1.1, task="b"),
        row("lost", 0, 1.2, task="b"),
    ]
)


def test_losses_with_other_pictures_stand_beside_the_test_loss_where_they_were_measured():
    nats = SMALL["test_bpc"] * np.log(2)
    more = {"test_nats": nats, "test_exact": 0.25, "shuffled_nats": 3 * nats, "blank_nats": NAN}
    board = ranking.leaderboard(SMALL.assign(**more)).set_index(["task", "label"])
    steady = board.loc[("a", "steady")]
    assert steady["shuffled_bpc"] == pytest.approx(3 * 2.5)
    assert steady["test_exact"] == 0.25
    assert np.isnan(board.loc[("a", "lost")]["shuffled_bpc"])
    assert "blank_bpc" not in board
    text = tables.to_markdown(board.reset_index())
    assert "with another's picture bits/char" in text
    assert "mean picture" not in text
    assert not {"shuffled_bpc", "test_exact"} & set(ranking.leaderboard(SMALL))


def test_leaderboard_known_answer():
    board = ranking.leaderboard(SMALL).set_index(["task", "label"])
    assert list(board.loc["a"].index) == ["lucky", "steady", "lost"]
    assert list(board.loc["a"]["rank"]) == [1, 2, 3]
    lucky, steady, lost = (board.loc[("a", name)] for name in ("lucky", "steady", "lost"))
    assert (lucky["members"], lucky["ok"], lucky["diverged"], lucky["failed"]) == (2, 1, 1, 0)
    # A lost member counts as guessing: log2 of 32.
    assert (lucky["best_valid_bpc"], lucky["mean_valid_bpc"]) == (1.5, (1.5 + 5.0) / 2)
    assert (lucky["guessed"], steady["guessed"], lost["guessed"]) == (1, 0, 2)
    assert (steady["top"], steady["top_valid_bpc"], steady["top_test_bpc"]) == (2, 2.1, 2.3)
    assert lucky["median_parameters"] == 400
    assert steady["mean_valid_bpc"] == pytest.approx(2.1)
    # s = 0.1 sqrt(2), t(0.975, 1) = 12.7062: half width 1.27062
    assert steady["half_width"] == pytest.approx(1.27062, abs=1e-4)
    # The test result is that of the best validation loss, not the best test result.
    assert (steady["best_member"], steady["test_bpc"]) == (0, 2.5)
    assert (lost["ok"], lost["diverged"], lost["failed"]) == (0, 1, 1)
    assert lost[["best_valid_bpc", "test_bpc"]].isna().all()
    assert lost["mean_valid_bpc"] == 5.0
    assert lost["median_parameters"] == 100  # a failed member had none


def test_overall_ranks_by_mean_rank_and_cells_that_miss_a_task_last():
    frame = ranking.overall(SMALL)
    assert list(frame["label"]) == ["lucky", "steady", "lost"]
    assert list(frame["mean_rank"]) == [1.5, 1.5, 3.0]
    assert list(frame["rank"]) == [1, 1, 3]
    assert list(frame["rank on b"]) == [2, 1, 3]
    part = SMALL[~((SMALL["spec"] == "steady") & (SMALL["task"] == "a"))]
    frame = ranking.overall(part)
    assert frame["label"].iloc[-1] == "steady"
    assert pd.isna(frame["rank on a"].iloc[-1])


def test_leaderboard_of_the_fake_run(results):
    board = ranking.leaderboard(results)
    assert len(board) == 24
    assert list(board["task"].unique()) == ["arithmetic", "xml"]
    for _, part in board.groupby("task"):
        assert part["rank"].is_monotonic_increasing
        assert part["best_valid_bpc"].dropna().is_monotonic_increasing
    assert (board["members"] == board["ok"] + board["diverged"] + board["failed"]).all()


def test_no_results_make_an_empty_board(store):
    assert ranking.leaderboard(store.results()[:0]).empty
    assert ranking.overall(store.results()[:0]).empty


def printed(frame, **options):
    buffer = io.StringIO()
    tables.print_table(frame, Console(file=buffer, **options))
    return buffer.getvalue()


def test_print_table_fits_100_columns_and_loses_nothing(results):
    text = printed(ranking.leaderboard(results))
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert text.count("lstm_peephole:full_gate_recurrence ") == 2
    row = next(line for line in text.splitlines() if "no_output_activation   " in line)
    lost = text.splitlines()[-3]
    assert row.split()[1] == "lstm_peephole:no_output_activation"
    assert lost.split()[:3] == ["11", "lstm_peephole:no_output_activation", "-"]
    assert lost.split()[-4:] == ["0", "4", "0", "4"]
    assert max(map(len, printed(ranking.overall(results)).splitlines())) <= 100


@pytest.mark.parametrize("width", [100, 80, 60, 40])
def test_print_table_on_a_terminal_keeps_to_its_width(results, width):
    text = printed(
        ranking.leaderboard(results), force_terminal=True, width=width, color_system=None
    )
    assert max(map(len, text.splitlines())) <= width
    assert "best" in text


def test_print_table_sets_the_best_in_bold():
    text = printed(ranking.leaderboard(SMALL), force_terminal=True, width=100)
    assert "\x1b[1m1.500\x1b[0m" in text
    assert "\x1b[1m2.000\x1b[0m" not in text


def test_print_table_takes_brackets_in_names_literally():
    frame = ranking.leaderboard(SMALL.assign(spec="x[bold]", task="t[bold]"))
    text = printed(frame)
    assert "x[bold]" in text
    assert "t[bold]" in text


def test_markdown():
    text = tables.to_markdown(ranking.leaderboard(SMALL.replace({"spec": {"lucky": "a|b"}})))
    lines = text.splitlines()
    assert lines[0] == "### a"
    assert lines[2].startswith("| # | cell | best valid bits/char |")
    assert (
        lines[4]
        == "| 1 | a\\|b | **1.500** | 3.250 | 22.236 | **1.500** | **50.0** | 400 | 1 | 1 | 0 | 1 |"
    )
    assert len({line.replace("\\|", "").count("|") for line in lines[2:7]}) == 1


def test_csv_keeps_full_precision(results):
    board = ranking.leaderboard(results)
    again = pd.read_csv(io.StringIO(tables.to_csv(board)), dtype=str)
    values = again["mean_valid_bpc"].map(float)  # pandas of old reads numbers less exactly
    np.testing.assert_array_equal(values, board["mean_valid_bpc"])


@pytest.mark.parametrize(
    ("value", "text"),
    [(950, "950"), (999, "999"), (56_000, "56k"), (999_600, "1M"), (1.25e6, "1.25M")],
)
def test_counts_are_short(value, text):
    assert tables.BOARD_COLUMNS["median_parameters"].show(value) == text


@pytest.fixture(scope="module")
def compared():
    cells = {
        "lstm_peephole": SimulatedCell(),
        "lstm_peephole:no_forget_gate": SimulatedCell(shift=0.2),
    }
    frame = simulate_results(cells, rng=np.random.default_rng(0), tasks=("arithmetic", "xml"))
    return frame, comparison.compare(frame, seed=0, resamples=50)


def test_comparison_table_has_both_verdicts_side_by_side(compared):
    table = tables.comparison_table(compared[1])
    lines = tables.to_markdown(table).splitlines()
    assert lines[2].endswith("| verdict | the Odyssey's p (Bonferroni) | the Odyssey's verdict |")
    assert lines[4].endswith("| - | - | - | - | - | baseline | - | baseline |")
    assert re.search(r"\| \+0\.\d{3} \| \+0\.\d{3} to \+0\.\d{3} \|", lines[5])
    assert lines[5].endswith("| **worse** | &lt; 0.001 | **worse** |")
    text = printed(table)
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("worse") == 4


def test_unbounded_intervals_are_written_as_such(compared):
    frame = compared[1].assign(low=-np.inf, high=np.inf)
    assert "-∞ to ∞" in tables.to_markdown(tables.comparison_table(frame))


def test_aggregate_table_has_the_best_cell_first(compared):
    found = aggregate.aggregate_scores(compared[0], seed=0, resamples=20)
    table = tables.aggregate_table(found, compared[1])
    assert table["iqm"].is_monotonic_decreasing
    text = tables.to_markdown(table)
    assert "interquartile mean score" in text
    # A mean over tasks tests nothing: the tasks' verdicts stand beside it, and nothing is in bold.
    assert "**" not in text
    assert "2 worse" in text
    mixed = compared[1].assign(verdict=["baseline", "n.s.", "baseline", UNDECIDED])
    text = tables.to_markdown(tables.aggregate_table(found, mixed))
    assert f"1 n.s., 1 {UNDECIDED}" in text


def test_only_a_verdict_that_claims_a_difference_is_in_bold(compared):
    for verdict in VERDICTS:
        table = tables.comparison_table(
            compared[1].assign(verdict=verdict, odyssey_verdict=verdict)
        )
        text = tables.to_markdown(table)
        assert ("**" in text) == (verdict in DECIDED) == (f"**{verdict}**" in text)


def test_guesses_are_marked_in_every_form(compared):
    marked = compared[1].assign(top_guessed=[0, 3, 0, 0], baseline_guessed=[0, 0, 0, 20])
    assert list(tables.guessing_words(marked)) == ["", "3 of 20", "", "baseline 20 of 20"]
    table = tables.comparison_table(marked)
    for text in (
        tables.to_markdown(table),
        tables.to_latex_table(table, caption="", label=""),
        printed(table),
    ):
        assert "3 of 20" in text
        assert "baseline 20 of 20" in text
    # the numbers stay: they are what guessing gives
    assert table["difference"].notna().sum() == 2
    assert "counted as guessing" not in tables.to_markdown(tables.comparison_table(compared[1]))


def test_latex_is_a_booktabs_float(compared):
    text = tables.to_latex_table(
        tables.comparison_table(compared[1]), caption="50 % of R² & more", label="tab:all"
    )
    lines = text.splitlines()
    assert lines[0] == r"\begin{table}"
    assert r"\caption{50 \% of R$^2$ \& more}" in lines
    assert r"\label{tab:all}" in lines
    assert [line for line in lines if "rule" in line] == [
        r"\toprule", r"\midrule", r"\midrule", r"\bottomrule"
    ]  # fmt: skip
    body = [line for line in lines if line.endswith(r"\\") and "multicolumn" not in line]
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
    assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in body} == {columns}
    assert r"lstm\_peephole:no\_forget\_gate" in text
    assert "$<$ 0.001" in text


def test_latex_writes_minus_signs_and_leaves_hyphens():
    frame = pd.DataFrame({"task": "t", "label": ["LSTM-f"], "difference": [-0.5], "ok": [1]})
    text = tables.to_latex_table(frame, caption="a-b 10-fold", label="x")
    assert r"LSTM-f & $-$0.500 & 1 \\" in text
    assert "a-b 10-fold" in text
    board = tables.to_latex_table(ranking.leaderboard(SMALL), caption="c", label="x")
    assert r"\textbf{1.500}" in board
    assert r"\# & cell" in board


def test_a_base_that_all_share_goes_where_the_table_does_not_fit():
    specs = ["gru", "gru:no_bias", "gru:drop_gate=r+no_recurrent=n"]
    results = pd.DataFrame([row(spec, 0, 1.0 + k) for k, spec in enumerate(specs)])
    board = ranking.leaderboard(results)
    assert "gru:no_bias " in printed(board)
    narrow = printed(board, force_terminal=True, width=54)
    assert "drop_gate=r+no_recurrent=n" in narrow
    assert "gru:no_bias" not in narrow
    other = board.assign(label=board["label"].replace("gru:no_bias", "elman:no_bias"))
    assert list(tables.without_base(other["label"])) == list(other["label"])
