"""`odyssey extend` and `odyssey compare`: what they print, and what they refuse in one line."""

import shutil

import pandas as pd
import pytest
from support.answers import refused
from support.small_studies import small_study

import odyssey as package
from odyssey.cli import report
from odyssey.errors import ConfigError
from odyssey.storage import RunStore, load_results

STUDY = small_study(
    name="one",
    cells=["gru", "elman"],
    tasks=["arithmetic"],
    baseline="gru",
    training={"backend": "eager", "updates_per_epoch": 1},
    space={"hidden_size": 4, "learning_rate": {"log_uniform": [1e-3, 1e-1]}},
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of one study, of other draws, of other settings and with another cell."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "study.toml").write_text(STUDY)
    changes = {
        "one": [],
        "again": ["members=3"],
        "draws": ["seed=2"],
        "budget": ["epochs=2"],
        "cell": ['cells=["lstm"]', 'baseline=""'],
        "rate": ["space.learning_rate=0.01"],
        "held": ["training.test_characters=100"],
    }
    for name, settings in changes.items():
        file = folder / "study.toml"
        package.search(file, out=folder / name, settings=settings, progress=False)
    return folder


@pytest.fixture
def unreported(monkeypatch):
    """Leaves the report out, which draws figures; gives what was to be shown."""
    shown = []
    monkeypatch.setattr(report, "show", lambda run, **options: shown.append(str(run)))
    return shown


def test_a_run_is_extended_and_says_how(runs, odyssey, cwd, unreported):
    shutil.copytree(runs / "one", cwd / "run")
    dry = odyssey("extend", "run", "--draws", "3", "--cells", "lstm", "--dry-run", "--json")
    assert dry.json == {
        "study": "one",
        "changed": {"cells": [["gru", "elman"], ["gru", "elman", "lstm"]], "draws": [2, 3]},
        "trials": 3,
        "left": 3,
    }
    assert len(load_results("run")) == 4
    called = odyssey("extend", "run", "--draws", "3", "--cells", "gru,lstm")
    assert called.code == 0
    assert "cells: 2 -> 3, with lstm\ndraws: 2 -> 3\ntrials left: 3 of 3\n" in called.out
    assert "3 of 3" in odyssey("status", "run").out
    assert unreported == ["run"]
    assert len(load_results("run")) == 9
    again = odyssey("extend", "run", "--draws", "3")
    assert "nothing to add" in again.out
    assert "trials run: 0" in again.out
    RunStore.open("run").update_run(versions="odyssey 0.0.1")
    assert "was made by odyssey 0.0.1" in odyssey("extend", "run", "--draws", "4", "--dry-run").err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say what the run gets"),
        (("--draws", "1"), "has 2 already; a run can grow, and not shrink"),
        (("--tasks", "xmll"), "closest: xml"),
        (("--cells", "gruu"), "closest: gru"),
        (("--candidates", "5"), "is no search"),
        (("--draws", "3", "--workers", "2"), "use the ray runner"),
    ],
)
def test_an_extension_that_makes_no_sense_is_one_line(runs, odyssey, arguments, words):
    before = (runs / "one" / "run.json").read_bytes()
    assert words in refused(odyssey("extend", runs / "one", *arguments))
    assert (runs / "one" / "run.json").read_bytes() == before


def test_runs_are_compared_where_they_are_alike(runs, odyssey, cwd):
    names = ("one", "again", "draws", "budget", "cell")
    found = package.compare([runs / name for name in names])
    table = found.table.set_index(["run", "cell"])
    assert len(table) == 9
    assert table["baseline"].sum() == 1
    same = table.loc[("again", "gru")]
    assert (same["draws_are"], same["draws"], same["difference"], same["p"]) == (
        "the same",
        2,
        0,
        1,
    )
    assert table.loc[("again", "elman"), "difference"] == table.loc[("one", "elman"), "difference"]
    assert table.loc[("draws", "gru"), "draws_are"] == "others"
    assert table.loc[("draws", "gru"), "swaps"] == 6  # C(4, 2) deals
    assert table.loc[("cell", "lstm"), "draws_are"] == "the same"
    assert table.loc[("budget", "gru"), "differs"] == "training.epochs: 1 -> 2"
    assert pd.isna(table.loc[("budget", "gru"), "p"])
    assert table.loc[("budget", "gru"), "top_score"] > 0
    agreement = found.agreement.set_index("label")
    assert list(agreement.index) == ["elman"]
    assert agreement.loc["elman", "runs"] == 4
    assert pd.isna(agreement.loc["elman", "pooled"])
    assert found.shared
    alike = package.compare([runs / "one", runs / "draws"])
    assert not alike.shared
    assert alike.agreement["pooled"].notna().all()
    called = odyssey("compare", *(runs / name for name in names), "--out", "tables")
    assert called.code == 0
    assert "arithmetic of budget is not compared: training.epochs: 1 -> 2" in called.out
    assert "compared without pairs: draws" in called.out
    assert len(pd.read_csv("tables/runs.csv")) == 9
    assert len(odyssey("compare", runs / "one", runs / "cell", "--json").json["table"]) == 3


