"""Words as symbols: splitting, the known ones, joining, texts that are read by words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odyssey.errors import TaskError
from odyssey.tasks import get_task
from odyssey.tasks.recorded import recorded_task
from odyssey.tasks.text import MissingText
from odyssey.tasks.words import UNKNOWN, WordVocabulary, known_words, split_words

TEXT = "the cat saw the dog .\nthe dog\tsaw  a <unk> .\n\na cat\n" * 30


@pytest.fixture
def book(tmp_path):
    (tmp_path / "book.txt").write_text(TEXT)
    return f"text:{tmp_path / 'book.txt'}"


def test_words_stand_between_blanks_and_lines_end_with_a_symbol():
    assert split_words("a  b\tc\n\n d\r\ne") == ["a", "b", "c", "\n", "\n", "d", "\n", "e"]
    assert split_words("") == []


@given(st.lists(st.sampled_from(["a", "b", "cc", "\n"]), max_size=30))
def test_what_is_joined_splits_into_the_same_words(words):
    vocabulary = WordVocabulary([UNKNOWN, "a", "b", "cc", "\n"], name="x")
    text = vocabulary.decode(vocabulary.index(words))
    assert split_words(text) == words
    assert " \n" not in text
    assert "\n " not in text


def test_the_most_frequent_words_are_known_and_ties_are_in_order():
    words = ["b", "a", "c", "b", "d", "a", UNKNOWN, UNKNOWN, UNKNOWN]
    assert known_words(words, most=9, least_count=1) == (UNKNOWN, "a", "b", "c", "d")
    assert known_words(words, most=4, least_count=1) == (UNKNOWN, "a", "b", "c")
    assert known_words(words, most=9, least_count=2) == (UNKNOWN, "a", "b")


def test_a_text_by_words(book):
    task = get_task(f"{book}@unit=words,split=80/10/10")
    words = split_words(TEXT)
    sizes = [task.characters(s) for s in ("train", "valid", "test")]
    assert sizes == [int(0.8 * len(words)), *[int(0.1 * len(words))] * 2]
    assert (task.unit, task.counted) == ("words", "every word")
    assert set(task.symbols) == {*words} - {"\n"} | {"\\n"}
    assert task.symbols[0] == UNKNOWN
    assert task.decode(task.encode("the cat")) == "the cat"
    assert task.decode(task.encode("a zebra .\nthe")) == "a <unk> .\nthe"
    assert task.data(task.indices("train")[:5]) == b"the cat saw the dog"
    assert task.decode(task.sample_prime()) == "\n"
    with pytest.raises(TaskError, match="has no word"):
        task.encode(" ")


def test_rare_words_are_unknown(book):
    few = get_task(f"{book}@unit=words,words=4")
    assert few.symbols == (UNKNOWN, "\\n", "the", ".")  # of those that occur 60 times, the first
    rare = get_task(f"{book}@unit=words,least_count=50,words=50")
    assert set(rare.symbols) == {UNKNOWN, "\\n", "the", "cat", "dog", "saw", "a", "."}
    unknown = np.count_nonzero(few.indices("train") == 0)
    assert 0 < unknown < few.characters("train")


def test_only_words_of_the_train_split_are_known(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("a b " * 40 + "c d " * 5 + "e f " * 5)
    task = get_task(f"text:{path}@unit=words,split=80/10/10")
    assert task.symbols == (UNKNOWN, "a", "b")
    assert not task.indices("test").any()


def test_a_recorded_text_is_read_the_same_and_known_without_its_file(book, tmp_path):
    spec = f"{book}@unit=words,words=5,least_count=2"
    task = get_task(spec)
    record = task.describe()
    assert (record["words"], record["least_count"], record["unit"]) == (5, 2, "words")
    assert recorded_task(spec, record).describe() == record
    (tmp_path / "book.txt").unlink()
    gone = recorded_task(spec, record)
    assert isinstance(gone, MissingText)
    assert gone.symbols == task.symbols
    assert gone.decode(gone.encode("the cat saw")) == task.decode(task.encode("the cat saw"))
    assert gone.sample_prime().tolist() == task.sample_prime().tolist()
    for call in (gone.train_in_order, gone.updates_per_pass):
        with pytest.raises(TaskError, match="--text PATH"):
            call(batch_size=1, unroll=1)
