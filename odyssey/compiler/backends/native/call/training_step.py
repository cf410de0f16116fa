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
from odyssey.compiler.backends.native.abi import CPU, Form, Structs, dense, rows
from odyssey.compiler.backends.native.source.training_fields import PARAMETER, READOUT, UPDATE
from odyssey.compiler.backends.native.source.training_step import BLOCK, OPTIMIZERS, step_source
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
        self.units = torch.tensor(units, dtype=torch.int64, device=CPU)
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
        h, weight, bias = dense(h), dense(weight), dense(bias)
        target, counted = _rows(target), _rows(counted)
        key = (h.shape, weight.shape[1], h.dtype, scale_P is None)
        call = self.calls.get(key)
        if call is None:
            self.calls = {k: c for k, c in self.calls.items() if k[3] != key[3]}
            call = _ReadoutCall(h, weight.shape[1], self.units, keep=scale_P is not None)
            self.calls[key] = call
        return call(h, weight, bias, target, counted, scale_P)


def _rows(tensor: Tensor) -> Tensor:
    """Makes what each member has row-major; members may share it."""
    return tensor if tensor.is_contiguous() or tensor[0].is_contiguous() else dense(tensor)


class _ReadoutCall:
    """Calls of one shape: their buffers, and the structure with what does not change filled in."""

    def __init__(self, h: Tensor, symbols: int, units: Tensor, *, keep: bool) -> None:
        (P, T, B, H), S, dtype = h.shape, symbols, h.dtype
        self.run, self.symbols = library(dtype).odyssey_readout, symbols
        lanes = TARGETS[toolchain.target()].bytes // dtype.itemsize
        columns = -(-H // lanes) * lanes
        size = BLOCK * (H + columns + S) + S * (2 * columns + lanes)
        lengths = {"P": P, "T": T, "B": B, "H": H, "S": S, "scratch": size}
        form = Form(READOUT, "b" if keep else "f", lengths=lengths, real=dtype)
        # room for a start at a multiple of 64 bytes
        self.scratch = torch.empty(size + 64 // dtype.itemsize, dtype=dtype, device=CPU)
        self.out = torch.empty(2, P, dtype=torch.float64, device=CPU)
        shapes = ((P, T, B, H), (P, S, H), (P, S)) if keep else ((0,), (0,), (0,))
        dh, dw, db = (torch.empty(shape, dtype=dtype, device=CPU) for shape in shapes)
        self.gradients = (dh, dw, db)
        self.bad = ctypes.c_int64()
        self.structs = z = Structs(form)
        numbers = {"P": P, "R": T * B, "H": H, "S": S, "keep": int(keep)}
        away = {"h": T * B * H, "w": S * H, "b": S, "dw": S * H, "db": S, "target": 0, "weight": 0}
        for name, value in (numbers | {f"{n}_member": d for n, d in away.items()}).items():
            z.number(name, value)
        z.put("units", units)
        z.put("nll", self.out[0])
        z.put("right", self.out[1])
        for name, tensor in (("dh", dh), ("dw", dw), ("db", db)) if keep else ():
            z.put(name, tensor)
        z.place("scratch", -(-self.scratch.data_ptr() // 64) * 64, 0)

    def __call__(
        self,
        h: Tensor,
        weight: Tensor,
        bias: Tensor,
        target: Tensor,
        counted: Tensor,
        scale_P: Tensor | None,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        z = self.structs
        for name, tensor in (("h", h), ("w", weight), ("b", bias)):
            z.set(name, tensor)
        for name, tensor in (("target", target), ("weight", counted)):
            z.set(name, tensor)
            z.change(f"{name}_member", tensor.stride(0))
        if scale_P is not None:
            z.set("scale", dense(scale_P))
        self.bad.value = 0
        self.run(z.filled(), ctypes.byref(self.bad))
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
        self.parameters = list(parameters)
        self.dtype = parameters[0].dtype
        P = len(parameters[0])
        counts = [p[0].numel() for p in self.parameters]
        self.of = rows(len(counts), PARAMETER)
        self.rows = [self._row(k, P, n, sum(counts[:k])) for k, n in enumerate(counts)]
        self.values = [0] * len(counts)  # where the parameters lay at the last call
        self.arrived: list[Tensor | None] = [None] * len(
            counts
        )  # gradients that lie where they lay
        lengths = {"P": P, "N": sum(counts), "4": 4}
        form = Form(UPDATE, "f", lengths=lengths, real=self.dtype)
        self.norm_P = torch.empty(P, dtype=torch.float64, device=CPU)
        self.healthy_P = torch.empty(P, dtype=torch.bool, device=CPU)
        numbers = torch.tensor([limit, decay, 1, 1], dtype=torch.float64, device=CPU)
        self.numbers = numbers.numpy()  # in the same memory
        self.structs = z = Structs(form)
        kind = OPTIMIZERS.index(optimizer)
        sizes = {"P": P, "parameters": len(counts), "N": sum(counts), "kind": kind}
        for name, value in (sizes | {"nesterov": int(nesterov)}).items():
            z.number(name, value)
        z.place("of", ctypes.addressof(self.of), 0)
        for name, tensor in {
            "alive": alive_P,
            "norm": self.norm_P,
            "healthy": self.healthy_P,
            "rate": rate_P,
            "momentum": momentum_P,
            "clip_norm": clip_norm_P,
            "clip_value": clip_value_P,
            "numbers": numbers,
            **dict(zip(("first", "second"), state, strict=False)),
        }.items():
            z.put(name, tensor)
        if inside_PN is not None:
            bits = torch.int32 if self.dtype == torch.float32 else torch.int64
            z.put("inside", (-inside_PN.to(bits)).view(self.dtype))
        self.run = library(self.dtype).odyssey_update

    def _row(self, k: int, members: int, count: int, place: int) -> Structs:
        """Makes the structure of one parameter."""
        form = Form(PARAMETER, "f", lengths={"P": members, "count": count}, real=self.dtype)
        structs = Structs(form, self.of, k)
        numbers = {"value": count, "gradient": 0}
        for name, value in {f"{n}_member": d for n, d in numbers.items()}.items():
            structs.number(name, value)
        structs.number("count", count)
        structs.number("place", place)
        return structs

    def _place(self, k: int) -> None:
        """Writes down where a parameter lies; it is stepped there."""
        parameter = self.parameters[k].detach()
        if not parameter.is_contiguous():
            raise ConfigError(f"parameter {k} must be row-major, got strides {parameter.stride()}")
        self.rows[k].set("value", parameter.flatten(1))
        self.values[k] = parameter.data_ptr()

    def _arrive(self, k: int, gradient: Tensor | None) -> None:
        """Writes down where the gradient of a parameter lies, or that there is none."""
        self.arrived[k] = None
        if gradient is None:
            self.rows[k].clear("gradient")
            return
        if gradient.shape != self.parameters[k].shape:
            raise ConfigError(
                f"gradient {k} must be {tuple(self.parameters[k].shape)},"
                f" got {tuple(gradient.shape)}"
            )
        flat = gradient.resolve_neg().flatten(1)
        self.rows[k].set("gradient", flat)
        self.rows[k].change("gradient_member", flat.stride(0))
        if flat.data_ptr() == gradient.data_ptr():  # a buffer may come again with other numbers
            self.arrived[k] = gradient

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
        for k, g in enumerate(gradients):
            if self.parameters[k].data_ptr() != self.values[k]:
                self._place(k)
            if g is None or g is not self.arrived[k]:
                self._arrive(k, g)
        self.structs.set("mean", dense(mean_P))
        self.numbers[2:] = corrections
        self.run(self.structs.filled(), None)
        return self.norm_P, self.healthy_P
