"""Signals end a command in order: it says so at once, keeps what is finished, and how to go on."""

import argparse
import signal
import types

import pytest
from support.driving import python

from odyssey.cli import main, report, signals
from odyssey.storage import load_results
from odyssey.storage.schema import VOLATILE_COLUMNS
from odyssey.studies import engine

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
STUDY = """
name = "signals"
cells = ["lstm", "elman"]
tasks = ["arithmetic", "xml"]
members = 1
runner = "local"
training = { epochs = 1, updates_per_epoch = 1, batch_size = 2, unroll = 5, backend = "eager" }
"""


@pytest.fixture(autouse=True)
def handlers():
    """Handlers as a shell leaves them, whatever those of who runs the tests."""
    before = {number: signal.getsignal(number) for number in CODES}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", CODES)
def test_every_command_ends_with_the_number_of_its_signal(monkeypatch, capfd, number):
    def run(args):
        signal.raise_signal(number)
        pytest.fail("the command went on")

    parsed = argparse.Namespace(plugin_files=[])
    parser = types.SimpleNamespace(parse_known_args=lambda words: (parsed, []))
    monkeypatch.setattr(main, "_parser", lambda names: parser)
    monkeypatch.setattr(
        main.importlib, "import_module", lambda name: types.SimpleNamespace(run=run)
    )
    for parsed.command in main.COMMANDS:
        assert main.main([parsed.command]) == CODES[number]
        out, err = capfd.readouterr()
        (line,) = err.split("\n")[1:-1]
        assert line.startswith(f"odyssey: {signals.WORDS[number]}: ")
        assert out == ""
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("number", CODES)
def test_a_run_says_at_once_that_it_ends_and_then_how_to_go_on(
    tmp_path, monkeypatch, capfd, number
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(STUDY)
    said = []

    def signalled(recorder, trial, result):
        original(recorder, trial, result)
        if trial.index == 2:
            try:
                signal.raise_signal(number)
            finally:
                said.append(capfd.readouterr().err)

    shown = []
    monkeypatch.setattr(report, "show", lambda path, *, as_json: shown.append(str(path)))
    original = engine.Recorder.on_result
    with monkeypatch.context() as patch:
        patch.setattr(engine.Recorder, "on_result", signalled)
        assert main.main(["search", "study.toml", "--out", "a run"]) == CODES[number]
    assert "ending the trials that run; everything finished is kept" in said[0]
    _, err = capfd.readouterr()
    assert "3 of 4 trials are finished and kept" in err
    assert err.splitlines()[-1].endswith("go on with: odyssey search --resume 'a run'")
    assert shown == ["a run"]
    assert main.main(["search", "--resume", "a run"]) == 0
    assert main.main(["search", "study.toml", "--out", "whole"]) == 0
    runs = [load_results(p).drop(columns=list(VOLATILE_COLUMNS)) for p in ("a run", "whole")]
    assert runs[0].equals(runs[1])


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("command", ["search", "ablate", "path", "extend"])
def test_a_signal_while_the_report_is_made_says_that_all_is_kept(
    tmp_path, monkeypatch, capfd, number, command
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(STUDY)
    quick = [f"--set={setting}" for setting in ("epochs=1", "updates_per_epoch=1", "unroll=5")]
    made = ["--tasks", "arithmetic", "--draws", "1", "--runner", "local", *quick]
    lines = {
        "search": ["search", "study.toml"],
        "ablate": ["ablate", "gru", "--variants", "no_bias", *made],
        "path": ["path", "gru", "mgu", *made],
        "extend": ["extend", "a run", "--draws", "1", "--runner", "local"],
    }
    out = [] if command == "extend" else ["--out", "a run"]
    if command == "extend":
        assert main.main(["search", "study.toml", "--out", "a run"]) == 0
    monkeypatch.setattr(report, "show", lambda *a, **k: signal.raise_signal(number))
    assert main.main([*lines[command], *out]) == CODES[number]
    _, err = capfd.readouterr()
    assert "every trial is finished and kept" in err
    assert "odyssey report 'a run'" in err
    assert "nothing of this command is kept" not in err
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    if number == signal.SIGTERM and command == "search":
        assert main.main(["report", "a run"]) == 0


def test_an_interrupted_training_can_be_gone_on_with(tmp_path, monkeypatch, capfd):
    from odyssey.studies import work

    monkeypatch.chdir(tmp_path)
    quick = ("--epochs", "1", "--updates-per-epoch", "1", "--batch-size", "2", "--unroll", "5")
    command = ["train", "elman", "--task", "xml", *quick, "--out", "run"]
    with monkeypatch.context() as patch:
        patch.setattr(work, "trained_trial", lambda *a, **k: signal.raise_signal(signal.SIGTERM))
        assert main.main(command) == 143
    assert "go on with: odyssey train --resume run" in capfd.readouterr().err
    assert main.main(command) == 2
    assert "go on with it with `odyssey train --resume run`" in capfd.readouterr().err
    assert main.main(["train", "--resume", "run"]) == 0
    assert main.main(["train", "--resume", "run"]) == 2  # a run that is whole stays
    assert "run is finished; give --epochs above 1 for more" in capfd.readouterr().err


def test_a_training_that_is_whole_is_not_to_be_gone_on_with(tmp_path, monkeypatch, capfd):
    from odyssey.jobs import train

    monkeypatch.chdir(tmp_path)
    quick = ("--epochs", "1", "--updates-per-epoch", "1", "--batch-size", "2", "--unroll", "5")
    command = ["train", "elman", "--task", "python-source", *quick, "--sample", "9", "--out", "run"]
    with monkeypatch.context() as patch:
        end = lambda *a, **k: signal.raise_signal(signal.SIGTERM)  # noqa: E731
        patch.setattr(train._Training, "generate", end)
        assert main.main(command) == 143
    told = capfd.readouterr().err
    assert "finished and kept; write with: odyssey sample run" in told
    assert "--resume" not in told
    assert main.main(["sample", "run", "--length", "5"]) == 0


@pytest.mark.parametrize("number", CODES)
def test_a_second_signal_ends_at_once(tmp_path, number):
    script = f"""
import signal, sys
from odyssey.cli.signals import ending, orderly
signal.signal(signal.SIGINT, signal.default_int_handler)
with orderly(), ending("ending it"):
    try:
        signal.raise_signal({number})
    finally:
        signal.raise_signal({number})
        print("went on")
"""
    done = python("-c", script, cwd=tmp_path)
    assert done.returncode == CODES[number]
    assert done.stdout == ""
    assert done.stderr == f"\nodyssey: {signals.WORDS[number]}: ending it\n"


def test_what_is_ignored_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    with signals.orderly():
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
