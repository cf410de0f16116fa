"""What is committed under results/ comes out of its Parquet again, byte for byte."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from odyssey import load_results
from odyssey.report import tables
from odyssey.storage import RunStore

ROOT = Path(__file__).parents[1]
RUNS = sorted(path.parent for path in (ROOT / "results").glob("*/run.json"))


def script(path):
    spec = importlib.util.spec_from_file_location(path.stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_the_leaderboard_comes_out_byte_for_byte(run):
    board = tables.leaderboard(tables.with_labels(load_results(run)))
    assert tables.to_csv(board).encode() == (run / "leaderboard.csv").read_bytes()


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_every_planned_trial_is_kept(run):
    store = RunStore.open(run)
    results = store.results()
    assert results["trial"].nunique() == store.run["trials"]
    assert len(results) == store.run["members"]
    assert len(results) == len(results.drop_duplicates(["spec", "task", "member"]))
    assert store.curves()["trial"].nunique() == store.run["trials"]


def test_a_kept_run_is_the_run(tmp_path):
    keep = script(Path("analysis/keep.py")).keep
    keep(RUNS[0], tmp_path / "copy")
    pd.testing.assert_frame_equal(load_results(RUNS[0]), load_results(tmp_path / "copy"))


def test_an_unfinished_run_is_not_kept(tmp_path):
    keep = script(Path("analysis/keep.py"))
    keep.keep(RUNS[0], tmp_path / "run")
    store = RunStore.open(tmp_path / "run")
    with store.lock():
        store.update_run(trials=store.run["trials"] + 1)
    with pytest.raises(keep.StoreError, match="resume it first"):
        keep.keep(tmp_path / "run", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_the_budget_of_the_odyssey_is_the_pilots():
    pilot = ROOT / "results/odyssey_2015_pilot"
    module = script(Path("experiments/odyssey_2015_pilot/figures.py"))
    from odyssey import load_curves

    shares = module.progress(load_curves(pilot))
    text = shares.to_csv(index=False, lineterminator="\n")
    assert text.encode() == (pilot / "figures/budget.csv").read_bytes()
    at = shares[shares["characters"] == module.BUDGET].set_index("task")["share"]
    assert (at[["arithmetic@digits=4", "xml", "tinyshakespeare"]] >= module.ENOUGH).all()
