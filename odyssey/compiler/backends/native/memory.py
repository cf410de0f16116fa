"""Memory of a native call: allocations cut into fields, and a pool of those that are free again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

ALIGNED = 16  # numbers: 64 bytes of float32
POOLED = 6

Fields = dict[str, tuple[int, int]]
"""Field of the C struct -> its address (or number) for the first member, and the distance in bytes
to the next member's."""


def address(tensor: Tensor, members: int) -> tuple[int, int]:
    """Gives where a tensor (P, ...) or, shared by all members, (1, ...) begins; see `Fields`."""
    shared = members == 1 or tensor.shape[0] != members
    return tensor.data_ptr(), 0 if shared else tensor.stride(0) * tensor.element_size()


@dataclass(frozen=True)
class Layout:
    """Where fields lie in one allocation: numbers in all, and each one's start and length."""

    total: int
    members: int
    fields: dict[str, tuple[int, int]]


def lay_out(sizes: Mapping[str, int], members: int) -> Layout:
    """Puts fields of so many numbers a member one after the other, with aligned starts."""
    total = 0
    fields: dict[str, tuple[int, int]] = {}
    for name, size in sizes.items():
        length = -(-size // ALIGNED) * ALIGNED
        fields[name] = total, length if members > 1 else 0
        total += length * members
    return Layout(total, members, fields)


class Arena:
    """One allocation and the addresses of its fields; it goes back to the pool with its owner."""

    def __init__(self, layout: Layout, dtype: torch.dtype) -> None:
        self.memory = _borrow(layout.total, dtype)
        base, item = self.memory.data_ptr(), dtype.itemsize
        self.fields: Fields = {
            name: (base + start * item, length * item)
            for name, (start, length) in layout.fields.items()
        }

    def __del__(self) -> None:
        _POOL[id(self.memory)] = self.memory


_POOL: dict[int, Tensor] = {}
"""Memory of calls that are over. Fresh pages cost as much as the arithmetic done on them."""


def _borrow(total: int, dtype: torch.dtype) -> Tensor:
    """Takes memory of a like size from the pool, or allocates it; what is in it is anything.

    Other threads may borrow and give back at the same time: every step here is atomic.
    """
    held = list(_POOL.items())
    for key, memory in held:
        fits = memory.dtype == dtype and total <= memory.numel() <= 2 * total + ALIGNED
        if fits and _POOL.pop(key, None) is not None:
            return memory
    for key, _ in held[: max(0, len(held) - POOLED)]:
        _POOL.pop(key, None)  # the oldest
    return torch.empty(total, dtype=dtype)
