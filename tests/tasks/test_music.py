"""Music: pieces as the files have them, what is predicted of them, and files that hold none."""

import dataclasses
import hashlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from odyssey.errors import TaskError
from odyssey.tasks import download, get_task
from odyssey.tasks.music import Music

SETS = [name for name, d in download.DATASETS.items() if d.file == download.MUSIC_NAME]
NAMES = {"train": "traindata", "valid": "validdata", "test": "testdata"}


@pytest.fixture
def stored(corpora):
    """The pieces of a set, as SciPy reads them."""
    found = loadmat(corpora / "nottingham" / "pieces.mat")
    return {split: [*found[name].ravel()] for split, name in NAMES.items()}


def held_out(task, split, batch_size=2):
    """Every sequence of a split as (inputs, targets) of the counted steps, put together again."""
    columns, done = {}, []
    for batch in task.held_out(split, batch_size=batch_size, unroll=1):
        if batch.fresh_B.all():
            done += columns.values()
            columns = {b: ([], []) for b in range(batch_size)}
        for b, (x, y) in columns.items():
            counts = batch.weights_TB[:, b]
            x += batch.inputs_TB[counts, b].tolist()
            y += batch.targets_TB[counts, b].tolist()
    return [(np.array(x), np.array(y)) for x, y in [*done, *columns.values()] if x]


@pytest.mark.parametrize("split", NAMES)
@pytest.mark.parametrize("steps", [3, 200])
def test_the_next_frame_is_predicted_from_the_second_on(stored, split, steps):
    task = get_task(f"nottingham@steps={steps}")
    if split == "train":
        found = [(e.inputs_T, e.targets_T) for e in task.examples("train")]
    else:
        found = held_out(task, split)
    pieces = sorted((p for p in stored[split] if len(p) > 1), key=len)
    assert len(found) == len(pieces) == 5  # of the sixth nothing is predicted
    for (x, y), piece in zip(found, pieces, strict=True):
        assert np.array_equal(x, piece[:-1])
        assert np.array_equal(y, piece[1:])
    assert task.counted == "every frame but the first"


def test_the_first_frame_may_be_predicted_too(stored):
    task = get_task("nottingham@first=predicted")
    found = held_out(task, "test")
    assert len(found) == 6
    for (x, y), piece in zip(found, sorted(stored["test"], key=len), strict=True):
        assert not x[0].any()
        assert np.array_equal(x[1:], piece[:-1])
        assert np.array_equal(y, piece)
    assert task.counted == "every frame"


def test_all_sets_are_there_and_say_what_they_are(corpora):
    assert len(SETS) == 4
    for name in SETS:
        task = get_task(name)
        assert isinstance(task, Music)
        assert task.signature.inputs == task.signature.outputs
        assert task.describe()["outputs"] == "88 bits"
        assert task.describe()["unit"] == "frames"
        assert "redistribute" in task.describe()["licence"]
    assert get_task("jsb-chorales").quarters == 1
    assert get_task("musedata").quarters == 0.5


def test_a_test_piece_begins(stored):
    task = get_task("nottingham")
    assert np.array_equal(task.begin(5, 30), stored["test"][5][:30])
    assert np.array_equal(task.inputs(task.begin(5, 30)), stored["test"][5][:30])
    silent = get_task("nottingham@first=predicted").inputs(task.begin(2, 1))
    assert silent.shape == (2, 88)
    assert not silent[0].any()
    for piece, frames, says in ((6, 1, "no piece 6"), (-1, 1, "no piece"), (1, 9, "9 frames")):
        with pytest.raises(TaskError, match=says):
            task.begin(piece, frames)


@pytest.mark.parametrize("broken", ["no MATLAB file", "other names", "other keys", "no bits"])
def test_a_file_without_pieces_is_named(own_corpora, monkeypatch, broken):
    path = own_corpora / "musedata" / "pieces.mat"
    cells = np.empty((1, 1), dtype=object)
    cells[0, 0] = np.full((3, 87 if broken == "other keys" else 88), 2 * (broken == "no bits"))
    names = ["x"] if broken == "other names" else NAMES.values()
    savemat(path, dict.fromkeys(names, cells))
    if broken == "no MATLAB file":
        path.write_bytes(b"MATLAB it is not" * 20)
    data = path.read_bytes()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    row = dataclasses.replace(download.DATASETS["musedata"], size=len(data), digest=digest)
    monkeypatch.setitem(download.DATASETS, "musedata", row)
    with pytest.raises(TaskError, match="holds no pieces of music"):
        get_task("musedata").pieces("test")
