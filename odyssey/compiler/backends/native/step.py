"""The training step around a cell in native code: readout and loss with gradients, and the update.

Shapes: P members, T steps, B streams, V symbols, H units of the largest member, N parameters of a
member (padding included).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.step_source import BLOCK, OPTIMIZERS, step_source
from odyssey.compiler.backends.native.targets import TARGETS
from odyssey.errors import ConfigError

ENTRIES = ("odyssey_readout", "odyssey_update")


@cache
def _library(dtype: str) -> ctypes.CDLL:
    return toolchain.load(step_source(dtype=dtype, target=toolchain.target()), ENTRIES)


def library(dtype: torch.dtype) -> ctypes.CDLL:
    """Gives the compiled code for float32 or float64.

    Raises:
        BuildError: It cannot be built.
    """
    return _library(str(dtype).removeprefix("torch."))


class Readout:
    """A softmax readout and its cross-entropy, for the members of a population in one call.

    The logits are never kept: rows are taken in blocks, with their gradients. Buffers live as long
    as the object, so what `differentiate` gives is overwritten by its next call.

    Args:
        units: Units of each member; columns of h beyond them do not count, and get gradient zero.
    """

    def __init__(self, units: Sequence[int]) -> None:
        self.units = torch.tensor(units)
        self.calls: dict[tuple[object, ...], _ReadoutCall] = {}

    def measure(
        self, h: Tensor, weight: Tensor, bias: Tensor, target: Tensor, counted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gives summed nats and right answers of every member, (P,) float64 each.

        Args:
            h: Outputs of the last layer (P, T, B, H).
            weight: (P, V, H).
            bias: (P, V).
            target: (P, T, B) int64.
            counted: (P, T, B) bool, the positions that count.

        Raises:
            ConfigError: A target is no symbol.
        """
        return self._run(h, weight, bias, target, counted, None)[:2]

    def differentiate(
        self,
        h: Tensor,
        weight: Tensor,
        bias: Tensor,
        target: Tensor,
        counted: Tensor,
        scale_P: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Gives summed nats (P,) float64, and the gradients of h, weight and bias.

        Args:
            h: As in `measure`, like the four that follow.
            weight: -
            bias: -
            target: -
            counted: -
            scale_P: What multiplies a member's sum in the loss that is differentiated, float64.
        """
        nll_P, _, gradients = self._run(h, weight, bias, target, counted, scale_P)
        return nll_P, gradients

    def _run(
        self,
        h: Tensor,
        weight: Tensor,
        bias: Tensor,
        target: Tensor,
        counted: Tensor,
        scale_P: Tensor | None,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        h, weight, bias = (t if t.is_contiguous() else t.contiguous() for t in (h, weight, bias))
        if not (target.is_contiguous() or target[0].is_contiguous()):
            target = target.contiguous()
        if not (counted.is_contiguous() or counted[0].is_contiguous()):
            counted = counted.contiguous()
        key = (h.shape, weight.shape[1], h.dtype, scale_P is None)
        call = self.calls.get(key)
        if call is None:
            self.calls = {k: c for k, c in self.calls.items() if k[3] != key[3]}
            call = _ReadoutCall(h, weight.shape[1], self.units, keep=scale_P is not None)
            self.calls[key] = call
        return call(h, weight, bias, target, counted, scale_P)


class _ReadoutCall:
    """Calls of one shape: their buffers, and the C struct with what does not change filled in."""

    def __init__(self, h: Tensor, symbols: int, units: Tensor, *, keep: bool) -> None:
        (P, T, B, H), V, dtype = h.shape, symbols, h.dtype
        self.run, self.symbols = library(dtype).odyssey_readout, V
        lanes = TARGETS[toolchain.target()].bytes // dtype.itemsize
        columns = -(-H // lanes) * lanes
        size = BLOCK * (H + columns + V) + V * (2 * columns + lanes)
        # room for a start at a multiple of 64 bytes
        self.scratch = torch.empty(size + 64 // dtype.itemsize, dtype=dtype)
        self.out = torch.empty(2, P, dtype=torch.float64)
        shapes = ((P, T, B, H), (P, V, H), (P, V)) if keep else ((0,), (0,), (0,))
        dh, dw, db = (torch.empty(shape, dtype=dtype) for shape in shapes)
        self.gradients = (dh, dw, db)
        self.units, self.bad = units, ctypes.c_int64()
        self.arguments = (ctypes.c_int64 * 25)(
            *(P, T * B, H, V, int(keep), units.data_ptr()),
            *(0, T * B * H, 0, V * H, 0, V, 0, 0, 0, 0, 0),
            *(self.out.data_ptr(), self.out.data_ptr() + 8 * P),
            *(dh.data_ptr(), dw.data_ptr(), V * H, db.data_ptr(), V),
            -(-self.scratch.data_ptr() // 64) * 64,
        )

    def __call__(
        self,
        h: Tensor,
        weight: Tensor,
        bias: Tensor,
        target: Tensor,
        counted: Tensor,
        scale_P: Tensor | None,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        z = self.arguments
        z[6], z[8], z[10] = h.data_ptr(), weight.data_ptr(), bias.data_ptr()
        z[12], z[13] = target.data_ptr(), target.stride(0)
        z[14], z[15] = counted.data_ptr(), counted.stride(0)
        z[16] = 0 if scale_P is None else scale_P.data_ptr()
        self.bad.value = 0
        self.run(z, ctypes.byref(self.bad))
        if self.bad.value:
            raise ConfigError(
                f"{self.bad.value} targets are no symbols: expected 0 to {self.symbols - 1}"
            )
        nll_P, right_P = self.out.clone()
        return nll_P, right_P, self.gradients


class Update:
    """Clips gradients and steps parameters in place, in two passes over them.

    Args:
        parameters: (P, ...) each, contiguous; their memory is stepped.
        optimizer: sgd, rmsprop, adam or adagrad.
        state: Its running values (P, N) each, in the order the optimiser names them.
        nesterov: Whether sgd's momentum is Nesterov's.
        decay: Decay of rmsprop's running square.
        inside_PN: What is not padding; None where nothing is.
        alive_P: Which members are trained, bool; read at every call, like the vectors that follow.
        limit: Largest healthy loss, nats a counted character.
        rate_P: Learning rates, of the parameters' type like the three that follow.
        momentum_P: Momentum of sgd.
        clip_norm_P: Largest norm; infinity does not clip.
        clip_value_P: Largest size of an element; infinity does not clip.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        optimizer: str,
        state: Sequence[Tensor],
        nesterov: bool,
        decay: float,
        inside_PN: Tensor | None,
        alive_P: Tensor,
        limit: float,
        rate_P: Tensor,
        momentum_P: Tensor,
        clip_norm_P: Tensor,
        clip_value_P: Tensor,
    ) -> None:
        self.parameters, self.state = list(parameters), list(state)
        self.dtype = parameters[0].dtype
        self.inside = None
        if inside_PN is not None:
            bits = torch.int32 if self.dtype == torch.float32 else torch.int64
            self.inside = -inside_PN.to(bits)
        table: list[int] = []
        place = 0
        for p in self.parameters:
            count = p[0].numel()
            table += [p.data_ptr(), count, 0, count, count, place]
            place += count
        self.table = (ctypes.c_int64 * len(table))(*table)
        P = len(parameters[0])
        self.norm_P = torch.empty(P, dtype=torch.float64)
        self.healthy_P = torch.empty(P, dtype=torch.bool)
        self.numbers = (ctypes.c_double * 4)(limit, decay, 1, 1)
        self.alive_P, self.rules = alive_P, (rate_P, momentum_P, clip_norm_P, clip_value_P)
        first, second, *_ = [s.data_ptr() for s in self.state] + [0, 0]
        self.arguments = (ctypes.c_int64 * 18)(
            *(P, len(self.parameters), place, OPTIMIZERS.index(optimizer), int(nesterov)),
            *(ctypes.addressof(self.table), alive_P.data_ptr(), 0),
            *(self.norm_P.data_ptr(), self.healthy_P.data_ptr()),
            *(t.data_ptr() for t in self.rules),
            0 if self.inside is None else self.inside.data_ptr(),
            *(first, second, ctypes.addressof(self.numbers)),
        )
        self.run = library(self.dtype).odyssey_update

    def __call__(
        self,
        gradients: Sequence[Tensor | None],
        *,
        mean_P: Tensor,
        corrections: tuple[float, float],
    ) -> tuple[Tensor, Tensor]:
        """Makes one update of the members that are alive and healthy.

        Args:
            gradients: Of the parameters, in their order; None stands for zeros.
            mean_P: Nats a counted character, float64.
            corrections: What adam divides its running mean and square by.

        Returns:
            The norm of each member's gradient, float64, and whether it and the mean are healthy;
            the next call overwrites them.
        """
        held = []  # until the call is over
        for k, (parameter, g) in enumerate(zip(self.parameters, gradients, strict=True)):
            if g is not None and g.stride()[1:] != parameter.stride()[1:]:
                g = g.contiguous()
            held.append(g)
            self.table[6 * k] = parameter.data_ptr()
            self.table[6 * k + 2] = 0 if g is None else g.data_ptr()
            self.table[6 * k + 3] = 0 if g is None else g.stride(0)
        self.arguments[7] = mean_P.data_ptr()
        self.numbers[2], self.numbers[3] = corrections
        self.run(self.arguments, None)
        return self.norm_P, self.healthy_P
