"""Every command does what it says, prints tables that fit and JSON that parses."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from odyssey.cells import LIBRARY
from odyssey.cli import doctor
from odyssey.compiler.lowering import STAGES
from odyssey.expr import parse_cell
from odyssey.specs import CELL_SETS, VARIANTS, get_cell
from odyssey.storage import load_results
from odyssey.tasks import download
from odyssey.tasks.registry import list_tasks
from odyssey.transforms.ablations import ABLATIONS


def well(called):
    assert called.err == ""
    assert called.code == 0
    return called


def table(called):
    """Gives the lines of what was printed, which must fit into 120 columns."""
    lines = well(called).out.splitlines()
    assert max(map(len, lines)) <= 120
    return lines


def refused(called):
    """Gives the one line of an error that is the user's."""
    assert called.code == 2
    assert called.out == ""
    (line,) = called.err.splitlines()
    assert line.startswith("odyssey: ")
    return line


# cells


def test_cells_lists_the_library(odyssey):
    lines = table(odyssey("cells"))
    assert lines[0].split() == ["cell", "states", "parameters", "key", "source"]
    first_words = [line.split()[0] for line in lines[1:] if not line.startswith(" ")]
    assert first_words == list(LIBRARY)
    rows = well(odyssey("cells", "--json")).json
    assert [row["cell"] for row in rows] == list(LIBRARY)
    lstm = next(row for row in rows if row["cell"] == "lstm")
    assert lstm["parameters"] == "4HI + 4HH + 4H"
    assert lstm["states"] == "h, c"
    assert "Hochreiter" in lstm["source"]
    assert get_cell("lstm").key.startswith(lstm["key"])


def test_cells_lists_ablations_and_variants(odyssey):
    text = "\n".join(table(odyssey("cells", "--ablations")))
    rows = well(odyssey("cells", "--ablations", "--json")).json
    assert len(rows) == len(ABLATIONS)
    for name in ABLATIONS:
        assert name in text
    table(odyssey("cells", "--variants"))
    rows = well(odyssey("cells", "--variants", "--json")).json
    assert [row["name"] for row in rows] == [*VARIANTS, *CELL_SETS]
    for row in rows[: len(VARIANTS)]:
        assert get_cell(row["spec"]).key == get_cell(row["name"]).key
    assert "not allowed with" in refused(odyssey("cells", "--variants", "--ablations"))


# show


def test_show_prints_text_that_reads_back(odyssey):
    text = well(odyssey("show", "lstm:no_output_gate+forget_bias=2")).out
    assert parse_cell(text) == get_cell("lstm:no_output_gate+forget_bias=2")
    assert well(odyssey("show", "lstm", "--as", "text")).out == get_cell("lstm").text


def test_show_latex_and_canonical_form(odyssey):
    latex = well(odyssey("show", "gru", "--as", "latex")).out
    assert r"\begin{aligned}" in latex
    assert r"\odot" in latex
    assert well(odyssey("show", "gru", "--as", "canonical")).out == get_cell("gru").canonical_text


def test_show_json_has_all_there_is(odyssey):
    cell = get_cell("mut1")
    found = well(odyssey("show", "mut1", "--as", "json")).json
    assert found["key"] == cell.key
    assert found["text"] == cell.text
    assert found["fingerprint"] == cell.fingerprint
    assert found["latex"] == cell.latex()
    assert found["states"] == ["h"]
    assert found["recurrent"] is True
    assert found["needs_input_size_equal_hidden_size"] is True
    assert set(found["parameters"]) == set(cell.parameters)
    assert found["parameter_count"] == "4HH + 3H"


def test_show_the_program_after_any_pass(odyssey):
    programs = {
        stage: well(odyssey("show", "lstm", "--as", "program", "--after", stage)).out
        for stage in STAGES
    }
    assert well(odyssey("show", "lstm", "--as", "program")).out == programs[STAGES[-1]]
    assert len(set(programs.values())) >= 3  # the passes do something, and it shows
    line = refused(odyssey("show", "lstm", "--as", "program", "--after", "hoistt"))
    assert "no pass called 'hoistt'; closest: hoist" in line
    assert "--as program" in refused(odyssey("show", "lstm", "--after", "hoist"))


def test_show_the_source_that_torch_runs(odyssey):
    source = well(odyssey("show", "lstm", "--as", "torch")).out
    compile(source, "layer", "exec")
    assert source.startswith("def layer(")


