"""Every command that can take long says its time before it starts, and the time left on its way.

What is worth saying is everything here, so that small work tells as large work would.
"""

import re

import pooch
import pytest
from support.answers import well
from support.fake_runs import SPECS, fake_run

from odyssey import pace
from odyssey.cli import main, promote
from odyssey.jobs import caption, data, mistakes, train, units
from odyssey.progress import training
from odyssey.studies import estimate
from odyssey.studies.study import parse_study

LONG = [name for name, command in main.COMMANDS.items() if command.takes == main.LONG]
BEFORE = re.compile(r"about \d+ (s|min|h)")
LEFT = re.compile(r"\d (s|min) left")
SMALL = [
    f"--set={setting}"
    for setting in (
        *("epochs=2", "updates_per_epoch=2", "batch_size=2", "unroll=5", "valid_characters=60"),
        *("test_characters=60", "backend=eager", "hidden_size=4", "runner=local"),
    )
]
DRAWN = ("--tasks", "arithmetic", "--draws", "1", *SMALL)
STUDY = """
name = "small"
cells = ["lstm", "elman"]
tasks = ["arithmetic"]
members = 1
runner = "local"
training = { epochs = 2, updates_per_epoch = 2, batch_size = 2, unroll = 5, backend = "eager" }
space = { hidden_size = 4 }
"""
TRAIN = (
    *("train", "elman", "--hidden-size", 4, "--updates-per-epoch", 20, "--epochs", 2),
    *("--batch-size", 2, "--set", "valid_characters=60", "--set", "test_characters=60"),
)


@pytest.fixture(autouse=True)
def telling(monkeypatch):
    """Makes every second worth saying, and every work worth timing."""
    monkeypatch.setattr(pace, "WORTH_SAYING", -1.0)
    monkeypatch.setattr("odyssey.jobs.report.WORTH_SAYING", -1.0)
    for module in (units, mistakes, caption, data):
        monkeypatch.setattr(module, "SAID_EVERY", 0.0)
    monkeypatch.setattr("odyssey.jobs.report.SAID_EVERY", 0.0)
    for module in (units, mistakes):
        monkeypatch.setattr(module, "_READ", 20)
    monkeypatch.setattr(mistakes, "_COUNTED", 100)
    monkeypatch.setattr(estimate, "WORTH_TIMING", 0)
    monkeypatch.setattr(training, "SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(train, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(data, "_TIMED", 1e-9)


def trained(odyssey, cwd):
    """Trains a model of a text."""
    (cwd / "text.txt").write_text("so it goes (on) and on. " * 400)
    well(odyssey(*TRAIN, "--task", "text:text.txt", "--out", "run"))


def pictured(odyssey, cwd):
    """Trains a model of pictures."""
    well(odyssey(*TRAIN, "--task", "house-numbers@digits=1", "--out", "run"))


def study(odyssey, cwd):
    (cwd / "study.toml").write_text(STUDY)


def finished(odyssey, cwd):
    study(odyssey, cwd)
    well(odyssey("search", "study.toml", "--out", "run"))


def reported(odyssey, cwd):
    fake_run(cwd / "run", specs=SPECS[:5], tasks=("xml",), points=8).update_run(baseline=SPECS[0])


def nothing(odyssey, cwd):
    """Needs nothing."""


# What makes it ready, and a call of it; a command without a row fails.
CASES = {
    "train": (nothing, (*TRAIN, "--task", "arithmetic")),
    "search": (study, ("search", "study.toml")),
    "ablate": (nothing, ("ablate", "gru", "--variants", "no_bias", *DRAWN)),
    "path": (nothing, ("path", "gru", "mgu", *DRAWN)),
    "promote": (nothing, ("promote", "run")),
    "extend": (finished, ("extend", "run", "--draws", "3", "--runner", "local")),
    "report": (reported, ("report", "run")),
    "caption": (pictured, ("caption", "run", "--count", "2", "--beam", "1")),
    "gradients": (
        nothing,
        (
            "gradients",
            "elman",
            "gru",
            "--steps=4",
            "--hidden-size=4",
            "--seeds=2",
            "--no-animation",
        ),
    ),
    "errors": (trained, ("errors", "run", "--out", "errors")),
    "units": (trained, ("units", "run", "--shifts", "3", "--page-characters", "50")),
    "data": (nothing, ("data", "get", "tinyshakespeare")),
    "bench": (nothing, ("bench", "sgemm", "--quick")),
    "tune": (nothing, ("tune", "--seconds", "0", "--hidden", "4", "8", "--batch", "1")),
}


def arriving(url, known_hash, *, fname, path, progressbar):
    progressbar.total = 100
    for _ in range(10):
        progressbar.update(10)
    raise ConnectionError("gone")


@pytest.mark.parametrize("name", LONG)
def test_a_long_command_says_its_time_before_it_starts_and_on_its_way(
    odyssey, cwd, monkeypatch, name
):
    monkeypatch.setattr(pooch, "retrieve", arriving)
    monkeypatch.setenv("ODYSSEY_DATA", str(cwd / "data"))
    monkeypatch.setenv("ODYSSEY_CACHE", str(cwd / "cache")) if name == "tune" else None
    monkeypatch.setattr(promote, "promotion_study", lambda *given: parse_study(STUDY))
    prepare, call = CASES[name]
    prepare(odyssey, cwd)
    called = odyssey(*call)
    lines = (called.err + called.out).splitlines()
    told = [line for line in lines if BEFORE.search(line) or LEFT.search(line)]
    assert told, called
    assert BEFORE.search(told[0])
    assert any(LEFT.search(line) for line in told)


def test_a_command_says_whether_it_takes_long():
    with pytest.raises(TypeError, match="takes"):
        main.Command("does something")
    assert set(CASES) == set(LONG)
    assert {command.takes for command in main.COMMANDS.values()} == {main.SHORT, main.LONG}
