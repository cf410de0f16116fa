"""What holds for every task of whole sequences: a new row of the registry is tested by these."""

import itertools
import json
import pickle

import numpy as np
import pytest

from odyssey.errors import TaskError
from odyssey.tasks import get_task, list_tasks
from odyssey.tasks.sequences import SequenceTask
from odyssey.tasks.signature import WAYS

SPECS = [
    *list_tasks(sequences=True),
    "digits@read=rows",
    "digits@read=picture,order=permuted",
    "frames@length=3,count=seen",
    "paint@levels=2",
    "dates@spellings=3",
    "sentiment@unit=words",
    "jsb-chorales@first=predicted,steps=7",
]


@pytest.fixture(params=SPECS)
def task(request, corpora):
    return get_task(request.param)


def first(task, count, *, batch_size=3, seed=0):
    stream = task.train(batch_size=batch_size, unroll=7, rng=np.random.default_rng(seed))
    return list(itertools.islice(stream, count))


def same(one, other):
    names = ("inputs_TB", "targets_TB", "weights_TB", "fresh_B", "ends_TB", "given_B")
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(one, other, strict=True)
        for name in names
    )


def check(task, batch, columns):
    signature = task.signature
    shape = batch.weights_TB.shape
    assert shape[1] == columns
    assert 1 <= shape[0] <= task.steps
    for array, values in (
        (batch.inputs_TB, signature.inputs),
        (batch.targets_TB, signature.outputs),
    ):
        if values.dense:
            assert array.shape == (*shape, values.size)
            assert array.dtype == (np.uint8 if values.kind == "bits" else np.float32)
            assert np.isfinite(array).all()
        else:
            assert array.shape == shape
            assert array.dtype == np.int64
            assert array.min() >= 0
            assert array.max() < values.size
        if values.kind == "bits":
            assert np.isin(array, (0, 1)).all()
    assert batch.weights_TB.dtype == batch.ends_TB.dtype == batch.fresh_B.dtype == np.bool_
    assert batch.fresh_B.all() or not batch.fresh_B.any()
    assert 0 < batch.read <= batch.weights_TB.size
    if signature.condition is None:
        assert batch.given_B is None
    else:
        assert batch.given_B.shape == (columns, *signature.condition.shape)
        assert batch.given_B.dtype == np.float32
        assert np.isfinite(batch.given_B).all()
        assert batch.fresh_B.all()
        assert signature.condition.way in WAYS


def test_batches_have_the_promised_shape(task):
    assert isinstance(task, SequenceTask)
    for batch in first(task, 5):
        check(task, batch, 3)
    for split in ("valid", "test"):
        found = list(task.held_out(split, batch_size=4, unroll=9, characters=3000))
        for batch in found:
            check(task, batch, 4)
        assert any(batch.weights_TB.any() for batch in found)


def test_the_seed_decides_the_training_data(task):
    assert same(first(task, 20), first(task, 20))
    one, other = (
        np.concatenate([b.targets_TB.ravel() for b in first(task, 20, seed=s)]) for s in (0, 1)
    )
    assert not np.array_equal(one, other)


def test_a_restored_generator_restores_the_training_data(task):
    rng, other = np.random.default_rng(3), np.random.default_rng(99)
    other.bit_generator.state = rng.bit_generator.state
    one, two = (task.train(batch_size=2, unroll=30, rng=r) for r in (rng, other))
    assert same(list(itertools.islice(one, 4)), list(itertools.islice(two, 4)))


def test_held_out_data_are_the_same_at_every_call_and_their_splits_differ(task):
    found = {
        split: [list(task.held_out(split, batch_size=4, unroll=9, characters=2000)) for _ in "ab"]
        for split in ("valid", "test")
    }
    for once, again in found.values():
        assert same(once, again)
    one, other = (
        np.concatenate([b.targets_TB.ravel() for b in batches[0]]) for batches in found.values()
    )
    assert not np.array_equal(one, other)


def test_the_description_is_plain(task):
    row = task.describe()
    assert json.loads(json.dumps(row)) == row
    assert row["name"] == task.name
    assert row["counted"] == task.counted
    assert get_task(task.name).describe() == row


def test_tasks_travel_between_processes(task):
    assert same(first(pickle.loads(pickle.dumps(task)), 3), first(task, 3))


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"unroll": -3}, {"characters": 0}])
def test_nonsense_shapes_are_refused_at_once(task, bad):
    what = next(iter(bad))
    with pytest.raises(TaskError, match=what):
        task.held_out("valid", **{"batch_size": 2, "unroll": 5, **bad})
