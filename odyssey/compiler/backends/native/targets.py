"""Processors: how wide their vectors are, and how many rows a register tile may have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """Vectors of a processor.

    Attributes:
        bytes: Width of a vector.
        rows: Vectors side by side in a register tile -> batch rows that are kept in registers.
        flags: What makes a compiler for x86 use them and nothing wider.
    """

    bytes: int
    rows: dict[int, int]
    flags: str


TARGETS = {
    "avx512": Target(
        64,
        {1: 8, 2: 8, 3: 8, 4: 6},
        "-march=x86-64 -mfma -mavx512f -mavx512dq -mavx512bw -mavx512vl",
    ),
    "avx2": Target(32, {1: 6, 2: 5, 3: 4, 4: 3}, "-march=x86-64 -mfma -mavx2"),
    "plain": Target(16, {1: 6, 2: 5, 3: 4, 4: 3}, "-march=x86-64"),
}
"""The widest first: a processor runs its own and all that follow."""
