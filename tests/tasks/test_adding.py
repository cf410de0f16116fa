"""The adding problem against a second reading of its definition."""

import numpy as np
import pytest

from odyssey.errors import TaskError
from odyssey.tasks import get_task


def drawn(length, count=4000, seed=0):
    task = get_task(f"adding@length={length}")
    return task, task.draw(np.random.default_rng(seed), count, "train")


@pytest.mark.parametrize("length", [2, 3, 50])
def test_the_sum_of_the_two_marked_numbers_is_said_at_the_end(length):
    _, examples = drawn(length, 300)
    for example in examples:
        numbers, marks = example.inputs_T.T
        assert marks.sum() == 2
        assert np.isin(marks, (0, 1)).all()
        assert (numbers >= 0).all()
        assert (numbers < 1).all()
        assert example.targets_T[-1, 0] == pytest.approx(numbers @ marks, rel=1e-6)
        assert example.weights_T.tolist() == [False] * (length - 1) + [True]


def test_every_pair_of_steps_is_equally_likely():
    _, examples = drawn(4, 6000)
    pairs = [tuple(np.flatnonzero(e.inputs_T[:, 1])) for e in examples]
    counts = [pairs.count((a, b)) for a in range(4) for b in range(a + 1, 4)]
    assert sum(counts) == 6000
    assert sum((c - 1000) ** 2 / 1000 for c in counts) < 20.5  # chi squared, 5 degrees, p 0.001


def test_saying_one_costs_a_sixth():
    task, examples = drawn(20, 20_000)
    sums = np.array([e.targets_T[-1, 0] for e in examples])
    assert task.chance.nats == 1 / 6
    assert np.mean((sums - 1) ** 2) == pytest.approx(1 / 6, abs=0.005)
    assert np.mean(np.abs(sums - 1) < 0.04) == pytest.approx(task.chance.accuracy, abs=0.006)
    assert task.optimum.nats == 0
    assert task.describe()["chance_nats"] == 1 / 6


def test_longer_sequences_are_twice_as_long():
    assert get_task("adding").longer == "adding@length=200"
    longer = get_task(get_task("adding@length=30").longer)
    assert longer.steps == 60
    assert get_task("adding@length=6000").longer is None


def test_one_step_is_no_sum():
    with pytest.raises(TaskError, match="from 2 to"):
        get_task("adding@length=1")


def test_chance_is_what_one_scores():
    task = get_task("adding@length=10")
    targets = [e.targets_T[-1, 0] for e in task.draw(np.random.default_rng(0), 100_000, "train")]
    error = np.array(targets) - 1
    assert task.chance.nats == pytest.approx((error**2).mean(), rel=0.02)
    assert task.chance.accuracy == pytest.approx((np.abs(error) < 0.04).mean(), abs=0.004)
    assert task.describe()["chance_nats"] == task.chance.nats
