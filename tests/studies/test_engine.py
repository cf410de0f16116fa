"""The same study gives the same table, whoever runs it and however often it is killed."""

import math
import random
import shutil
import tempfile
import time
from pathlib import Path

import pandas as pd
import pytest
import tomli_w
import torch
from support.driving import HANGS, kill_all, start
from support.same_runs import assert_same_study

from odyssey.cli.main import main
from odyssey.errors import ConfigError, RunFailedError, StoreError
from odyssey.storage import load_curves, load_results
from odyssey.storage.schema import RESULT_COLUMNS, VOLATILE_COLUMNS
from odyssey.studies import work
from odyssey.studies.engine import Recorder, choose_runner, execute, prepare, reopen
from odyssey.studies.listed import ListedTrials
from odyssey.studies.study import Study, parse_study
from odyssey.studies.weights import Keeper
from odyssey.studies.work import trained_trial
from odyssey.tasks import get_task

TINY = {
    "name": "tiny",
    "cells": ["lstm", "elman", "mut1"],
    "tasks": ["arithmetic", "xml"],
    "members": 6,
    "runner": "local",
    "training": {
        "epochs": 2,
        "updates_per_epoch": 2,
        "batch_size": 4,
        "unroll": 10,
        "valid_characters": 200,
        "test_characters": 200,
    },
    "space": {
        "hidden_size": {"choice": [4, 6, 8]},
        "learning_rate": {"log_uniform": [1e-3, 1e-1]},
        "clip_norm": {"choice": [1.0, 5.0]},
    },
}
METRICS = [f"{split}_{m}" for split in ("valid", "test") for m in ("nats", "bpc", "accuracy")]


def tiny(**changes):
    data = {**TINY, **changes}
    data["training"] = TINY["training"] | changes.get("training", {})
    return parse_study(tomli_w.dumps(data))


class Watcher:
    """Keeps what it sees."""

    def __init__(self):
        self.began, self.seen, self.ticks = [], [], []

    def begin(self, board):
        self.began.append((board.total, board.finished))

    def done(self, board, rows):
        self.seen.append((rows[0]["trial"], rows))

    def tick(self, board):
        self.ticks.append(board.running)


def run(study, folder, watcher=None):
    return execute(prepare(study, folder), watcher or Watcher())


def resume(folder):
    return execute(reopen(folder), Watcher())


def shards(folder):
    """Gives all about the shards of finished trials that changes if one is written again."""
    found = {}
    for mark in folder.glob("results/*.parquet"):  # curves alone are of an unfinished trial
        for path in (mark, folder / "curves" / mark.name):
            stat = path.stat()
            found[path] = (stat.st_mtime_ns, stat.st_ino, path.read_bytes())
    return found


# One trial a member: 36 trials, so that there is something to interrupt.
@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The uninterrupted run with the local runner."""
    folder = tmp_path_factory.mktemp("expected") / "run"
    summary = run(tiny(population=1), folder)
    assert (summary.total, summary.ran, summary.failed) == (36, 36, 0)
    return folder


@pytest.fixture
def short_folder():
    """A temporary folder for Ray, whose sockets need a short path."""
    folder = Path(tempfile.mkdtemp(prefix="o", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_the_table_is_complete(expected):
    rows = load_results(expected)
    assert list(rows.columns) == list(RESULT_COLUMNS)
    assert not rows.duplicated(["trial", "member"]).any()
    assert not rows.duplicated(["spec", "task", "member"]).any()
    assert set(rows["status"]) == {"ok"}
    assert set(rows["updates"]) == {4}
    assert set(rows["characters"]) == {4 * 4 * 10}
    assert rows[METRICS].notna().all(axis=None)
    assert (rows["valid_bpc"] == rows["valid_nats"] / math.log(2)).all()
    assert rows["num_parameters"].min() > 0
    assert rows["versions"].str.contains("torch").all()
    assert rows["versions"].str.contains("tilings (?:built in|tuned)").all()
    curves = load_curves(expected)
    assert set(curves["metric"]) == {"train_nats", "valid_nats", "valid_accuracy", "learning_rate"}


RAY_TWICE = """
import faulthandler
import sys
from pathlib import Path
from ray.cluster_utils import Cluster
from odyssey.studies.engine import execute, prepare
from odyssey.studies.source import Unwatched
from odyssey.studies.study import read_study

faulthandler.dump_traceback_later(float(sys.argv[1]), exit=True)
options = {"num_cpus": 2, "object_store_memory": 100 * 2**20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=options)
study = read_study(Path("study.toml"))
for workers in (1, 2):
    run = prepare(study, Path(f"ray{workers}"))
    execute(run, Unwatched(), runner="ray", workers=workers, address=cluster.address)
cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.ray
def test_ray_with_one_and_two_workers_gives_the_table_of_the_local_runner(
    expected, tmp_path, short_folder
):
    (tmp_path / "study.toml").write_text(tiny(population=1).to_toml())
    places = {"TMPDIR": str(short_folder), "RAY_TMPDIR": str(short_folder)}
    driver = start("-c", RAY_TWICE, HANGS - 20, cwd=tmp_path, **places)
    try:
        driver.wait(HANGS)
        logs = [file.read_text() for file in short_folder.glob("*/driver.log")]
        assert driver.returncode == 0, (driver.stderr.read(), logs)
    finally:
        kill_all(driver)
    for workers in (1, 2):
        assert_same_study(tmp_path / f"ray{workers}", expected)


# Who runs, and when it is killed: after so many more trials and a random while; or after a random
# while from its start, or five more trials if those are sooner.
KILLS = [
    ("local", "start"),
    ("local", 3),
    ("ray", "start"),
    ("ray", 4),
    ("local", 4),
]


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_killed_at_random_moments_and_resumed_gives_the_same_table(
    expected, tmp_path, short_folder, capsys
):
    rng = random.Random(5)
    folder = tmp_path / "run"
    prepare(tiny(population=1), folder)
    kept, killed_workers, interrupted = {}, 0, 0
    for runner, moment in KILLS:
        workers = 2 if runner == "ray" else 1
        arguments = ["search", "--resume", folder, "--runner", runner, "--workers", workers]
        driver = start("-m", "odyssey", *arguments, cwd=tmp_path, TMPDIR=str(short_folder))
        try:
            before = count_shards(folder)
            if moment == "start":
                soon = time.monotonic() + rng.uniform(0.5, 5.0 if runner == "ray" else 2.0)
                while time.monotonic() < soon and count_shards(folder) < before + 5:
                    time.sleep(0.003)
            else:
                wait_for_shards(folder, min(before + moment, 36), driver)
                time.sleep(rng.uniform(0, 0.15))
        finally:
            killed = kill_all(driver)
        if runner == "ray" and moment != "start":
            killed_workers += killed - 1
        now = shards(folder)
        assert kept.items() <= now.items(), "a finished trial was run again"
        kept = now
        finished = count_shards(folder)
        interrupted += finished < 36
    assert killed_workers >= 2
    assert finished >= 11
    assert interrupted >= 2, "the kills came too late to mean anything"
    assert main(["search", "--resume", str(folder), "--runner", "local"]) == 0
    assert f"trials: 36, {finished} finished before" in capsys.readouterr().out
    assert kept.items() <= shards(folder).items()
    assert count_shards(folder) == 36
    assert_same_study(folder, expected)


def count_shards(folder):
    return len(list(folder.glob("results/*.parquet")))


def wait_for_shards(folder, count, driver, patience=HANGS):
    deadline = time.monotonic() + patience
    while count_shards(folder) < count:
        assert driver.poll() is None, driver.stderr.read()
        assert time.monotonic() < deadline, "no progress"
        time.sleep(0.003)


def test_an_interrupted_run_goes_on_where_it_was(expected, tmp_path):
    class Impatient(Watcher):
        def done(self, board, rows):
            super().done(board, rows)
            if len(self.seen) == 30:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny(population=1), tmp_path / "run", Impatient())
    again = reopen(tmp_path / "run")
    store, trials = again.store, again.trials
    before, seconds = shards(store.path), store.run["seconds"]
    assert len(store.finished()) == 30
    assert seconds > 0
    watcher = Watcher()
    summary = execute(again, watcher)
    assert watcher.began == [(36, 30)]
    assert [trial for trial, _ in watcher.seen] == [t.id for t in trials[30:]]
    assert (summary.total, summary.ran, summary.failed) == (36, 6, 0)
    assert store.run["seconds"] > seconds
    assert before.items() <= shards(store.path).items()
    assert_same_study(store.path, expected)
    again = resume(store.path)
    assert (again.ran, again.failed) == (0, 0)


