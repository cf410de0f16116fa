"""Whole sequences side by side: padding, buckets, passes, cuts, held-out data."""

import itertools
from collections import Counter

import numpy as np
import pytest

from odyssey.errors import TaskError
from odyssey.tasks.examples import Example
from odyssey.tasks.sequences import (
    ANOTHER,
    MEAN,
    OWN,
    DrawnTask,
    FiniteTask,
    with_conditions,
)
from odyssey.tasks.signature import BITS, CLASSES, REALS, Condition, Signature, Values

TRAINED = 50


class Lengths(FiniteTask):
    """Sequence k has 1 + k % 13 steps that all say k."""

    def __init__(self, *, condition=None, most_steps=2000):
        signature = Signature(Values(CLASSES, 100), Values(BITS, 3), condition)
        super().__init__(
            "lengths", signature=signature, counted="all", facts={}, most_steps=most_steps
        )

    def examples(self, split):
        first = {"train": 0, "valid": 60, "test": 80}[split]
        count = TRAINED if split == "train" else 7
        return [self._example(k) for k in range(first, first + count)]

    def _example(self, k):
        steps = 1 + k % 13
        given = None
        if self.signature.condition:
            given = np.full(self.signature.condition.shape, k, dtype=np.float32)
        return Example(np.full(steps, k), np.full((steps, 3), k % 2), None, given)


class Sums(DrawnTask):
    def __init__(self):
        signature = Signature(Values(REALS, 2), Values(REALS, 1))
        super().__init__("sums", signature=signature, counted="the last", facts={})

    def draw(self, rng, count, split):
        inputs = rng.random((count, 5, 2))
        weights = np.arange(5) == 4
        return [Example(x, x.sum(1, keepdims=True), weights) for x in inputs]


def batches(task, count, *, batch_size=4, seed=0):
    stream = task.train(batch_size=batch_size, unroll=3, rng=np.random.default_rng(seed))
    return list(itertools.islice(stream, count))


def test_every_sequence_is_read_once_a_pass_in_an_order_of_its_own():
    for seed in (0, 1):
        seen = Counter()
        for batch in batches(Lengths(), TRAINED * 16, batch_size=1, seed=seed):
            seen[int(batch.inputs_TB[0, 0])] += 1
        assert len(seen) == TRAINED
        assert set(seen.values()) == {16}
    one, other = (
        [int(b.inputs_TB[0, 0]) for b in batches(Lengths(), 30, batch_size=1, seed=s)]
        for s in (0, 1)
    )
    assert one != other


def test_padding_counts_nowhere_and_sequences_end_where_they_end():
    for batch in batches(Lengths(), 40):
        assert batch.inputs_TB.dtype == np.int64
        assert batch.targets_TB.dtype == np.uint8
        assert batch.fresh_B.all()
        steps = 1 + batch.inputs_TB[0] % 13
        assert len(batch.inputs_TB) == steps.max()
        expected = np.arange(steps.max())[:, None] < steps
        assert np.array_equal(batch.weights_TB, expected)
        assert batch.read == steps.sum()
        assert np.array_equal(batch.ends_TB, np.arange(steps.max())[:, None] == steps - 1)
        assert not batch.inputs_TB[~expected].any()


def test_buckets_waste_little():
    def waste(batch_size):
        found = batches(Lengths(), 200, batch_size=batch_size)
        return 1 - sum(b.read for b in found) / sum(b.weights_TB.size for b in found)

    assert waste(4) < 0.1  # at random it would be a third


def test_the_unroll_changes_nothing_and_the_seed_everything():
    task = Sums()
    one, two = (
        next(task.train(batch_size=2, unroll=u, rng=np.random.default_rng(3))) for u in (1, 50)
    )
    assert np.array_equal(one.inputs_TB, two.inputs_TB)
    other = next(task.train(batch_size=2, unroll=1, rng=np.random.default_rng(4)))
    assert not np.array_equal(one.inputs_TB, other.inputs_TB)


