"""A run on another file system: its records, the lease, a search there and its report."""

import json
import os
import pickle
import subprocess
import time

import pandas as pd
import pytest
from pyarrow import fs
from support.driving import HANGS
from support.fake_search import Silent
from support.fake_training import rows_of, study_text
from support.same_runs import assert_same_search

from odyssey.errors import StoreError
from odyssey.storage import RunStore, lease, load_curves, load_results, places
from odyssey.storage.places import RemotePath, local_copy, place
from odyssey.storage.scratch import mark
from odyssey.studies.engine import execute, prepare, reopen
from odyssey.studies.study import parse_study
from odyssey.studies.trial import TrialResult

URL = "memory://bucket/runs/one?region=here"


@pytest.fixture(params=["folder", "memory"])
def remote(request, tmp_path, monkeypatch):
    """A place on a file system that knows paths below a root only; one is all in memory."""
    if request.param == "folder":
        (tmp_path / "there").mkdir()
        found = fs.SubTreeFileSystem(str(tmp_path / "there"), fs.LocalFileSystem())
    else:
        found = fs.FileSystem.from_uri("mock:///")[0]
    monkeypatch.setattr(places, "filesystem_of", lambda root: (found, "bucket/runs/one"))
    monkeypatch.setattr(lease, "SETTLE", 0.0)
    return place(URL)


def rows_for(index):
    return [{"trial_index": index, "cell": "gru", "task": "xml", "member": m} for m in (1, 0)]


