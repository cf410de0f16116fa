"""--device: the same words in every command, and nothing is written where it is not there."""

import json

import pytest
from support.answers import refused

from odyssey.training import devices

ABSENT = "no device 'cuda' here: torch"
COMMANDS = {
    "train": ("train", "gru", "--task", "xml", "--out", "run"),
    "train without a run": ("train", "gru", "--task", "xml"),
    "search": ("search", "--example", "tour", "--out", "run"),
    "search, dry": ("search", "--example", "tour", "--dry-run"),
    "ablate": ("ablate", "gru", "--out", "run", "--runner", "local"),
    "gradients": ("gradients", "gru", "--out", "run"),
    "gradients along training": ("gradients", "gru", "--train", "xml", "--out", "run"),
    "units": ("units", "run"),
    "sample": ("sample", "run"),
    "sample, of pictures": ("sample", "run", "--pictures", "3"),
}
SMALL = (
    *("--epochs", "1", "--updates-per-epoch", "2", "--sample", "0", "--hidden-size", "4"),
    *("--set", "valid_characters=100", "--set", "test_characters=100"),
)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(devices, "devices_here", lambda: ["cpu"])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(odyssey, cwd, name):
    called = odyssey(*COMMANDS[name], "--device", "cuda")
    refused(called)
    assert ABSENT in called.err
    assert "sees cpu" in called.err
    assert list(cwd.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_name_of_no_device(odyssey, cwd, name):
    called = odyssey(*COMMANDS[name], "--device", "cudda")
    refused(called)
    assert "'cudda'" in called.err
    assert "cuda" in called.err
    assert list(cwd.iterdir()) == []


def test_a_row_says_what_it_was_trained_on(odyssey, cwd):
    called = odyssey("train", "gru", "--task", "xml", "--out", "run", *SMALL, "--json")
    assert called.code == 0
    answer = json.loads(called.out)
    assert (answer["device"], answer["training"]["device"]) == ("cpu", "cpu")
    run = json.loads((cwd / "run" / "run.json").read_text("utf-8"))
    assert run["resolved"]["training.device"] == "cpu"
    for more in (("--device", "cpu"), ("--device", "cuda")):
        again = odyssey("train", "--resume", "run", "--epochs", "2", *more)
        refused(again)
        assert "device cannot change" in again.err
    for command in (("search", "--resume", "run"), ("extend", "run", "--draws", "3")):
        again = odyssey(*command, "--device", "cpu")
        refused(again)
