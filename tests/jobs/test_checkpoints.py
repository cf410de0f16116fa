"""A training that is cut short anywhere goes on to the same numbers, to the bit."""

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from odyssey.cli.main import main
from odyssey.errors import ConfigError, StoreError
from odyssey.jobs.search import resume_run
from odyssey.jobs.train import TrainOptions, resume_training, train_cell
from odyssey.storage.store import RunStore
from odyssey.studies.checkpoints import CHECKPOINT, RunCheckpoints

SIZES = {
    "hidden_size": 6, "num_layers": 2, "dropout": 0.2, "input_noise": 0.1,
    "recurrent_dropout": 0.2, "drop_connect": 0.1, "zoneout": 0.1,
}  # fmt: skip
TRAINING = {"epochs": 3, "updates_per_epoch": 7, "batch_size": 3, "unroll": 5}
VALID = {"valid_characters": 100, "test_characters": 100}


def options(**changed):
    given = {**SIZES, **TRAINING, **VALID, "sample": 0, "checkpoint_every": 4}
    return TrainOptions(**{**given, **changed})


def weights(directory):
    with np.load(directory / "weights.npz") as found:
        return {name: found[name] for name in found.files}


def same(one, other):
    mine, theirs = weights(one), weights(other)
    assert list(mine) == list(theirs)
    assert all(np.array_equal(mine[n], theirs[n]) for n in mine)
    for table in ("results", "curves"):
        a, b = (getattr(RunStore.open(d), table)() for d in (one, other))
        drop = [c for c in ("seconds", "processor_seconds") if c in a]
        assert a.drop(columns=drop).equals(b.drop(columns=drop))


class CutError(Exception):
    pass


@pytest.fixture
def cut_at(monkeypatch):
    """Ends the next training before an update, as a kill would."""

    def arm(updates):
        passing = RunCheckpoints.passing

        def ends(self, now, take, *, last):
            if now >= updates:
                monkeypatch.setattr(RunCheckpoints, "passing", passing)
                raise CutError
            passing(self, now, take, last=last)

        monkeypatch.setattr(RunCheckpoints, "passing", ends)

    return arm


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    train_cell("lstm", "xml", options(out=out))
    return out


@pytest.mark.parametrize("updates", [1, 3, 4, 7, 8, 13, 14, 20, 21])
def test_it_goes_on_to_the_bit(whole, tmp_path, cut_at, updates):
    out = tmp_path / "run"
    cut_at(updates)
    with pytest.raises(CutError):
        train_cell("lstm", "xml", options(out=out))
    assert not RunStore.open(out).finished()
    resume_training(str(out), TrainOptions(sample=0, checkpoint_every=4))
    same(out, whole)


@pytest.mark.parametrize(
    ("cell", "task", "more"),
    [
        ("gru", "arithmetic@digits=2", {"optimizer": "rmsprop"}),
        ("lstm", "memorization", {"optimizer": "sgd", "schedule": "plateau", "patience": 1}),
        ("mut1", "house-numbers@look=first", {"optimizer": "adam"}),
        ("lstm", "house-numbers", {"optimizer": "adagrad", "dtype": "float64"}),
        ("gru", "xml", {"optimizer": "adamw", "schedule": "one_cycle"}),
        ("gru", "xml", {"optimizer": "adamw", "schedule": "decay", "accumulate": 3}),
    ],
)
def test_with_other_optimisers_tasks_and_conditions(tmp_path, cut_at, cell, task, more):
    sizes = {"hidden_size": 6, "momentum": 0.5 if more["optimizer"] == "sgd" else 0.0}
    if more["optimizer"] == "adamw":
        sizes |= {"warmup": 13, "ema_decay": 0.9}
    given = TrainOptions(**sizes, **TRAINING, **more, **VALID, sample=0, checkpoint_every=5)
    out, reference = tmp_path / "run", tmp_path / "whole"
    train_cell(cell, task, replace(given, out=reference))
    cut_at(12)
    with pytest.raises(CutError):
        train_cell(cell, task, replace(given, out=out))
    cut_at(18)
    with pytest.raises(CutError):
        resume_training(str(out))
    resume_training(str(out))
    same(out, reference)


