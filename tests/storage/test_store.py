"""A run directory survives kills, corruption and many writers, and gives typed, ordered frames."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest

from odyssey.errors import StoreError
from odyssey.storage import RunStore, frames, lease, load_curves, load_results
from odyssey.storage.schema import CURVE_COLUMNS, RESULT_COLUMNS
from odyssey.storage.scratch import mark


def rows_of(index, members=2, **extra):
    return [
        {
            "trial": f"t{index:03d}",
            "trial_index": index,
            "cell": "lstm",
            "spec": "lstm",
            "task": "arithmetic",
            "member": m,
            "seed": 2**53 + 1 + m,
            "learning_rate": 0.1 * (m + 1),
            "status": "ok",
            "diverged_at": None,
            "valid_bpc": 1 / 3 + index,
            **extra,
        }
        for m in reversed(range(members))
    ]


def curves_of(index, value=1.0):
    return [
        {
            "trial_index": index,
            "cell": "lstm",
            "task": "arithmetic",
            "member": 0,
            "update": u,
            "characters": 100 * u,
            "metric": "valid_nats",
            "value": value,
        }
        for u in (20, 10)
    ]


@pytest.fixture
def store(tmp_path):
    return RunStore.create(tmp_path / "run", study="name = 'a'\n", run={"name": "a", "seed": 1})


def fill(store, indices, **extra):
    for index in indices:
        store.write(f"t{index:03d}", rows_of(index, **extra), curves_of(index))


def test_create_and_open_keep_the_study_and_the_facts(store):
    again = RunStore.open(store.path)
    assert again.study_text == again.study_file == "name = 'a'\n"
    assert (store.path / "study.toml").read_text() == "name = 'a'\n"
    again.update_run(seed=2, done=True)
    facts = {k: store.run[k] for k in ("name", "seed", "done", "format", "study_toml")}
    assert facts == {
        "name": "a",
        "seed": 2,
        "done": True,
        "format": 2,
        "study_toml": "name = 'a'\n",
    }
    assert [p.name for p in store.path.iterdir() if p.suffix == ".tmp"] == []


def test_create_refuses_a_run_and_says_how_to_resume(store):
    with pytest.raises(
        StoreError, match=r"already holds a run; resume it with `odyssey search --r"
    ):
        RunStore.create(store.path, study="", run={})


def test_create_refuses_a_directory_with_other_files(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(StoreError, match="not empty and not a run"):
        RunStore.create(tmp_path, study="", run={})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_create_takes_over_an_interrupted_create_but_not_results(store):
    (store.path / "run.json").unlink()
    RunStore.create(store.path, study="b", run={})
    (store.path / "run.json").unlink()
    (store.path / "results" / "t000.parquet").write_text("precious")
    with pytest.raises(StoreError, match="not empty"):
        RunStore.create(store.path, study="c", run={})


def test_create_where_a_file_is_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write a run to"):
        RunStore.create(tmp_path / "file", study="", run={})
    with pytest.raises(StoreError, match="cannot write a run to"):
        RunStore.create(tmp_path / "file" / "below", study="", run={})


@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_open_says_what_is_there_instead(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"no run at|is not a run|is a file"):
        RunStore.open(tmp_path / name)


def test_a_damaged_run_json_is_a_store_error(store):
    (store.path / "run.json").write_text("{")
    with pytest.raises(StoreError, match="is not JSON"):
        store.run
    (store.path / "run.json").write_text("[]")
    with pytest.raises(StoreError, match="expected an object"):
        store.run


def test_results_are_typed_sorted_and_exact(store):
    fill(store, [2, 0, 1], momentum=float("nan"), own_decay=1, note="x")
    results = store.results()
    assert list(results["trial_index"]) == [0, 0, 1, 1, 2, 2]
    assert list(results["member"]) == [0, 1] * 3
    assert list(results.columns) == [*RESULT_COLUMNS, "own_decay", "note"]
    for name in ("trial", "cell", "reason", "versions"):
        assert results[name].dtype == "string"
    for name in ("trial_index", "member", "seed"):
        assert results[name].dtype == "int64"
    assert results["diverged_at"].dtype == "Int64"
    assert results["own_decay"].dtype == "float64"
    # An int64 column that nobody filled says so instead of inventing a number.
    assert results["updates"].dtype == "Int64"
    assert results["updates"].isna().all()
    assert results["seed"].iloc[0] == 2**53 + 1
    assert results["valid_bpc"].iloc[0] == 1 / 3


def test_empty_run_gives_empty_typed_frames(store):
    results, curves = store.results(), store.curves()
    assert (len(results), len(curves)) == (0, 0)
    assert results.dtypes.astype(str).to_dict() == {n: d for n, (d, _) in RESULT_COLUMNS.items()}
    assert curves.dtypes.astype(str).to_dict() == {n: d for n, (d, _) in CURVE_COLUMNS.items()}
    assert store.finished() == frozenset()
    assert not store.has("t000")


def test_a_column_that_is_text_in_one_trial_and_a_number_in_another_is_text(store):
    fill(store, [0], choice=1.5)
    fill(store, [1], choice="auto")
    fill(store, [2], choice=None)
    assert list(store.results()["choice"].dropna().unique()) == ["1.5", "auto"]


def test_writing_twice_is_harmless_and_the_last_wins(store):
    fill(store, [0])
    store.write("t000", rows_of(0), curves_of(0, value=5.0))
    assert len(store.results()) == 2
    assert list(store.curves()["value"]) == [5.0, 5.0]
    assert list(store.curves()["update"]) == [10, 20]


def test_curves_without_results_do_not_count(store):
    fill(store, [0, 1])
    (store.path / "results" / "t001.parquet").unlink()  # killed between the two shards
    assert store.finished() == {"t000"}
    assert set(store.curves()["trial"]) == {"t000"}
    fill(store, [2])
    store.compact(at_least=2)
    assert (store.path / "curves" / "t001.parquet").exists(), "the trial will be run again"
    assert not (store.path / "curves" / "t000.parquet").exists()
    assert store.finished() == {"t000", "t002"}


def test_a_shard_that_goes_while_it_is_read_is_looked_for_again(store, monkeypatch):
    fill(store, range(3))
    store.compact(at_least=2)
    read, gone = store._shards._ids, []

    def once_gone(shard):
        if not gone:
            gone.append(shard)
            raise FileNotFoundError
        return read(shard)

    monkeypatch.setattr(store._shards, "_ids", once_gone)
    assert store.finished() == {"t000", "t001", "t002"}
    assert gone


def test_a_shard_without_a_row_finishes_nothing(store, caplog):
    fill(store, [0, 1])
    shard = store.path / "results" / "t001.parquet"
    empty = frames.decode(shard, RESULT_COLUMNS)[:0]
    shard.write_bytes(frames.encode(empty, run=store.run["id"]))
    assert set(store.results()["trial"]) == {"t000"}
    assert "it holds no trial" in caplog.text


@pytest.mark.parametrize("damage", [b"", b"PAR1 but not really PAR1", None])
def test_readers_leave_an_unreadable_shard_out_and_the_run_moves_it_aside(store, caplog, damage):
    fill(store, [0, 1])
    shard = store.path / "results" / "t001.parquet"
    if damage is None:
        pd.DataFrame({"a": [1]}).to_parquet(shard)
    else:
        shard.write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert set(store.results()["trial"]) == {"t000"}
    assert [r.getMessage().split(":")[0] for r in caplog.records] == [f"left out {shard}"]
    assert shard.exists()  # who reads writes nothing
    caplog.clear()
    store.repair()
    assert len(caplog.records) == 1
    assert (shard.parent / "t001.parquet.corrupt").exists()
    assert store.finished() == {"t000"}
    store.repair()
    assert set(store.results()["trial"]) == {"t000"}
    assert len(caplog.records) == 1


def test_an_unreadable_curve_shard_leaves_the_result(store, caplog):
    fill(store, [0])
    (store.path / "curves" / "t000.parquet").write_bytes(b"no")
    assert len(store.curves()) == 0
    store.repair()
    assert store.finished() == {"t000"}
    assert "t000.parquet.corrupt" in caplog.text


def test_an_unreadable_merged_shard_unfinishes_its_trials(store, caplog):
    fill(store, range(3))
    store.compact(at_least=2)
    fill(store, [5])
    (merged,) = (store.path / "results").glob("merged-*")
    merged.write_bytes(b"no")
    assert RunStore.open(store.path).finished() == {"t005"}
    assert len(caplog.records) == 1


def test_compact_changes_no_number_and_no_answer(store):
    fill(store, range(5))
    results, curves = store.results(), store.curves()
    store.compact(at_least=6)
    assert len(list((store.path / "results").iterdir())) == 5
    store.compact(at_least=5)
    fill(store, [7])
    for opened in (store, RunStore.open(store.path)):
        assert len(list((store.path / "results").glob("*.parquet"))) == 2
        assert len(list((store.path / "curves").glob("*.parquet"))) == 2
        assert opened.finished() == {f"t{i:03d}" for i in (0, 1, 2, 3, 4, 7)}
        assert opened.has("t003")
        assert opened.has("t007")
        assert not opened.has("t006")
        pd.testing.assert_frame_equal(opened.results()[:10], results)
        pd.testing.assert_frame_equal(opened.curves()[:10], curves)


def test_compact_killed_halfway_leaves_no_duplicates(store):
    fill(store, range(4))
    before = {p: p.read_bytes() for p in (store.path / "results").iterdir()}
    results = store.results()
    store.compact(at_least=2)
    for path, data in before.items():  # as if killed before the single shards were removed
        path.write_bytes(data)
    pd.testing.assert_frame_equal(store.results(), results)
    store.compact(at_least=2)
    pd.testing.assert_frame_equal(store.results(), results)
    assert len(list((store.path / "results").iterdir())) == 1


def test_who_holds_a_run_sweeps_what_killed_writers_left(store):
    dead, living, elsewhere = dead_mark(), mark(), "0" * 12 + "-1-1"
    folders = [store.path, store.path / "results", store.path / "weights"]
    folders[-1].mkdir()
    for folder in folders:
        for name in (dead, living, elsewhere, "1"):
            (folder / f".a.b.parquet.{name}.ab12.tmp").touch()
        (folder / ".tmp").touch()
        (folder / ".b.tmp").touch()
    with store.lock():
        pass
    for folder in folders:
        left = {p.name for p in folder.iterdir() if p.name.endswith(".tmp")}
        kept = {f".a.b.parquet.{name}.ab12.tmp" for name in (living, elsewhere, "1")}
        assert left == {*kept, ".tmp", ".b.tmp"}


def dead_mark():
    """Names a process that has ended."""
    from support.driving import python

    call = "from odyssey.storage.scratch import mark; print(mark())"
    return python("-c", call, cwd=Path.cwd()).stdout.strip()


def test_a_writer_names_itself(store, monkeypatch):
    seen = []
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda self, to: seen.append(self.name) or replace(self, to)
    )
    store.update_run(a=1)
    assert [name.split(".")[-3] for name in seen] == [mark()]


@contextlib.contextmanager
def only_read():
    """Makes everything read-only, to a root too; gives what was opened for writing all the same."""
    opened, real, real_file = [], os.open, io.open

    def refuse(path):
        opened.append(path)
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    def watched(path, flags, *rest, **kwargs):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse(path)
        return real(path, flags, *rest, **kwargs)

    def watched_file(path, mode="r", *rest, **kwargs):
        if set(mode) & set("wax+"):
            refuse(path)
        return real_file(path, mode, *rest, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", watched)
        patch.setattr(io, "open", watched_file)
        yield opened


def test_a_reader_sees_who_holds_a_run_without_a_lock_and_without_writing(store, monkeypatch):
    fill(store, range(3))
    locks = []
    monkeypatch.setattr(lease.fcntl, "flock", lambda *a: locks.append(a))
    for name, running in ((None, False), ("", False), (dead_mark(), False), (mark(), True)):
        if name is None:
            (store.path / ".lock").unlink()  # nobody ever held it
        else:
            (store.path / ".lock").write_text(name)
        with only_read() as opened:
            reader = RunStore.open(store.path)
            assert reader.is_running() == running
            assert len(reader.results()) > 0
            assert reader.finished()
        assert opened == []
    assert locks == []


def test_a_run_is_held_whoever_reads_it(store, monkeypatch):
    assert not store.is_running()
    with store.lock():
        assert RunStore.open(store.path).is_running()
        with pytest.raises(StoreError, match="another process is running"), store.lock():
            pass
        assert store.is_running()
    assert not store.is_running()
    # a reader on another machine asks the file system, and gets in nobody's way
    (store.path / ".lock").write_text("0" * 12 + "-1-1")
    assert not store.is_running()
    with (store.path / ".lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        monkeypatch.setattr(lease.time, "sleep", lambda _: fcntl.flock(other, fcntl.LOCK_UN))
        with store.lock():
            pass


def test_reading_while_another_process_compacts(store, monkeypatch):
    fill(store, range(4))
    listing = store._shards.of("results")
    RunStore.open(store.path).compact(at_least=2)
    real, stale = store._shards.of, [listing]

    def shards(folder):
        return stale.pop() if folder == "results" and stale else real(folder)

    monkeypatch.setattr(store._shards, "of", shards)
    assert set(store.results()["trial_index"]) == {0, 1, 2, 3}


def _write_some(path, indices):
    fill(RunStore.open(path), indices)


def test_many_processes_write_at_once(store):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_write_some, store.path, range(a, 12)) for a in (0, 3)]
        for job in jobs:
            job.result()
    assert list(store.results()["trial_index"].unique()) == list(range(12))
    assert len(store.results()) == 24


_HOLDER = """
    import sys, time
    from odyssey.storage import RunStore
    with RunStore.open(sys.argv[1]).lock():
        print("held", flush=True)
        time.sleep(60)
