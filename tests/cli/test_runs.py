"""Training, searching, resuming and reporting from the command line."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from support.answers import refused, table, well
from support.small_studies import small_study

from odyssey.hyperparameters import HYPERPARAMETERS
from odyssey.storage import load_results
from odyssey.training.config import PRESETS
from odyssey.training.space import SPACE_PRESETS, fixed_by

# train

QUICK = ("--epochs", 1, "--updates-per-epoch", 2, "--batch-size", 4, "--unroll", 10)


def test_train_on_a_generated_task(odyssey, cwd):
    lines = table(odyssey("train", "lstm", "--task", "xml", *QUICK))
    assert lines[0].startswith("epoch   1/1  update      2  train ")
    assert lines[1].startswith("lstm on xml: ")
    assert "parameters" in lines[1]
    assert [line.split()[0] for line in lines[2:]] == ["valid", "test", "longer", "chance"]
    for line in lines[2:-1]:
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


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_trains_as_it_is(odyssey, book, preset):
    """Whole, as its paper has it, and what is said goes before it; it learns something."""
    book.write_text(book.read_text() * 13)
    command = ("train", "lstm", "--task", f"text:{book}@split=70/15/15", "--preset", preset)
    updates = 30 if PRESETS[preset].get("optimizer") != "adagrad" else 600  # it begins with leaps
    budget = ("--epochs", 1, "--updates-per-epoch", updates)
    less = ("--hidden-size", 24, *budget, "--sample", 0, "--json")
    row = well(odyssey(*command, *less)).json
    assert {n: row[n] for n in fixed_by(preset)} == {
        n: 24 if n == "hidden_size" else v for n, v in fixed_by(preset).items()
    }
    for name in HYPERPARAMETERS:  # without a part in the protocol: as if it did not exist
        if name not in {"hidden_size", *SPACE_PRESETS[preset]}:
            assert row[name] in (HYPERPARAMETERS[name].default, None)
    for name, value in PRESETS[preset].items():
        budget = ("epochs", "updates_per_epoch", "passes")
        assert row["training"][name] == value or name in budget
    assert row["valid_nats"] < math.log(28)  # uniform guessing
    small = ("--batch-size", 2, "--unroll", 5, "--learning-rate", 0.5, "--init-scale", 0.2)
    other = well(odyssey(*command, *less, *small, "--clip-norm", 0)).json
    assert (other["learning_rate"], other["init_scale"], other["clip_norm"]) == (0.5, 0.2, 0)
    assert (other["training"]["batch_size"], other["training"]["unroll"]) == (2, 5)


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
    assert "odyssey train --resume kept" in refused(odyssey("search", "--resume", "kept"))
    assert "already holds a run" in refused(odyssey(*arguments))


def test_train_says_when_it_diverged(odyssey):
    called = odyssey("train", "elman", "--task", "xml", *QUICK, "--learning-rate", 1e6)
    assert "elman on xml: diverged (" in well(called).out
    assert "at update 2)" in called.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "name a cell and a task"),
        (("lstm",), "name a cell and a task"),
        (("lstmm", "--task", "xml"), "no cell called 'lstmm'"),
        (("lstm", "--task", "xlm"), "no task called 'xlm'"),
        (("lstm", "--task", "text:no-such-file"), "no file "),
        (("lstm", "--task", "xml", "--preset", "odysey"), "closest: odyssey"),
        (("lstm", "--task", "xml", "--optimizer", "adem"), "closest: adam"),
        (("lstm", "--task", "xml", "--hidden-size", "0"), "hidden_size must be a whole number"),
        (
            ("lstm", "--task", "xml", "--hidden-size", "many"),
            "--hidden-size takes a whole number, got 'many'",
        ),
        (("lstm", "--task", "xml", "--learning-rate", "nan"), "learning_rate must be a number"),
        (("lstm", "--task", "xml", "--clip-norm", "nan"), "clip_norm must be a number"),
        (("lstm", "--task", "xml", "--momentum", "1"), "momentum must be a number"),
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
    folder = Path("results/runs/my-study")
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
    assert facts["seconds"] > 0
    assert facts["disk_mb"] > 0
    assert list(cwd.iterdir()) == []


def test_a_dry_run_shows_what_is_crossed(odyssey, study):
    space = "space={hidden_size={grid=[4, 100]}, num_layers={grid=[1, 2]}}"
    arguments = ("search", study, "--dry-run", "--set", "members=4", "--set", space)
    lines = table(odyssey(*arguments, "--set", "population=1"))
    grid = "hidden_size [4, 100] x num_layers [1, 2]: 4 combinations"
    assert lines[2].split(maxsplit=1) == ["grid", grid]
    assert well(odyssey(*arguments, "--json")).json["grid"] == {
        "hidden_size": [4, 100],
        "num_layers": [1, 2],
    }
    assert "members must be 4" in refused(odyssey(*arguments, "--set", "members=3"))


def test_a_run_without_one_good_trial_fails(odyssey, study):
    called = odyssey("search", study, "--out", "run", "--set", "space={parameters=1}")
    assert called.code == 1
    (line,) = called.err.splitlines()
    assert line.startswith("odyssey: all 4 trials failed; the first: ConfigError: lstm: 1 param")


def test_ctrl_c_keeps_what_is_finished(odyssey, study, monkeypatch):
    from odyssey.studies import engine

    done = []

    def impatient(recorder, trial, result):
        done.append(trial)
        if len(done) == 3:
            raise KeyboardInterrupt
        original(recorder, trial, result)

    original = engine.Recorder.on_result
    monkeypatch.setattr(engine.Recorder, "on_result", impatient)
    called = odyssey("search", study, "--out", "run")
    assert called.code == 130
    hint, last = called.err.splitlines()
    assert hint.endswith("go on with: odyssey search --resume run")
    assert last == "odyssey: interrupted"
    assert "report: run/report.html" in called.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "name a study"),
        (("no-such.toml",), "no-such.toml: there is no such file"),
        (("STUDY", "--workers", "0"), "--workers must be at least 1"),
        (("STUDY", "--workers", "2"), "use the ray runner"),
        (("STUDY", "--address", "host:1"), "use the ray runner"),
        (("STUDY", "--runner", "slurm"), "no value of --runner called 'slurm'"),
        (("STUDY", "--set", "membrs=3"), "closest: members"),
        (("STUDY", "--set", "cells=['lstmm']"), "no cell called 'lstmm'"),
        (("STUDY", "--set", "tasks=['xlm']"), "no task called 'xlm'"),
        (("STUDY", "--resume", "there"), "no STUDY, --out or --set"),
        (("--resume", "there", "--dry-run", "--pilot", "there"), "--device or --pilot"),
        (("--resume", "nowhere"), "no run at nowhere"),
        (("STUDY", "--text", "book.txt"), "give it with --resume"),
        (("--resume", "."), "is not a run"),
        (("STUDY", "--out", "STUDY"), "cannot write a run to "),
        (("STUDY", "--what"), "called '--what'"),
    ],
)
def test_search_refuses_what_makes_no_sense(odyssey, cwd, study, arguments, says):
    called = odyssey("search", *(study if a == "STUDY" else a for a in arguments))
    assert says in refused(called)
    assert list(cwd.iterdir()) == []


def test_a_run_goes_on_where_its_text_lies_elsewhere(odyssey, cwd):
    (cwd / "book.txt").write_text("the cat sat on a mat. " * 500)
    (cwd / "a.toml").write_text(small_study(name="a", cells=["gru"], tasks=["text:book.txt"]))
    well(odyssey("search", "a.toml", "--out", "study"))
    small = ("--set", "valid_characters=200", "--set", "test_characters=200", "--sample", 0)
    well(odyssey("train", "gru", "--task", "text:book.txt", *QUICK, *small, "--out", "training"))
    (cwd / "book.txt").rename(cwd / "moved.txt")
    for command in (
        ("train", "--resume", "training", "--epochs", 2, "--sample", 0),
        ("search", "--resume", "study"),
    ):
        assert refused(odyssey(*command)).endswith("--text PATH names a moved text")
        well(odyssey(*command, "--text", "moved.txt"))
    well(odyssey("extend", "study", "--draws", 3))  # it has kept where its text is
    well(odyssey("extend", "study", "--draws", 4, "--text", "moved.txt", "--dry-run"))
    lone = odyssey("train", "gru", "--task", "xml", "--text", "moved.txt")
    assert "give it with --resume" in refused(lone)


def test_report_refuses_what_is_no_run(odyssey, cwd, study):
    assert "no run at nowhere" in refused(odyssey("report", "nowhere"))
    assert "is not a run" in refused(odyssey("report", "."))
    assert list(cwd.iterdir()) == []
