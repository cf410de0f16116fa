"""What is scored on a task without having learned it: floors, and the ceiling where it is known.

A cell is a memory. What a model without one scores is the floor of a task: a guess by frequencies,
the best prediction from the current input alone, and where a task has a grammar, the best
prediction by one who knows the grammar and remembers nothing that was drawn. Beside these stand
n-grams of longer contexts, which say how much of the past a loss is worth. All are counted over as
many symbols as a model reads, and scored on the targets that models are scored on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from odyssey.tasks.base import Batch, Task
from odyssey.tasks.ngrams import Steps, context_probabilities

LONGEST = 5  # inputs of the longest context
MOST_SYMBOLS = 2_000_000  # that n-grams are counted over: more make no short context better
CHANCE, GRAMMAR, CONTEXT, OPTIMUM, BOUND = "chance", "grammar", "context", "optimum", "bound"
_SEED = 20150401
_STEPS = 1_000


@dataclass(frozen=True)
class Floor:
    """One score that stands beside those of models.

    Attributes:
        kind: chance (a guess by frequencies), grammar (everything but what must be remembered),
            context (an n-gram with so many inputs of context), optimum (reached by the best
            predictor) or bound (no predictor goes below it, and perhaps none reaches it).
        nats: Its mean loss.
        context: Inputs of its context; None for other kinds.
        symbols: Symbols that it was counted over; None where it is known and not counted.
    """

    kind: str
    nats: float
    context: int | None = None
    symbols: int | None = None


def task_floors(
    task: Task, *, symbols: int, characters: int, batch_size: int, unroll: int, warmup: int
) -> list[Floor]:
    """Gives the floors and the ceiling of a task, as far as they are known or can be counted.

    n-grams are those of `ngrams.context_probabilities` with contexts of 0 to `LONGEST` inputs, of
    tasks that are streams of symbols and have a train split that can be read.

    Args:
        task: The task.
        symbols: What a model reads in training; n-grams are counted over as many, at most.
        characters: Targets of the test.
        batch_size: Streams of the test.
        unroll: Steps of a batch of the test.
        warmup: Symbols that streams of the test read first.
    """
    found = []
    if task.chance is not None:
        found.append(Floor(CHANCE, task.chance.nats))
    if task.memoryless_nats is not None:
        found.append(Floor(GRAMMAR, task.memoryless_nats))
    if task.is_stream:
        length = task.characters("train")
        most = min(symbols, MOST_SYMBOLS, MOST_SYMBOLS if length is None else length)
        rng = np.random.default_rng(_SEED)
        batches = task.train(batch_size=1, unroll=_STEPS, rng=rng)
        read = itertools.islice(batches, max(1, most // _STEPS))
        train = steps_of(read, task.num_symbols)
        held = steps_of(
            task.held_out(
                "test", batch_size=batch_size, unroll=unroll, characters=characters, warmup=warmup
            ),
            task.num_symbols,
        )
        if train.counted.any() and held.counted.any():
            probability = context_probabilities(
                train, held, longest=LONGEST, num_symbols=task.num_symbols
            )
            nats = -np.log(probability[:, held.counted]).mean(axis=1)
            counted = int((train.inputs < task.num_symbols).sum())
            found += [Floor(CONTEXT, float(n), k, counted) for k, n in enumerate(nats)]
    if task.optimum is not None:
        found.append(Floor(OPTIMUM, task.optimum.nats))
    elif task.bound_nats is not None:
        found.append(Floor(BOUND, task.bound_nats))
    return found


def steps_of(batches: Iterable[Batch], num_symbols: int) -> Steps:
    """Puts the columns of batches one after the other; contexts do not reach into the next.

    Args:
        batches: Batches of class indices; where a column is fresh its context begins anew.
        num_symbols: V, which stands between what has nothing to do with each other.
    """
    inputs, targets, counted, kept = [], [], [], []
    for number, batch in enumerate(batches):
        width = batch.targets_TB.shape[1]
        fresh = np.full(width, number == 0)
        if batch.fresh_B is not None:
            fresh |= batch.fresh_B
        wall = np.full((1, width), num_symbols, dtype=np.int64)
        inputs.append(np.concatenate([wall, batch.inputs_TB]))
        targets.append(np.concatenate([wall, batch.targets_TB]))
        counted.append(np.concatenate([np.zeros((1, width), dtype=bool), batch.weights_TB]))
        kept.append(np.concatenate([fresh[None], np.ones(batch.targets_TB.shape, dtype=bool)]))
    keep = np.concatenate(kept).T.ravel()
    columns = (np.concatenate(parts).T.ravel()[keep] for parts in (inputs, targets, counted))
    return Steps(*columns)
