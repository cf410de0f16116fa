"""The batches of all members side by side, as a training step takes them.

Shapes: P members, T steps, B streams.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.tasks.base import Batch


@dataclass(frozen=True)
class JoinedBatch:
    """One batch of every member, row-major (P, T, B); views where there is one member.

    Attributes:
        inputs: Class indices, int64.
        targets: Class indices, int64.
        weights: Which targets count, bool.
        fresh: Columns whose state begins anew, bool (P, B); None: none does.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.bool_]
    fresh: NDArray[np.bool_] | None = None

    @property
    def count_P(self) -> NDArray[np.float64]:
        """How many targets count, (P,), at least one."""
        counts = [max(np.count_nonzero(w), 1) for w in self.weights]
        return np.array(counts, dtype=np.float64)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Gives the three as tensors in the same memory."""
        x, target, weight = map(torch.from_numpy, (self.inputs, self.targets, self.weights))
        return x, target, weight


def join(batches: Sequence[Batch]) -> JoinedBatch:
    """Puts a batch of every member side by side."""
    parts = zip(*((b.inputs_TB, b.targets_TB, b.weights_TB) for b in batches), strict=True)
    stacked = (a[0][None] if len(a) == 1 else np.stack(a) for a in parts)
    fresh = None
    if any(b.fresh_B is not None for b in batches):
        none = np.zeros(batches[0].inputs_TB.shape[1], dtype=np.bool_)
        fresh = np.stack([none if b.fresh_B is None else b.fresh_B for b in batches])
    x, target, weight = map(np.ascontiguousarray, stacked)
    return JoinedBatch(x, target, weight, fresh)


class Draws:
    """Draws batches; those that were drawn and given back come first.

    Args:
        streams: The batches of each member, without end.
    """

    def __init__(self, streams: Iterable[Iterator[Batch]]) -> None:
        self.streams = list(streams)
        self.returned: deque[JoinedBatch] = deque()

    def __next__(self) -> JoinedBatch:
        return self.returned.popleft() if self.returned else join([next(s) for s in self.streams])

    def peek(self) -> JoinedBatch:
        """Gives the batch that is drawn next."""
        if not self.returned:
            self.returned.append(next(self))
        return self.returned[0]

    def take(self, most: int) -> list[JoinedBatch]:
        """Draws up to so many batches, at least one; before the next fresh states it ends."""
        drawn = [next(self)]
        while len(drawn) < most and self.peek().fresh is None:
            drawn.append(next(self))
        return drawn

    def give_back(self, batches: Iterable[JoinedBatch]) -> None:
        """Takes batches back that nothing was trained on, in their order."""
        self.returned.extendleft(reversed([*batches]))