def test_members_side_by_side_give_the_rows_they_give_alone(tmp_path):
    changes = {
        "training": {"dtype": "float64", "padding": 3.0},
        "space": {
            "hidden_size": {"choice": [4, 6, 8]},
            "learning_rate": {"choice": [1e-3, 1e-2, 1e6]},
        },
        "tasks": ["xml"],
    }
    for name, population in (("alone", 1), ("together", 0), ("split", 4)):
        run(tiny(population=population, **changes), tmp_path / name)
    order = ["spec", "member"]
    alone = load_results(tmp_path / "alone").sort_values(order, ignore_index=True)
    assert set(alone["status"]) == {"ok", "diverged"}  # or the test shows little
    assert alone["hidden_size"].nunique() > 1
    theirs = ["trial", "trial_index", *VOLATILE_COLUMNS]
    for name in ("together", "split"):
        other = load_results(tmp_path / name).sort_values(order, ignore_index=True)
        pd.testing.assert_frame_equal(
            other.drop(columns=[*theirs, "reason"]),
            alone.drop(columns=[*theirs, "reason"]),
            rtol=1e-10,
            atol=0,
        )


def test_a_member_that_diverges_is_a_row_with_its_step(tmp_path):
    study = tiny(
        cells=["elman"], space={"hidden_size": 4, "learning_rate": {"choice": [1e-9, 1e6]}}
    )
    run(study, tmp_path / "run")
    rows = load_results(tmp_path / "run")
    wild = rows[rows["learning_rate"] > 1]
    tame = rows[rows["learning_rate"] < 1]
    assert len(wild) >= 1
    assert len(tame) >= 1
    assert set(wild["status"]) == {"diverged"}
    assert wild["diverged_at"].between(2, 4).all()
    assert (wild["updates"] == wild["diverged_at"] - 1).all()
    for row in wild.itertuples():
        assert row.reason.endswith(f"at update {row.diverged_at}")
    assert wild[METRICS].isna().all(axis=None)
    assert set(tame["status"]) == {"ok"}
    assert tame["diverged_at"].isna().all()
    assert tame[METRICS].notna().all(axis=None)


# Failures


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("the quick brown fox jumps over the lazy dog\n" * 30)
    return path


def test_a_text_that_vanishes_fails_its_trials_and_no_others(tmp_path, book):
    study = tiny(cells=["elman", "gru"], tasks=["xml", f"text:{book}"])
    opened = prepare(study, tmp_path / "run")
    store = opened.store
    text = book.read_text()
    book.unlink()
    watcher = Watcher()
    summary = execute(opened, watcher)
    assert (summary.total, summary.ran, summary.failed) == (4, 4, 2)
    rows = load_results(store.path)
    failed = rows[rows["status"] == "failed"]
    assert set(failed["task"]) == {f"text:{book}"}
    assert failed["reason"].str.startswith("TaskError: no file ").all()
    assert len(failed) == 12  # every member of both trials
    assert failed[METRICS].isna().all(axis=None)
    assert set(failed["member"]) == set(range(6))
    assert failed["learning_rate"].nunique() == 6
    assert set(rows.loc[rows["task"] == "xml", "status"]) == {"ok"}
    assert [rows[0]["status"] for _, rows in watcher.seen] == ["ok", "ok", "failed", "failed"]

    book.write_text(text)  # a failure is a result: resuming does not try it again
    assert resume(store.path).ran == 0
    pd.testing.assert_frame_equal(load_results(store.path), rows)


def test_a_text_that_changes_under_a_run_is_not_mixed_in(tmp_path, book):
    study = tiny(cells=["elman"], tasks=[f"text:{book}", "xml"])
    run(study, tmp_path / "first")  # this process may remember what it read
    opened = prepare(study, tmp_path / "second")
    book.write_text(book.read_text()[::-1])
    with pytest.raises(ConfigError, match="the text has changed since the run began"):
        reopen(tmp_path / "first")
    run(study, tmp_path / "third")
    rows = load_results(tmp_path / "third")
    assert set(rows["status"]) == {"ok"}
    assert not rows["valid_nats"].equals(load_results(tmp_path / "first")["valid_nats"])
    work._task.cache_clear()  # what this process remembers is the right text
    assert execute(opened, Watcher()).failed == 1
    rows = load_results(opened.store.path)
    assert "text has changed" in rows.loc[rows["status"] == "failed", "reason"].iloc[0]


def test_a_cell_that_cannot_be_trained_fails_with_the_reason(tmp_path):
    # 150 parameters are enough for one unit of elman, and too few for one of lstm
    study = tiny(tasks=["arithmetic"], cells=["lstm", "elman"], space={"parameters": 150})
    summary = run(study, tmp_path / "run")
    rows = load_results(tmp_path / "run").set_index("spec")
    assert summary.failed == 1
    assert set(rows.loc["elman", "status"]) == {"ok"}
    assert set(rows.loc["lstm", "status"]) == {"failed"}
    assert set(rows.loc["lstm", "reason"]) == {
        "ConfigError: lstm: 150 parameters are too few for one unit"
    }
    assert resume(tmp_path / "run").ran == 0


