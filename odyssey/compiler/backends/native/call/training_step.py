"""The training step around a cell in native code: readout and loss with gradients, and the update.

Both keep a structure of their tables with all that stays the same filled in. A call puts in the
tensors that may have moved, which costs nothing for those that have not, and runs C.

Shapes: P members, T steps, B streams, V symbols, H units of the largest member, N parameters of a
member (padding included).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from odyssey.compiler.backends.base import OptimizerState, ReadoutInputs, UpdateRules
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.abi.structures import CPU, Form, Structs, dense, rows
from odyssey.compiler.backends.native.abi.training import (
    BLOCK_ROWS,
    PARAMETER,
    READOUT,
    READOUT_KINDS,
    UPDATE,
    UPDATE_KINDS,
)
from odyssey.compiler.backends.native.call.kernel import DTYPES
from odyssey.compiler.backends.native.call.products import products
from odyssey.compiler.backends.native.source.training_step import step_source
from odyssey.compiler.backends.native.targets import TARGETS
from odyssey.compiler.backends.native.tuning import tiling_for
from odyssey.errors import ConfigError

_ENTRIES = ("odyssey_readout", "odyssey_update", "odyssey_steps")
_Gradients = tuple[Tensor, Tensor, Tensor]
CLASSES = READOUT_KINDS[0]


def step_library(dtype: torch.dtype) -> ctypes.CDLL:
    """Gives the compiled code for float32 or float64, for the vectors that are asked for now."""
    return built_library(dtype, toolchain.target())


@cache
def built_library(dtype: torch.dtype, target: str) -> ctypes.CDLL:
    """Gives the code for a row of `targets.TARGETS`, loaded once in a process."""
    return toolchain.load(step_source(dtype=DTYPES[dtype], target=target), _ENTRIES)


class NativeReadout:
    """A readout and its loss, for the members of a population in one call.

    The logits are never kept: rows are taken in blocks, with their gradients. Buffers live as long
    as the object, so what `differentiate` gives is overwritten by its next call.

    Args:
        units: Units of each member; columns of h beyond them do not count, and get gradient zero.
        kind: Of the outputs, one of `READOUT_KINDS`.
        outputs: How many there are.
    """

    def __init__(self, units: Sequence[int], kind: str, outputs: int) -> None:
        self.kind, self.outputs = kind, outputs
        self.units = torch.tensor(units, dtype=torch.int64, device=CPU)
        self.calls: dict[tuple[object, ...], _ReadoutCall] = {}

    def training(self) -> Structs | None:
        """Gives the structure of the last call for gradients."""
        return next((c.structs for c in self.calls.values() if c.keep), None)

    def measure(self, inputs: ReadoutInputs) -> tuple[Tensor, Tensor]:
        """See `base.ReadoutLoss`."""
        return self._run(inputs, None)[:2]

    def differentiate(
        self, inputs: ReadoutInputs, scale_P: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """See `base.ReadoutLoss`."""
        nll_P, _, gradients = self._run(inputs, scale_P)
        return nll_P, gradients

    def _run(
        self, inputs: ReadoutInputs, scale_P: Tensor | None
    ) -> tuple[Tensor, Tensor, _Gradients]:
        h, weight, *_ = inputs
        keep = scale_P is not None
        key = (h.shape[0], h.shape[2:], weight.shape[1], h.dtype, keep)
        call = self.calls.get(key)
        if call is None:
            self.calls = {k: c for k, c in self.calls.items() if c.keep != keep}
            call = _ReadoutCall(h, weight.shape[1], self.units, kind=self.kind, keep=keep)
            self.calls[key] = call
        return call(inputs, scale_P)


def _rows(tensor: Tensor) -> Tensor:
    """Makes what each member has row-major; members may share it."""
    return tensor if tensor.is_contiguous() or tensor[0].is_contiguous() else dense(tensor)


class _ReadoutCall:
    """Calls of one shape but for the steps: their buffers, and the structure with what does not
    change filled in."""

    def __init__(self, h: Tensor, symbols: int, units: Tensor, *, kind: str, keep: bool) -> None:
        (P, T, B, H), S, dtype = h.shape, symbols, h.dtype
        self.run, self.symbols = step_library(dtype).odyssey_readout, symbols
        self.keep = keep
        self.goal = "target" if kind == CLASSES else "values"
        lanes = TARGETS[toolchain.target()].bytes // dtype.itemsize
        columns = -(-H // lanes) * lanes
        size = BLOCK_ROWS * (H + columns + S) + S * (2 * columns + lanes)
        size += 0 if kind == CLASSES else BLOCK_ROWS * S
        self.lengths = {"P": P, "B": B, "H": H, "S": S, "scratch": size}
        self.dtype = dtype
        self.forms: dict[int, Form] = {}
        self.dh: dict[int, Tensor] = {}  # views of one memory, for each number of steps
        # room for a start at a multiple of 64 bytes
        self.scratch = torch.empty(size + 64 // dtype.itemsize, dtype=dtype, device=CPU)
        self.out = torch.empty(2, P, dtype=torch.float64, device=CPU)
        shapes = ((0,), (P, S, H), (P, S)) if keep else ((0,), (0,), (0,))
        self.room, self.dw, self.db = (
            torch.empty(shape, dtype=dtype, device=CPU) for shape in shapes
        )
        self.bad = ctypes.c_int64()
        self.structs = z = Structs(self._form(T))
        numbers = {"P": P, "R": T * B, "H": H, "S": S, "keep": int(keep)}
        numbers["kind"] = READOUT_KINDS.index(kind)
        target = toolchain.target()
        numbers["products"] = products(
            DTYPES[dtype], target, tiling_for(DTYPES[dtype], target, H, B)
        )
        away = {"h": T * B * H, "w": S * H, "b": S, "dw": S * H, "db": S}
        away |= dict.fromkeys(("target", "values", "weight"), 0)
        for name, value in (numbers | {f"{n}_member": d for n, d in away.items()}).items():
            z.number(name, value)
        z.put("units", units)
        z.put("nll", self.out[0])
        z.put("right", self.out[1])
        for name, tensor in (("dw", self.dw), ("db", self.db)) if keep else ():
            z.put(name, tensor)
        z.place("scratch", -(-self.scratch.data_ptr() // 64) * 64, 0)

    def _form(self, steps: int) -> Form:
        """Gives what fields must be for so many steps."""
        form = self.forms.get(steps)
        if form is None:
            lengths = self.lengths | {"T": steps}
            form = Form(READOUT, "b" if self.keep else "f", lengths=lengths, real=self.dtype)
            self.forms[steps] = form
        return form

    def _gradient(self, shape: torch.Size) -> Tensor:
        """Gives the memory of the gradient of h."""
        dh = self.dh.get(shape[1])
        if dh is None:
            count = shape.numel()
            if count > self.room.numel():
                self.room, self.dh = self.room.new_empty(count), {}
            dh = self.dh[shape[1]] = self.room[:count].view(shape)
        return dh

    def __call__(
        self, inputs: ReadoutInputs, scale_P: Tensor | None
    ) -> tuple[Tensor, Tensor, _Gradients]:
        z, (_, T, B, _) = self.structs, inputs[0].shape
        form = self._form(T)
        z.change("R", T * B)
        for name, tensor in zip(("w", "b"), inputs[1:3], strict=True):
            z.set(name, dense(tensor))
        for name, tensor in zip(("h", self.goal, "weight"), (inputs[0], *inputs[3:]), strict=True):
            tensor = _rows(tensor)
            z.set(name, tensor, form)
            z.change(f"{name}_member", tensor.stride(0))
        dh = self.room
        if self.keep:
            dh = self._gradient(inputs[0].shape)
            z.set("dh", dh, form)
        if scale_P is not None:
            z.set("scale", dense(scale_P))
        self.bad.value = 0
        self.run(z.filled(), ctypes.byref(self.bad))
        if self.bad.value:
            raise ConfigError(
                f"{self.bad.value} targets are no symbols: expected 0 to {self.symbols - 1}"
            )
        nll_P, right_P = self.out.clone()
        return nll_P, right_P, (dh, self.dw, self.db)


def _double(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, device=CPU)


def native_update(
    parameters: Sequence[Tensor], optimizer: OptimizerState, rules: UpdateRules
) -> NativeUpdate | None:
    """Gives the update; None where there is no C for the rule, or parameters are not row-major.

    See `base.TrainingStep`.
    """
    if optimizer.name not in UPDATE_KINDS or not all(p.is_contiguous() for p in parameters):
        return None
    return NativeUpdate(parameters, optimizer, rules)


class NativeUpdate:
    """Clips gradients and steps parameters in place, in two passes over them.

    Args:
        parameters: (P, ...) each, contiguous; their memory is stepped.
        optimizer: The optimiser; its running values are stepped in place.
        rules: How members are updated.
    """

    def __init__(
        self, parameters: Sequence[Tensor], optimizer: OptimizerState, rules: UpdateRules
    ) -> None:
        self.parameters = list(parameters)
        self.dtype = parameters[0].dtype
        P = len(parameters[0])
        counts = [p[0].numel() for p in self.parameters]
        self.of = rows(len(counts), PARAMETER)
        self.rows = [self._row(k, P, n, sum(counts[:k])) for k, n in enumerate(counts)]
        self.values = [0] * len(counts)  # where the parameters lay at the last call
        # gradients that lie where they lay then
        self.arrived: list[Tensor | None] = [None] * len(counts)
        lengths = {"P": P, "N": sum(counts)}
        self.norm_P = torch.empty(P, dtype=torch.float64, device=CPU)
        self.healthy_P = torch.empty(P, dtype=torch.bool, device=CPU)
        corrections = torch.ones(2, dtype=torch.float64, device=CPU)
        self.corrections = corrections.numpy()  # in the same memory
        self.structs = z = Structs(Form(UPDATE, "f", lengths=lengths, real=self.dtype))
        for name, value in {
            "P": P,
            "parameters": len(counts),
            "N": sum(counts),
            "kind": UPDATE_KINDS.index(optimizer.name),
            "nesterov": int(optimizer.nesterov),
        }.items():
            z.number(name, value)
        z.place("of", ctypes.addressof(self.of), 0)
        for name, tensor in {
            "alive": rules.alive_P,
            "norm": self.norm_P,
            "healthy": self.healthy_P,
            "rate": rules.rate_P,
            "momentum": optimizer.momentum_P,
            "clip_norm": rules.clip_norm_P,
            "clip_value": rules.clip_value_P,
            "limit": _double(rules.limit),
            "decay": _double(optimizer.decay),
            "mean_correction": corrections[0],
            "square_correction": corrections[1],
            **dict(zip(("first", "second"), optimizer.running, strict=False)),
        }.items():
            z.put(name, tensor)
        if rules.inside_PN is not None:
            bits = torch.int32 if self.dtype == torch.float32 else torch.int64
            z.put("inside", (-rules.inside_PN.to(bits)).view(self.dtype))
        if rules.weight_decay_P is not None:
            z.put("weight_decay", rules.weight_decay_P)
        if rules.averages is not None:
            z.put("average", rules.averages.values_PN)
            z.put("share", rules.averages.share_P)
        self.run = step_library(self.dtype).odyssey_update

    def settled(self) -> bool:
        """Says whether parameters and gradients lie where they lay at the last update."""
        there = zip(self.arrived, self.rows, strict=True)
        same = zip(self.parameters, self.values, strict=True)
        return all(g is not None or "gradient" not in row.held for g, row in there) and all(
            p.data_ptr() == where for p, where in same
        )

    def _row(self, k: int, members: int, count: int, place: int) -> Structs:
        """Makes the structure of one parameter."""
        form = Form(PARAMETER, "f", lengths={"P": members, "count": count}, real=self.dtype)
        structs = Structs(form, self.of, k)
        for name, value in {
            "value_member": count,
            "gradient_member": 0,  # until one arrives
            "count": count,
            "place": place,
        }.items():
            structs.number(name, value)
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
        """See `base.UpdateStep`."""
        for k, g in enumerate(gradients):
            if self.parameters[k].data_ptr() != self.values[k]:
                self._place(k)
            if g is None or g is not self.arrived[k]:
                self._arrive(k, g)
        self.structs.set("mean", dense(mean_P))
        self.corrections[:] = corrections
        self.run(self.structs.filled(), None)
        return self.norm_P, self.healthy_P
