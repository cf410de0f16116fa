"""What a run has written proves itself when it is read; anything else is one line, no value."""

import errno
import io
import json
import os
import shutil
import socket

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_store import curves_of, fill, rows_of

from odyssey.errors import StoreError
from odyssey.storage import RunStore, files, frames, load_results
from odyssey.storage.candidates import CANDIDATE_COLUMNS, CandidateLog, load_candidates
from odyssey.storage.files import DamagedFileError
from odyssey.storage.schema import CURVE_COLUMNS, RESULT_COLUMNS


@pytest.fixture
def store(tmp_path):
    made = RunStore.create(tmp_path / "run", study="name = 'a'\n", run={"seed": 1})
    fill(made, range(4))
    made.compact(at_least=2)
    fill(made, [8, 9])
    return made


def candidate(number):
    values = {"string": "x", "int64": number, "Int64": number, "float64": 0.5}
    return {name: values[kind] for name, (kind, _) in CANDIDATE_COLUMNS.items()}


def readable(store):
    """Gives all that a run says, as bytes; raises what its readers raise."""
    again = RunStore.open(store.path)
    parts = [again.results(), again.curves(), load_candidates(store.path)]
    return [p.to_csv() for p in parts], json.dumps(again.run), again.study_text


def flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_no_flipped_bit_passes_for_a_value(store, caplog):
    log = CandidateLog(store.path)
    for number in range(3):
        log.append(candidate(number))
    log.flush()
    expected = readable(store)
    rng = np.random.default_rng(0)
    noticed = 0
    for path in sorted(p for p in store.path.rglob("*") if p.is_file() and p.name != ".lock"):
        whole = path.read_bytes()
        for bit in rng.integers(8 * len(whole), size=12):
            flip(path, int(bit))
            caplog.clear()
            try:
                same = readable(store) == expected
            except StoreError as error:
                same, said = False, str(error)
            else:
                said = caplog.text
            # what does not prove itself is left out, and said so
            assert same or str(path) in said, (path, bit)
            noticed += not same
            assert same == (path.name == "study.toml"), (path, bit)  # the run has its own copy
            path.write_bytes(whole)
    assert readable(store) == expected
    assert noticed > 50


def test_a_shard_without_a_digest_counts_in_old_runs_only(store, caplog):
    shard = store.path / "results" / "t008.parquet"
    table = pq.read_table(shard).replace_schema_metadata(None)
    pq.write_table(table, shard)
    assert "t008" not in set(store.results()["trial"])
    assert "it has no digest" in caplog.text
    (store.path / "run.json").write_text('{"seed": 1}')
    assert "t008" in set(RunStore.open(store.path).results()["trial"])


def test_pages_of_a_shard_have_checksums(store):
    data = bytearray((store.path / "results" / "t008.parquet").read_bytes())
    metadata = pq.ParquetFile(pa.BufferReader(bytes(data))).metadata
    names = metadata.schema.names
    column = metadata.row_group(0).column(names.index("valid_bpc"))
    start = column.dictionary_page_offset or column.data_page_offset
    data[start + column.total_compressed_size - 3] ^= 1
    with pytest.raises(OSError, match=r"CRC|checksum|corrupt"):
        pq.ParquetFile(pa.BufferReader(bytes(data)), page_checksum_verification=True).read(
            columns=["valid_bpc"]
        )


def test_shards_of_another_run_are_left_out(store, tmp_path, caplog):
    other = RunStore.create(tmp_path / "other", study="name = 'b'\n", run={})
    fill(other, [20])
    for folder in ("results", "curves"):
        shutil.copy(other.path / folder / "t020.parquet", store.path / folder)
    assert "t020" not in set(store.results()["trial"])
    assert "belongs to another run" in caplog.text
    store.repair()
    assert "t020" not in store.finished()
    assert (store.path / "results" / "t020.parquet.foreign").exists()


def test_a_shard_under_the_name_of_another_trial_is_left_out(store, caplog):
    folder = store.path / "results"
    shutil.copy(folder / "t008.parquet", folder / "t010.parquet")
    assert set(store.results()["trial"]) == {f"t00{k}" for k in (0, 1, 2, 3, 8, 9)}
    assert "it holds trial 't008'" in caplog.text


