"""What generated layers call besides torch: products of sequences and rows, and masks of units."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def gather(x: Tensor, weight: Tensor) -> Tensor:
    """Multiplies one-hot rows, given as class indices, by a matrix: takes its columns.

    Args:
        x: (T, B) or (P, T, B) int64.
        weight: (G, I) or (P, G, I).

    Returns:
        (T, B, G) or (P, T, B, G).
    """
    if weight.dim() == 2:
        return functional.embedding(x, weight.mT.contiguous())
    members, rows, classes = weight.shape
    table = weight.mT.reshape(members * classes, rows)
    first = torch.arange(members, device=x.device).view(-1, 1, 1) * classes
    return functional.embedding(x + first, table)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """Multiplies every vector of a sequence by a matrix.

    Args:
        x: (..., I), with a population (P, ..., I).
        weight: (G, I) or (P, G, I).
    """
    if weight.dim() == 2:
        return functional.linear(x, weight)
    flat = torch.bmm(x.flatten(1, -2), weight.mT)
    return flat.view(*x.shape[:-1], weight.shape[-2])


def one_hot(x: Tensor, classes: int, like: Tensor) -> Tensor:
    """Writes class indices out as vectors of the dtype of `like`."""
    return functional.one_hot(x, classes).to(like.dtype)


def units_of(mask: Tensor, above: int, below: int) -> Tensor:
    """Says which units members have of a size that is a multiple of H, (P, n) bool.

    Args:
        mask: Which of the H units each member has, (P, H).
        above: Numerator of the multiple.
        below: Denominator.
    """
    units = (mask.sum(-1) * above // below).clamp(min=1)
    whole = max(1, mask.shape[-1] * above // below)
    return torch.arange(whole, device=mask.device) < units[:, None]
