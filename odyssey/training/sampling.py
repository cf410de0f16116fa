"""Generating from a trained model: text from one of characters, as in char-rnn; music."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from odyssey.errors import ConfigError
from odyssey.tasks.base import Task
from odyssey.training.model import SequenceModel


@torch.no_grad()
def sample(
    model: SequenceModel,
    prime: NDArray[np.int64],
    *,
    length: int,
    temperature: float,
    rng: np.random.Generator,
    top_k: int | None = None,
    member: int = 0,
) -> Iterator[int]:
    """Generates class indices one by one.

    Args:
        model: The model.
        prime: Class indices (N,) that are read first; at least one.
        length: How many to generate.
        temperature: Divides the logits; 0 always takes the likeliest symbol.
        rng: The generator.
        top_k: Draws among so many likeliest symbols; among all if None.
        member: Row of the population.

    Raises:
        ConfigError: The temperature is negative, the prime empty or `top_k` below 1.
    """
    _check(temperature)
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top-k must be at least 1, got {top_k}")
    if len(prime) == 0:
        raise ConfigError("sampling needs at least one character to start from")
    members = model.readout.shape[0]
    state = None
    pending = [int(k) for k in prime]
    for _ in range(length):
        x = torch.tensor(pending, device=model.readout.device).view(1, -1, 1)
        x = x.expand(members, -1, -1)
        logits, state = model(x, state)
        scores = logits[member, -1, 0].cpu().double()
        if temperature == 0:
            choice = int(scores.argmax())
        else:
            if top_k is not None and top_k < len(scores):
                kept = scores.topk(top_k).indices  # exactly so many, ties or not
                scores = torch.full_like(scores, -torch.inf).index_copy(0, kept, scores[kept])
            p = torch.softmax(scores / temperature, 0).numpy()
            choice = int(rng.choice(len(p), p=p / p.sum()))
        yield choice
        pending = [choice]


@torch.no_grad()
def sample_frames(
    model: SequenceModel,
    prime: NDArray[np.integer],
    *,
    length: int,
    temperature: float,
    rng: np.random.Generator,
    member: int = 0,
) -> Iterator[NDArray[np.uint8]]:
    """Generates frames of independent bits one by one, each the input of the next.

    Args:
        model: A model that reads and predicts as many bits.
        prime: Frames (N, K) that are read first; at least one.
        length: How many to generate.
        temperature: Divides the logits; 0 sets a bit that is likelier set than not.
        rng: The generator.
        member: Row of the population.

    Raises:
        ConfigError: The temperature is negative, or the prime empty.
    """
    _check(temperature)
    if len(prime) == 0:
        raise ConfigError("sampling needs at least one frame to start from")
    members, like = model.readout.shape[0], model.readout
    state = None
    pending = np.asarray(prime)
    for _ in range(length):
        x = torch.from_numpy(pending).to(like)[None, :, None]
        logits, state = model(x.expand(members, -1, -1, -1), state)
        scores = logits[member, -1, 0].cpu().double()
        if temperature == 0:
            frame = (scores > 0).numpy()
        else:
            frame = rng.random(len(scores)) < torch.sigmoid(scores / temperature).numpy()
        yield frame.astype(np.uint8)
        pending = frame[None].astype(np.uint8)


def _check(temperature: float) -> None:
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"temperature must be a number >= 0, got {temperature}")


def stream_text(task: Task, indices: Iterable[int], *, after: int | None = None) -> Iterator[str]:
    r"""Turns class indices into text as they come, a character or a word at a time.

    Where the symbols are bytes, the bytes of a character wait for each other; those that make none
    come as `\xNN`, as in `Task.decode`. The pieces together are what `decode` makes of all.

    Args:
        task: The task.
        indices: The class indices.
        after: The one that stands before them, which decides whether a word needs a blank.
    """
    if task.unit == "words":
        yield from _stream_words(task, indices, after)
        return
    waiting: list[int] = []
    for k in indices:
        waiting.append(k)
        while waiting:
            sizes = [n for n in range(1, len(waiting) + 1) if len(task.decode(waiting[:n])) == 1]
            if not sizes and len(waiting) < 4:  # the longest character has four bytes
                break
            size = sizes[0] if sizes else 1
            yield task.decode(waiting[:size])
            waiting = waiting[size:]
    if waiting:
        yield task.decode(waiting)


def _stream_words(task: Task, indices: Iterable[int], after: int | None) -> Iterator[str]:
    """Yields what each word adds to the text."""
    before = [] if after is None else [after]
    for k in indices:
        yield task.decode([*before, k]).removeprefix(task.decode(before))
        before = [k]