def test_show_the_difference_of_two_cells(odyssey):
    lines = well(odyssey("show", "lstm:no_forget_gate", "--against", "lstm")).out.splitlines()
    changed = [line for line in lines if line[0] in "+-"]
    assert "- c[t] = f * c[t-1] + i * g" in changed
    assert "+ c[t] = c[t-1] + i * g" in changed
    assert "--as text" in refused(odyssey("show", "lstm", "--against", "gru", "--as", "latex"))


def test_show_a_cell_file(odyssey, cwd):
    (cwd / "mine.cell").write_text(get_cell("gru").text.replace("cell gru", "cell mine"))
    assert well(odyssey("show", "mine.cell:no_reset_gate")).out.startswith("cell mine")
    assert "no cell called 'mine'" in refused(odyssey("show", "mine"))


# data


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with a small stand-in for one corpus."""
    folder = tmp_path / "data"
    monkeypatch.setenv(download.DATA_VARIABLE, str(folder))
    text = b"to be, or not to be, that is the question:\n" * 40
    (folder / "tinyshakespeare").mkdir(parents=True)
    (folder / "tinyshakespeare" / download.FILE_NAME).write_bytes(text)
    digest = "sha256:" + hashlib.sha256(text).hexdigest()
    entry = dataclasses.replace(download.DATASETS["tinyshakespeare"], size=len(text), digest=digest)
    monkeypatch.setitem(download.DATASETS, "tinyshakespeare", entry)
    return folder


def test_data_list(odyssey, data):
    text = "\n".join(table(odyssey("data", "list")))
    found = well(odyssey("data", "list", "--json")).json
    assert found["directory"] == str(data)
    assert [row["name"] for row in found["tasks"]] == [*list_tasks(), "text:PATH"]
    assert {row["name"]: row["present"] for row in found["datasets"]} == {
        "tinyshakespeare": True,
        "warpeace": False,
        "text8": False,
        "enwik8": False,
    }
    for name in list_tasks():
        assert name in text
    assert "takes no name" in refused(odyssey("data", "list", "text8"))


def test_data_get(odyssey, data):
    path = data / "tinyshakespeare" / download.FILE_NAME
    assert well(odyssey("data", "get", "tinyshakespeare")).out == f"{path}\n"
    found = well(odyssey("data", "get", "tinyshakespeare", "--json")).json
    assert found == {"name": "tinyshakespeare", "path": str(path)}
    assert "closest: tinyshakespeare" in refused(odyssey("data", "get", "tinyshakespear"))
    assert "name a data set" in refused(odyssey("data", "get"))
    assert "invalid choice: 'drop'" in refused(odyssey("data", "drop"))


# doctor


@pytest.mark.slow
@pytest.mark.ray
def test_doctor_finds_that_all_works_here(odyssey, data):
    rows = well(odyssey("doctor", "--json")).json
    found = {row["check"]: row["found"] for row in rows}
    assert all(row["works"] for row in rows)
    assert {"torch", "ray", "Ray", "compiled cell", "C compiler", "data folder"} <= found.keys()
    assert "starts a worker" in found["Ray"]
    assert str(data) in found["data folder"]


def test_doctor_says_what_to_do_about_what_does_not_work(odyssey, monkeypatch, tmp_path):
    def broken():
        raise RuntimeError("no sockets here\nand more")

    closed = tmp_path / "a-file"
    closed.write_text("")
    monkeypatch.setattr("odyssey.evaluation.ray_runner.probe", broken)
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no_such_package"))
    monkeypatch.setenv("PATH", "")
    called = odyssey("doctor", "--json")
    assert called.code == 1
    rows = {row["check"]: row for row in called.json}
    assert [check for check, row in rows.items() if not row["works"]] == ["no_such_package", "Ray"]
    assert rows["Ray"]["found"] == "RuntimeError: no sockets here"
    assert "--runner local" in rows["Ray"]["do"]
    assert rows["no_such_package"]["do"] == "pip install no_such_package"
    called = odyssey("doctor")
    assert called.code == 1
    assert max(map(len, called.out.splitlines())) <= 120
    assert "NO" in called.out


# train

QUICK = ("--epochs", 1, "--updates-per-epoch", 2, "--batch-size", 4, "--unroll", 10)


def test_train_on_a_generated_task(odyssey, cwd):
    lines = table(odyssey("train", "lstm", "--task", "xml", *QUICK))
    assert lines[0].startswith("epoch   1/1  update      2  train ")
    assert lines[1].startswith("lstm on xml: ")
    assert "parameters" in lines[1]
    assert [line.split()[0] for line in lines[2:]] == ["valid", "test"]
    for line in lines[2:]:
        assert "nats/char" in line
        assert "bits/char" in line
        assert "next-character accuracy" in line
    assert list(cwd.iterdir()) == []


def test_train_prints_json_with_the_record(odyssey):
    arguments = ("train", "elman", "--task", "xml", *QUICK, "--json")
    row = well(odyssey(*arguments, "--hidden-size", 6, "--set", "optimizer=rmsprop")).json
    assert row["status"] == "ok"
    assert row["hidden_size"] == 6
    assert row["updates"] == 2
    assert row["characters"] == 2 * 4 * 10
    assert row["valid_bpc"] == pytest.approx(row["valid_nats"] / np.log(2))
    assert row["sample"] == ""  # generated tags mean nothing
    assert row["training"]["optimizer"] == "rmsprop"
    assert row["clip_norm"] == 5.0
    again = well(odyssey(*arguments, "--hidden-size", 6, "--optimizer", "rmsprop")).json
    assert again["test_nats"] == row["test_nats"]
    other = well(odyssey(*arguments, "--hidden-size", 6, "--seed", 2)).json
    assert other["test_nats"] != row["test_nats"]
    assert other["training"]["optimizer"] == "adam"


def test_train_takes_a_preset_as_it_is(odyssey):
    small = ("--set", "valid_characters=200", "--set", "test_characters=200")
    for given in (("--preset", "jozefowicz"), ("--set", "preset=jozefowicz")):
        called = odyssey("train", "elman", "--task", "xml", *QUICK, *small, *given, "--json")
        training = well(called).json["training"]
        assert (training["optimizer"], training["loss"]) == ("sgd", "sum")
        assert training["batch_size"] == 4  # what is said goes before the preset


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("the quick brown fox jumps over the lazy dog\n" * 30)
    return path


def test_train_on_a_text_ends_with_a_sample(odyssey, book):
    arguments = ("train", "gru", "--task", f"text:{book}", *QUICK)
    text = well(odyssey(*arguments, "--sample", 25)).out
    sample = text.partition("\nsample:\n")[2]
    assert len(sample) == 25 + 1
    assert set(sample) <= set(book.read_text())
    assert well(odyssey(*arguments, "--sample", 25)).out.endswith(sample)
    found = well(odyssey(*arguments, "--sample", 25, "--json")).json
    assert found["sample"] + "\n" == sample
    assert "sample" not in well(odyssey(*arguments, "--sample", 0)).out
    cold = well(odyssey(*arguments, "--sample", 25, "--temperature", 0, "--json")).json
    assert cold["sample"] != found["sample"]


def test_train_keeps_a_run_that_report_reads(odyssey, cwd, book):
    arguments = ("train", "elman", "--task", f"text:{book}", *QUICK, "--out", "kept")
    assert "odyssey report kept" in well(odyssey(*arguments)).out
    rows = load_results("kept")
    assert len(rows) == 1
    with np.load("kept/weights.npz") as weights:
        assert sum(w.size for w in weights.values()) == rows["num_parameters"].iloc[0]
    lines = table(odyssey("report", "kept"))
    assert lines[-1] == "report: kept/report.html"
    assert "elman" in (cwd / "kept/report.html").read_text()
    found = well(odyssey("report", "kept", "--json")).json
    assert found["leaderboard"][0]["cell"] == "elman"
    assert found["files"]["report"] == "kept/report.html"
    resumed = odyssey("search", "--resume", "kept", "--dry-run", "--json")
    assert well(resumed).json == {"study": "train-elman", "trials": 1, "left": 0}
    assert "already holds a run" in refused(odyssey(*arguments))


def test_train_says_when_it_diverged(odyssey):
    called = odyssey("train", "elman", "--task", "xml", *QUICK, "--learning-rate", 1e30)
    assert "elman on xml: diverged (" in well(called).out
    assert "at update 2)" in called.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "the following arguments are required"),
        (("lstm",), "required: --task"),
        (("lstmm", "--task", "xml"), "no cell called 'lstmm'"),
        (("lstm", "--task", "xlm"), "no task called 'xlm'"),
        (("lstm", "--task", "text:no-such-file"), "no file "),
        (("lstm", "--task", "xml", "--preset", "odysey"), "closest: odyssey"),
        (("lstm", "--task", "xml", "--optimizer", "adem"), "closest: adam"),
        (("lstm", "--task", "xml", "--hidden-size", "0"), "hidden_size must be at least 1"),
        (("lstm", "--task", "xml", "--hidden-size", "many"), "invalid int value: 'many'"),
        (("lstm", "--task", "xml", "--learning-rate", "nan"), "learning_rate must be at least 0"),
        (("lstm", "--task", "xml", "--clip-norm", "nan"), "clip_norm must be at least 0"),
        (("lstm", "--task", "xml", "--momentum", "1"), "momentum must lie in [0, 1)"),
        (("lstm", "--task", "xml", "--seed=-1"), "seed must be a whole number from 0"),
        (("lstm", "--task", "xml", "--sample=-1"), "--sample must not be negative"),
        (("lstm", "--task", "xml", "--temperature=-1"), "--temperature must be a number >= 0"),
        (("lstm", "--task", "xml", "--temperature", "nan"), "--temperature must be a number"),
        (("lstm", "--task", "xml", "--set", "epoch=3"), "closest: epochs"),
        (("lstm", "--task", "xml", "--set", "epochs"), "key=value"),
        (("elman", "--task", "xml", "--forget-bias", "1"), "space.forget_bias does not fit elman"),
    ],
)
def test_train_refuses_what_makes_no_sense(odyssey, cwd, arguments, says):
    called = odyssey("train", *arguments, "--out", "never")
    assert says in refused(called)
    assert called.seconds < 1.5
    assert list(cwd.iterdir()) == []


# search and report

STUDY = """
name = "my study"
cells = ["lstm", "elman"]
tasks = ["arithmetic", "xml"]
members = 2
runner = "local"

