"""Promotion: the best cells of a search become a study of their own, on seeds it never used."""

import re
import shutil
from dataclasses import replace

import pytest
from support.fake_search import Silent, search
from support.fake_training import Fake, study_text

from odyssey.cli.main import main
from odyssey.errors import CellError, ConfigError, StoreError
from odyssey.expr import parse_cell
from odyssey.specs import get_cell
from odyssey.storage import load_results
from odyssey.storage.candidates import finished_candidates, load_candidates
from odyssey.studies.engine import execute, prepare, reopen
from odyssey.studies.make.promotion import BASELINES, PromotionOptions, promotion_study
from odyssey.studies.study import parse_study
from odyssey.tasks.registry import get_task
from odyssey.tasks.sets import TASK_SETS
from odyssey.training.config import training_config
from odyssey.training.model import count_parameters, hidden_size_for


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search") / "run"
    search(folder, "aging")
    return folder


def test_the_best_cells_beside_the_baselines(found):
    study = promotion_study(found, PromotionOptions(top=3, draws=5))
    rows = load_candidates(found)
    best = rows[(rows["status"] == "finished") & (rows["arm"] != "seed")]
    keys = best.sort_values("score", ascending=False)["cell_key"].drop_duplicates().tolist()[:3]
    cells = study.resolve_cells()
    assert list(cells)[:3] == list(BASELINES)
    assert [c.key for c in cells.values()][3:] == keys
    assert study.baseline == "lstm"
    assert study.more_baselines == BASELINES[1:]
    assert study.members == 5


def test_known_cells_of_ones_own_choice_are_compared_with(found, tmp_path, monkeypatch):
    (tmp_path / "mine.cell").write_text(get_cell("mgu").text.replace("mgu", "mine"))
    monkeypatch.chdir(tmp_path)
    study = promotion_study(found, PromotionOptions(top=1, against=("mut1", "mine.cell")))
    assert list(study.resolve_cells())[:2] == ["mut1", "mine"]
    assert study.baseline == "mut1"
    assert study.more_baselines == (str(tmp_path / "mine.cell"),)
    with pytest.raises(CellError, match="no cell called 'mut'"):
        promotion_study(found, PromotionOptions(against=("mut",))).resolve_cells()


def test_a_task_that_the_search_has_not_seen_is_added(found, corpora):
    assert promotion_study(found).tasks == ("arithmetic", "xml", "python-source")
    assert promotion_study(found, PromotionOptions(tasks=("memorization@length=7",))).tasks == (
        "memorization@length=7",
    )
    tasks = promotion_study(found, PromotionOptions(tasks=("unseen10",))).tasks
    assert tasks == TASK_SETS["unseen10"]
    assert "new to them: python-source" in promotion_study(found).description
    assert (
        "new to them: none" in promotion_study(found, PromotionOptions(tasks=("xml",))).description
    )


def test_no_seed_of_the_search_comes_back(found):
    used = set(load_results(found)["seed"])
    study = promotion_study(found, PromotionOptions(draws=50))
    seeds = {m["seed"] for t in study.trials(study.resolve_cells()) for m in t.members}
    assert len(seeds) == 50
    assert not seeds & used
    assert promotion_study(found).seed == study.seed
    with pytest.raises(ConfigError, match="take another --seed"):
        promotion_study(found, PromotionOptions(seed=reopen(found).study.seed))


def test_all_models_have_the_same_number_of_parameters(found):
    study = promotion_study(found, PromotionOptions(parameters=9_000))
    for task in study.tasks:
        signature = get_task(task).signature
        for cell in study.resolve_cells().values():
            hidden = hidden_size_for(cell, 9_000, signature=signature, num_layers=1)
            count = count_parameters(cell, signature=signature, hidden_size=hidden, num_layers=1)
            assert 8_000 < count <= 9_000
    members = {m["parameters"] for t in study.trials(study.resolve_cells()) for m in t.members}
    assert members == {9_000}


def test_grids_and_a_budget_of_parameters_are_those_of_the_search(tmp_path):
    text = re.sub("draws = .", "draws = 3", study_text("random", 6, seed=3))
    grid = "learning_rate = { grid = [0.001, 0.01, 0.1] }\nparameters = 3_000\n"
    text = re.sub("learning_rate = .*\n", grid, text)
    execute(prepare(parse_study(text), tmp_path / "run"), Silent(), work=Fake(tmp_path / "run"))
    study = promotion_study(tmp_path / "run")
    assert (study.members, study.space["parameters"]) == (18, 3_000)
    assert "3,000 parameters each" in study.description
    assert promotion_study(tmp_path / "run", PromotionOptions(draws=48)).members == 48
    with pytest.raises(ConfigError, match="--draws must be a multiple of 3, got 16"):
        promotion_study(tmp_path / "run", PromotionOptions(draws=16))


def test_the_budget_is_that_of_the_last_stage_unless_set(found):
    plan = reopen(found).study.search
    last = training_config(plan.stages[-1].training)
    assert not last.longer  # a search does not measure longer sequences, a study does
    assert promotion_study(found).config == replace(last, longer=True)
    assert promotion_study(found, PromotionOptions(settings=("epochs=3",))).config.epochs == 3


def test_cells_are_files_that_stay(found):
    specs = promotion_study(found, PromotionOptions(top=1)).cells[3:]
    text = finished_candidates(load_candidates(found))
    text = text[text["arm"] != "seed"]["cell_text"].iloc[0]
    assert get_cell(specs[0]) == parse_cell(text).replace(name=get_cell(specs[0]).name)


def test_what_cannot_be_promoted(found, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="at least 1"):
        promotion_study(found, PromotionOptions(top=0))
    with pytest.raises(StoreError, match="no run at"):
        promotion_study(tmp_path / "nowhere")
    early = tmp_path / "early"
    shutil.copytree(found, early)
    shutil.rmtree(early / "candidates")
    with pytest.raises(ConfigError, match="nothing to promote"):
        promotion_study(early)
    monkeypatch.setattr("odyssey.studies.make.promotion.UNSEEN", ("xml",))
    with pytest.raises(ConfigError, match="name --tasks"):
        promotion_study(found)


STUDY = """
name = "s"
cells = ["lstm"]
tasks = ["xml"]
runner = "local"
members = 1

[training]
epochs = 1
updates_per_epoch = 1
valid_characters = 500
test_characters = 500

[space]
hidden_size = 4
"""


def test_a_study_of_given_cells_is_no_search(tmp_path, capsys):
    study = tmp_path / "s.toml"
    study.write_text(STUDY)
    assert main(["search", str(study), "--out", str(tmp_path / "run")]) == 0
    assert main(["promote", str(tmp_path / "run")]) != 0
    assert "search" in capsys.readouterr().err


def test_from_the_command_line(found, tmp_path, capsys):
    out = tmp_path / "out"
    small = ["batch_size=2", "unroll=5", "epochs=1", "updates_per_epoch=1"]
    small += ["valid_characters=100", "test_characters=100"]
    settings = [word for s in small for word in ("--set", s)]
    command = ["promote", str(found), "--top", "1", "--draws", "2", "--parameters", "3000"]
    command += ["--tasks", "xml", "--runner", "local", "--out", str(out), *settings]
    assert main([*command, "--dry-run"]) == 0
    assert "4 cells x 1 task (xml)" in capsys.readouterr().out
    assert not out.exists()
    assert main(command) == 0
    results = load_results(out)
    assert len(results) == 8
    assert results["num_parameters"].between(2000, 3000).all()
    assert "Only this comparison is a result" in (out / "report.html").read_text()