def test_more_epochs_are_those_of_a_longer_training(whole, tmp_path):
    longer, out = tmp_path / "longer", tmp_path / "run"
    train_cell("lstm", "xml", options(epochs=5, out=longer))
    train_cell("lstm", "xml", options(out=out))
    same(out, whole)
    with pytest.raises(ConfigError, match="is finished; give --epochs above 3"):
        resume_training(str(out))
    with pytest.raises(ConfigError, match="give more"):
        resume_training(str(out), TrainOptions(epochs=2))
    with pytest.raises(ConfigError, match="unroll cannot change"):
        resume_training(str(out), TrainOptions(unroll=9))
    resume_training(str(out), TrainOptions(epochs=5, sample=0))
    same(out, longer)
    assert len(RunStore.open(out).results()) == 1


def test_a_schedule_that_looks_at_its_end_gets_no_later_one(tmp_path):
    out = tmp_path / "run"
    train_cell("elman", "xml", options(schedule="cosine", out=out))
    with pytest.raises(ConfigError, match="the schedule cosine ends where the training was to end"):
        resume_training(str(out), TrainOptions(epochs=5))


def test_a_cut_while_more_epochs_are_trained_keeps_the_old_result(whole, tmp_path, cut_at):
    out = tmp_path / "run"
    train_cell("lstm", "xml", options(out=out))
    cut_at(25)
    with pytest.raises(CutError):
        resume_training(str(out), TrainOptions(epochs=5))
    assert len(RunStore.open(out).results()) == 1
    resume_training(str(out))
    assert RunStore.open(out).results()["updates"].tolist() == [35]


def test_weights_of_another_run_begin_a_training(whole, tmp_path):
    out = tmp_path / "run"
    still = {"epochs": 1, "updates_per_epoch": 1}
    frozen = {"learning_rate": 1e-30, "dropout": 0.0, "input_noise": 0.0}
    train_cell("lstm", "xml", options(**still, **frozen, init_from=whole, out=out))
    before, now = weights(whole), weights(out)
    assert all(np.allclose(before[n], now[n], atol=1e-12) for n in before)
    assert str(whole) in RunStore.open(out).run["init_from"]
    with pytest.raises(ConfigError, match="do not fit: readout has shape"):
        train_cell("lstm", "xml", options(hidden_size=7, init_from=whole))


def test_a_damaged_checkpoint_is_refused(tmp_path, cut_at):
    out = tmp_path / "run"
    cut_at(9)
    with pytest.raises(CutError):
        train_cell("lstm", "xml", options(out=out))
    path = out / CHECKPOINT
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match="damaged"):
        resume_training(str(out))
    path.unlink()
    resume_training(str(out))  # from the beginning
    assert RunStore.open(out).finished()


def test_a_study_is_not_resumed_as_a_training_nor_the_other_way_round(whole):
    with pytest.raises(ConfigError, match="odyssey train --resume"):
        resume_run(str(whole))


def test_signals_wait_for_a_checkpoint_and_a_second_one_does_not(tmp_path, whole):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *args: heard.append(args[0]))
    try:
        checkpoints = RunCheckpoints(RunStore.open(whole), every=1000)
        checkpoints.path, checkpoints.written = tmp_path / "c.npz", 0
        from odyssey.training.snapshots import Snapshot

        with checkpoints.waiting():
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == []
            checkpoints.passing(5, lambda: Snapshot({}, {"updates": 5}), last=False)
            assert heard == [signal.SIGTERM]
            assert (tmp_path / "c.npz").is_file()
        with checkpoints.waiting():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            assert len(heard) == 2
        assert len(heard) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


LONG = ("train", "lstm", "--task", "xml", "--hidden-size", "8", "--epochs", "12",
        "--updates-per-epoch", "60", "--checkpoint-every", "50", "--sample", "0")  # fmt: skip


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    out = tmp_path_factory.mktemp("long") / "run"
    assert main([*LONG, "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_ended_can_be_gone_on_with(long, tmp_path, number):
    out = tmp_path / "run"
    child = subprocess.Popen(
        [sys.executable, "-m", "odyssey", *LONG, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("epoch   2"):
            break
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    if number == signal.SIGTERM:
        assert child.returncode == 128 + number
        assert f"odyssey train --resume {out}" in said
    with contextlib.suppress(StoreError):
        assert not RunStore.open(out).finished()
    assert (
        main(["train", "--resume", str(out), "--sample", "0"]) == 0
    )  # another process than it was
    same(out, long)