[training]
epochs = 1
updates_per_epoch = 2
batch_size = 4
unroll = 10
valid_characters = 200
test_characters = 200

[space]
hidden_size = { choice = [4, 6] }
learning_rate = { log_uniform = [1e-3, 1e-1] }
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def test_a_search_end_to_end(odyssey, cwd, study):
    lines = table(odyssey("search", study))
    assert lines[0].startswith("my study: results/runs/my-study ")
    assert "odyssey search --resume results/runs/my-study" in lines[0]
    assert lines[1] == "trials: 4"
    assert [line.split("]")[0] for line in lines[2:6]] == [f"[   {k}/4" for k in (1, 2, 3, 4)]
    assert "report: results/runs/my-study/report.html" in lines
    assert lines[-1].startswith("trials run: 4 in ")
    text = "\n".join(lines[6:])
    for word in ("arithmetic", "xml", "lstm", "elman"):
        assert word in text
    folder = cwd / "results/runs/my-study"
    assert {p.name for p in folder.iterdir()} >= {
        "study.toml",
        "run.json",
        "results",
        "curves",
        "report.html",
        "leaderboard.csv",
        "leaderboard.md",
        "figures",
    }
    assert len(load_results(folder)) == 8
    facts = json.loads((folder / "run.json").read_text())
    assert facts["study"] == "my study"
    assert facts["seconds"] > 0
    assert [p.name for p in cwd.iterdir()] == ["results"]

    # A second one does not touch the first, and can be told what else to do.
    called = well(
        odyssey("search", study, "--json", "--set", 'tasks=["xml"]', "--set", "members=1")
    )
    found = called.json
    assert found["files"]["report"] == "results/runs/my-study-2/report.html"
    assert {row["task"] for row in found["leaderboard"]} == {"xml"}
    assert {row["members"] for row in found["leaderboard"]} == {1}
    assert {row["label"] for row in found["overall"]} == {"lstm", "elman"}

    # There is nothing left to resume.
    lines = table(odyssey("search", "--resume", folder))
    assert "trials: 4, 4 finished before" in lines
    assert lines[-1].startswith("trials run: 0 in ")
    left = well(odyssey("search", "--resume", folder, "--dry-run")).out
    assert left == "trials left: 0 of 4\n"
    (next(folder.glob("results/*.parquet"))).unlink()
    left = odyssey("search", "--resume", folder, "--dry-run", "--json")
    assert well(left).json == {"study": "my study", "trials": 4, "left": 1}
    found = well(odyssey("search", "--resume", folder, "--json")).json
    assert sum(row["members"] for row in found["leaderboard"]) == 8

    board = well(odyssey("report", folder, "--json")).json["leaderboard"]
    assert board == found["leaderboard"]