def things():
    """Makes what is no regular file, by name."""

    def unix_socket(path):
        with socket.socket(socket.AF_UNIX) as made:
            here = os.getcwd()
            os.chdir(path.parent)  # the name of a socket must be short
            try:
                made.bind(path.name)
            finally:
                os.chdir(here)

    return {
        "pipe": os.mkfifo,
        "folder": lambda path: path.mkdir(),
        "loop": lambda path: path.symlink_to(path),
        "dangling": lambda path: path.symlink_to(path.with_name("nowhere")),
        "device": lambda path: path.symlink_to("/dev/zero"),
        "socket": unix_socket,
    }


@pytest.mark.parametrize("kind", things())
@pytest.mark.parametrize("folder", ["results", "curves", "candidates"])
def test_only_regular_files_are_read(store, kind, folder, caplog):
    (store.path / folder).mkdir(exist_ok=True)
    path = store.path / folder / "000000.parquet"
    things()[kind](path)
    expected = {f"t00{k}" for k in (0, 1, 2, 3, 8, 9)}
    assert set(store.results()["trial"]) == set(store.curves()["trial"]) == expected
    assert len(load_candidates(store.path)) == 0
    assert f"left out {path}: it is no regular file" in caplog.text
    store.repair()
    assert store.finished() == expected
    assert list(CandidateLog(store.path).rows(repair=True)) == []
    assert not os.path.lexists(path)


@pytest.mark.parametrize("kind", things())
def test_facts_of_a_run_are_a_regular_file(store, kind):
    path = store.path / "run.json"
    path.unlink()
    things()[kind](path)
    with pytest.raises(StoreError) as caught:
        RunStore.open(store.path).run
    assert "\n" not in str(caught.value)
    if kind != "dangling":
        with pytest.raises(StoreError, match="no regular file"):
            files.read_json(path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 50_000,
        "",
        "{",
        "[]",
        "3",
        '{"a": ' + "9" * 6_000 + "}",
        "\ud800",
        '{"format": 2}',
        '{"format": 2, "digest": "odyssey-sha256:' + "0" * 64 + '"}',
    ],
    ids=lambda text: text[:12],
)
def test_facts_that_are_none_are_one_line(store, text):
    (store.path / "run.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    for read in (lambda: store.run, lambda: RunStore.open(store.path).results()):
        with pytest.raises(StoreError) as caught:
            read()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500


def test_a_file_beyond_all_bounds_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(files.MOST_JSON + 1)
    with pytest.raises(StoreError, match="at most"):
        files.read_json(path)
    monkeypatch.setattr(frames, "MOST_FILE_BYTES", 10)
    (tmp_path / "a.parquet").write_bytes(frames.encode(pa.table({"trial": ["a"] * 100})))
    with pytest.raises(DamagedFileError, match="unpacks"):
        frames.decode(tmp_path / "a.parquet", RESULT_COLUMNS)


WRONG = {
    "string": pa.array([1.5]),
    "int64": pa.array(["x"]),
    "Int64": pa.array([[1]]),
    "float64": pa.array(["0.5"]),
}


@pytest.mark.parametrize("columns", [RESULT_COLUMNS, CURVE_COLUMNS, CANDIDATE_COLUMNS])
def test_the_types_of_all_columns_are_those_of_the_schema(tmp_path, columns):
    values = {"string": ["x"], "int64": [1], "Int64": [None], "float64": [float("nan")]}
    good = {name: pa.array(values[kind]) for name, (kind, _) in columns.items()}
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(good), path)
    frames.decode(path, columns, required=())
    for name, (kind, _) in columns.items():
        pq.write_table(pa.table(good | {name: WRONG[kind]}), path)
        with pytest.raises(DamagedFileError, match=rf"'{name}' holds .*expected {kind}"):
            frames.decode(path, columns, required=())
    for extra in (pa.array([[1]]), pa.array([{"a": 1}]), pa.array([b"x"])):
        pq.write_table(pa.table(good | {"more": extra}), path)
        with pytest.raises(DamagedFileError, match="'more' holds"):
            frames.decode(path, columns, required=())
    pq.write_table(pa.table([pa.array(["x"]), pa.array(["y"])], names=["trial", "trial"]), path)
    with pytest.raises(DamagedFileError, match="twice"):
        frames.decode(path, columns, required=())


