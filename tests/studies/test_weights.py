"""Weights of a study: those that are kept give the losses of the record, and stay few."""

import numpy as np
import pytest
import tomli_w
import torch

from odyssey.cli.main import main
from odyssey.errors import ConfigError, StoreError
from odyssey.storage.store import RunStore
from odyssey.studies import weights
from odyssey.studies.engine import execute, prepare, reopen
from odyssey.studies.source import Unwatched
from odyssey.studies.study import parse_study
from odyssey.studies.trained import load_all_trained, load_trained
from odyssey.studies.weights import Keeper, kept, path_of, write_arrays

STUDY = {
    "name": "tiny",
    "cells": ["lstm", "elman", "mut1"],
    "tasks": ["arithmetic", "xml"],
    "members": 3,
    "population": 2,
    "runner": "local",
    "training": {
        "epochs": 2,
        "updates_per_epoch": 2,
        "batch_size": 4,
        "unroll": 10,
        "valid_characters": 200,
        "test_characters": 200,
    },
    "space": {"hidden_size": {"choice": [4, 5, 8]}, "learning_rate": 0.01},
}


def run(folder, **changes):
    study = parse_study(tomli_w.dumps(STUDY | changes))
    opened = prepare(study, folder)
    execute(opened, Unwatched())
    return opened.store


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    return run(tmp_path_factory.mktemp("weights") / "best")


def test_nats(trained):
    """The test loss of a loaded model, measured without the training loop."""
    total, count, state = 0.0, 0, None
    for batch in trained.task.held_out("test", batch_size=50, unroll=100, characters=200):
        x, y, w = (
            torch.from_numpy(a)[None] for a in (batch.inputs_TB, batch.targets_TB, batch.weights_TB)
        )
        with torch.no_grad():
            logits, state = trained.model(x, state)
        nll = torch.nn.functional.cross_entropy(logits[0].permute(0, 2, 1), y[0], reduction="none")
        total += float((nll * w[0]).sum())
        count += int(w.sum())
    return total / count


test_nats.__test__ = False


def files(store):
    return sorted(p.stem for p in (store.path / "weights").glob("*"))


def test_the_best_member_of_every_cell_is_kept_and_is_the_model_of_its_row(best):
    results = best.results()
    found = kept(best)
    assert len(found) == 6
    wanted = results.loc[results.groupby(["task", "spec"])["valid_nats"].idxmin()]
    assert set(zip(found.trial, found.member, strict=True)) == set(
        zip(wanted.trial, wanted.member, strict=True)
    )
    assert files(best) == sorted(wanted.trial)
    for task in STUDY["tasks"]:
        models = list(load_all_trained(best.path, task=task))
        losses = [m.row["valid_nats"] for m in models]
        assert losses == sorted(losses)
        assert len(models) == 3
        for trained in models:
            assert trained.row["task"] == task
            assert test_nats(trained) == pytest.approx(trained.row["test_nats"], rel=1e-5)


def test_all_members_can_be_kept(tmp_path):
    store = run(tmp_path / "all", keep_weights="all", tasks=["xml"])
    assert len(kept(store)) == 9
    for member in range(3):
        trained = load_trained(store.path, cell="elman", member=member)
        assert (trained.row["cell"], trained.row["member"]) == ("elman", member)
        assert test_nats(trained) == pytest.approx(trained.row["test_nats"], rel=1e-5)


def test_weights_change_no_result(best, tmp_path):
    store = run(tmp_path / "none", keep_weights="none")
    assert not (store.path / "weights").exists()
    columns = ["trial", "member", "valid_nats", "test_nats"]
    assert store.results()[columns].equals(best.results()[columns])
    with pytest.raises(StoreError, match="keeps no weights"):
        load_trained(store.path)


def test_files_stay_few_and_a_second_session_keeps_the_same(best, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "CELLS_WITH_WEIGHTS", 2)
    store = run(tmp_path / "few")
    expected = kept(best).groupby("task").head(2)
    assert files(store) == sorted(expected.trial)
    orphan = path_of(store, "0123456789abcdef")
    orphan.write_bytes(b"of a worker that was killed")
    shard = store.path / "results" / f"{expected.trial.iloc[0]}.parquet"
    shard.unlink()  # this trial is run again
    execute(reopen(store.path), Unwatched())
    assert files(store) == sorted(expected.trial)
    assert not orphan.exists()


def test_a_cell_counts_once_and_a_worse_trial_leaves(tmp_path):
    store = RunStore.create(tmp_path / "run", study="", run={})
    (store.path / "weights").mkdir()
    keeper = Keeper(store, "best")
    for trial, nats in (("a", 2.0), ("b", 1.0), ("c", 3.0)):
        path_of(store, trial).write_bytes(b"")
        row = {"task": "t", "spec": "s", "rung": 1, "status": "ok", "valid_nats": nats}
        keeper.trial_done(trial, [row, row | {"status": "diverged", "valid_nats": np.nan}])
    assert files(store) == ["b"]


def test_of_a_ladder_the_last_rung_stays_however_good_the_first_was(tmp_path):
    store = RunStore.create(tmp_path / "run", study="", run={})
    (store.path / "weights").mkdir()
    keeper = Keeper(store, "best")
    for trial, rung, nats in (("a", 1, 1.0), ("b", 2, 2.0), ("c", 1, 0.5)):
        path_of(store, trial).write_bytes(b"")
        row = {"task": "t", "spec": "s", "rung": rung, "status": "ok", "valid_nats": nats}
        keeper.trial_done(trial, [row])
    assert files(store) == ["b"]


def test_which_model_is_meant_must_be_said(best, capsys):
    with pytest.raises(ConfigError, match="several tasks; name one with --task: arithmetic, xml"):
        load_trained(best.path)
    with pytest.raises(StoreError, match="no cell with weights in the run called 'lsmt'"):
        load_trained(best.path, cell="lsmt")
    with pytest.raises(StoreError, match="no task with weights"):
        load_trained(best.path, task="memorization")
    sample = ["sample", str(best.path), "--task", "xml", "--cell", "elman", "--length", "5"]
    assert main(sample) == 0
    assert len(capsys.readouterr().out) == 6


def test_a_file_of_something_else_is_refused(tmp_path, caplog):
    store = run(tmp_path / "run", tasks=["xml"], cells=["elman"], members=1)
    (file,) = (store.path / "weights").glob("*.npz")
    whole = file.read_bytes()
    write_arrays(file, {"0/readout": np.zeros((2, 2))})
    with pytest.raises(StoreError, match="does not hold the weights"):
        load_trained(store.path)
    np.savez(file, **{"0/readout": np.zeros((2, 2))})
    for data in (file.read_bytes(), b"no zip", whole[:200] + b"x" + whole[201:]):
        file.write_bytes(data)
        with pytest.raises(StoreError, match="keeps no weights"):
            load_trained(store.path)
        assert f"left out {file}" in caplog.text
        caplog.clear()
    file.write_bytes(whole)
    assert load_trained(store.path).row["spec"] == "elman"


def test_nonsense_is_refused():
    with pytest.raises(ConfigError, match="no keep_weights called 'some'"):
        parse_study(tomli_w.dumps(STUDY | {"keep_weights": "some"}))