def test_out_says_where(odyssey, cwd, study):
    arguments = ("search", study, "--set", 'tasks=["xml"]', "--out", "a b")
    assert "odyssey search --resume 'a b'" in well(odyssey(*arguments)).out
    assert (cwd / "a b/report.html").exists()
    assert "already holds a run" in refused(odyssey(*arguments))


def test_a_dry_run_says_what_would_run_and_writes_nothing(odyssey, cwd, study):
    lines = table(odyssey("search", study, "--dry-run"))
    assert lines[0] == "my study: 2 cells x 2 tasks (arithmetic, xml)"
    assert lines[1].split() == ["trials", "4", "with", "8", "members", "in", "all"]
    facts = well(odyssey("search", study, "--dry-run", "--json", "--set", "epochs=3")).json
    assert (facts["cells"], facts["trials"], facts["members"]) == (2, 4, 8)
    assert facts["characters"] == 8 * 3 * 2 * 4 * 10
    assert facts["tasks"] == ["arithmetic", "xml"]
    assert facts["workers"] == 1
    assert 0 < facts["seconds"] < 60
    assert facts["disk_mb"] > 0
    assert list(cwd.iterdir()) == []


def test_a_run_without_one_good_trial_fails(odyssey, study):
    called = odyssey("search", study, "--out", "run", "--set", "space={parameters=1}")
    assert called.code == 1
    (line,) = called.err.splitlines()
    assert line.startswith("odyssey: all 4 trials failed; the first: ConfigError: lstm: 1 param")


