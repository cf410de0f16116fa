"""Curves and scores in the trackers of others, read back by their own readers."""

import math
import struct
import sys
from types import SimpleNamespace

import pytest
import tomli_w

import odyssey
from odyssey.errors import ConfigError
from odyssey.jobs.train import TrainOptions, resume_training, train_cell
from odyssey.storage.store import RunStore
from odyssey.studies.study import parse_study
from odyssey.studies.tracking import SCORES, TRACKERS, Tracking, open_trackers

TRAINING = {
    "epochs": 2, "updates_per_epoch": 2, "batch_size": 4, "unroll": 10,
    "valid_characters": 200, "test_characters": 200,
}  # fmt: skip
STUDY = {
    "name": "tracked",
    "cells": ["elman", "gru"],
    "tasks": ["xml"],
    "members": 2,
    "runner": "local",
    "training": TRAINING,
    "space": {"hidden_size": 4, "learning_rate": {"log_uniform": [1e-3, 1e-1]}},
}


def study(**changes):
    return parse_study(tomli_w.dumps(STUDY | changes))


class Memory:
    """A tracker that keeps what it hears."""

    def __init__(self):
        self.runs = {}

    def begin(self, name, facts):
        return MemoryRun(self.runs.setdefault(name, {"facts": facts, "points": [], "scores": {}}))


class MemoryRun:
    def __init__(self, kept):
        self.kept = kept

    def log(self, metrics, step):
        self.kept["points"] += [(step, name, value) for name, value in metrics.items()]

    def finish(self, scores):
        self.kept["scores"].update(scores)


def expected(folder, *, member="/member_{}"):
    """What a tracker is to have of every trial, from the records: curves and scores."""
    store, found = RunStore.open(folder), {}
    for row in store.results().to_dict("records"):
        end = member.format(row["member"])
        _, scores = found.setdefault(row["trial"], ({}, {}))
        for name in SCORES:
            if isinstance(row[name], int | float) and math.isfinite(row[name]):
                scores[name + end] = float(row[name])
    for point in store.curves().to_dict("records"):
        name = point["metric"] + member.format(point["member"])
        found[point["trial"]][0][point["update"], name] = point["value"]
    return found


def test_a_run_says_its_rung_and_the_settings_of_its_cell(memory, tmp_path):
    training = TRAINING | {"epochs": 1}
    ladder = [{"draws": 2, "epochs": 2}]
    space = STUDY["space"] | {"cell.dt": {"choice": [0.1, 0.2]}}
    climbing = study(cells=["cornn"], members=4, training=training, ladder=ladder, space=space)
    odyssey.search(climbing, out=tmp_path / "run", track=["memory"])
    facts = [run["facts"] for run in memory.runs.values()]
    assert sorted(fact["rung"] for fact in facts) == [1, 2]
    (first,) = (fact for fact in facts if fact["rung"] == 1)
    assert {first[f"cell.dt/member_{m}"] for m in range(4)} <= {0.1, 0.2}


@pytest.fixture
def memory(monkeypatch):
    tracker = Memory()
    row = SimpleNamespace(package="json", extra="", make=lambda *given: tracker)
    monkeypatch.setitem(TRACKERS, "memory", row)
    return tracker


RAY = pytest.param({"runner": "ray", "workers": 2}, marks=pytest.mark.ray, id="ray")


@pytest.mark.parametrize("runner", [{"runner": "local"}, RAY])
def test_a_trial_is_a_run_whoever_works_it(memory, runner, tmp_path):
    odyssey.search(study(), out=tmp_path / "run", track=("memory",), progress=False, **runner)
    want = expected(tmp_path / "run")
    assert len(memory.runs) == len(want) == 2
    for run in memory.runs.values():
        curves, scores = want[run["facts"]["trial"]]
        assert {(step, name): value for step, name, value in run["points"]} == curves
        assert [step for step, *_ in run["points"]] == sorted(s for s, _ in curves)
        assert run["scores"] == scores
        assert run["facts"]["learning_rate/member_1"] > 0
        assert run["facts"]["training.epochs"] == 2


def test_a_tracked_run_has_the_records_of_another(memory, tmp_path):
    frames = []
    for name, track in (("with", ("memory",)), ("without", ())):
        odyssey.search(study(), out=tmp_path / name, track=track, progress=False)
        store = RunStore.open(tmp_path / name)
        timeless = store.results().drop(columns=["seconds", "processor_seconds"])
        frames.append((timeless, store.curves()))
    assert frames[0][0].equals(frames[1][0])
    assert frames[0][1].equals(frames[1][1])