def test_settings_are_compared_cell_by_cell(runs, odyssey, cwd):
    names = ("one", "budget", "rate", "held")
    found = package.compare([runs / name for name in names], settings=True)
    table = found.table.set_index(["run", "cell"])
    assert list(table.index) == [(run, cell) for cell in ("gru", "elman") for run in names]
    assert table.loc["one", "baseline"].tolist() == [True, True]
    assert table.loc["held", "differs"].unique() == ["training.test_characters: 200 -> 100"]
    assert table.loc["held", "p"].isna().all()
    assert table.loc["held", "top_score"].notna().all()
    tested = table.loc[["budget", "rate"]]
    assert (tested["draws_are"] == "the same").all()  # but for what is drawn otherwise
    scores = table["top_score"]
    for run, cell in tested.index:
        difference = scores[(run, cell)] - scores[("one", cell)]
        assert table.loc[(run, cell), "difference"] == pytest.approx(difference)
        assert table.loc[(run, cell), "relative"] == pytest.approx(
            difference / scores[("one", cell)]
        )
    assert (tested["p_holm"] == (4 * tested["p"]).clip(upper=1)).all()
    assert found.settings["budget"] == "training.epochs: 1 -> 2"
    assert "beside themselves in one" in repr(found)
    assert "budget: training.epochs: 1 -&gt; 2" in found._repr_html_()
    called = odyssey("compare", "--settings", *(runs / name for name in names), "--out", "tables")
    assert "budget: training.epochs: 1 -> 2\n" in called.out
    assert "gru (budget)" in called.out
    assert "gru (one)" not in called.out
    assert "held is not compared: training.test_characters" in called.out
    assert len(pd.read_csv("tables/runs.csv")) == 8


def test_settings_that_cannot_be_compared_are_one_line(runs, odyssey, cwd):
    one, other = runs / "one", runs / "draws"
    settings = ("compare", "--settings", one)
    assert "draws has the settings of one" in refused(odyssey(*settings, other))
    assert "leave out the baseline" in refused(odyssey(*settings, other, "--baseline", "gru"))
    with pytest.raises(ConfigError, match="leave out the baseline"):
        package.compare(one, other, baseline="gru", settings=True)
    with pytest.raises(ConfigError, match="no other run has a cell of cell on one of its tasks"):
        package.compare(runs / "cell", runs / "budget", settings=True)
    assert "not allowed with" in odyssey(*settings, other, "--changes").err


def test_what_cannot_be_compared_is_one_line(runs, odyssey, cwd):
    one = runs / "one"
    assert "name two runs" in refused(odyssey("compare", one))
    assert "named twice" in refused(odyssey("compare", one, one))
    assert "no run at" in refused(odyssey("compare", one, "nothing"))
    assert "closest: gru" in refused(odyssey("compare", one, runs / "draws", "--baseline", "gruu"))
    shutil.copytree(one, "empty")
    for shard in (cwd / "empty" / "results").iterdir():
        shard.unlink()
    assert "no finished trial" in refused(odyssey("compare", one, "empty"))
    shutil.copytree(one, "searched")
    RunStore.open("searched").update_run(kind="search")
    assert "promote its best" in refused(odyssey("compare", one, "searched"))
    changes = ("compare", "--changes", one)
    assert "named twice" in refused(odyssey(*changes, one))
    assert "no finished trial" in refused(odyssey(*changes, "empty"))
    assert "promote its best" in refused(odyssey(*changes, "searched"))
    assert "has no baseline" in refused(odyssey(*changes, runs / "cell"))
    assert "no change was made in two runs" in refused(odyssey(*changes, runs / "draws"))