def test_text_in_a_number_column_is_one_line(tmp_path):
    row = {k: v for k, v in rows_of(0)[0].items() if k != "valid_bpc"}
    path = tmp_path / "a.parquet"
    pd.DataFrame([{**row, "valid_bpc": "much"}]).to_parquet(path)
    with pytest.raises(StoreError, match=r"is not a results file in Parquet: column 'valid_bpc'"):
        load_results(path)


def test_contents_reach_the_disk_before_the_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace

    def note_sync(descriptor):
        events.append(("sync", os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))
        fsync(descriptor)

    def note_replace(source, target, **options):
        events.append(("rename", os.stat(source).st_ino, os.stat(source).st_size))
        replace(source, target, **options)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    path = tmp_path / "a"
    files.write_atomically(path, b"some bytes")
    inode, folder = path.stat().st_ino, tmp_path.stat().st_ino
    assert events[:2] == [("sync", inode, 10), ("rename", inode, 10)]
    assert [event[:2] for event in events[2:]] == [("sync", folder)]


def test_a_file_that_speaks_of_digests_is_not_taken_in(tmp_path):
    facts = {"a": files.SLOT, "digest": "mine", "b": "odyssey-sha256:" + "f" * 64}
    files.write_json(tmp_path / "facts", facts)
    assert files.read_json(tmp_path / "facts", required=True) == {"a": facts["a"], "b": facts["b"]}
    table = frames.table_of(
        [{"trial": files.SLOT, "cell_text": facts["b"], files.SLOT: 1}], RESULT_COLUMNS
    )
    (tmp_path / "a.parquet").write_bytes(frames.encode(table, run=files.SLOT))
    again = frames.decode(tmp_path / "a.parquet", RESULT_COLUMNS, sealed=True)
    assert again.to_pylist() == table.to_pylist()
    assert curves_of(0)  # the two kinds of records share one way of writing


@pytest.mark.parametrize("count", [0, 1, frames.FEW - 1, frames.FEW, 5000])
def test_files_of_few_rows_are_not_packed_and_no_longer_for_it(tmp_path, count):
    table = frames.table_of(rows_of(0)[:1] * count, RESULT_COLUMNS)
    path = tmp_path / "a.parquet"
    path.write_bytes(frames.encode(table))
    packings = {
        pq.read_metadata(path).row_group(0).column(k).compression for k in range(table.num_columns)
    }
    assert packings == {"UNCOMPRESSED" if count < frames.FEW else "ZSTD"}
    packed = io.BytesIO()
    pq.write_table(table, packed, compression="zstd")
    assert path.stat().st_size < 1.3 * len(packed.getvalue())
    again = frames.decode(path, RESULT_COLUMNS, sealed=True)
    assert again.to_pylist() == table.to_pylist()


def test_a_digest_may_stand_anywhere_or_be_missing():
    for before in (b"", b"a", b"{" * 100):
        sealed = files.seal(before + files.SLOT.encode() + b"}")
        assert files.check_seal(sealed, required=True) is True
        with pytest.raises(DamagedFileError, match="do not fit"):
            files.check_seal(sealed[:-1] + b"]", required=False)
    assert files.check_seal(b"{}", required=False) is False
    with pytest.raises(DamagedFileError, match="no digest"):
        files.check_seal(b"{}", required=True)


def test_facts_are_written_as_people_read_them(tmp_path):
    files.write_json(tmp_path / "a.json", {"task": "été 中", "n": 1})
    assert "été 中" in (tmp_path / "a.json").read_text("utf-8")
    assert files.read_json(tmp_path / "a.json", required=True) == {"task": "été 中", "n": 1}
    with pytest.raises(ValueError, match="JSON"):  # which has no number that is none
        files.write_json(tmp_path / "b.json", {"n": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_what_is_not_there_or_cannot_be_reached_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.read_regular(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "nothing")
    with pytest.raises(StoreError, match=r"^cannot read .*: File name too long$"):
        files.read_json(tmp_path / ("long" * 100))


def test_a_write_that_fails_leaves_what_was_there_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_atomically(path, b"before")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_file_elsewhere_is_written_and_read(tmp_path):
    from odyssey.storage.places import place

    path = place(f"file://{tmp_path}") / "a.json"
    files.write_json(path, {"n": 1})
    assert files.read_json(path) == {"n": 1}
