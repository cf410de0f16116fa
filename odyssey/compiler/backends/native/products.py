"""Whole matrix products for what is not sequential: inputs of all steps, gradients of matrices.

They use the register tiles of the generated code. Measured on one core of an AMD EPYC (Zen 5,
AVX-512), float32, (4096, 128) times (128, 512): tiles 150 to 180 GFLOP/s, torch's BLAS (MKL) 102.
"""

from __future__ import annotations

import ctypes
from typing import Any, Protocol

import torch
from torch import Tensor

from odyssey.errors import ConfigError


class Tiles(Protocol):
    """A loaded library and how many numbers its vectors have."""

    library: ctypes.CDLL
    lanes: int


NO_SECOND = "backend 'native' has no second derivatives; build the RNN with backend='eager'"


def refuse_second_derivatives() -> None:
    """Raises within a backward pass that is itself to be differentiated.

    Raises:
        ConfigError: `create_graph=True`; what follows would silently be taken for a constant.
    """
    if torch.is_grad_enabled():
        raise ConfigError(NO_SECOND)


def pad(units: int, lanes: int) -> int:
    """Gives the columns of a packed matrix: tiles are up to four vectors wide."""
    return -(-units // (4 * lanes)) * 4 * lanes


def outer(tiles: Tiles, d_PRM: Tensor, x_PRN: Tensor) -> Tensor:
    """Sums outer products over rows: d^T x, (P, M, N)."""
    (members, rows, m), n = d_PRM.shape, x_PRN.shape[-1]
    d_PRM = d_PRM if d_PRM.stride(-1) == 1 else d_PRM.contiguous()
    x_PRN = x_PRN if x_PRN.stride(-1) == 1 else x_PRN.contiguous()
    to = d_PRM.new_empty(members, m, n)
    numbers = (
        *(members, rows, m, n),
        *(d_PRM.data_ptr(), d_PRM.stride(1), d_PRM.stride(0)),
        *(x_PRN.data_ptr(), x_PRN.stride(1), x_PRN.stride(0)),
        *(to.data_ptr(), to.stride(0)),
    )
    tiles.library.odyssey_outer((ctypes.c_int64 * len(numbers))(*numbers), None)
    return to


def affine(
    tiles: Tiles, x_PRK: Tensor, weight: Tensor, bias_PN: Tensor | None, *, transposed: bool
) -> Tensor:
    """Multiplies rows by a matrix: x w^T + b for w (P, N, K), or x w for w (P, K, N)."""
    members, rows, inner = x_PRK.shape
    n = weight.shape[-1] if transposed else weight.shape[-2]
    x_PRK = x_PRK if x_PRK.stride(-1) == 1 else x_PRK.contiguous()
    weight = weight.contiguous()
    bias_PN = None if bias_PN is None else bias_PN.contiguous()
    to = x_PRK.new_empty(members, rows, n)
    panel = x_PRK.new_empty(pad(n, tiles.lanes) * inner)
    numbers = (
        *(members, rows, inner, n),
        *(x_PRK.data_ptr(), x_PRK.stride(1), x_PRK.stride(0)),
        *(weight.data_ptr(), weight.stride(0)),
        *((0, 0) if bias_PN is None else (bias_PN.data_ptr(), bias_PN.stride(0))),
        *(to.data_ptr(), to.stride(0), panel.data_ptr(), int(transposed)),
    )
    tiles.library.odyssey_affine((ctypes.c_int64 * len(numbers))(*numbers), None)
    return to


class Affine(torch.autograd.Function):
    """`x w^T + b` for rows (P, T, B, K), with its gradients by the same tiles."""

    @staticmethod
    def forward(ctx: Any, tiles: Tiles, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Gives (P, T, B, N)."""
        ctx.tiles = tiles
        ctx.save_for_backward(x, weight)
        y = affine(tiles, x.flatten(1, 2), weight, bias, transposed=False)
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gives the gradients of x, weight and bias."""
        refuse_second_derivatives()
        x, weight = ctx.saved_tensors
        d = gradients[0].flatten(1, 2)
        _, for_x, for_weight, for_bias = ctx.needs_input_grad
        dx = affine(ctx.tiles, d, weight, None, transposed=True).view(x.shape) if for_x else None
        dw = outer(ctx.tiles, d, x.flatten(1, 2)) if for_weight else None
        return None, dx, dw, d.sum(1) if for_bias else None
