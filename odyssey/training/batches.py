"""The batches of all members side by side, as a training step takes them.

Shapes: P members, T steps, B streams.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.compiler.arguments import require_classes
from odyssey.compiler.backends.base import State
from odyssey.tasks.base import Batch
from odyssey.training.devices import moved


@dataclass(frozen=True)
class JoinedBatch:
    """One batch of every member, row-major (P, T, B); views where there is one member.

    Attributes:
        inputs: Class indices, int64; or (P, T, B, I) bits, uint8, or floats.
        targets: Alike, with K numbers.
        weights: Which targets count, bool.
        fresh: Which columns begin anew (P, B), bool; None: none.
        given: What columns are conditioned on (P, B, ...), float32.
        read_P: How many inputs are no padding.
        steps_P: The steps of each member's batch; what is behind them is padding.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    weights: NDArray[np.bool_]
    fresh: NDArray[np.bool_] | None
    given: NDArray[np.float32] | None
    read_P: NDArray[np.int64]
    steps_P: tuple[int, ...]

    @property
    def count_P(self) -> NDArray[np.float64]:
        """How many targets count, (P,), at least one."""
        counts = [max(np.count_nonzero(w), 1) for w in self.weights]
        return np.array(counts, dtype=np.float64)

    def part(self, columns: slice) -> JoinedBatch:
        """Gives some of its columns, row-major."""
        own = self._replaced(columns, "inputs", "targets", "weights", axis=2)
        return dataclasses.replace(self, **own, **self._replaced(columns, "fresh", "given", axis=1))

    def _replaced(self, columns: slice, *names: str, axis: int) -> dict[str, Any]:
        where = (*(slice(None),) * axis, columns)
        arrays = {name: getattr(self, name) for name in names}
        return {n: np.ascontiguousarray(a[where]) for n, a in arrays.items() if a is not None}

    def tensors(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Gives inputs, targets and weights; on the CPU classes and weights in the same memory.

        Args:
            dtype: The type of floats, and what bits turn into.
            device: Where they are to be.
        """
        arrays = (self.inputs, self.targets, self.weights)
        x, target, weight = (moved(torch.from_numpy(array), device) for array in arrays)
        x, target = (t if t.dtype == torch.int64 else t.to(dtype) for t in (x, target))
        return x, target, weight

    def condition(self, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """Gives what columns are conditioned on, (P, B, ...)."""
        return None if self.given is None else moved(torch.from_numpy(self.given), device).to(dtype)

    def require_classes(self, inputs: int, targets: int) -> None:
        """Checks that class indices are classes, where only the CPU reads values.

        Raises:
            ConfigError: One is not.
        """
        for array, classes in ((self.inputs, inputs), (self.targets, targets)):
            if array.dtype == np.int64:
                require_classes(torch.from_numpy(array), classes)

    @property
    def anew(self) -> bool | None:
        """Whether all columns begin anew; None where some do and some do not."""
        if self.fresh is None:
            return False
        every = bool(self.fresh.all())
        return every if every or not self.fresh.any() else None

    def begin(self, state: State | None, start: Callable[[int], State]) -> State | None:
        """Gives the state before the first step, (P, L, B, H) each: anew in fresh columns.

        Args:
            state: The state that the steps before left, or None.
            start: Gives the state of so many columns in which a sequence begins.
        """
        if state is None or self.anew:
            return None
        goes_on = self.goes_on(state[0].device)
        return state if goes_on is None else joined_states(goes_on, state, start)

    def goes_on(self, device: torch.device) -> Tensor | None:
        """Says which columns go on from a state (P, 1, B, 1); None where all do, or none does."""
        if self.fresh is None or self.anew is not None:
            return None
        return moved(torch.from_numpy(~self.fresh), device)[:, None, :, None]


def joined_states(goes_on: Tensor, state: State, start: Callable[[int], State]) -> State:
    """Gives a state in the columns that go on, and in the others that in which a sequence begins.

    Args:
        goes_on: Which do, (P, 1, B, 1).
        state: The state that the steps before left.
        start: Gives the state of so many columns in which a sequence begins.
    """
    anew = start(goes_on.shape[2])
    return tuple(torch.where(goes_on, s, a) for s, a in zip(state, anew, strict=True))


def join(batches: Sequence[Batch]) -> JoinedBatch:
    """Puts a batch of every member side by side; short ones are padded with weight False."""
    steps = max(len(b.inputs_TB) for b in batches)

    def side_by_side(arrays: Sequence[NDArray[Any]], *, pad: bool = True) -> NDArray[Any]:
        if pad:
            arrays = [_padded(a, steps) for a in arrays]
        return np.ascontiguousarray(arrays[0][None] if len(arrays) == 1 else np.stack(arrays))

    fresh = [b.fresh_B for b in batches]
    given = [b.given_B for b in batches]
    return JoinedBatch(
        side_by_side([b.inputs_TB for b in batches]),
        side_by_side([b.targets_TB for b in batches]),
        side_by_side([b.weights_TB for b in batches]),
        None
        if all(f is None for f in fresh)
        else side_by_side(
            [
                np.zeros(b.weights_TB.shape[1], dtype=np.bool_) if f is None else f
                for b, f in zip(batches, fresh, strict=True)
            ],
            pad=False,
        ),
        None
        if any(g is None for g in given)
        else side_by_side([g for g in given if g is not None], pad=False),
        np.array([b.weights_TB.size if b.read is None else b.read for b in batches]),
        tuple(len(b.inputs_TB) for b in batches),
    )


def _padded(array_TB: NDArray[Any], steps: int) -> NDArray[Any]:
    missing = steps - len(array_TB)
    if not missing:
        return array_TB
    return np.concatenate([array_TB, np.zeros((missing, *array_TB.shape[1:]), array_TB.dtype)])


def in_type(arrays: list[NDArray[Any]], real: np.dtype[Any]) -> list[NDArray[Any]]:
    """Gives arrays of one type, floats in the type `real`."""
    kind = arrays[0].dtype
    return arrays if kind == real or kind.kind != "f" else [a.astype(real) for a in arrays]


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

    def together(self, most: int, *, longest: int) -> list[JoinedBatch]:
        """Draws batches whose columns all begin anew, or all go on; none if the first is not.

        Args:
            most: How many, at most.
            longest: Steps of a batch, at most.
        """
        drawn: list[JoinedBatch] = []
        while len(drawn) < most:
            batch = next(self)
            if batch.anew is None or batch.weights.shape[1] > longest:
                self.give_back([batch])
                break
            drawn.append(batch)
        return drawn

    def give_back(self, batches: Iterable[JoinedBatch]) -> None:
        """Takes batches back that nothing was trained on, in their order."""
        self.returned.extendleft(reversed([*batches]))
