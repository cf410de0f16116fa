"""The contract of tasks: shapes, seeds, splits, and what a guess scores."""

from __future__ import annotations

import itertools
import json
import math
import pickle
from collections.abc import Iterable
from typing import Any

import numpy as np

from odyssey.contracts.finding import Checks, Missing, expect
from odyssey.tasks.base import Batch, Task
from odyssey.tasks.options import Option
from odyssey.tasks.registry import TaskRow, get_task

_SHAPE = {"batch_size": 3, "unroll": 7}


def _first(task: Task, count: int, *, seed: int = 0) -> list[Batch]:
    stream = task.train(**_SHAPE, rng=np.random.default_rng(seed))
    return list(itertools.islice(stream, count))


def _held_out(task: Task, split: Any, characters: int = 200) -> list[Batch]:
    return list(task.held_out(split, batch_size=4, unroll=9, characters=characters))


def _same(one: Iterable[Batch], other: Iterable[Batch]) -> bool:
    def parts(batch: Batch) -> list[Any]:
        return [batch.inputs_TB, batch.targets_TB, batch.weights_TB]

    pairs = itertools.zip_longest(one, other)
    return all(
        a is not None
        and b is not None
        and all(np.array_equal(p, q) for p, q in zip(parts(a), parts(b), strict=True))
        for a, b in pairs
    )


def check_row(name: str, row: TaskRow) -> None:
    """Checks the words and the options."""
    expect(bool(row.summary), "summary is empty: what is to be learned?")
    expect(all(isinstance(o, Option) for o in row.options), "options are of odyssey.tasks.options")
    names = [option.name for option in row.options]
    expect(
        row.longer is None or row.longer in names, f"longer is {row.longer!r}, which is no option"
    )
    expect(not set(name) & set("@,=/\\ "), "its name has a character of specs: @ , = / or a blank")


def check_made(name: str, row: TaskRow) -> None:
    """Checks that it is made from its name, with all that a task says of itself."""
    task = get_task(name)
    expect(isinstance(task, Task), f"make gives {type(task).__name__}, no Task")
    expect(task.name == name, f"calls itself {task.name!r}: it has its spec as its name")
    expect(bool(task.counted), "counted is empty: which positions count?")
    said = task.describe()
    expect(json.loads(json.dumps(said)) == said, "describe() is not plain JSON data")
    expect(get_task(task.name).describe() == said, "the same name makes another task")


def check_batches(name: str, row: TaskRow) -> None:
    """Checks shapes, types and ranges of training batches."""
    task = get_task(name)
    values = task.signature.inputs, task.signature.outputs
    batches = _first(task, 30)
    expect(len(batches) == 30, "its training data end: they must go on for ever")
    for batch in batches:
        for part, array, of in zip(
            ("inputs", "targets"), (batch.inputs_TB, batch.targets_TB), values, strict=True
        ):
            expect(array.dtype == of.dtype, f"{part} are {array.dtype}, not {np.dtype(of.dtype)}")
            shape = batch.weights_TB.shape + ((of.size,) if of.dense else ())
            expect(array.shape == shape, f"{part} have the shape {array.shape}, not {shape}")
            if not of.dense:
                inside = array.min() >= 0 and array.max() < of.size
                expect(bool(inside), f"{part} are not in 0 to {of.size - 1}")
        expect(batch.weights_TB.dtype == np.bool_, "weights are not bool")
        expect(batch.weights_TB.shape[1] == 3, f"{batch.weights_TB.shape[1]} columns, not 3")
    expect(any(bool(b.weights_TB.any()) for b in batches), "no target counts in 30 batches")


def check_seed(name: str, row: TaskRow) -> None:
    """Checks that the generator alone decides the training data."""
    task = get_task(name)
    expect(_same(_first(task, 12), _first(task, 12)), "the same seed gives other training data")
    expect(not _same(_first(task, 12), _first(task, 12, seed=1)), "the seed changes nothing")
    travelled = pickle.loads(pickle.dumps(task))
    expect(_same(_first(travelled, 4), _first(task, 4)), "it is another one in another process")


def check_splits(name: str, row: TaskRow) -> None:
    """Checks that held-out data are the same at every call, and differ from each other."""
    task = get_task(name)
    for split in ("valid", "test"):
        expect(_same(_held_out(task, split), _held_out(task, split)), f"{split} data change")
    expect(not _same(_held_out(task, "valid"), _held_out(task, "test")), "valid and test are one")


def check_chance(name: str, row: TaskRow) -> None:
    """Checks what a guess is said to score beside the frequencies of the counted test targets."""
    task = get_task(name)
    outputs = task.signature.outputs
    if task.chance is None:
        raise Missing("chance is None: nothing tells what a guess scores")
    expect(math.isfinite(task.chance.nats), "chance.nats is not finite")
    if task.optimum is not None:
        expect(task.optimum.nats <= task.chance.nats + 1e-12, "the optimum is worse than chance")
    if outputs.dense:
        return
    expect(task.chance.nats <= math.log(outputs.size) + 1e-9, "a uniform guess beats chance.nats")
    batches = _held_out(task, "test", 4000)
    found = np.concatenate([b.targets_TB[b.weights_TB] for b in batches])
    share = np.bincount(found, minlength=outputs.size) / len(found)
    nats = -sum(float(p) * math.log(p) for p in share if p)
    expect(
        abs(nats - task.chance.nats) < 0.1 * max(1.0, task.chance.nats),
        f"chance.nats is {task.chance.nats:.3f}, and the targets' frequencies say {nats:.3f}",
    )


CHECKS: Checks = {
    "complete": check_row,
    "is made and describes itself": check_made,
    "batches": check_batches,
    "the seed decides": check_seed,
    "held-out data": check_splits,
    "chance": check_chance,
}
