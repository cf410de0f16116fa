"""A trial that takes long goes on after a kill to the numbers it would have had, to the bit."""

import signal
import time

import numpy as np
import pytest
from support.driving import python
from support.same_runs import assert_same_study
from test_engine import resume, run, tiny

from odyssey.errors import StoreError
from odyssey.storage.schema import VOLATILE_COLUMNS
from odyssey.studies import checkpoints, work
from odyssey.studies.checkpoints import TrialCheckpoints
from odyssey.studies.engine import prepare
from odyssey.studies.work import TrialWork
from odyssey.training import group
from odyssey.training.group import Group

POPULATION = {
    "cells": ["lstm"],
    "tasks": ["arithmetic"],
    "members": 6,
    "training": {"epochs": 2, "updates_per_epoch": 3, "optimizer": "adam"},
    "space": {
        # two groups; one rate with which a member diverges
        "hidden_size": {"choice": [4, 20]},
        "learning_rate": {"choice": [1e-2, 1e6]},
        "dropout": {"choice": [0.0, 0.3]},
        "input_noise": 0.1,
        "zoneout": {"choice": [0.0, 0.2]},
        "num_layers": 2,
    },
}


class CutError(BaseException):
    """Ends a process; no error of a trial."""


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Writes a checkpoint between any two updates, which are made one by one."""
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHORT", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", 1e9)
    monkeypatch.setattr(group, "SECONDS_AT_A_TIME", 0.0)


@pytest.fixture
def restored(monkeypatch):
    """The updates of the checkpoints that trainings have gone on from."""
    found, restore = [], Group.restore

    def noting(self, snapshot):
        restore(self, snapshot)
        found.append(self.updates)

    monkeypatch.setattr(Group, "restore", noting)
    return found


@pytest.fixture
def cut_after(monkeypatch):
    """Ends the next training when so many checkpoints of it are written."""
    write = TrialCheckpoints.write

    def arm(count):
        def ends(self, number, snapshot):
            nonlocal count
            write(self, number, snapshot)
            count -= 1
            if not count:
                monkeypatch.setattr(TrialCheckpoints, "write", write)
                raise CutError

        monkeypatch.setattr(TrialCheckpoints, "write", ends)

    return arm


def prepared(folder, study, **changed):
    """Gives the only trial of a study, the work that runs it, and its folder of checkpoints."""
    opened = prepare(study, folder)
    (trial,) = opened.trials
    given = {"commit": "c", "tasks": opened.tasks, "keep": "all", **changed}
    return trial, TrialWork(folder, **given), folder / checkpoints.FOLDER


def plain(result):
    """What must be same to the bit, as text."""
    rows = [{k: v for k, v in row.items() if k not in VOLATILE_COLUMNS} for row in result.rows]
    return repr(rows), repr(result.curves)


def kept_weights(folder):
    (path,) = (folder / "weights").iterdir()
    with np.load(path) as found:
        return {name: found[name].tobytes() for name in found.files}


@pytest.mark.parametrize("device", ["several", "torch"])
def test_a_population_goes_on_to_the_bit(tmp_path, cut_after, restored, device):
    changes = POPULATION
    if device == "several":  # updates in one call know no noise
        space = {**POPULATION["space"], "dropout": 0.0, "input_noise": 0.0, "zoneout": 0.0}
        changes = {**POPULATION, "space": {**space, "num_layers": 1}}
    study = tiny(**changes)
    trial, works, folder = prepared(tmp_path / "whole", study)
    whole = works(trial)
    assert {row["status"] for row in whole.rows} == {"ok", "diverged"}
    assert not list(folder.iterdir())
    groups, places = set(), set()
    for count in (1, 2, 3, 5, 6, 7, 9):
        trial, works, folder = prepared(tmp_path / f"{count}", study)
        cut_after(count)
        with pytest.raises(CutError):
            works(trial)
        found = sorted(folder.iterdir())
        groups.add(len(found))
        restored.clear()
        result = works(trial)
        assert len(restored) == len(found)
        places.add(tuple(restored))
        assert plain(result) == plain(whole)
        assert kept_weights(tmp_path / f"{count}") == kept_weights(tmp_path / "whole")
        assert not list(folder.iterdir())
    assert groups == {1, 2}  # it was cut in both groups
    assert len(places) == 7


@pytest.mark.parametrize("harm", ["damaged", "another version", "gone"])
def test_what_does_not_fit_is_as_if_it_were_not_there(
    tmp_path, cut_after, restored, harm, monkeypatch
):
    study = tiny(**POPULATION)
    trial, works, _ = prepared(tmp_path / "whole", study)
    whole = works(trial)
    trial, works, folder = prepared(tmp_path / "run", study)
    cut_after(3)
    with pytest.raises(CutError):
        works(trial)
    (path,) = folder.iterdir()
    if harm == "damaged":
        path.write_bytes(path.read_bytes()[:-100] + b"x" * 100)
    elif harm == "another version":
        monkeypatch.setattr(work, "versions", lambda: "odyssey 0")
    else:
        path.unlink()
    result = works(trial)
    assert not restored
    if harm in ("damaged", "gone"):
        assert plain(result) == plain(whole)
    assert not list(folder.iterdir())


def test_where_none_can_be_written_a_trial_is_trained_all_the_same(tmp_path, monkeypatch):
    trial, works, folder = prepared(tmp_path / "run", tiny(**POPULATION))
    calls = []

    def full(path, *rest, **more):
        calls.append(path)
        raise StoreError("no space left")

    monkeypatch.setattr(checkpoints, "write_arrays", full)
    assert len(works(trial).rows) == 6
    assert calls
    assert not folder.exists()


def test_short_trials_write_none(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 300.0)
    monkeypatch.setattr(checkpoints, "SHORT", 20.0)
    monkeypatch.setattr(checkpoints, "SHARE", 0.02)
    run(tiny(**POPULATION), tmp_path / "run")
    assert not (tmp_path / "run" / checkpoints.FOLDER).exists()


def test_writing_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    kept = TrialCheckpoints(tmp_path, "t", made="m")
    monkeypatch.setattr(checkpoints, "SHARE", 0.02)
    monkeypatch.setattr(checkpoints, "_write", lambda *_, **__: time.sleep(0.02))
    kept.write(0, None)
    assert kept.pause >= 1.0


def test_the_time_that_was_spent_before_counts(tmp_path, cut_after, monkeypatch):
    trial, works, _ = prepared(tmp_path / "run", tiny(**POPULATION))
    cut_after(6)
    monkeypatch.setattr(checkpoints._Spent, "so_far", lambda self: (1000.0, 500.0))
    with pytest.raises(CutError):
        works(trial)
    rows = works(trial).rows
    assert 1000 < sum(row["seconds"] for row in rows) < 1100
    assert 500 < sum(row["processor_seconds"] for row in rows) < 600


KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
from test_long_trials import POPULATION
from test_engine import run, tiny
from odyssey.studies import checkpoints
from odyssey.studies.checkpoints import TrialCheckpoints
from odyssey.training import group

checkpoints.EVERY, checkpoints.SHORT, checkpoints.SHARE = 0.0, 0.0, 1e9
group.SECONDS_AT_A_TIME = 0.0
write, left = TrialCheckpoints.write, [{count}]

def ends(self, *given):
    write(self, *given)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

TrialCheckpoints.write = ends
run(tiny(**POPULATION), {folder!r})
"""


def test_a_run_that_is_killed_within_a_trial_goes_on_in_it(tmp_path, restored):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    run(tiny(**POPULATION), whole)
    here = str(__file__).rpartition("/")[0]
    text = KILLED.format(here=here, folder=str(folder), count=9)
    done = python("-c", text, cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list((folder / checkpoints.FOLDER).glob("*.npz"))
    assert resume(folder).ran == 1
    assert restored
    assert_same_study(folder, whole)
    assert not (folder / checkpoints.FOLDER).exists()
