"""How a layer reads sequences: in either direction, and several of unequal lengths.

A layer of a backend runs T steps of B rows forwards. Backwards, it reads the steps in reverse, and
what it gives is put back into their order. A packed sequence (`torch.nn.utils.rnn`) has its rows
sorted by length, the longest first, and holds for each step those that have not ended: it is a few
ordinary sequences, one after the other, each of fewer rows than the one before. A row that ends
leaves its state behind; backwards, where the last piece comes first, it enters with the state that
it starts from. So nothing is padded, and no step is run that no sequence has.

Shapes: P members, T steps, B batch rows, I input, H hidden units, N numbers of steps of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from odyssey.compiler.backends.base import State
from odyssey.errors import ConfigError

Read = tuple[Tensor, ...]
"""What a layer reads: x, then the further inputs of its cell."""

Run = Callable[[Read, State], tuple[Tensor, State]]
"""Runs a layer forwards: (T, B, I) and its state give (T, B, H) and the state after it."""


@dataclass(frozen=True)
class Piece:
    """Neighbouring steps of a packed sequence that have the same rows."""

    steps: int
    rows: int

    def of(self, data: Tensor) -> Tensor:
        """Gives its part of the data (steps * rows, ...) as a sequence (steps, rows, ...)."""
        return data.reshape(self.steps, self.rows, *data.shape[1:])


def pieces_of(packed: PackedSequence) -> list[Piece]:
    """Takes a packed sequence apart.

    Raises:
        ConfigError: Its parts do not fit together.
    """
    sizes: list[int] = packed.batch_sizes.tolist()
    falling = all(a >= b for a, b in pairwise(sizes))
    if not sizes or sizes[-1] < 1 or not falling or sum(sizes) != len(packed.data):
        raise ConfigError(
            f"a PackedSequence of {len(packed.data)} steps has batch_sizes {sizes}: pack it with"
            " torch.nn.utils.rnn.pack_padded_sequence"
        )
    return [Piece(len(list(steps)), rows) for rows, steps in groupby(sizes)]


def packed_alike(inputs: Mapping[str, Any], x: PackedSequence) -> dict[str, Any]:
    """Gives the data of further inputs that are packed as x is.

    Raises:
        ConfigError: One is not.
    """
    for name, value in inputs.items():
        if not (isinstance(value, PackedSequence) and _packing(value) == _packing(x)):
            raise ConfigError(
                f"input {str(name)[:40]} must be a PackedSequence of the lengths and in the order"
                " of x: pack both with the same lengths"
            )
    return {name: value.data for name, value in inputs.items()}


def _packing(packed: PackedSequence) -> list[list[int] | None]:
    parts = (packed.batch_sizes, packed.sorted_indices)
    return [None if part is None else part.tolist() for part in parts]


def run_sequence(
    run: Run, read: Read, state: State, *, time: int, backwards: bool
) -> tuple[Tensor, State]:
    """Runs a layer over a sequence.

    Args:
        run: The layer.
        read: x (T, B, I) or (T, B), with members (P, T, B, .), and further inputs (T, B, N).
        state: What it starts from.
        time: Which axis is T.
        backwards: Whether it reads the last step first.

    Returns:
        The output, each step where it was read, and the state after the step that came last.
    """
    if not backwards:
        return run(read, state)
    y, final = run(tuple(x.flip(time) for x in read), state)
    return y.flip(time), final


def run_packed(
    run: Run, read: Read, state: State, pieces: Sequence[Piece], *, backwards: bool
) -> tuple[Tensor, State]:
    """Runs a layer over a packed sequence.

    Args:
        run: The layer.
        read: x (N, I) or (N,) and further inputs (N, .), as `PackedSequence.data`.
        state: What it starts from, rows (B, .) first, the longest sequence first.
        pieces: The pieces of the packed sequence.
        backwards: Whether it reads the last step of each sequence first.

    Returns:
        The output (N, H), and the state of each row after the step of its own that came last.
    """
    sizes = [p.steps * p.rows for p in pieces]
    cut = zip(*(torch.split(data, sizes) for data in read), strict=True)
    parts = list(zip(cut, pieces, strict=True))
    outputs: list[Tensor] = []
    if backwards:
        now = tuple(s[:0] for s in state)
        for part, piece in reversed(parts):
            now = tuple(
                torch.cat([n, s[len(n) : piece.rows]]) for n, s in zip(now, state, strict=True)
            )
            y, now = run(tuple(piece.of(data).flip(0) for data in part), now)
            outputs.append(y.flip(0).flatten(0, 1))
        return torch.cat(outputs[::-1]), now
    now, ended = state, []
    for part, piece in parts:
        ended.append(tuple(n[piece.rows :] for n in now))
        own = tuple(map(piece.of, part))
        y, now = run(own, tuple(n[: piece.rows] for n in now))
        outputs.append(y.flatten(0, 1))
    finals = zip(now, *reversed(ended), strict=True)  # the shortest sequences are the last rows
    return torch.cat(outputs), tuple(torch.cat(rows) for rows in finals)
