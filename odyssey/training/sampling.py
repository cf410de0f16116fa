"""Generating text from a trained character model, as in char-rnn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from odyssey.errors import ConfigError
from odyssey.training.model import CharModel


@torch.no_grad()
def sample(
    model: CharModel,
    prime: NDArray[np.int64],
    *,
    length: int,
    temperature: float,
    rng: np.random.Generator,
    member: int = 0,
) -> Iterator[int]:
    """Generates class indices one by one.

    Args:
        model: The model.
        prime: Class indices (N,) that are read first; at least one.
        length: How many to generate.
        temperature: Divides the logits; 0 always takes the likeliest symbol.
        rng: The generator.
        member: Row of the population.

    Raises:
        ConfigError: The temperature is negative or the prime empty.
    """
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"temperature must be a number >= 0, got {temperature}")
    if len(prime) == 0:
        raise ConfigError("sampling needs at least one character to start from")
    members = model.readout.shape[0]
    state = None
    pending = [int(k) for k in prime]
    for _ in range(length):
        x = torch.tensor(pending).view(1, -1, 1).expand(members, -1, -1)
        logits, state = model(x, state)
        scores = logits[member, -1, 0].double()
        if temperature == 0:
            choice = int(scores.argmax())
        else:
            p = torch.softmax(scores / temperature, 0).numpy()
            choice = int(rng.choice(len(p), p=p / p.sum()))
        yield choice
        pending = [choice]
