"""How bytes become symbols: units, encodings, marks, notices; what samples print is understood."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from odyssey.errors import TaskError
from odyssey.tasks import get_task
from odyssey.tasks.recorded import recorded_task
from odyssey.tasks.text import MissingText
from odyssey.tasks.vocabulary import Vocabulary
from odyssey.wording import each, unit_of, unit_of_all

BOOK = "Été à l’île: «où?» Straße, Ärger, żółw.\r\n" * 20
CHINESE = "他说「你好」，然后走了。\n" * 40


@pytest.fixture
def book(tmp_path):
    def write(data, options=""):
        path = tmp_path / "book.txt"
        path.write_bytes(data)
        return f"text:{path}{options}"

    return write


def whole(task):
    """Reads a text back from its splits."""
    return task.decode(np.concatenate([task.indices(s) for s in ("train", "valid", "test")]))


# encoding that the file has, what it begins with, options, what is read, its encoding, a notice
READ = [
    ("utf-8", b"", "", "characters", "utf-8", ""),
    ("ascii", b"", "", "characters", "utf-8", ""),
    ("utf-8", b"\xef\xbb\xbf", "", "characters", "utf-8", "byte order mark, which is left out"),
    ("utf-16-le", b"\xff\xfe", "", "characters", "utf-16", "read as utf-16"),
    ("utf-16-be", b"\xfe\xff", "", "characters", "utf-16", "read as utf-16"),
    ("utf-32-le", b"\xff\xfe\0\0", "", "characters", "utf-32", "read as utf-32"),
    ("utf-32-be", b"\0\0\xfe\xff", "", "characters", "utf-32", "read as utf-32"),
    ("utf-16-le", b"", "@encoding=utf-16-le", "characters", "utf-16-le", ""),
    ("utf-16-le", b"\xff\xfe", "@encoding=utf-16-le", "characters", "utf-16-le", "is left out"),
    ("cp1252", b"", "@encoding=cp1252", "characters", "cp1252", ""),
    ("latin-1", b"", "@encoding=latin-1", "characters", "latin-1", ""),
    ("latin-1", b"", "", "bytes", "", "is not utf-8 (byte 0xe9 at 0: invalid"),
    ("utf-8", b"", "@unit=bytes", "bytes", "", ""),
    ("utf-8", b"\xef\xbb\xbf", "@unit=bytes", "bytes", "", ""),
]


@pytest.mark.parametrize(("kept", "mark", "options", "unit", "encoding", "notice"), READ)
def test_a_file_is_read_as_what_it_is(book, kept, mark, options, unit, encoding, notice):
    text = "été à la façon: «où»\r\nça\n" * 30
    if kept == "ascii":
        text = text.encode("ascii", "ignore").decode()
    data = mark + text.encode(kept)
    task = get_task(book(data, options))
    row = task.describe()
    assert (row["unit"], row["encoding"]) == (unit, encoding)
    assert task.counted == f"every {each(unit)}"
    assert [notice in line for line in task.notices] == [True] * bool(notice)
    assert all("\n" not in line for line in task.notices)
    assert row.get("notices", []) == list(task.notices)
    assert row["sha256"] == hashlib.sha256(data).hexdigest()
    codes = [ord(c) for c in row["vocabulary"]]
    if unit == "characters":
        assert whole(task) == text  # line ends as they are
        assert codes == sorted({ord(c) for c in text})
    else:
        assert codes == sorted(set(data))
    assert json.loads(json.dumps(row)) == row


def test_an_ascii_text_is_the_same_by_bytes_and_by_characters(book):
    spec = book(b"to be or not to be\n" * 30)
    one, other = get_task(spec), get_task(f"{spec}@unit=bytes")
    assert one.symbols == other.symbols
    assert np.array_equal(one.indices("train"), other.indices("train"))
    assert one.describe()["sha256"] == other.describe()["sha256"]  # which names the data's stream


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"caf\xe9" * 50, "@encoding=utf-8", "not utf-8 (byte 0xe9 at 3: invalid"),
        (b"caf\xe9" * 50, "@unit=characters", "give another encoding=, as in encoding=latin-1"),
        (b"ab" * 50 + b"\xe9", "@encoding=ascii", "not ascii (byte 0xe9 at 100"),
        (b"ab" * 50 + b"c", "@encoding=utf-16-le", "not utf-16-le (byte 0x63 at 100: truncated"),
        (b"\x81" * 50, "@encoding=cp1252", "not cp1252 (byte 0x81 at 0"),
        (b"\xff\xfe" + b"a" * 51, "@unit=characters", "not utf-16 (byte 0x61 at"),
        (b"abc" * 50, "@unit=bytes,encoding=latin-1", "bytes have no encoding"),
    ],
)
def test_a_wrong_encoding_says_what_failed_and_where(book, data, options, message):
    with pytest.raises(TaskError) as caught:
        get_task(book(data, options))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_text_full_of_nulls_is_suspect(book):
    task = get_task(book("To be or not to be\n".encode("utf-16-le") * 30))
    assert "encoding=utf-16-le" in task.notices[0]


# what samples print, understood

ALPHABETS = st.one_of(
    st.tuples(st.just("bytes"), st.sets(st.integers(0, 255), min_size=2)),
    st.tuples(
        st.just("characters"),
        st.sets(st.integers(0, 0x10FFFF).filter(lambda c: not 0xD800 <= c < 0xE000), min_size=2),
    ),
)


@settings(max_examples=200, deadline=None)
@given(ALPHABETS, st.lists(st.integers(0, 2**16), max_size=30))
@example(("bytes", {0, 1, 0x80, 0xC2}), [3, 2, 2])
@example(("bytes", {0xA0, 0xAD, 0xC2}), [2, 0, 2, 1, 0])
@example(("bytes", {0, 9, 13}), [1, 2])
@example(("characters", {0x20, 0x85, 0xA0, 0x3000}), [0, 1, 2, 3])
def test_what_is_decoded_can_be_encoded(alphabet, picked):
    unit, codes = alphabet
    if ord("\\") in codes:
        codes = codes - {ord("\\")}  # with it a sample may look like an escape
    vocabulary = Vocabulary(sorted(codes), unit=unit, name="it")
    if not vocabulary.codes.size:
        return
    indices = [k % vocabulary.codes.size for k in picked]
    assert vocabulary.encode(vocabulary.decode(indices)).tolist() == indices
    # and so can what a terminal shows of it that takes nothing but ASCII
    from odyssey.progress.output import without_steering

    shown = without_steering(vocabulary.decode(indices).replace("\r\n", "\\x0d\n"))
    if unit == "characters":
        shown = shown.encode("ascii", "backslashreplace").decode("ascii")
    assert vocabulary.encode(shown).tolist() == indices


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_characters_lie_over_their_bytes(data):
    vocabulary = Vocabulary(range(256), unit="bytes", name="it")
    pieces = vocabulary.pieces(list(data))
    assert sum(size for _, size in pieces) == len(data)
    assert len(vocabulary.characters(list(data))) == len(data)
    at = 0
    for character, size in pieces:
        own = data[at : at + size]
        if 0xF780 <= ord(character) <= 0xF7FF and size == 1:
            assert own == bytes([ord(character) - 0xF700])
        else:
            assert own.decode("utf-8") == character
        at += size
    assert vocabulary.data(list(data)) == data


def test_an_escape_that_stands_for_nothing_is_what_it_looks_like(book):
    task = get_task(book(rb"C:\x41 or \xe9 or \u00e9. " * 20))
    for text in (r"\x41", r"\xe9", r"\u00e9"):
        assert task.decode(task.encode(text)) == text
    latin = get_task(book(BOOK.encode("cp1250", "replace"), "@encoding=cp1250"))
    assert latin.decode(latin.encode("Été")) == "Été"
    assert latin.decode(latin.encode(r"\xc9t\xe9")) == "Été"
    assert len(latin.encode(r"\xc9t\xe9")) == 3


# records

SPECS = [("utf-8", ""), ("latin-1", "@encoding=latin-1"), ("latin-1", ""), ("utf-8", "@unit=bytes")]


@pytest.mark.parametrize(("kept", "options"), SPECS)
def test_a_record_knows_the_symbols_of_a_text_that_is_gone(book, tmp_path, kept, options):
    text = "été à la façon\n" * 40
    spec = book(text.encode(kept), options)
    task = get_task(spec)
    record = json.loads(json.dumps(task.describe()))
    again = recorded_task(spec, record)
    plain = {k: v for k, v in task.describe().items() if k != "notices"}
    assert again.describe() == plain  # that it is read in an unexpected way was said once
    moved = tmp_path / "moved.txt"
    (tmp_path / "book.txt").rename(moved)
    gone = recorded_task(spec, record)
    assert isinstance(gone, MissingText)
    assert gone.symbols == task.symbols
    assert gone.describe() == record
    assert gone.characters("train") == task.characters("train")
    start = task.indices("train")[:40]
    assert gone.decode(start) == task.decode(start)
    assert gone.encode(task.decode(start)).tolist() == start.tolist()
    assert gone.sample_prime().tolist() == task.sample_prime().tolist()
    for call in (
        lambda: gone.train(batch_size=1, unroll=2, rng=np.random.default_rng(1)),
        lambda: gone.held_out("test", batch_size=1, unroll=2),
        lambda: gone.indices("test"),
    ):
        with pytest.raises(TaskError, match=r"no file .*--text PATH names a moved text"):
            call()
    found = recorded_task(spec, record, text=str(moved))
    assert np.array_equal(found.indices("test"), task.indices("test"))
    moved.write_bytes(b"another text " * 50)
    with pytest.raises(TaskError, match=r"is not the text of .*: its sha256 is \w{12}\.\.\., not"):
        recorded_task(spec, record, text=str(moved))
    moved.rename(tmp_path / "book.txt")
    changed = recorded_task(spec, record)
    with pytest.raises(TaskError, match="the text has changed since the run began"):
        changed.indices("train")


def test_a_record_of_before_encodings_is_read_by_bytes_as_it_was(book):
    spec = book(CHINESE.encode())
    now, then = get_task(spec), get_task(f"{spec}@unit=bytes")
    old = {k: v for k, v in then.describe().items() if k not in ("encoding", "notices")}
    old |= {"name": spec, "vocabulary": "of the whole text"}
    again = recorded_task(spec, old)
    assert again.unit == "bytes"
    assert again.num_symbols == then.num_symbols != now.num_symbols
    assert np.array_equal(again.indices("valid"), then.indices("valid"))
    characters = old | {"unit": "characters", "num_symbols": now.num_symbols}
    assert recorded_task(spec, characters).num_symbols == now.num_symbols
    with pytest.raises(TaskError, match="read by another version"):
        recorded_task(spec, old | {"num_symbols": 3})
    with pytest.raises(TaskError, match="does not say how its text was read"):
        recorded_task(spec, {"sha256": old["sha256"]})


def test_generated_tasks_have_no_text():
    assert recorded_task("xml", get_task("xml").describe()).name == "xml"
    with pytest.raises(TaskError, match="reads no text: leave out --text"):
        recorded_task("xml", {}, text="book.txt")


def test_the_unit_of_measure_is_the_tasks(book, corpora):
    chinese = book(CHINESE.encode())
    cases = {
        "xml": "characters",
        "tinyshakespeare": "characters",
        "warpeace": "bytes",
        "enwik8": "bytes",
        chinese: "characters",
        f"{chinese}@unit=bytes": "bytes",
    }
    records = {spec: get_task(spec).describe() for spec in cases}
    assert {spec: unit_of(record) for spec, record in records.items()} == cases
    assert unit_of_all(records) == "symbols"
    assert unit_of_all({}) == unit_of_all({"xml": records["xml"]}) == "characters"
    assert [each(u, short=True) for u in ("bytes", "characters", "symbols")] == [
        "byte",
        "char",
        "symbol",
    ]
    # older records called the bytes of an ASCII corpus bytes, and their losses bits/char
    assert unit_of({"name": "tinyshakespeare", "unit": "bytes"}) == "characters"
    assert unit_of({"name": "warpeace", "unit": "bytes"}) == "bytes"
