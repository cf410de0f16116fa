"""Floors against what is known in closed form, and against counting by hand."""

import math

import numpy as np
import pytest

from odyssey.tasks.base import Batch
from odyssey.tasks.floors import steps_of, task_floors
from odyssey.tasks.ngrams import Steps, context_probabilities
from odyssey.tasks.registry import get_task

READING = {"batch_size": 5, "unroll": 40, "warmup": 0}


def floors(spec, **options):
    wanted = {"symbols": 100_000, "characters": 5_000, **READING, **options}
    return {(f.kind, f.context): f.nats for f in task_floors(get_task(spec), **wanted)}


def test_without_memory_a_letter_of_memorization_costs_a_guess():
    found = floors("memorization")
    task = get_task("memorization")
    assert found["chance", None] == task.chance.nats
    assert found["context", 0] == pytest.approx(task.chance.nats, rel=0.01)
    assert found["context", 1] == pytest.approx(task.chance.nats, rel=0.02)
    assert found["optimum", None] == 0


def test_xml_lies_between_its_bound_and_the_grammar():
    found = floors("xml", symbols=400_000, characters=20_000)
    contexts = [found["context", n] for n in range(6)]
    assert found["bound", None] < found["grammar", None] < min(contexts)
    assert contexts[0] == pytest.approx(found["chance", None], rel=0.01)
    # what a name costs is the same for the grammar as for one who remembers: half as often
    assert found["bound", None] > found["grammar", None] / 2
    assert ("optimum", None) not in found


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_the_bound_of_xml_is_what_its_own_documents_cost(steps):
    """Counts names and free choices of drawn documents; the formulas do so exactly."""
    task = get_task(f"xml@max_steps={steps}")
    change, tags = task._walks(np.random.default_rng(0), 100_000)
    nats = characters = 0.0
    name = math.log(9) + 6 * math.log(26)
    first = np.cumsum(tags) - tags
    depth = np.cumsum(change) - change  # before every tag; documents end at 0
    place = np.arange(len(change)) - np.repeat(first, tags)
    free = (place > 0) & (place < steps) & (depth > 0)
    nats = (change > 0).sum() * name + free.sum() * math.log(2)
    characters = 8.5 * len(change)
    assert task.bound_nats == pytest.approx(nats / characters, rel=0.01)
    assert task.memoryless_nats == pytest.approx((name + math.log(2)) / 8.5)


def test_only_counted_targets_are_learned_from():
    rng = np.random.default_rng(1)
    inputs = rng.integers(2, size=20_000)
    counted = inputs == 1
    # where input 1 is read the target is 0 or 1, elsewhere always 2
    targets = np.where(counted, rng.integers(2, size=20_000), 2)
    steps = Steps(inputs, targets, counted)
    probability = context_probabilities(steps, steps, longest=1, num_symbols=3)
    np.testing.assert_allclose(probability[:, counted], 0.5, atol=0.02)


def test_a_context_ends_where_a_column_begins():
    def batch(first, fresh):
        inputs = first + np.arange(6).reshape(3, 2)
        weights = np.ones((3, 2), dtype=bool)
        return Batch(inputs, inputs + 1, weights, fresh_B=np.array(fresh))

    steps = steps_of([batch(0, [False, False]), batch(10, [False, True])], 99)
    assert steps.inputs.tolist() == [99, 0, 2, 4, 10, 12, 14, 99, 1, 3, 5, 99, 11, 13, 15]
    assert steps.counted.sum() == 12
    assert (steps.targets - steps.inputs)[steps.counted].tolist() == [1] * 12


def test_no_more_is_counted_than_a_model_reads():
    text = get_task("python-source")
    found = task_floors(text, symbols=30_000, characters=2_000, **READING)
    assert {f.symbols for f in found if f.kind == "context"} == {30_000}
