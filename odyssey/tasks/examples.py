"""Sequences, and many of them in a few long arrays, out of which a batch is cut at once.

Shapes: N sequences, R rows, which are the steps of all sequences, T time steps, B sequences side by
side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import Batch
from odyssey.tasks.signature import Signature, Values


@dataclass(frozen=True)
class Example:
    """Holds one sequence.

    Attributes:
        inputs_T: Class indices (T,), int64; or bits or reals (T, I).
        targets_T: What is to be predicted at each input, alike (T,) or (T, K).
        weights_T: Which targets count, bool; None when all do.
        given: What it is conditioned on, as `Condition.shape`.
        columns_T: Where in a picture that stands which is to be predicted, columns of pixels (T,);
            NaN for nowhere. None where nobody knows.
    """

    inputs_T: NDArray[Any]
    targets_T: NDArray[Any]
    weights_T: NDArray[np.bool_] | None = None
    given: NDArray[Any] | None = None
    columns_T: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.inputs_T)


@dataclass(frozen=True)
class Packed(Sequence[Example]):
    """Holds sequences in long arrays, the steps of one behind those of the other.

    The last row belongs to none and is zero: padding reads it.

    Attributes:
        inputs_R: The inputs of all steps, (R + 1,) or (R + 1, I).
        targets_R: Their targets, alike.
        weights_R: Which of these count, bool.
        starts_N: Where each sequence begins.
        lengths_N: How many steps it has.
        given: What each is conditioned on; None: nothing.
    """

    inputs_R: NDArray[Any]
    targets_R: NDArray[Any]
    weights_R: NDArray[np.bool_]
    starts_N: NDArray[np.int64]
    lengths_N: NDArray[np.int64]
    given: Sequence[NDArray[Any]] | None = None

    def __len__(self) -> int:
        return len(self.starts_N)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Packed: ...
    def __getitem__(self, index: int | slice) -> Example | Packed:
        """Gives a sequence, or some of them."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        start = self.starts_N[index]
        own = slice(start, start + self.lengths_N[index])
        given = None if self.given is None else self.given[index]
        return Example(self.inputs_R[own], self.targets_R[own], self.weights_R[own], given)

    def take(self, which: NDArray[np.integer] | Sequence[int]) -> Packed:
        """Gives some of the sequences, in an order; their steps stay where they are."""
        given = None if self.given is None else [self.given[k] for k in which]
        which = np.asarray(which, dtype=np.int64)
        return Packed(
            self.inputs_R,
            self.targets_R,
            self.weights_R,
            self.starts_N[which],
            self.lengths_N[which],
            given,
        )

    def side_by_side(
        self, signature: Signature, *, columns: int, most_steps: int
    ) -> Iterator[Batch]:
        """Puts all sequences side by side, padded with weight False, and cuts what is too long.

        Args:
            signature: What they are to a model.
            columns: B, at least as many as there are sequences.
            most_steps: Steps of a batch, at most.
        """
        lengths_B, starts_B = np.zeros((2, columns), dtype=np.int64)
        lengths_B[: len(self)], starts_B[: len(self)] = self.lengths_N, self.starts_N
        given = None
        if signature.condition is not None:
            assert self.given is not None
            given = np.zeros((columns, *signature.condition.shape), dtype=np.float32)
            for b, own in enumerate(self.given):
                given[b] = own
        longest, nothing = int(lengths_B.max()), len(self.inputs_R) - 1
        for start in range(0, longest, most_steps):
            steps_T1 = np.arange(start, min(start + most_steps, longest))[:, None]
            at_TB = np.where(steps_T1 < lengths_B, starts_B + steps_T1, nothing)
            yield Batch(
                inputs_TB=_rows(self.inputs_R, at_TB, signature.inputs),
                targets_TB=_rows(self.targets_R, at_TB, signature.outputs),
                weights_TB=self.weights_R.take(at_TB),
                fresh_B=np.full(columns, start == 0),
                ends_TB=steps_T1 == lengths_B - 1,
                given_B=given if start == 0 else None,
                read=int(np.clip(lengths_B - start, 0, most_steps).sum()),
            )


def _rows(array_R: NDArray[Any], at_TB: NDArray[np.int64], values: Values) -> NDArray[Any]:
    return array_R.take(at_TB, axis=0).astype(values.dtype, copy=False)


def pack(examples: Sequence[Example]) -> Packed:
    """Puts sequences, at least one, into long arrays."""
    if isinstance(examples, Packed):
        return examples
    lengths_N = np.array([len(e) for e in examples], dtype=np.int64)
    counts = [np.ones(len(e), np.bool_) if e.weights_T is None else e.weights_T for e in examples]
    given = [e.given for e in examples if e.given is not None]
    return pack_rows(
        np.concatenate([e.inputs_T for e in examples]),
        np.concatenate([e.targets_T for e in examples]),
        np.concatenate(counts),
        lengths_N,
        given=given if len(given) == len(examples) else None,
    )


def pack_rows(
    inputs_R: NDArray[Any],
    targets_R: NDArray[Any],
    weights_R: NDArray[np.bool_],
    lengths_N: NDArray[np.int64],
    *,
    given: Sequence[NDArray[Any]] | None = None,
) -> Packed:
    """Packs sequences whose steps already lie one behind the other."""
    rows = (inputs_R, targets_R, weights_R)
    # row-major, whatever order the arrays of a .mat file have
    inputs, targets, weights = (
        np.ascontiguousarray(np.append(a, np.zeros_like(a[:1]), axis=0)) for a in rows
    )
    return Packed(inputs, targets, weights, np.cumsum(lengths_N) - lengths_N, lengths_N, given)


def pack_equal(
    inputs_NT: NDArray[Any], targets_NT: NDArray[Any], weights_T: NDArray[np.bool_]
) -> Packed:
    """Packs sequences of one length, (N, T, ...), of which the same steps count."""
    count, steps = inputs_NT.shape[:2]
    return pack_rows(
        inputs_NT.reshape(-1, *inputs_NT.shape[2:]),
        targets_NT.reshape(-1, *targets_NT.shape[2:]),
        np.tile(weights_T, count),
        np.full(count, steps, dtype=np.int64),
    )
