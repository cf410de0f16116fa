"""The corpora: files put by hand, damaged files, downloads, no network."""

import dataclasses
import hashlib
import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pooch
import pytest

from odyssey.errors import TaskError
from odyssey.tasks import download, get_task


def no_network(*args, **kwargs):
    raise ConnectionError("no route\nto host")


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Makes pooch fetch from a folder instead of the network, hashes checked as pooch does."""
    site = tmp_path / "site"
    site.mkdir()

    def retrieve(url, known_hash, *, fname, path, progressbar):
        source = site / url.rpartition("/")[2]
        if known_hash is not None:
            algorithm, _, expected = known_hash.partition(":")
            if hashlib.new(algorithm, source.read_bytes()).hexdigest() != expected:
                raise ValueError("hash of downloaded file does not match the known hash")
        pooch.get_logger().info("Downloading data from %s", url)
        return shutil.copy(source, Path(path, fname))

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    return site


def test_the_real_registry_is_complete():
    for name, dataset in download.DATASETS.items():
        algorithm, _, digest = dataset.digest.partition(":")
        known = 12 if dataset.part_of else 2 * hashlib.new(algorithm).digest_size
        assert len(digest) == known, name
        assert (dataset.download_digest is None) == bool(dataset.part_of or dataset.joined)
        assert dataset.size > (600_000 if dataset.file == download.FILE_NAME else 90_000)
        assert dataset.url.startswith(("https://", "http://"))
        assert (dataset.member is None) == (dataset.archive_digest is None)
        assert dataset.member is None or dataset.archive_digest.startswith("sha256:")
        assert not (dataset.member and dataset.joined)


def test_a_file_put_by_hand_is_used(own_corpora, monkeypatch):
    monkeypatch.setattr(pooch, "retrieve", no_network)
    path = download.dataset_path("text8")
    assert path == own_corpora / "text8" / "input.txt"
    assert get_task("text8").characters("train") == 4500


def test_the_checksum_is_computed_once(own_corpora, monkeypatch):
    download.dataset_path("warpeace")
    computed = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: computed.append(a) or digest(*a))
    download.dataset_path("warpeace")
    assert computed == []
    path = own_corpora / "warpeace" / "input.txt"
    path.write_bytes(path.read_bytes()[::-1])  # the same size, another time and content
    with pytest.raises(TaskError, match="is not warpeace: its sha256 is"):
        download.dataset_path("warpeace")
    assert len(computed) == 1


def test_a_read_only_folder_will_do(own_corpora, monkeypatch):
    folder = own_corpora / "warpeace"
    folder.chmod(0o555)
    try:
        for _ in range(2):
            assert download.dataset_path("warpeace") == folder / "input.txt"
        assert [file.name for file in folder.iterdir()] == ["input.txt"]
    finally:
        folder.chmod(0o755)


def test_damaged_files_are_found(own_corpora):
    path = own_corpora / "enwik8" / "input.txt"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(TaskError, match=r"has 4999 bytes, enwik8 has 5000; delete it.*enwik8\.zip"):
        get_task("enwik8")
    path.write_bytes(whole[:-1] + b"?")
    with pytest.raises(TaskError, match=r"is not enwik8.*delete it"):
        get_task("enwik8")


@pytest.mark.parametrize("name", list(download.DATASETS))
def test_without_a_network_the_error_says_where_to_put_the_file(tmp_path, monkeypatch, name):
    monkeypatch.setenv(download.DATA_VARIABLE, str(tmp_path))
    monkeypatch.setattr(pooch, "retrieve", no_network)
    with pytest.raises(TaskError) as caught:
        download.dataset_path(name)
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path / name / download.DATASETS[name].file) in message
    assert download.DATASETS[name].url in message
    assert ("unzip" in message) == (download.DATASETS[name].member is not None)
    assert list((tmp_path / name).iterdir()) == []


def test_a_file_is_downloaded_once_and_quietly(own_corpora, served, capfd, monkeypatch):
    path = own_corpora / "tinyshakespeare" / "input.txt"
    shutil.move(path, served / "input.txt")
    logger, said = pooch.get_logger(), []
    level = logger.level
    monkeypatch.setattr(logger, "handle", said.append)  # it prints what gets so far
    assert download.dataset_path("tinyshakespeare") == path
    monkeypatch.setattr(pooch, "retrieve", no_network)
    assert download.dataset_path("tinyshakespeare") == path
    assert {file.name for file in path.parent.iterdir()} == {"input.txt", ".input.txt.checked"}
    assert said == []
    assert logger.level == level
    assert capfd.readouterr() == ("", "")


def test_the_member_of_an_archive_is_read(own_corpora, served, monkeypatch):
    path = own_corpora / "enwik8" / "input.txt"
    expected = path.read_bytes()
    with zipfile.ZipFile(served / "enwik8.zip", "w") as archive:
        archive.write(path, "enwik8")
    path.unlink()
    digest = "sha256:" + hashlib.sha256((served / "enwik8.zip").read_bytes()).hexdigest()
    entry = dataclasses.replace(download.DATASETS["enwik8"], archive_digest=digest)
    monkeypatch.setitem(download.DATASETS, "enwik8", entry)
    assert download.dataset_path("enwik8").read_bytes() == expected
    assert {file.name for file in path.parent.iterdir()} == {"input.txt", ".input.txt.checked"}


def tar_of(path, files):
    with tarfile.open(path, "w:xz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            if data is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, "a.c"
                archive.addfile(entry)
            else:
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))


SOURCES = {
    "linux/b.c": b"int b;",
    "linux/a.h": b"#define A\n",
    "linux/README": b"read me\n",
    "linux/empty.c": b"",
    "linux/link.c": None,
    "linux/a/z.c": b"int z;\n",
}


def joined_of(text, monkeypatch, name="linux-1.0"):
    digest = "sha256:" + hashlib.sha256(text).hexdigest()
    entry = download.DATASETS[name]
    entry = dataclasses.replace(entry, size=len(text), digest=digest)
    monkeypatch.setitem(download.DATASETS, name, entry)


def test_files_of_an_archive_are_joined_in_the_order_of_their_paths(
    own_corpora, served, monkeypatch
):
    path = own_corpora / "linux-1.0" / "input.txt"
    path.unlink()
    tar_of(served / "linux-1.0.tar.xz", SOURCES)
    joined_of(b"#define A\nint z;\nint b;\n", monkeypatch)
    assert download.dataset_path("linux-1.0").read_bytes() == b"#define A\nint z;\nint b;\n"
    assert {file.name for file in path.parent.iterdir()} == {"input.txt", ".input.txt.checked"}


def test_files_of_a_folder_are_shuffled_and_cut(own_corpora, served, monkeypatch):
    path = own_corpora / "linux" / "input.txt"
    path.unlink()
    files = {
        "linux-4.19/kernel/a.c": b"int a;",
        "linux-4.19/kernel/deep/b.h": b"\tint b;\n",
        "linux-4.19/kernel/c.c": b"int c;\n",
        "linux-4.19/kernel/empty.c": b"",
        "linux-4.19/kernel/latin.c": b"/* \xe9 */\n",
        "linux-4.19/kernel/feed.c": b"int f;\r\n",
        "linux-4.19/kernel/Makefile": b"all:\n",
        "linux-4.19/mm/kernel/d.c": b"int d;\n",
    }
    tar_of(served / "linux-4.19.tar.xz", files)
    # sha256sum of kernel/deep/b.h begins with 89, of kernel/a.c with a6, of kernel/c.c with e8
    joined_of(b"\tint b;\nint a;\nint c", monkeypatch, "linux")
    assert download.dataset_path("linux").read_bytes() == b"\tint b;\nint a;\nint c"


@pytest.mark.parametrize(
    ("files", "message"),
    [(None, "ReadError"), ({}, "0 files joined"), ({"a.c": b"int c;"}, "1 files joined")],
)
def test_an_archive_of_other_files_leaves_nothing(own_corpora, served, monkeypatch, files, message):
    path = own_corpora / "linux-1.0" / "input.txt"
    path.unlink()
    joined_of(b"int a;\n", monkeypatch)
    archive = served / "linux-1.0.tar.xz"
    if files is None:
        archive.write_bytes(b"no archive")
    else:
        tar_of(archive, files)
    with pytest.raises(TaskError, match=message) as caught:
        download.dataset_path("linux-1.0")
    assert r"(all *.c and *.h in the order of their paths)" in str(caught.value)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("member", "message"), [("other", "KeyError"), (None, "BadZipFile"), ("wrong", "ValueError")]
)
def test_a_bad_archive_leaves_nothing(own_corpora, served, monkeypatch, member, message):
    path = own_corpora / "text8" / "input.txt"
    archive_path = served / "text8.zip"
    archive_path.write_bytes(b"no archive")
    if member == "other":
        with zipfile.ZipFile(archive_path, "w") as archive:
            archive.write(path, "other")
    path.unlink()
    digest = hashlib.sha256(archive_path.read_bytes()).hexdigest()
    if member == "wrong":
        digest = "0" * 64
    entry = dataclasses.replace(download.DATASETS["text8"], archive_digest=f"sha256:{digest}")
    monkeypatch.setitem(download.DATASETS, "text8", entry)
    with pytest.raises(TaskError, match=message):
        download.dataset_path("text8")
    assert list(path.parent.iterdir()) == []


def test_a_data_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(download.DATA_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(TaskError, match="set ODYSSEY_DATA to another folder"):
        download.dataset_path("warpeace")
    assert not any(row["present"] for row in download.list_datasets())


def test_unknown_corpora_are_named(corpora):
    with pytest.raises(TaskError, match=r"no corpus called 'text9'; closest: text8"):
        download.dataset_path("text9")


def test_the_folder_is_the_variable_or_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(download.DATA_VARIABLE, str(tmp_path))
    assert download.data_dir() == tmp_path
    monkeypatch.delenv(download.DATA_VARIABLE)
    assert download.data_dir() == Path(pooch.os_cache("odyssey"))


def test_the_list_says_what_is_present(own_corpora):
    (own_corpora / "enwik8" / "input.txt").unlink()
    rows = {row["name"]: row for row in download.list_datasets()}
    assert list(rows) == list(download.DATASETS)
    assert {name for name, row in rows.items() if not row["present"]} == {"enwik8"}
    assert rows["text8"]["path"] == str(own_corpora / "text8" / "input.txt")
    assert rows["text8"]["bytes"] == 5000
    assert all(row["licence"] and row["url"] for row in rows.values())


def test_the_beginning_of_a_digest_is_checked_before_a_file_is_put_in_place(
    tmp_path, served, monkeypatch
):
    monkeypatch.setenv(download.DATA_VARIABLE, str(tmp_path / "data"))
    name, data = "sentiment-positive", b"good film\n" * 10
    known = "sha256:" + hashlib.sha256(data).hexdigest()[:12]
    entry = dataclasses.replace(download.DATASETS[name], size=len(data), digest=known)
    monkeypatch.setitem(download.DATASETS, name, entry)
    (served / "rt-polarity.pos").write_bytes(data.replace(b"good", b"evil"))
    with pytest.raises(TaskError, match=r"cannot download sentiment-positive.*does not begin with"):
        download.dataset_path(name)
    assert list((tmp_path / "data" / name).iterdir()) == []
    (served / "rt-polarity.pos").write_bytes(data)
    assert download.dataset_path(name).read_bytes() == data
