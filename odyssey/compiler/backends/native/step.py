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


def _lanes(dtype: torch.dtype) -> int:
    return TARGETS[toolchain.target()].bytes // dtype.itemsize


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
        self.buffers: dict[str, Tensor] = {}

    def _buffer(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        found = self.buffers.get(name)
        if found is None or found.shape != shape or found.dtype != dtype:
            found = self.buffers[name] = torch.empty(shape, dtype=dtype)
        return found

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
        if not target[0].is_contiguous():
            target = target.contiguous()
        if not counted[0].is_contiguous():
            counted = counted.contiguous()
        P, T, B, H = h.shape
        V, dtype = weight.shape[1], h.dtype
        lanes = _lanes(dtype)
        columns = -(-H // lanes) * lanes
        size = BLOCK * (H + columns + V) + V * (2 * columns + lanes)
        # a vector of room, for the first one starts at a multiple of its width
        scratch = self._buffer("scratch", (size + lanes,), dtype)
        start = -(-scratch.data_ptr() // 64) * 64
        out = torch.empty(2, P, dtype=torch.float64)
        dh = dw = db = None
        if scale_P is not None:
            dh = self._buffer("h", h.shape, dtype)
            dw = self._buffer("weight", weight.shape, dtype)
            db = self._buffer("bias", bias.shape, dtype)
        numbers = (
            *(P, T * B, H, V, int(scale_P is not None), self.units.data_ptr()),
            *(h.data_ptr(), T * B * H, weight.data_ptr(), V * H, bias.data_ptr(), V),
            *(target.data_ptr(), target.stride(0), counted.data_ptr(), counted.stride(0)),
            0 if scale_P is None else scale_P.data_ptr(),
            *(out.data_ptr(), out.data_ptr() + 8 * P),
            0 if dh is None else dh.data_ptr(),
            *((0, 0) if dw is None else (dw.data_ptr(), V * H)),
            *((0, 0) if db is None else (db.data_ptr(), V)),
            start,
        )
        bad = ctypes.c_int64()
        library(dtype).odyssey_readout((ctypes.c_int64 * len(numbers))(*numbers), ctypes.byref(bad))
        if bad.value:
            raise ConfigError(f"{bad.value} targets are no symbols: expected 0 to {V - 1}")
        return out[0], out[1], (dh, dw, db)  # type: ignore[return-value]


class Update:
    """Clips gradients and steps parameters in place, in two passes over them.

    Args:
        parameters: (P, ...) each, contiguous; their memory is stepped.
        optimizer: sgd, rmsprop, adam or adagrad.
        state: Its running values (P, N) each, in the order the optimiser names them.
        nesterov: Whether sgd's momentum is Nesterov's.
        inside_PN: What is not padding; None where nothing is.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        optimizer: str,
        state: Sequence[Tensor],
        nesterov: bool,
        inside_PN: Tensor | None,
    ) -> None:
        self.parameters, self.state = list(parameters), list(state)
        self.kind, self.nesterov = OPTIMIZERS.index(optimizer), nesterov
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
        self.width = place
        self.table = (ctypes.c_int64 * len(table))(*table)

    def __call__(
        self,
        gradients: Sequence[Tensor | None],
        *,
        alive_P: Tensor,
        mean_P: Tensor,
        limit: float,
        rate_P: Tensor,
        momentum_P: Tensor,
        clip_norm_P: Tensor,
        clip_value_P: Tensor,
        decay: float,
        corrections: tuple[float, float],
    ) -> tuple[Tensor, Tensor]:
        """Makes one update of the members that are alive and healthy.

        Args:
            gradients: Of the parameters, in their order; None stands for zeros.
            alive_P: Which members are trained, bool.
            mean_P: Nats a counted character, float64.
            limit: Largest healthy mean.
            rate_P: Learning rates, of the parameters' type like the three that follow.
            momentum_P: Momentum of sgd.
            clip_norm_P: Largest norm; infinity does not clip.
            clip_value_P: Largest size of an element.
            decay: Decay of rmsprop's running square.
            corrections: What adam divides its running mean and square by.

        Returns:
            The norm of each member's gradient, float64, and whether it and the mean are healthy.
        """
        P = len(rate_P)
        held = [g if g is None or g.is_contiguous() else g.contiguous() for g in gradients]
        for k, g in enumerate(held):
            self.table[6 * k + 2] = 0 if g is None else g.data_ptr()
        norm_P = torch.empty(P, dtype=torch.float64)
        healthy_P = torch.empty(P, dtype=torch.bool)
        numbers = (ctypes.c_double * 4)(limit, decay, *corrections)
        state = [s.data_ptr() for s in self.state] + [0, 0]
        fields = (
            *(P, len(self.parameters), self.width, self.kind, int(self.nesterov)),
            *(ctypes.addressof(self.table), alive_P.data_ptr(), mean_P.data_ptr()),
            *(norm_P.data_ptr(), healthy_P.data_ptr(), rate_P.data_ptr(), momentum_P.data_ptr()),
            *(clip_norm_P.data_ptr(), clip_value_P.data_ptr()),
            0 if self.inside is None else self.inside.data_ptr(),
            *state[:2],
            ctypes.addressof(numbers),
        )
        library(self.dtype).odyssey_update((ctypes.c_int64 * len(fields))(*fields), None)
        return norm_P, healthy_P