def test_ctrl_c_keeps_what_is_finished(odyssey, study, monkeypatch):
    from odyssey.evaluation import execute

    done = []

    def impatient(recorder, trial, result):
        done.append(trial)
        if len(done) == 3:
            raise KeyboardInterrupt
        original(recorder, trial, result)

    original = execute.Recorder.on_result
    monkeypatch.setattr(execute.Recorder, "on_result", impatient)
    called = odyssey("search", study, "--out", "run")
    assert called.code == 1
    hint, last = called.err.splitlines()
    assert hint.endswith("go on with: odyssey search --resume run")
    assert last == "odyssey: interrupted"
    assert "report: run/report.html" in called.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "name a study"),
        (("no-such.toml",), "no-such.toml: there is no such study file"),
        (("STUDY", "--workers", "0"), "--workers must be at least 1"),
        (("STUDY", "--workers", "2"), "use the ray runner"),
        (("STUDY", "--address", "host:1"), "use the ray runner"),
        (("STUDY", "--runner", "slurm"), "invalid choice: 'slurm'"),
        (("STUDY", "--set", "membrs=3"), "closest: members"),
        (("STUDY", "--set", "cells=['lstmm']"), "no cell called 'lstmm'"),
        (("STUDY", "--set", "tasks=['xlm']"), "no task called 'xlm'"),
        (("STUDY", "--resume", "there"), "no STUDY, --out or --set"),
        (("--resume", "nowhere"), "no run at nowhere"),
        (("--resume", "."), "is not a run"),
        (("STUDY", "--out", "STUDY"), "cannot write a run to "),
        (("STUDY", "--what"), "unrecognized arguments: --what"),
    ],
)
def test_search_refuses_what_makes_no_sense(odyssey, cwd, study, arguments, says):
    called = odyssey("search", *(study if a == "STUDY" else a for a in arguments))
    assert says in refused(called)
    assert list(cwd.iterdir()) == []


def test_report_refuses_what_is_no_run(odyssey, cwd, study):
    assert "no run at nowhere" in refused(odyssey("report", "nowhere"))
    assert "is not a run" in refused(odyssey("report", "."))
    assert list(cwd.iterdir()) == []


# The command itself


def test_help_and_version_are_no_errors(odyssey):
    assert "usage: odyssey" in well(odyssey("--help")).out
    for command in ("cells", "show", "train", "search", "report", "data", "doctor"):
        assert command in odyssey("--help").out
        assert f"usage: odyssey {command}" in well(odyssey(command, "--help")).out
    assert well(odyssey("--version")).out.startswith("odyssey 0.")


def test_wrong_use_is_one_line(odyssey):
    assert "required: COMMAND" in refused(odyssey())
    assert "invalid choice: 'trian'" in refused(odyssey("trian"))
    assert len(refused(odyssey("show", "lstm", "--as", "x" * 100_000))) < 1_100
    assert "\x1b" not in refused(odyssey("show", "lstm", "--as", "\x1b[31m"))