def test_paths_and_file_urls_are_paths(tmp_path):
    assert place("runs/a") == place(place("runs/a"))
    assert place(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    for wrong in ("file://host/a", "nothing://a/b", "s3://"):
        with pytest.raises(StoreError, match=r"names no file|cannot use"):
            place(wrong)


def test_a_remote_path_has_names_like_a_path(remote):
    assert isinstance(remote, RemotePath)
    shard = remote / "results" / "t1.parquet"
    assert str(shard) == "memory://bucket/runs/one/results/t1.parquet?region=here"
    assert (shard.name, shard.stem, shard.suffix) == ("t1.parquet", "t1", ".parquet")
    assert shard.parent == remote / "results" == shard.with_name("x").parent
    assert remote.name == "one"
    assert pickle.loads(pickle.dumps(shard)) == shard  # workers get it
    assert not remote.exists()
    assert list((remote / "results").glob("*")) == []


def test_records_are_those_of_a_directory(remote, tmp_path):
    stores = [
        RunStore.create(where, study="name = 'a'\n", run={"seed": 1})
        for where in (remote, tmp_path / "run")
    ]
    for store in stores:
        for index in range(4):
            curve = {"trial_index": index, "metric": "m", "value": 1.0, "update": 1, "member": 0}
            store.write(f"t{index}", rows_for(index), [curve])
        store.update_run(done=True)
        store.compact(at_least=3)
        store.write("t9", rows_for(9), [])
    far, near = (RunStore.open(store.path) for store in stores)
    assert far.run == near.run
    assert far.run["done"] is True
    assert far.study_text == near.study_text
    assert far.finished() == near.finished() == {"t0", "t1", "t2", "t3", "t9"}
    assert far.has("t2")
    assert not far.has("t4")
    for load in (load_results, load_curves):
        pd.testing.assert_frame_equal(load(far.path), load(near.path))
    assert len(list((remote / "results").iterdir())) == 2
    with pytest.raises(StoreError, match="already holds a run"):
        RunStore.create(remote, study="", run={})
    with pytest.raises(StoreError, match="no run at"):
        RunStore.open(remote / "elsewhere")


def test_an_unreadable_shard_is_moved_aside(remote, caplog):
    store = RunStore.create(remote, study="", run={})
    store.write("t0", rows_for(0), [])
    store.write("t1", rows_for(1), [])
    (remote / "results" / "t1.parquet").write_bytes(b"garbage")
    store.repair()
    assert set(store.results()["trial"]) == store.finished() == {"t0"}
    assert (remote / "results" / "t1.parquet.corrupt").exists()
    assert len(caplog.records) == 1


def test_a_write_that_fails_leaves_nothing(remote, monkeypatch):
    store = RunStore.create(remote, study="", run={})
    found = places.filesystem_of(URL)[0]

    class Full:
        type_name = "subtree"

        def __getattr__(self, name):
            return getattr(found, name)

        def move(self, *paths):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(places, "filesystem_of", lambda root: (Full(), "bucket/runs/one"))
    with pytest.raises(StoreError, match="No space left on device"):
        store.write("t0", rows_for(0), [])
    assert list((remote / "results").iterdir()) == list((remote / "curves").iterdir()) == []


def test_one_process_at_a_time_holds_a_run(remote):
    store = RunStore.create(remote, study="", run={})
    assert not store.is_running()
    with store.lock():
        assert store.is_running()
        with pytest.raises(StoreError, match="another process is running memory"):  # noqa: SIM117
            with RunStore.open(remote).lock():
                pass
    assert not store.is_running()


@pytest.mark.parametrize("death", ["process gone", "number used again", "not renewed", "nonsense"])
def test_the_lease_of_a_dead_process_is_over(remote, death):
    store = RunStore.create(remote, study="", run={})
    machine, _, _ = mark().split("-")
    gone = subprocess.Popen(["true"])
    gone.wait()
    facts = {"token": "t", "process": mark(), "time": time.time()}
    elsewhere = f"{'0' * len(machine)}-{gone.pid}-1"
    other = {"process": elsewhere, "time": time.time() - lease.LEASE + 5}
    for living in (facts, facts | other):
        (remote / ".lock").write_bytes(json.dumps(living).encode())
        assert store.is_running()
    change = {
        "process gone": {"process": f"{machine}-{gone.pid}-1"},
        "number used again": {"process": f"{machine}-{os.getpid()}-1"},
        "not renewed": {"process": elsewhere, "time": time.time() - lease.LEASE - 5},
        "nonsense": {"time": None},
    }[death]
    (remote / ".lock").write_bytes(json.dumps(facts | change).encode())
    with store.lock():
        assert store.is_running()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[1, 2]", b"null", b"[" * 9_000, b"{" + b" " * 100_000]
)
def test_what_no_holder_would_write_holds_nothing(remote, content):
    store = RunStore.create(remote, study="", run={})
    (remote / ".lock").write_bytes(content)
    assert not store.is_running()
    with store.lock():
        assert store.is_running()


def test_a_lease_is_renewed(remote, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.01)
    store = RunStore.create(remote, study="", run={})
    with store.lock():
        first = json.loads((remote / ".lock").read_bytes())["time"]
        deadline = time.monotonic() + HANGS
        while json.loads((remote / ".lock").read_bytes())["time"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)


class Away:
    """Works a trial without training; the driver, or the worker here, keeps what comes of it."""

    def __init__(self, run):
        self.run = run
        self.calls = []

    def __call__(self, trial):
        self.calls.append(trial.id)
        result = TrialResult(trial.id, trial.index, tuple(rows_of(trial)))
        if len(self.calls) % 2:
            RunStore.open(self.run).write(result.trial_id, result.rows, result.curves)
        return result


def test_a_search_runs_stops_resumes_and_reports_on_a_url(remote, tmp_path, capsys):
    from odyssey.cli.report import show

    study = parse_study(study_text(candidates=8))
    near = prepare(study, tmp_path / "run")
    execute(near, Silent(), work=Away(near.store.path))

    class Impatient(Silent):
        def done(self, board, rows):
            if rows[0]["number"] == 5:
                raise KeyboardInterrupt

    work = Away(remote)
    far = prepare(study, remote)
    with pytest.raises(KeyboardInterrupt):
        execute(far, Impatient(), work=work)
    assert not far.store.is_running()
    far = reopen(remote)
    execute(far, Silent(), work=work)
    assert len(work.calls) == len(set(work.calls))
    assert_same_search(remote, near.store.path)
    show(remote, as_json=False)
    assert "report: memory://bucket/runs/one/report.html?region=here" in capsys.readouterr().out
    assert b"<html" in (remote / "report.html").read_bytes()
    with local_copy(remote) as folder:
        assert (folder / "run.json").exists()
