"""What a character model thinks of every symbol of a held-out text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from odyssey.errors import ConfigError
from odyssey.tasks.base import HeldOut, Task
from odyssey.training.model import SequenceModel

SYMBOLS_A_CALL = 1000  # symbols a call of the model reads


@torch.no_grad()
def predict(
    model: SequenceModel,
    task: Task,
    *,
    characters: int,
    split: HeldOut = "test",
    member: int = 0,
    progress: Callable[[int], None] = lambda symbols: None,
) -> pd.DataFrame:
    """Reads held-out data as one stream and keeps the loss of every symbol.

    Args:
        model: The model; its state begins at zero and is carried on to the end.
        task: The task.
        characters: How many symbols are predicted, at most.
        split: Of which part of the data.
        member: Row of the population.
        progress: Hears how many symbols are read, now and then.

    Returns:
        Columns position (place of the symbol in the split, from 1: the first is only read), symbol
        (its class), nats (negative log-probability that it was given), counted (whether the task
        counts it).

    Raises:
        ConfigError: No symbol was asked for.
    """
    if characters < 1:
        raise ConfigError(f"predict at least one character, got {characters}")
    members = model.readout.shape[0]
    state = None
    symbols, nats, counted = [], [], []
    for batch in task.held_out(split, batch_size=1, unroll=SYMBOLS_A_CALL, characters=characters):
        x, target = torch.from_numpy(batch.inputs_TB), torch.from_numpy(batch.targets_TB[:, 0])
        logits, state = model(x.to(model.readout.device).expand(members, -1, -1), state)
        own = logits[member, :, 0].cpu().double()
        nats.append(functional.cross_entropy(own, target, reduction="none").numpy())
        symbols.append(batch.targets_TB[:, 0])
        counted.append(batch.weights_TB[:, 0])
        progress(SYMBOLS_A_CALL * len(symbols))
    found = np.concatenate(symbols)[:characters]
    return pd.DataFrame(
        {
            "position": np.arange(1, len(found) + 1),
            "symbol": found,
            "nats": np.concatenate(nats)[:characters],
            "counted": np.concatenate(counted)[:characters],
        }
    )