def test_what_is_too_long_is_cut_and_the_state_carried_on():
    whole, cut = Lengths(), Lengths(most_steps=5)
    (one,) = whole.held_out("valid", batch_size=7, unroll=1)
    parts = list(cut.held_out("valid", batch_size=7, unroll=1))
    assert [len(b.inputs_TB) for b in parts] == [5, 5, 3]
    assert [bool(b.fresh_B.all()) for b in parts] == [True, False, False]
    assert not parts[1].fresh_B.any()
    for name in ("inputs_TB", "targets_TB", "weights_TB", "ends_TB"):
        joined = np.concatenate([getattr(b, name) for b in parts])
        assert np.array_equal(joined, getattr(one, name))
    assert sum(b.read for b in parts) == one.read
    assert cut.steps == 5
    assert whole.steps == 13


def test_held_out_sequences_are_the_same_and_each_comes_once():
    task = Lengths()
    for width in (1, 3, 20):
        found = Counter()
        for batch in task.held_out("test", batch_size=width, unroll=9):
            assert batch.inputs_TB.shape[1] == width
            there = batch.weights_TB[0]
            found.update(batch.inputs_TB[0, there].tolist())
        assert found == Counter(range(80, 87))
    one, two = (next(Sums().held_out("valid", batch_size=2, unroll=1)) for _ in range(2))
    assert np.array_equal(one.inputs_TB, two.inputs_TB)


def test_a_limit_takes_whole_sequences_in_the_order_of_the_split():
    task = Lengths()  # of 9, 10, 11, 12, 13, 1 and 2 steps
    found = [b.read for b in task.held_out("valid", batch_size=1, unroll=9, characters=32)]
    assert sorted(found) == [9, 10, 11]
    assert [b.read for b in task.held_out("valid", batch_size=1, unroll=9, characters=1)] == [9]


@pytest.mark.parametrize("shape", [(5,), (4, 3), (8, 6, 1)])
def test_conditions_stand_in_the_column_of_their_sequence(shape):
    task = Lengths(condition=Condition(shape, "attention"))
    for batch in batches(task, 10):
        assert batch.given_B.shape == (4, *shape)
        assert batch.given_B.dtype == np.float32
        numbers = batch.given_B.reshape(4, -1)
        assert np.array_equal(numbers[:, 0], batch.inputs_TB[0])


def test_a_pass_of_a_finite_set_is_counted():
    assert Lengths().updates_per_pass(batch_size=4, unroll=1) == 13
    assert Lengths().updates_per_pass(batch_size=50, unroll=1) == 1
    for task, why in ((Lengths(most_steps=5), "cuts"), (Sums(), "without end")):
        with pytest.raises(TaskError, match=why):
            task.updates_per_pass(batch_size=4, unroll=1)
    with pytest.raises(TaskError, match="without end"):
        Lengths().updates_per_pass(batch_size=4, unroll=1, in_order=True)


def test_it_says_what_it_is_and_writes_no_text():
    facts = Sums().describe()
    assert facts["inputs"] == "2 reals"
    assert facts["loss"] == "squared error"
    assert "num_symbols" not in facts
    for call in (lambda: Sums().encode("a"), Sums().sample_prime):
        with pytest.raises(TaskError, match="sums"):
            call()
    with pytest.raises(TaskError, match="batch_size is 0"):
        Sums().train(batch_size=0, unroll=1, rng=np.random.default_rng())


def test_no_sequence_keeps_its_condition():
    task = Lengths(condition=Condition((3,), "first"))
    examples = task.held_out_examples("test")
    others = with_conditions(examples, ANOTHER)
    given, other = ([e.given[0] for e in part] for part in (examples, others))
    assert sorted(given) == sorted(other)
    assert all(a != b for a, b in zip(given, other, strict=True))
    assert other == [e.given[0] for e in with_conditions(examples, ANOTHER)]
    assert all((e.given == np.mean(given)).all() for e in with_conditions(examples, MEAN))
    assert with_conditions(examples, OWN) == list(examples)
    for part in (others, with_conditions(examples, MEAN)):
        for mine, its in zip(examples, part, strict=True):
            assert mine.targets_T is its.targets_T or (mine.targets_T == its.targets_T).all()
    (batch,) = task.held_out("test", batch_size=9, unroll=5, shown=ANOTHER)
    assert sorted(batch.given_B[: len(examples), 0]) == sorted(given)
