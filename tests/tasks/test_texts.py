"""Texts: splits, streams, units, and what is refused."""

import hashlib
import itertools
import os
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from support.counting import at_most

from odyssey.errors import TaskError
from odyssey.tasks import get_task, python_source
from odyssey.tasks.recorded import recorded_task

TEXT = "".join(chr(ord("a") + (i * i) % 23) for i in range(1000))


@pytest.fixture
def book(tmp_path):
    def write(data, name="book.txt"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return f"text:{path}"

    return write


def held_out_text(task, split, **shape):
    """Reads the pieces back: first input, then all counted targets, column by column."""
    batches = list(task.held_out(split, **shape))
    inputs, targets, weights = (
        np.concatenate([getattr(b, part) for b in batches]).T
        for part in ("inputs_TB", "targets_TB", "weights_TB")
    )
    return task.decode(inputs[0, :1]) + task.decode(targets[weights])


@pytest.mark.parametrize(
    ("split", "sizes"),
    [("90/5/5", (900, 50, 50)), ("80/10/10", (800, 100, 100)), ("33.3/33.3/33.4", (333, 333, 334))],
)
def test_splits_are_consecutive_and_complete(book, split, sizes):
    task = get_task(f"{book(TEXT)}@split={split}")
    assert tuple(task.characters(part) for part in ("train", "valid", "test")) == sizes
    train, valid, _ = sizes
    for batch_size in (1, 4, 7):
        shape = {"batch_size": batch_size, "unroll": 6}
        assert held_out_text(task, "valid", **shape) == TEXT[train : train + valid]
        assert held_out_text(task, "test", **shape) == TEXT[train + valid :]
        assert held_out_text(task, "test", **shape, characters=9999) == TEXT[train + valid :]
        assert held_out_text(task, "test", **shape, characters=20) == TEXT[train + valid :][:21]


@pytest.mark.parametrize("stretches", [2, 7, 100])
def test_stretches_are_split_each_by_itself(book, stretches):
    task = get_task(f"{book(TEXT)}@split=80/10/10,stretches={stretches}")
    parts = {"train": "", "valid": "", "test": ""}
    edges = [len(TEXT) * k // stretches for k in range(stretches + 1)]
    for a, b in itertools.pairwise(edges):
        first, second = a + (b - a) * 8 // 10, a + (b - a) * 9 // 10
        pieces = TEXT[a:first], TEXT[first:second], TEXT[second:b]
        for name, piece in zip(parts, pieces, strict=True):
            parts[name] += piece
    assert {name: task.decode(task.indices(name)) for name in parts} == parts
    assert task.describe()["stretches"] == stretches
    again = recorded_task(task.name, task.describe())
    assert again.describe() == task.describe()


def test_known_words_are_those_of_the_train_parts_of_all_stretches(book):
    text = "a b c d e f g h i j k l "
    task = get_task(f"{book(text)}@unit=words,split=50/25/25,stretches=3")
    assert {"a", "b", "e", "f", "i", "j"} <= set(task.symbols)
    assert not {"c", "d", "g", "h", "k", "l"} & set(task.symbols)


@pytest.mark.parametrize(("characters", "pieces"), [(1, 1), (7, 4), (33, 10), (48, 7), (49, 4)])
def test_a_part_of_a_split_is_spread_over_all_of_it(book, characters, pieces):
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 1000)))  # every symbol says where it stands
    task = get_task(f"{book(text)}@unit=characters")
    shape = {"batch_size": pieces, "unroll": 6, "characters": characters}
    batches = list(task.held_out("valid", **shape, warmup=8))
    targets = np.concatenate([batch.targets_TB[batch.weights_TB] for batch in batches])
    assert len(set(targets)) == len(targets) == characters
    assert targets.min() > 900
    if pieces > 1:
        assert targets.max() == 949
        assert np.diff(np.sort(targets)).max() <= 1 + 50 // (pieces - 1)


def test_enough_of_a_text_is_fifty_thousand_symbols_of_many_modules():
    task = get_task("python-source")
    for split in ("valid", "test"):
        assert task.enough[split] >= 50_000
        assert task.characters(split) > task.enough[split]
        shape = {"batch_size": 50, "unroll": 1_000, "characters": task.enough[split]}
        counted = sum(int(b.weights_TB.sum()) for b in task.held_out(split, **shape, warmup=50))
        assert counted == task.enough[split]


def test_tinyshakespeare_would_be_split_as_nanogpt_does(book):
    task = get_task(book(b"ab" * 557_697))
    assert task.characters("train") == 1_003_854


def test_training_reads_the_train_split_on_and_around(book):
    task = get_task(book(TEXT))
    stream = task.train(batch_size=4, unroll=25, rng=np.random.default_rng(0))
    batches = list(itertools.islice(stream, 40))
    inputs_TB = np.concatenate([batch.inputs_TB for batch in batches])  # 1,000 steps of 900
    around = TEXT[:900] * 3
    starts = [around.find(task.decode(column)) for column in inputs_TB.T]
    assert min(starts) >= 0
    # Equally far apart: 225 steps read every character of the split once.
    assert sorted(np.diff(sorted(starts)).tolist()) == [225, 225, 225]
    assert all(batch.weights_TB.all() for batch in batches)


