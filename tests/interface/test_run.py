"""What runs and results are as objects: what they hold, what they show, how they go on."""

import ast
import html
import json
import os

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import odyssey
from odyssey.errors import ConfigError, StoreError

TASK = "memorization@length=2"
TRAINING = {
    "batch_size": 4, "unroll": 12, "epochs": 2, "updates_per_epoch": 3, "valid_characters": 100,
    "test_characters": 600, "optimizer": "adam",
}  # fmt: skip
SMALL = {"runner": "local", **TRAINING, "hidden_size": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def trained(folder):
    return odyssey.train(
        "elman", TASK, **TRAINING, hidden_size=4, out=folder / "trained", progress=False
    )


@pytest.fixture(scope="module")
def table(folder):
    """A table of ablations of six draws."""
    return odyssey.ablate(
        "elman", tasks=TASK, draws=6, variants="no_bias", settings=SMALL, out=folder / "table",
        progress=False,
    )  # fmt: skip


def test_a_trained_cell_shows_curve_and_scores(trained):
    assert repr(trained).startswith(f"<TrainedCell elman on {TASK}: valid ")
    assert "\n" not in repr(trained)
    shown = trained._repr_html_()
    assert shown.count("<img ") == 1
    assert "bits/char" in shown
    assert isinstance(trained.figure(), Figure)
    assert trained.table["valid_nats"].tolist() == [trained.row["valid_nats"]]
    assert trained.curves["metric"].value_counts()["valid_nats"] == 2
    assert trained.path.name == "trained"


def test_a_trained_cell_leaves_as_its_run_does(trained):
    run = odyssey.Run(trained.path)
    assert (run.kind, run.name) == ("training", "train-elman")
    ours, kept = (odyssey.export(source).files for source in (trained, run))
    assert ours == kept
    with pytest.raises(ConfigError, match="is a training: workers is for studies"):
        run.resume(workers=2)


def test_a_model_is_called_on_what_its_task_feeds(trained):
    model = odyssey.Run(trained.path).model()
    x = np.random.default_rng(1).integers(4, size=(6, 2))
    y, states = model(x)
    assert tuple(y.shape) == (6, 2, len(model.task.symbols))
    assert [tuple(s.shape) for s in states] == [(1, 2, 4)]
    first, between = model(x[:4])
    rest, _ = model(x[4:], between)
    np.testing.assert_allclose(np.concatenate([first, rest]), y, atol=1e-6)
    assert repr(model) == f"<TrainedModel elman on {TASK}: {_count(model)} parameters>"
    np.testing.assert_array_equal(trained.trained(x)[0], y)


def _count(model):
    return sum(p.numel() for p in model.model.parameters())


def test_a_run_tells_what_it_is(table):
    assert repr(table).endswith(": study ablate-elman, 2 of 2 trials>")
    assert list(table.cells) == ["elman", "elman:no_bias"]
    assert table.best() in table.cells.values()
    assert table.study.baseline == "elman"
    assert len(table.results) == 12
    assert len(table.curves) > 12
    assert table.status.trials == 2


def test_a_run_shows_its_table_with_intervals(table):
    shown = html.unescape(table._repr_html_())
    assert "95 % interval" in shown
    assert "elman:no_bias" in shown
    found = table.table()
    assert {"label", "difference", "low", "high", "p_holm", "verdict"} <= set(found)
    assert "rank" in table.table("leaderboard")
    with pytest.raises(ConfigError, match="no table of this study called 'best'"):
        table.table("best")


def test_a_run_draws_the_figures_of_its_report(table, tmp_path):
    assert any(name.endswith("_effects") for name in table.figures)
    assert isinstance(table.figure("effects"), Figure)
    assert table.figure() is table.figure("effects")
    with pytest.raises(ConfigError, match="closest: effects"):
        table.figure("efects")
    assert table.page(to=tmp_path / "page").stat().st_size > 10_000


def test_a_report_is_computed_once_until_there_is_more(folder, table, monkeypatch):
    from odyssey.jobs import report

    read, said = report.read_run, []
    monkeypatch.setattr(
        report, "read_run", lambda *a, **k: said.append(k["drawn"]) or read(*a, **k)
    )
    run = odyssey.ablate(
        "elman", tasks=TASK, draws=5, variants="no_bias", settings=SMALL, out=folder / "once",
        progress=False,
    )  # fmt: skip
    run.table()
    assert len(run._repr_html_()) > 1000
    assert said == [False]
    assert run.figures
    run.figure("curves")
    run.table()
    assert said == [False, True]
    run.extend(draws=6, progress=False)
    assert run.study.members == 6
    assert set(run.table()["draws"]) == {6}
    assert said == [False, True, False]


def test_a_run_grows_and_is_compared(table, folder, capsys):
    again = odyssey.search(
        table.study, settings={"seed": 2}, runner="local", out=folder / "again", progress=False
    )
    assert again.extend(draws=7).results["member"].max() == 6
    said = capsys.readouterr().out
    assert "trials: 2" in said
    assert "[   2/2]" in said
    compared = odyssey.compare(table, again.path)
    assert "beside elman" in repr(compared)
    assert "Runs compared" in compared._repr_html_()
    assert isinstance(compared.figure(), Figure)
    with pytest.raises(ConfigError, match="no task with cells to compare called 'xml'"):
        compared.figure("xml")
    assert odyssey.resume(again).results.equals(again.results)


def test_a_run_without_results_shows_why_it_has_no_table(folder):
    from odyssey.jobs.search import RunOptions, begin_run

    study = odyssey.Study(name="<b>s</b>", cells=["elman"], tasks=[TASK], runner="local")
    begin_run(study, RunOptions(out=folder / "empty"))
    run = odyssey.Run(folder / "empty")
    shown = run._repr_html_()
    assert "no finished trial" in shown
    assert "<b>s</b>" not in shown
    assert "&lt;b&gt;s&lt;/b&gt;" in shown
    with pytest.raises(StoreError, match="nothing is finished"):
        run.best()


def test_looking_never_fails(table, monkeypatch):
    monkeypatch.setattr(odyssey.Run, "_said", lambda self: 1 / 0)
    assert table._repr_html_() is None


def test_what_is_cut_short_says_how_it_goes_on(folder, capsys):
    class Impatient:
        def begin(self, board):
            raise KeyboardInterrupt

    study = odyssey.Study(name="cut", cells=["elman"], tasks=[TASK], runner="local",
                          training=TRAINING, space={"hidden_size": 3})  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        odyssey.search(study, out=folder / "cut", progress=Impatient())
    said = capsys.readouterr().err.strip()
    again = said.partition("go on with: ")[2]
    run = eval(compile(ast.parse(again, mode="eval"), "again", "eval"), {"odyssey": odyssey})
    assert run.status.trials == run.status.planned == 1


def test_gradients_show_themselves_and_write_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = odyssey.gradients(["elman", odyssey.get_cell("gru")], steps=5, hidden_size=3, seeds=2)
    assert list(tmp_path.iterdir()) == []
    assert repr(study).startswith("<GradientStudy of elman, gru; figures: norms, ")
    assert study.table["label"].tolist() == ["elman", "gru"]
    assert isinstance(study.figure(), Figure)
    with pytest.raises(ConfigError, match="closest: norms"):
        study.figure("norm")
    assert study._repr_html_().count("<img ") == 1


def test_units_and_a_sample_of_a_run(trained, tmp_path):
    run = odyssey.Run(trained.path)
    written = run.sample(length=6)
    assert len(str(written)) == 6
    assert str(written) == written.text
    found = run.units(characters=3000, shifts=9, page_characters=0, out=str(tmp_path))
    assert repr(found).startswith("<UnitStudy of elman: ")
    assert "What the units of elman follow" in found._repr_html_()
    assert isinstance(found.figure(), Figure)


def test_a_cell_is_shown_as_equations_and_taken_as_an_object(tmp_path, monkeypatch):
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path / "cache"))
    cell = odyssey.get_cell("lstm:no_output_gate")
    assert repr(cell) == "<Cell lstm:no_output_gate: states h, c; 9 weights and biases>"
    assert cell._repr_latex_().startswith("$$\n\\begin{aligned}")
    assert odyssey.spec_of(cell) == "lstm:no_output_gate"
    mine = odyssey.parse_cell(odyssey.get_cell("elman").text.replace("cell elman", "cell mine"))
    spec = odyssey.spec_of(mine)
    assert odyssey.get_cell(spec) == mine
    number = os.stat(spec).st_ino
    assert odyssey.spec_of(mine) == spec
    assert os.stat(spec).st_ino != number, "a new file: nobody reads half of it"
    done = odyssey.train(mine, TASK, **TRAINING, hidden_size=3, progress=False)
    assert done.row["cell"] == "mine"
    assert done.path is None


