"""Batches that are cut out of long arrays, beside a loop that fills them in."""

import numpy as np
import pytest

from odyssey.tasks import get_task, list_tasks
from odyssey.tasks.examples import Packed, pack


def filled_in(examples, signature, columns):
    """Fills whole batches in, a sequence after the other."""
    steps = max(map(len, examples))
    arrays = {}
    for name, values in (("inputs_T", signature.inputs), ("targets_T", signature.outputs)):
        tail = (values.size,) if values.dense else ()
        dtype = {"classes": np.int64, "bits": np.uint8, "reals": np.float32}[values.kind]
        arrays[name] = np.zeros((steps, columns, *tail), dtype=dtype)
    counted, ends = np.zeros((2, steps, columns), dtype=np.bool_)
    for b, example in enumerate(examples):
        for name, array in arrays.items():
            array[: len(example), b] = getattr(example, name)
        counted[: len(example), b] = True if example.weights_T is None else example.weights_T
        ends[len(example) - 1, b] = True
    return [*arrays.values(), counted, ends]


@pytest.mark.parametrize("most_steps", [1000, 5])
@pytest.mark.parametrize("spec", list_tasks(sequences=True))
def test_batches_are_what_a_loop_fills_in(spec, most_steps, corpora):
    task = get_task(spec)
    examples = list(task.held_out_examples("valid")[:9])
    packed = pack(examples)
    assert pack(packed) is packed
    count = len(examples)
    for which in ([count - 1, 0, 2], [1], list(range(count))):
        found = list(
            packed.take(which).side_by_side(task.signature, columns=10, most_steps=most_steps)
        )
        own = [examples[k] for k in which]
        expected = filled_in(own, task.signature, 10)
        names = ("inputs_TB", "targets_TB", "weights_TB", "ends_TB")
        for name, array in zip(names, expected, strict=True):
            joined = np.concatenate([getattr(batch, name) for batch in found])
            assert joined.dtype == array.dtype
            assert np.array_equal(joined, array)
        assert sum(batch.read for batch in found) == sum(map(len, own))
        assert [bool(b.fresh_B.all()) for b in found] == [k == 0 for k in range(len(found))]
        if task.signature.condition is not None:
            for b, example in enumerate(own):
                assert np.array_equal(found[0].given_B[b], example.given)


def test_a_sequence_of_many_is_the_one_that_went_in():
    examples = list(get_task("dates").draw(np.random.default_rng(0), 6, "train"))
    packed = pack(examples)
    assert isinstance(packed[2:5], Packed)
    for k, example in enumerate(examples[2:5]):
        for name in ("inputs_T", "targets_T", "weights_T"):
            assert np.array_equal(getattr(packed[2:5][k], name), getattr(example, name))
    assert len(packed[-1]) == len(examples[-1])
