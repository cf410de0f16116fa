"""A run goes on with the study that it began with, and says so when somebody edited it."""

import json
import re
import shutil

import pytest
from support.fake_search import Silent, search
from support.fake_training import Fake
from support.fake_training import study_text as search_text
from test_engine import Watcher, run, tiny

from odyssey.errors import ConfigError, StoreError
from odyssey.specs import get_cell
from odyssey.storage import files, load_results
from odyssey.studies.engine import check, execute, prepare, reopen
from odyssey.studies.make.promotion import promotion_study
from odyssey.studies.memory import MOST_GIB
from odyssey.studies.sealed import changes, resolved
from odyssey.studies.study import parse_study


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sealed") / "run"
    run(tiny(cells=["elman", "gru"], tasks=["xml"], members=2), folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


EDITS = [
    ("epochs = 2", "epochs = 3", "training.epochs: 2 -> 3"),
    ('"elman",\n    "gru",', '"elman",', "cells: ['elman', 'gru'] -> ['elman']"),
    ("members = 2", "members = 4", "members: 2 -> 4"),
    ("seed = 1", "seed = 2", "seed: 1 -> 2"),
    ("log_uniform = [", "uniform = [", "space.learning_rate.log_uniform: "),
    ("workers = 2", "workers = 1", "workers: 2 -> 1"),
    ("epochs = 2", "epochs = ", "not a TOML file"),
    ("epochs = 2", "epochs = -2", "training.epochs must be"),
]


@pytest.mark.parametrize(("old", "new", "says"), EDITS, ids=[e[2] for e in EDITS])
def test_an_edited_study_is_refused_with_what_changed(folder, old, new, says):
    path = folder / "study.toml"
    before = load_results(folder)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        reopen(folder)
    assert "\n" not in str(caught.value)
    assert "start a new run" in str(caught.value)
    assert load_results(folder).equals(before)


def test_comments_and_a_lost_file_change_no_study(folder):
    path = folder / "study.toml"
    path.write_text("# a note\n" + path.read_text())
    opened = reopen(folder)
    path.unlink()
    again = reopen(folder)
    assert (again.study, again.trials) == (opened.study, opened.trials)
    assert parse_study(opened.store.study_text) == opened.study
    assert execute(opened, Watcher()).ran == 0


def test_another_version_that_would_train_otherwise_is_refused(folder, monkeypatch):
    facts = files.read_json(folder / "run.json")
    other = facts | {"resolved": facts["resolved"] | {"training.unroll": 9}}
    files.write_json(folder / "run.json", other)
    with pytest.raises(ConfigError, match=r"training.unroll: 9 -> 10.*start a new run"):
        reopen(folder)
    files.write_json(folder / "run.json", facts | {"trial_ids": "another"})
    with pytest.raises(ConfigError, match="made by another version of Odyssey"):
        reopen(folder)
    cells = {**facts["cells"], "gru": facts["cells"]["gru"] | {"key": "another"}}
    files.write_json(folder / "run.json", facts | {"cells": cells})
    with pytest.raises(StoreError, match="reads gru otherwise"):
        reopen(folder)


def test_a_run_of_before_studies_were_sealed_is_compared_with_its_facts(folder):
    facts = files.read_json(folder / "run.json")
    sealed = ("format", "id", "study_toml", "resolved", "trial_ids")
    old = {k: v for k, v in facts.items() if k not in sealed}
    (folder / "run.json").write_text(json.dumps(old))
    assert reopen(folder).study.config.epochs == 2
    path = folder / "study.toml"
    path.write_text(path.read_text().replace("epochs = 2", "epochs = 3"))
    with pytest.raises(ConfigError, match=r"training.epochs: 2 -> 3"):
        reopen(folder)


def test_searches_and_promotions_refuse_an_edited_study_too(tmp_path):
    folder = tmp_path / "run"
    search(folder, candidates=4)
    path = folder / "study.toml"
    path.write_text(path.read_text().replace("draws = 2", "draws = 5"))
    for refuses in (reopen, promotion_study):
        with pytest.raises(ConfigError, match=r"stages.short.draws: 2 -> 5"):
            refuses(folder)


def test_changes_are_few_and_short():
    study = tiny()
    assert changes(resolved(study), resolved(study)) == ""
    text = changes({str(k): "x" * 1000 for k in range(9)}, {"new": 1})
    assert text.endswith(" and 5 more")
    assert len(text) < 400
    assert json.loads(json.dumps(resolved(study))) == resolved(study)
    sought = parse_study(search_text("nsga2"))
    assert json.loads(json.dumps(resolved(sought))) == resolved(sought)


def test_one_cell_under_two_names_is_refused_before_anything_is_written(tmp_path):
    for cells in (
        ["lstm_peephole:no_forget_gate", "NFG"],
        ["lstm", "lstm:forget_bias=1", "lstm:forget_bias=1.0"],
    ):
        with pytest.raises(ConfigError, match=r"are the same cell: leave one out"):
            prepare(tiny(cells=cells), tmp_path / "run")
    text = get_cell("gru").text.replace("cell gru", "cell mine").replace("W_r", "A")
    (tmp_path / "mine.cell").write_text(text)
    with pytest.raises(ConfigError, match="mine and gru are the same cell"):
        prepare(tiny(cells=["gru", str(tmp_path / "mine.cell")]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"space": {"hidden_size": 65_536}},
        {"space": {"parameters": 10_000_000_000}},
        {"space": {"hidden_size": 1000, "num_layers": 100}, "members": 1000},
        {"training": {"batch_size": 65_536, "unroll": 10_000}},
        {"training": {"eval_batch": 65_536, "eval_unroll": 100_000}},
    ],
)
def test_a_trial_beyond_all_machines_is_refused_before_anything_is_written(changed, tmp_path):
    with pytest.raises(ConfigError, match=f"GiB of memory, more than {MOST_GIB}; make hidden_size"):
        prepare(tiny(cells=["gru"], tasks=["xml"], **changed), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_members_that_are_trained_apart_need_their_own_memory_only():
    large = {"space": {"hidden_size": 2000}, "members": 500}
    with pytest.raises(ConfigError, match="GiB of memory"):
        check(tiny(cells=["gru"], tasks=["xml"], **large))
    check(tiny(cells=["gru"], tasks=["xml"], population=1, **large))


def test_a_search_beyond_all_machines_is_refused(tmp_path):
    text = search_text() + "hidden_size = 65_536\n"
    with pytest.raises(ConfigError, match="GiB of memory"):
        prepare(parse_study(text), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_baseline_of_a_search_may_be_a_cell_of_a_file(tmp_path):
    cell = get_cell("gru").text.replace("cell gru", "cell mine")
    (tmp_path / "x.cell").write_text(cell)
    text = search_text(candidates=2).replace('cells = ["gru", "elman"]', 'cells = ["elman"]')
    text = text.replace("[strategy]", '[strategy]\nbaseline = "x.cell"')
    study = parse_study(text, base=tmp_path)
    checked = check(study)
    assert (checked.facts["baseline"], list(checked.cells)) == ("mine", ["mine", "elman"])
    store = prepare(study, tmp_path / "run").store
    (tmp_path / "x.cell").unlink()
    work = Fake(store.path)
    assert execute(reopen(store.path), Silent(), work=work).told == 4
    assert set(load_results(store.path)["spec"]) >= {"mine", "elman"}


def test_a_cell_of_a_file_has_its_own_name_in_every_record(tmp_path):
    file = tmp_path / "secret" / "x.cell"
    file.parent.mkdir()
    text = get_cell("elman").text.replace("cell elman", "cell mine")
    file.write_text(text)
    study = tiny(
        cells=["gru", str(file), f"{file}:no_bias"],
        tasks=["xml"],
        members=1,
        baseline=str(file),
        training={"epochs": 0},
    )
    opened = prepare(study, tmp_path / "run")
    store = opened.store
    assert store.run["baseline"] == "mine"
    execute(opened, Watcher())
    results = load_results(store.path)
    assert list(results["spec"]) == ["gru", "mine", "mine:no_bias"]
    for name in ("spec", "cell", "lineage"):
        assert not results[name].str.contains("/").any()
    file.unlink()
    assert reopen(store.path).trials == opened.trials
