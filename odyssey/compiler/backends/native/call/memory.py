"""Memory of a native call: one allocation cut into fields, from a pool of those that are free.

Fresh pages cost as much as the arithmetic done on them. A piece of memory is free when no tensor
but the pool's own looks at its storage: the workspace of a forward call is an ordinary tensor,
which autograd, a compiled graph or nobody may hold for as long as they like. Large pieces ask the
system for large pages, for with small ones a long sequence pays more for addresses than for data.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

LARGE_PAGE = 1 << 21  # bytes
ALIGNED = 16  # numbers: 64 bytes of float32
POOLED = 8  # pieces, lent ones included


@dataclass(frozen=True)
class Layout:
    """Where fields lie in one allocation: numbers in all, and each one's start and length."""

    total: int
    fields: dict[str, tuple[int, int]]


def lay_out(sizes: Mapping[str, int], members: int) -> Layout:
    """Puts fields of so many numbers a member one after the other, with aligned starts."""
    total = 0
    fields: dict[str, tuple[int, int]] = {}
    for name, size in sizes.items():
        length = -(-size // ALIGNED) * ALIGNED
        fields[name] = total, length if members > 1 else 0
        total += length * members
    return Layout(total, fields)


class _Piece:
    """One allocation of the pool."""

    def __init__(self, total: int, dtype: torch.dtype) -> None:
        with torch.inference_mode(False):  # whoever gets it next may save it for a backward pass
            self.tensor = torch.empty(total, dtype=dtype, device="cpu")
        _ask_for_large_pages(self.tensor)
        self.storage = self.tensor.untyped_storage()  # its wrapper counts too, so it stays
        self.alone = self.users()

    def users(self) -> int:
        """Counts who holds the storage."""
        return int(torch._C._storage_Use_Count(self.storage._cdata))


def _ask_for_large_pages(tensor: Tensor) -> None:
    """Asks for large pages where a tensor covers any; nothing happens where there are none."""
    start = -(-tensor.data_ptr() // LARGE_PAGE) * LARGE_PAGE
    length = (tensor.data_ptr() + tensor.nbytes - start) // LARGE_PAGE * LARGE_PAGE
    if length > 0 and hasattr(mmap, "MADV_HUGEPAGE"):
        _advise()(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_HUGEPAGE)


@cache
def _advise() -> Callable[..., int]:
    advise: Callable[..., int] = ctypes.CDLL(None).madvise
    return advise


_POOL: dict[int, _Piece] = {}


def borrow(total: int, dtype: torch.dtype) -> Tensor:
    """Gives memory of so many numbers; what is in it is anything.

    It is free again when nobody holds the tensor or another that shares its storage. Threads may
    borrow at the same time: who takes a piece out of the pool is alone with it.
    """
    for key in list(_POOL):
        piece = _POOL.pop(key, None)
        if piece is None:
            continue
        size = piece.tensor.numel()
        if (
            piece.tensor.dtype == dtype
            and total <= size <= 2 * total + ALIGNED
            and piece.users() == piece.alone
        ):
            return _lend(piece, total)
        _POOL[key] = piece
    return _lend(_Piece(total, dtype), total)


def _lend(piece: _Piece, total: int) -> Tensor:
    lent = piece.tensor[:total]
    _POOL[id(piece)] = piece
    for key in list(_POOL)[: max(0, len(_POOL) - POOLED)]:
        _POOL.pop(key, None)  # the oldest
    return lent