def test_a_training_is_tracked_while_it_goes(memory, tmp_path):
    options = TrainOptions(**TRAINING, hidden_size=4, track=("memory",), out=tmp_path / "run")
    trained = train_cell("gru", "xml", options)
    (run,) = memory.runs.values()
    ((curves, scores),) = expected(tmp_path / "run", member="").values()
    assert run["scores"] == scores
    assert {(s, n): v for s, n, v in run["points"]}.items() <= curves.items()
    assert {n for _, n, _ in run["points"]} == {"train_nats", "valid_nats"}
    assert run["scores"]["test_nats"] == trained.row["test_nats"]


@pytest.mark.parametrize("place", ["begin", "log", "finish"])
def test_a_tracker_that_fails_is_one_line_and_no_more(memory, tmp_path, capsys, monkeypatch, place):
    def fail(*given):
        raise OSError("no\nroute to host")

    monkeypatch.setattr(Memory if place == "begin" else MemoryRun, place, fail)
    odyssey.search(study(), out=tmp_path / "run", track=("memory",), progress=False)
    assert len(RunStore.open(tmp_path / "run").results()) == 4
    assert capsys.readouterr().err.splitlines() == [
        "memory fails, training goes on without it (OSError: no route to host)"
    ]


def test_what_is_asked_for_must_be_there(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="closest: tensorboard"):
        open_trackers(["tensorbord"], study="s")
    monkeypatch.setitem(sys.modules, "wandb", None)
    for job in (
        lambda out: odyssey.search(study(), out=out, track=("wandb",), progress=False),
        lambda out: train_cell("gru", "xml", TrainOptions(track=("wandb",), out=out)),
    ):
        with pytest.raises(ConfigError, match=r"needs wandb: pip install 'odyssey-cells\[wandb\]'"):
            job(str(tmp_path / "run"))
        assert not (tmp_path / "run").exists()


def test_a_training_that_goes_on_is_not_made_longer_for_a_tracker_that_is_not_there(tmp_path):
    run = tmp_path / "run"
    train_cell("gru", "xml", TrainOptions(**TRAINING, out=run))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    more = TrainOptions(epochs=3, track=("tensorbord",))
    with pytest.raises(ConfigError, match="closest: tensorboard"):
        resume_training(str(run), more)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_nothing_is_tracked_unless_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(Tracking, "begin", None)
    odyssey.search(study(cells=["elman"]), out=tmp_path / "run", progress=False)


def scalars(folder):
    """Reads the event files of a folder: records of a length, a checksum, an event, a checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in folder.iterdir():
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += length + 16
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found[event.step, value.tag] = value.simple_value
    return found


def test_event_files_of_tensorboard_hold_curves_and_scores(tmp_path):
    board = tmp_path / "board"
    odyssey.search(study(), out=tmp_path / "run", track=(f"tensorboard:{board}",), progress=False)
    folders = {path.name.rpartition("_")[2]: path for path in board.iterdir()}
    want = expected(tmp_path / "run")
    assert set(folders) == set(want)
    for trial, (curves, scores) in want.items():
        wanted = curves | {(0, f"score/{name}"): value for name, value in scores.items()}
        assert scalars(folders[trial]) == pytest.approx(wanted, rel=1e-6)


def test_mlflow_reads_what_was_written(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # no server, and no database
    uri = str(tmp_path / "store")
    odyssey.search(study(), out=tmp_path / "run", track=(f"mlflow:{uri}",), progress=False)
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("tracked")
    runs = client.search_runs([experiment.experiment_id])
    want = expected(tmp_path / "run")
    assert {run.data.params["trial"] for run in runs} == set(want)
    for run in runs:
        curves, scores = want[run.data.params["trial"]]
        assert run.info.status == "FINISHED"
        found = {
            (point.step, name): point.value
            for name in {name for _, name in curves}
            for point in client.get_metric_history(run.info.run_id, name)
        }
        assert found == curves
        assert {n: run.data.metrics[f"score/{n}"] for n in scores} == scores


def test_wandb_is_called_as_it_wants_to_be(tmp_path, monkeypatch):
    """By a module of the same names: steps go up, and every run is finished before the next."""
    runs = []

    def init(*, project, name, config, reinit):
        assert (project, reinit) == ("mine", "finish_previous")
        assert not runs or runs[-1].finished
        runs.append(SimpleNamespace(config=config, logged=[], summary={}, finished=False))
        run = runs[-1]
        run.log = lambda metrics, step: run.logged.append((step, metrics))
        run.finish = lambda: setattr(run, "finished", True)
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    odyssey.search(study(), out=tmp_path / "run", track=("wandb:mine",), progress=False)
    want = expected(tmp_path / "run")
    assert len(runs) == len(want)
    for run in runs:
        curves, scores = want[run.config["trial"]]
        assert [step for step, _ in run.logged] == sorted({step for step, _ in curves})
        assert {(s, n): v for s, points in run.logged for n, v in points.items()} == curves
        assert {n.removeprefix("score/"): v for n, v in run.summary.items()} == scores
