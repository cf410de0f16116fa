"""The comparison with a baseline on the page and in the files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from odyssey.report.page import tables
from odyssey.report.study import baseline as ablation
from odyssey.report.study.baseline import compare_with_baseline
from odyssey.report.study.files import write_content
from odyssey.report.study.page import read_content
from odyssey.statistics import comparison, ranking
from odyssey.statistics.simulation import SimulatedCell, simulate_results
from odyssey.storage import RunStore, load_results


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a baseline, 40 draws of three cells on two tasks, and no curves."""
    path = tmp_path_factory.mktemp("ablation") / "run"
    cells = {
        "lstm": SimulatedCell(),
        "lstm:no_forget_gate": SimulatedCell(shift=0.4),
        "lstm:no_bias": SimulatedCell(),
    }
    frame = simulate_results(cells, rng=np.random.default_rng(0), tasks=("xml", "b"), draws=40)
    store = RunStore.create(
        path,
        study="",
        run={"study": "s", "baseline": "lstm", "more_baselines": ["lstm:no_bias"], "seed": 1},
    )
    for trial, part in frame.drop(columns="trial").groupby(frame["trial"]):
        rows = part.astype(object).where(part.notna(), None).to_dict("records")
        store.write(str(trial), rows, [])
    return path


@pytest.fixture(scope="module")
def written(run):
    return write_content(read_content(run))


def test_files_hold_both_verdicts(written):
    frame = pd.read_csv(written["comparison_csv"], keep_default_na=False)
    assert list(frame["verdict"]) == ["baseline", "worse", "n.s."] * 2
    markdown = written["comparison_md"].read_text(encoding="utf-8")
    assert "### over all tasks" in markdown
    assert "corrected by Holm for all 4 comparisons" in markdown
    assert r"\toprule" in written["comparison_tex"].read_text(encoding="utf-8")


def test_every_further_baseline_has_a_table_of_its_own(run, written):
    path = run / "comparison-lstm_no_bias.csv"
    assert written["comparison-lstm_no_bias_csv"] == path
    again = comparison.compare(load_results(run), seed=1, baseline="lstm:no_bias")
    assert path.read_text(encoding="utf-8") == tables.to_csv(again)
    page = written["report"].read_text(encoding="utf-8")
    assert '<section id="comparison-1">' in page
    assert "Against lstm:no_bias" in page


def test_page_and_figures_show_the_comparison(run, written):
    page = written["report"].read_text(encoding="utf-8")
    assert '<section id="comparison">' in page
    assert "Against lstm" in page
    names = {p.name for p in (run / "figures").glob("*.png")}
    kinds = ("boxes", "effects", "budget", "importance", "marginals", "pairs")
    assert {f"{stem}_{kind}.png" for stem in ("1_xml", "2_b") for kind in kinds} <= names
    assert {"differences.png", "scores.png", "profiles.png"} <= names
    for words in (
        "2 cells against lstm on 40 draws: 1 worse (lstm:no_forget_gate)",
        "Undecided is not equal",
        "Holm over all 4 comparisons",
        "A rank describes these draws and tests nothing.",
    ):
        assert words in page
    assert page.index("Protocol") < page.index("Against lstm") < page.index("Cells are ranked")


def test_numbers_of_papers_stand_beside_ours(tmp_path):
    cells = {
        "lstm_peephole": SimulatedCell(),
        "lstm_peephole:no_forget_gate": SimulatedCell(shift=0.4),
    }
    frame = simulate_results(cells, rng=np.random.default_rng(0), tasks=("xml",), draws=20)
    store = RunStore.create(tmp_path / "r", study="", run={"baseline": "lstm_peephole"})
    for trial, part in frame.drop(columns="trial").groupby(frame["trial"]):
        store.write(
            str(trial), part.astype(object).where(part.notna(), None).to_dict("records"), []
        )
    written = write_content(read_content(store.path))
    assert "arXiv 1503.04069" in written["greff2015_md"].read_text(encoding="utf-8")
    assert "NFG" in written["greff2015_tex"].read_text(encoding="utf-8")
    assert pd.read_csv(written["greff2015_csv"])["paper on TIMIT"].to_list() == ["worse?"]
    page = written["report"].read_text(encoding="utf-8")
    assert "Beside the papers" in page
    assert "The paper&#39;s tasks are not ours" in page


def test_the_committed_records_make_the_same_bytes(run, written):
    again = comparison.compare(load_results(run), seed=1, baseline="lstm")
    assert written["comparison_csv"].read_text(encoding="utf-8") == tables.to_csv(again)


def test_nothing_is_compared_without_a_second_cell_or_the_baseline(store):
    results = ranking.with_labels(store.results())
    curves = ranking.with_labels(store.curves())
    one = results[results["label"] == "gru"]
    assert compare_with_baseline(one, curves, baseline="gru", seed=0) is None
    assert compare_with_baseline(results, curves, baseline="absent", seed=0) is None


def test_few_draws_of_which_some_are_lost_are_compared(store):
    results = ranking.with_labels(store.results())
    curves = ranking.with_labels(store.curves())
    part = results["label"].isin(["gru", "elman", "mut1"])
    found = compare_with_baseline(
        results[part], curves[curves["label"] != "x"], baseline="gru", seed=0
    )
    assert len(found.compared) == 6
    assert {p.name for p in found.pictures} >= {"1_arithmetic_winners", "differences"}


def test_the_file_of_a_pair_has_a_part_of_the_grid_and_all_of_a_choice():
    grid = [(a / 100, b, a * b) for a in range(1, 101) for b in (1, 2, 4)]
    pairs = pd.DataFrame(grid, columns=["first_value", "second_value", "mean"])
    pairs = pairs.assign(first="rate", second="layers")
    thin = ablation._thinned(pairs)
    assert list(thin["first_value"].unique()[:3]) == [0.03, 0.08, 0.13]
    assert len(thin) == 20 * 3