"""


def test_lock_is_exclusive_and_dies_with_its_process(store):
    with store.lock(), pytest.raises(StoreError, match="another process is running"):  # noqa: SIM117
        with store.lock():
            pass
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_HOLDER), str(store.path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another process is running"), store.lock():
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with store.lock():
        pass


_WRITER = """
    import sys
    sys.path.insert(0, sys.argv[2])
    from test_store import fill
    from odyssey.storage import RunStore
    store = RunStore.open(sys.argv[1])
    print("go", flush=True)
    for i in range(1000):
        fill(store, [i])
        if i % 7 == 6:
            store.compact(at_least=2)
"""


def test_a_writer_killed_at_any_moment_leaves_a_readable_run(store, caplog):
    for delay in (0.05, 0.11, 0.17):
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_WRITER), store.path, Path(__file__).parent],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout.readline() == b"go\n"
        time.sleep(delay)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        results = store.results()
        assert set(results["trial"]) == store.finished() == set(store.curves()["trial"])
        assert (results.groupby("trial").size() == 2).all()
    assert len(results) > 0
    assert caplog.records == []


def test_load_takes_a_run_a_file_or_a_directory_of_runs(store, tmp_path):
    fill(store, [1, 0])
    other = RunStore.create(tmp_path / "earlier", study="", run={})
    fill(other, [0])
    pd.testing.assert_frame_equal(load_results(store.path), store.results())
    curated = tmp_path / "curated.parquet"
    store.results().to_parquet(curated)
    pd.testing.assert_frame_equal(load_results(str(curated)), store.results())
    both = load_results(tmp_path)
    assert list(both["run"]) == ["earlier"] * 2 + ["run"] * 4
    assert set(load_curves(tmp_path)["run"]) == {"earlier", "run"}
    pd.testing.assert_frame_equal(load_curves(store.path), store.curves())


def test_load_of_runs_without_results_is_empty(store):
    assert list(load_results(store.path.parent)["run"]) == []


def test_load_says_what_is_wrong(tmp_path, store):
    fill(store, [0])
    store.curves().to_parquet(tmp_path / "curves.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    (tmp_path / "nothing").mkdir()
    for path, message in [
        ("missing", "no run at"),
        ("nothing", "is not a run"),
        ("text.parquet", "is not a results file in Parquet"),
    ]:
        with pytest.raises(StoreError, match=message):
            load_results(tmp_path / path)
    with pytest.raises(StoreError, match="is not a curves file"):
        load_curves(store.path / "results" / "t000.parquet")


def test_storage_imports_neither_torch_nor_plots():
    heavy = "{'torch', 'ray', 'matplotlib'}"
    code = f"import sys, odyssey.storage; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
