"""Digits read, painted and filmed: put together again, and answered by a second reading."""

import functools
import re
from pathlib import Path

import numpy as np
import pytest

from odyssey.tasks import get_task

DOCUMENT = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text("utf-8")
SIZES = {"train": 1437, "valid": 180, "test": 180}


@functools.cache
def digit_of():
    """The digit that each picture shows, by its bytes, as scikit-learn itself reads its file."""
    from sklearn.datasets import load_digits  # takes seconds: not at collection

    data = load_digits()
    pairs = zip(data.images, data.target, strict=True)
    return {picture.astype(int).tobytes(): int(digit) for picture, digit in pairs}


def whole(values):
    """Gives a picture as integers, from 64 numbers of 0 to 1."""
    levels = np.asarray(values, dtype=np.float64).reshape(8, 8) * 16
    assert np.array_equal(levels, levels.round())
    return levels.astype(int)


@pytest.mark.parametrize(("read", "steps"), [("pixels", 64), ("rows", 8), ("picture", 1)])
def test_pictures_are_read_whole_and_named_at_the_end(read, steps):
    task = get_task(f"digits@read={read}")
    seen = {}
    for split, size in SIZES.items():
        examples = task.examples(split)
        assert len(examples) == size
        for example in examples:
            assert example.inputs_T.shape == (steps, 64 // steps)
            assert example.weights_T.tolist() == [False] * (steps - 1) + [True]
            picture = whole(example.inputs_T)
            assert digit_of()[picture.tobytes()] == example.targets_T[-1]
            seen.setdefault(picture.tobytes(), set()).add(split)
    assert len(seen) == len(digit_of())
    assert all(len(splits) == 1 for splits in seen.values())


def test_the_permutation_is_one_for_all_pictures():
    rows, mixed = (
        np.array([e.inputs_T[:, 0] for e in get_task(spec).examples("train")])
        for spec in ("digits", "digits@order=permuted")
    )
    place = {column.tobytes(): k for k, column in enumerate(rows.T)}
    order = [place[column.tobytes()] for column in mixed.T if column.any()]
    assert len(set(order)) == len(order) > 55
    neighbours = np.abs(np.diff(order)) == 1
    assert neighbours.sum() < 6
    valid = (get_task(f"digits@order={o}").examples("valid") for o in ("rows", "permuted"))
    for one, other in zip(*valid, strict=True):
        assert sorted(one.inputs_T[:, 0]) == sorted(other.inputs_T[:, 0])
        assert one.targets_T[-1] == other.targets_T[-1]


def test_painting_reads_the_label_and_then_what_it_painted():
    task = get_task("paint")
    for split, size in SIZES.items():
        examples = task.examples(split)
        assert len(examples) == size
        for example in examples:
            label, *levels = example.inputs_T.tolist()
            assert levels == example.targets_T[:-1].tolist()
            picture = task.picture(example.targets_T)
            digit = digit_of()[picture.astype(int).tobytes()]
            assert label == 17 + digit == task.label(digit)
            assert example.weights_T is None


@pytest.mark.parametrize("levels", [2, 5, 16])
def test_fewer_levels_join_neighbours(levels):
    task, whole_task = (get_task(spec) for spec in (f"paint@levels={levels}", "paint"))
    joined = {}
    for few, all_ in zip(task.examples("test"), whole_task.examples("test"), strict=True):
        assert few.inputs_T[0] - levels == all_.inputs_T[0] - 17
        for one, other in zip(few.targets_T, all_.targets_T, strict=True):
            joined.setdefault(int(other), set()).add(int(one))
    found = [joined[level] for level in range(17)]
    assert all(len(classes) == 1 for classes in found)
    order = [min(classes) for classes in found]
    assert order == sorted(order)
    assert set(order) == set(range(levels))
    assert len(task.symbols) == len(set(task.symbols)) == levels


def independent_pixels(split, *, by_label):
    """Scores the levels of every pixel by their frequencies in the train split.

    Gives nats a picture, and the accuracy by Bayes' rule; every level is counted once more.
    """
    tables = np.ones((10, 64, 17))
    for example in get_task("paint").examples("train"):
        label = example.inputs_T[0] - 17
        tables[label if by_label else slice(None), np.arange(64), example.targets_T] += 1
    logs = np.log(tables / tables.sum(-1, keepdims=True))
    nats, right = [], []
    for example in get_task("paint").examples(split):
        likely = logs[:, np.arange(64), example.targets_T].sum(1)
        nats.append(-likely[example.inputs_T[0] - 17])
        right.append(likely.argmax() == example.inputs_T[0] - 17)
    return np.mean(nats), np.mean(right)


def test_the_document_has_the_baselines_of_painting():
    (row,) = re.findall(r"^\| nats a picture \|(.*)\|$", DOCUMENT, re.M)
    found = [float(cell) for cell in re.findall(r"[0-9.]+", row)]
    levels, _ = independent_pixels("test", by_label=False)
    labelled, accuracy = independent_pixels("test", by_label=True)
    expected = [64 * np.log(17), levels, labelled]
    assert found[:3] == [pytest.approx(nats, abs=0.06) for nats in expected]
    (row,) = re.findall(r"^\| accuracy by Bayes[^|]* \|(.*)\|$", DOCUMENT, re.M)
    assert f"{100 * accuracy:.1f} %" in row


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_films_show_pictures_of_their_split_and_add_up(split):
    own = {whole(e.inputs_T).tobytes() for e in get_task("digits@read=picture").examples(split)}
    task = get_task("frames@length=20")
    counts = np.zeros(10)
    for example in task.draw(np.random.default_rng(1), 200, split):
        total = 0
        for frame, answer in zip(example.inputs_T, example.targets_T, strict=True):
            picture = whole(frame).tobytes()
            assert picture in own
            counts[digit_of()[picture]] += 1
            total += digit_of()[picture]
            assert answer == total % 10
    assert (np.abs(counts - 400) < 5 * 20).all()


def test_a_seven_that_was_seen_stays_seen():
    task = get_task("frames@length=12,count=seen")
    answers = []
    for example in task.draw(np.random.default_rng(1), 1000, "train"):
        digits = [digit_of()[whole(frame).tobytes()] for frame in example.inputs_T]
        assert example.targets_T.tolist() == [7 in digits[: k + 1] for k in range(12)]
        answers.append(example.targets_T)
    share = np.mean(answers)
    assert max(share, 1 - share) == pytest.approx(task.chance.accuracy, abs=0.03)
    guessed = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert guessed == pytest.approx(task.chance.nats, abs=0.01)
    assert get_task("frames").longer == "frames@length=16"
    assert get_task("digits").longer is None
