"""Where a model with attention looks in a picture, beside where that is which it reads.

The model reads the true symbols, so that its steps are those of the task. Its look at a step is the
mean column of its attention, in pixels; the target's column is the task's to say. To look further
to the right with every step is easy: a clock would do. What a model looks at because of the picture
is seen among looks at the same step of sequences of the same length, whose targets are here or
there: the correlation within these.

Shapes: P members, T steps, B sequences, L places.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from odyssey.errors import ConfigError
from odyssey.tasks.base import HeldOut
from odyssey.tasks.sequences import SequenceTask
from odyssey.tasks.signature import ATTENTION, Condition
from odyssey.training.model import SequenceModel
from odyssey.training.sizes import picture_grid

SEQUENCES = 100  # of a batch
FEWEST = 3  # looks of one kind, among which a correlation is worth something


def attends(task: SequenceTask) -> bool:
    """Says whether models of a task look at places of a picture."""
    condition = task.signature.condition
    return condition is not None and condition.way == ATTENTION and len(condition.shape) == 3


def place_columns(condition: Condition) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Gives the middle of every place (L,), in columns of pixels from 0."""
    height, width = picture_grid(condition)
    pixels = condition.shape[1]
    step = 4  # pixels that a place stands for
    middles = [(step * k + min(step * k + step, pixels) - 1) / 2 for k in range(width)]
    return np.tile(middles, height)


@torch.no_grad()
def looks(
    model: SequenceModel, task: SequenceTask, *, split: HeldOut = "test", member: int = 0
) -> pd.DataFrame:
    """Reads held-out sequences, and keeps where the model looked for every target with a place.

    Args:
        model: The model.
        task: Its task, with attention to pictures.
        split: Of which data.
        member: Row of the population.

    Returns:
        Columns sequence, length (targets with a place), step (from 0), look and target (columns of
        pixels, from 0).

    Raises:
        ConfigError: Models of the task do not look at places of a picture.
    """
    condition = task.signature.condition
    if condition is None or not attends(task):
        raise ConfigError(f"{task.name}: no attention to a picture")
    columns = torch.from_numpy(place_columns(condition)).to(model.readout)
    examples = task.held_out_examples(split)
    members = len(model.readout)
    rows = []
    for start in range(0, len(examples), SEQUENCES):
        chosen = examples[start : start + SEQUENCES]
        x = np.zeros((max(map(len, chosen)), len(chosen)), dtype=np.int64)
        for b, example in enumerate(chosen):
            x[: len(example), b] = example.inputs_T
        given = torch.from_numpy(np.stack([e.given for e in chosen if e.given is not None]))
        given = given.to(model.readout)
        memory = model.encode(given.expand(members, *given.shape))
        assert memory is not None
        read = torch.from_numpy(x).to(given.device).expand(members, -1, -1)
        _, _, weights = model.attend(read, None, memory)
        look_TB = (weights[member] @ columns).cpu().numpy()
        for b, example in enumerate(chosen):
            if example.columns_T is None:
                continue
            placed = np.flatnonzero(np.isfinite(example.columns_T))
            rows += [
                (start + b, len(placed), int(t), look_TB[t, b], example.columns_T[t])
                for t in placed
            ]
    return pd.DataFrame(rows, columns=["sequence", "length", "step", "look", "target"])


def left_to_right(frame: pd.DataFrame) -> dict[str, float]:
    """Says how far looks follow targets from left to right; NaN where too few do.

    Args:
        frame: Of `looks`.

    Returns:
        rightward: Share of steps from a target to the next at which the look moves to the right.
        correlation: Of look and target, over all.
        within: Of their differences from the mean of their step and length: a clock has 0.
        off: Median distance of look and target, pixels.
    """
    order = frame.sort_values(["sequence", "step"])
    moves = order.groupby("sequence")["look"].diff().dropna()
    both = frame[["look", "target"]]
    kind = frame.groupby(["length", "step"])[["look", "target"]]
    enough = frame.groupby(["length", "step"])["look"].transform("size") >= FEWEST
    within = (both - kind.transform("mean"))[enough]
    return {
        "rightward": float((moves > 0).mean()) if len(moves) else np.nan,
        "correlation": _correlation(both),
        "within": _correlation(within),
        "off": float((frame["look"] - frame["target"]).abs().median()),
    }


def _correlation(frame: pd.DataFrame) -> float:
    spread = frame.std()
    if len(frame) < FEWEST or not (spread > 0).all():
        return np.nan
    return float(frame["look"].corr(frame["target"]))