def test_a_run_whose_every_trial_fails_says_so_once(tmp_path):
    study = tiny(space={"parameters": 1})
    with pytest.raises(RunFailedError, match=r"all 6 trials failed; the first: ConfigError: lstm"):
        run(study, tmp_path / "run")
    assert set(load_results(tmp_path / "run")["status"]) == {"failed"}
    assert resume(tmp_path / "run").ran == 0


def test_nothing_is_written_before_the_study_is_known_to_be_right(tmp_path):
    for changes in (
        {"cells": ["lstm", "lstmm"]},
        {"cells": ["lstm:no_such_thing"]},
        {"cells": [str(tmp_path / "no.cell")]},
        {"tasks": ["xml", "text:no-such-file"]},
        {"tasks": ["xlm"]},
        {"space": {"forget_bias": 1.0}},
        {"training": {"batch_size": 10**6, "unroll": 10**3}, "tasks": [f"text:{__file__}"]},
    ):
        with pytest.raises((ConfigError, ValueError)):
            prepare(tiny(**changes), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_only_one_process_runs_a_directory(tmp_path):
    study = tiny(cells=["elman"], tasks=["xml"])
    opened = prepare(study, tmp_path / "run")
    with (
        opened.store.lock(),
        pytest.raises(StoreError, match="another process is running"),
    ):
        execute(opened, Watcher())
    assert not opened.store.finished()
    assert execute(opened, Watcher()).ran == 1
    with pytest.raises(StoreError, match="already holds a run"):
        prepare(study, tmp_path / "run")


def test_only_a_run_can_be_resumed(tmp_path):
    with pytest.raises(StoreError, match="is not a run"):
        reopen(tmp_path)
    study = tiny(cells=["elman"], tasks=["xml"])
    opened = prepare(study, tmp_path / "run")
    store, again = opened.store, reopen(opened.store.path)
    assert again.study == study
    assert again.trials == opened.trials
    for broken in ("{}", '{"cells": []}', '{"cells": {"lstm": 3}}', '{"cells": {}, "tasks": [1]}'):
        (store.path / "run.json").write_text(broken)
        with pytest.raises(StoreError, match=r"run\.json does not hold the cells and tasks"):
            reopen(store.path)


def test_a_resumed_run_does_not_read_the_cell_files_again(tmp_path):
    cell = tmp_path / "mine.cell"
    shutil.copy(Path(__file__).parents[2] / "odyssey/cells/gru.cell", cell)
    opened = prepare(tiny(cells=[str(cell)], tasks=["xml"]), tmp_path / "run")
    cell.unlink()
    assert reopen(opened.store.path).trials == opened.trials
    assert resume(opened.store.path).failed == 0


def test_what_a_worker_elsewhere_could_not_write_the_driver_writes(tmp_path):
    study = tiny(cells=["elman"], tasks=["xml"])
    opened = prepare(study, tmp_path / "run")
    store, (trial,) = opened.store, opened.trials
    source = ListedTrials(opened, Watcher())
    recorder = Recorder(store, source, "", Keeper(store, study.keep_weights))
    result, _ = trained_trial(trial, task=get_task("xml"))
    assert not store.has(trial.id)
    recorder.on_result(trial, result)
    before = shards(store.path)
    assert len(before) == 2
    recorder.on_result(trial, result)  # written already, as it is where the disk is shared
    assert shards(store.path) == before


def test_the_local_runner_needs_no_telling_that_it_has_one_worker():
    study = tiny(workers=8)
    assert choose_runner(study) == ("local", 1)
    assert choose_runner(study, runner="ray") == ("ray", 8)
    assert choose_runner(study, runner="ray", workers=3, address="h:1") == ("ray", 3)
    assert choose_runner(study, workers=1) == ("local", 1)
    for given in ({"workers": 2}, {"address": "h:1"}):
        with pytest.raises(ConfigError, match="use the ray runner"):
            choose_runner(study, **given)


def test_a_trial_leaves_the_arithmetic_of_the_process_as_it_was():
    trial = Study(
        name="modes",
        cells=("elman",),
        tasks=("xml",),
        members=1,
        training={"epochs": 0, "valid_characters": 100, "test_characters": 100},
        space={"hidden_size": 3},
    )
    (one,) = trial.trials(trial.resolve_cells())

    def denormal_survives():
        return float(torch.tensor(1e-310, dtype=torch.float64) * 1.0) > 0.0

    threads = torch.get_num_threads()
    for flushing in (False, True):
        torch.set_flush_denormal(flushing)
        trained_trial(one, task=get_task("xml"))
        assert denormal_survives() is not flushing
        assert torch.get_num_threads() == threads
    torch.set_flush_denormal(False)