def test_the_first_place_is_drawn(book):
    task = get_task(book(TEXT))
    first = {
        task.decode(
            next(task.train(batch_size=1, unroll=20, rng=np.random.default_rng(seed))).inputs_TB[
                :, 0
            ]
        )
        for seed in range(10)
    }
    assert len(first) > 5


def test_units(book):
    spec = book("ä☃\n" * 100)
    as_bytes, as_characters = get_task(f"{spec}@unit=bytes"), get_task(spec)
    assert as_bytes.symbols == ("\\n", "\\x83", "\\x98", "\\xa4", "\\xc3", "\\xe2")
    assert as_characters.symbols == ("\\n", "ä", "☃")
    assert (as_bytes.counted, as_characters.counted) == ("every byte", "every character")
    assert as_bytes.encode("☃").size == 3
    assert as_characters.encode("☃").tolist() == [2]
    for task in (as_bytes, as_characters):
        assert task.decode(task.encode("☃ä\n")) == "☃ä\n"
    assert as_bytes.decode(as_bytes.encode("☃")[:2]) == "\\xe2\\x98"
    assert as_bytes.characters("train") == 540
    assert as_characters.characters("train") == 270


def test_more_than_256_characters(book):
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 700)))
    task = get_task(f"{book(text)}@unit=characters")
    assert task.num_symbols == 700
    assert task.decode(task.encode(text)) == text
    assert held_out_text(task, "test", batch_size=2, unroll=5) == text[665:]


def test_the_vocabulary_is_that_of_the_whole_text(book):
    task = get_task(book("ab" * 50 + "z"))
    assert task.symbols == ("a", "b", "z")
    assert task.describe()["vocabulary"] == "abz"


def test_the_prime_is_a_newline_or_the_first_character(book):
    for text, prime in (("xay\n" * 50, "\n"), ("xay" * 50, "x")):
        task = get_task(book(text))
        assert task.decode(task.sample_prime()) == prime


def test_the_description_identifies_the_text(book):
    row = get_task(book(TEXT)).describe()
    assert row["sha256"] == hashlib.sha256(TEXT.encode()).hexdigest()
    assert row["train_characters"] == 900
    assert row["split"] == "90/5/5"


def test_check_fits(book):
    task = get_task(book(TEXT))
    task.check_fits(29, 31)  # 899 and one more
    with pytest.raises(TaskError, match=r"900 characters.*30 streams by 30 steps \(901\)"):
        task.check_fits(30, 30)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"", "", "is empty"),
        (b"a" * 500, "", "nothing but 'a'"),
        (b"ab" * 15, "", "the valid split of .* has 1 of 30 symbols"),
        (b"ab" * 500, "@split=99.9/0.05/0.05", "the valid split"),
        (
            b"ab\xff" * 50,
            "@unit=characters",
            r"not utf-8 \(byte 0xff at 2: .*give another encoding=.*or unit=bytes",
        ),
    ],
)
def test_unusable_texts_are_refused(book, data, options, message):
    with pytest.raises(TaskError, match=message) as caught:
        get_task(book(data) + options)
    assert "\n" not in str(caught.value)


def test_unreadable_paths_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "none.txt", "no file"),
        (tmp_path / "pipe", "not a regular file"),
        (f"{tmp_path}/nul\0l", "no file|cannot read"),
        ("x" * 5000, "cannot read"),
    ):
        with pytest.raises(TaskError, match=message) as caught:
            get_task(f"text:{path}")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500


def test_python_source_is_the_standard_library():
    with at_most(1_000_000):  # a list of some thousand files, and some hundred of them read
        task = get_task("python-source")
    assert sum(task.characters(split) for split in ("train", "valid", "test")) == 2_000_000
    row = task.describe()
    assert row["python"] == ".".join(map(str, __import__("sys").version_info[:3]))
    text = python_source.python_source(300_000)
    assert text == python_source.python_source(2_000_000)[:300_000]
    assert text.isascii()
    assert text.count(b"import ") > 50


@pytest.fixture
def small_library(tmp_path, monkeypatch):
    """A standard library of a few files; gives a function that adds one."""
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))

    def add(relative, data):
        path = tmp_path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return add


def test_python_source_leaves_out_tests_and_what_is_not_ascii(small_library):
    kept = {"a.py": b"a" * 60 + b"\n", "json/b.py": b"b\r\n" * 20, "c.py": b"c\n" * 30}
    for relative, data in kept.items():
        small_library(relative, data)
    for relative in (
        "test/t.py", "json/tests/t.py", "idlelib/idle_test/t.py", "site-packages/t.py",
        "_sysconfigdata__linux.py", "notes.txt",
    ):  # fmt: skip
        small_library(relative, b"XXX\n" * 9)
    small_library("latin.py", "# ü XXX\n".encode() * 9)
    order = sorted(kept, key=lambda relative: hashlib.sha256(relative.encode()).hexdigest())
    expected = b"".join(kept[relative] for relative in order).replace(b"\r\n", b"\n")
    assert python_source.python_source(len(expected)) == expected
    with pytest.raises(TaskError, match=f"{len(expected)} bytes"):
        python_source.python_source(len(expected) + 1)


def test_python_source_reads_no_more_than_it_needs(small_library, monkeypatch):
    for i in range(50):
        small_library(f"m{i}.py", b"x = 1\n" * 100)
    opened = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path) or read(path))
    assert len(python_source.python_source(1000)) == 1000
    assert len(opened) == 2
