"""Sentences and their verdicts, from small files that stand in for the downloaded ones."""

import dataclasses
import hashlib

import pytest

from odyssey.errors import TaskError
from odyssey.tasks import download, get_task

PRAISE = [f"a film n° {100 + k} to be loved , truly" for k in range(60)]
BLAME = [f"dull thing {k} , alas" for k in range(40)]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts two small files by hand; gives a function that does so with others."""
    monkeypatch.setenv(download.DATA_VARIABLE, str(tmp_path))

    def put(encoding="utf-8", praise=PRAISE, blame=BLAME):
        for name, lines in (("sentiment-positive", praise), ("sentiment-negative", blame)):
            data = "".join(f"{line} \n" for line in lines).encode(encoding)
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "input.txt").write_bytes(data)
            digest = "sha256:" + hashlib.sha256(data).hexdigest()[:12]
            entry = dataclasses.replace(download.DATASETS[name], size=len(data), digest=digest)
            monkeypatch.setitem(download.DATASETS, name, entry)
        return tmp_path

    return put


def sentences(task):
    """Gives split, text and verdict of every sentence."""
    for split in ("train", "valid", "test"):
        for example in task.examples(split):
            assert example.weights_T.tolist() == [False] * (len(example) - 1) + [True]
            symbols = [task.read[k] for k in example.inputs_T]
            text = (" " if " " not in task.read else "").join(symbols)
            yield split, text, task.symbols[example.targets_T[-1]]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_every_sentence_is_there_once_with_its_verdict(stand_in, encoding):
    stand_in(encoding)
    found = list(sentences(get_task("sentiment")))
    expected = [(text, "+") for text in PRAISE] + [(text, "-") for text in BLAME]
    assert sorted((text, verdict) for _, text, verdict in found) == sorted(expected)
    splits = [split for split, _, _ in found]
    assert [splits.count(s) for s in ("train", "valid", "test")] == [80, 10, 10]
    verdicts = [verdict for split, _, verdict in found if split == "train"]
    assert 40 < verdicts.count("+") < 56
    assert get_task("sentiment").chance.accuracy == 0.6


def test_words_are_those_of_the_train_split(stand_in):
    stand_in()
    task = get_task("sentiment@unit=words")
    found = list(sentences(task))
    trained = {word for split, text, _ in found if split == "train" for word in text.split()}
    assert set(task.read) == trained | {"<unk>"}
    for split, text, verdict in found:
        assert ("<unk>" in text) == (split != "train")  # every sentence has a number of its own
        assert text.startswith("a film" if verdict == "+" else "dull thing")
    few = get_task("sentiment@unit=words,words=4")
    assert len(few.read) == few.signature.inputs.size == 4
    assert "," in few.read


def test_the_splits_do_not_hang_on_the_unit(stand_in):
    stand_in()
    one, other = (get_task(spec) for spec in ("sentiment", "sentiment@unit=words"))
    for split in ("valid", "test"):
        verdicts = [[int(e.targets_T[-1]) for e in t.examples(split)] for t in (one, other)]
        assert verdicts[0] == verdicts[1]


def test_other_files_are_refused(stand_in):
    folder = stand_in()
    path = folder / "sentiment-positive" / "input.txt"
    path.write_bytes(path.read_bytes().replace(b"loved", b"hated"))
    with pytest.raises(TaskError, match="is not sentiment-positive"):
        get_task("sentiment")
    stand_in(praise=["good"], blame=["bad"])
    with pytest.raises(TaskError, match="2 sentences, too few"):
        get_task("sentiment")
    with pytest.raises(TaskError, match="no task called 'sentiment-positive'"):
        get_task("sentiment-positive")
