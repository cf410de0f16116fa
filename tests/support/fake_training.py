"""Trials without training: numbers that depend on the cell, the task, the budget and the draw.

`Fake` is what workers run. Scores are a function of the trial's content, as those of training are,
so that a search over them can be checked to the bit and costs next to nothing.
"""

import dataclasses
import hashlib
import itertools
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from odyssey.errors import StoreError
from odyssey.storage.store import RunStore
from odyssey.studies.runners.contract import Work
from odyssey.studies.trial import TrialResult
from odyssey.studies.work import failed_rows

STUDY = """
name = "fake"
cells = ["gru", "elman"]
tasks = ["arithmetic", "xml"]
seed = 3
runner = "local"

[strategy]
name = "aging"
candidates = 20
lag = 5
audit = 0.3

[constraints]
max_nodes = 40
max_states = 3

[[stages]]
name = "screen"
tasks = ["memorization"]
draws = 1
at_least = 0.3

[[stages]]
name = "short"
draws = 2
population = 1
gate = 0.8

[[stages]]
name = "full"
draws = 3
keep = 0.5

[space]
learning_rate = { log_uniform = [1e-3, 1e-1] }
"""
# The smallest training that there is, for searches that train.
TRAINING = """
[training]
backend = "eager"
epochs = 1
updates_per_epoch = 2
batch_size = 4
unroll = 10
valid_characters = 100
test_characters = 100
"""
OWN = {
    "random": "",
    "jozefowicz": "size = 8\nagain = 0.3",
    "aging": "population = 8\nsample = 3",
    "nsga2": "population = 8\ncrossover = 0.3",
}


def study_text(strategy="aging", candidates=20, *, train=False, seed=3):
    """The study of a search; one that trains has gates that its scores are near to."""
    options = OWN.get(strategy, "")
    text = STUDY.replace("seed = 3", f"seed = {seed}")
    text = text.replace('name = "aging"', f'name = "{strategy}"\n{options}')
    text = text.replace("candidates = 20", f"candidates = {candidates}")
    if not train:
        return text
    text = text.replace("at_least = 0.3", "at_least = 0.0").replace("gate = 0.8", "gate = 0.98")
    text = text.replace("population = 1", "population = 0").replace("draws = 3", "draws = 2")
    return text + "hidden_size = { choice = [4, 6] }\n" + TRAINING


def uniform(*parts):
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def rows_of(trial):
    """Gives the rows of a trial; some members of every tenth cell or so diverge."""
    quality = uniform("cell", trial.cell_text) if trial.spec != "gru" else 0.5
    rows = []
    for row, member in zip(failed_rows(trial, "", commit=""), trial.members, strict=True):
        luck = uniform("luck", trial.cell_text, trial.task, member["seed"], trial.group)
        diverged = uniform("diverged", trial.cell_text, member["seed"]) < 0.05
        nats = 1.0 + quality + 0.2 * luck
        values = {"valid_nats": nats, "valid_bpc": nats / 0.693, "valid_accuracy": 1.2 - nats / 3}
        if diverged and trial.spec != "gru":
            values = {"status": "diverged", "reason": "loss inf"}
        rows.append(
            {**row, "status": "ok", "reason": "", "characters": 100, "updates": 1, **values}
        )
    return rows


@dataclass(frozen=True)
class Fake:
    """Works a trial like `TrialWork`, without training.

    `faults` names a folder: a file there, called as the first digit of a mutant's key, says what
    goes wrong with it; `calls` lists the trials. hang and hang_in_c use up their limit; over,
    over_once and over_in_c get the signal of a limit at once.
    """

    directory: Path
    faults: Path | None = None
    seconds: float = 0.0

    def __call__(self, trial):
        time.sleep(self.seconds)
        if self.faults is not None:
            with (self.faults / "calls").open("a") as file:
                file.write(trial.id + "\n")
            self.go_wrong(trial)
        result = TrialResult(trial.id, trial.index, tuple(rows_of(trial)))
        with suppress(StoreError):  # as in `TrialWork`: the driver tries again
            RunStore.open(self.directory).write(result.trial_id, result.rows, result.curves)
        return result

    def go_wrong(self, trial):
        fault = self.faults / trial.cell_key[:1]
        what = fault.read_text() if trial.spec.startswith("m-") and fault.exists() else ""
        if what == "raise":
            raise ValueError("it makes no sense")
        if what == "memory":
            raise MemoryError
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "over" or (what == "over_once" and self.calls(trial) == 1):
            signal.raise_signal(signal.SIGPROF)
        if what == "over_in_c":
            signal.raise_signal(signal.SIGXCPU)
        if what == "hang":
            while True:
                pass
        if what == "hang_in_c":
            sum(itertools.repeat(0))  # holds the interpreter

    def calls(self, trial):
        """How often the trial was begun."""
        return (self.faults / "calls").read_text().split().count(trial.id)


@dataclass(frozen=True)
class Slowed:
    """Does other work as a machine would that is so many times slower."""

    work: Work
    factor: float

    def __call__(self, trial):
        start = time.process_time()
        result = self.work(trial)
        end = time.process_time() + (self.factor - 1.0) * (time.process_time() - start)
        while time.process_time() < end:
            pass
        rows = [
            {**row, "processor_seconds": row["processor_seconds"] * self.factor}
            for row in result.rows
        ]
        slow = dataclasses.replace(result, rows=tuple(rows))
        if hasattr(self.work, "directory"):
            RunStore.open(self.work.directory).write(slow.trial_id, slow.rows, slow.curves)
        return slow


@dataclass(frozen=True)
class Listed:
    """Does other work, and lists in a file which trials were begun and ended."""

    work: Work
    file: Path

    def __call__(self, trial):
        self._note("begun", trial)
        result = self.work(trial)
        self._note("ended", trial)
        return result

    def _note(self, what, trial):
        with self.file.open("a") as file:  # one write of a short line: whole, whoever else writes
            file.write(f"{what} {trial.id}\n")


def listed(file):
    """Gives how often each trial was begun, and how often it ended, by what `Listed` wrote."""
    found = {"begun": Counter(), "ended": Counter()}
    for line in file.read_text().splitlines() if file.exists() else ():
        what, trial = line.split()
        found[what][trial] += 1
    return found["begun"], found["ended"]