def test_a_study_is_made_as_its_file_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.cell").write_text(odyssey.get_cell("elman").text)
    made = odyssey.Study(
        name="s", cells=["gru", "mine.cell"], tasks=["unseen10"], preset="jozefowicz",
        space={"hidden_size": 8},
    )  # fmt: skip
    (tmp_path / "s.toml").write_text(
        'name = "s"\ncells = ["gru", "mine.cell"]\ntasks = ["unseen10"]\npreset = "jozefowicz"\n'
        "space.hidden_size = 8\n"
    )
    assert made == odyssey.Study.read("s.toml")
    assert made.cells[1] == str(tmp_path / "mine.cell")
    assert len(made.tasks) == 10
    (tmp_path / "again.toml").write_text(made.to_toml())
    assert odyssey.Study.read("again.toml") == made
    assert repr(made) == "<study 's': 2 cells x 10 tasks, 4 draws>"


def test_frames_are_frames(table):
    assert isinstance(table.table(), pd.DataFrame)
    assert json.loads(table.results.iloc[:1].to_json())


def test_a_task_says_what_it_is():
    assert repr(odyssey.task(TASK)) == f"<Task {TASK}: 28 symbols; counted: the reproduced symbols>"
    assert TASK.partition("@")[0] in odyssey.list_tasks()
