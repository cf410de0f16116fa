"""The torch side of the native backend: memory, the call into C, and the gradients of matrices.

Shapes: P members, T steps, B batch rows, I input, H hidden units of the largest member, W columns
of the gradient rows. A plain module is a population of one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from odyssey.compiler.backends import eager
from odyssey.compiler.backends.base import Layer, State
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.codegen import Writer, generate
from odyssey.compiler.backends.native.plan import Plan, make_plan
from odyssey.compiler.backends.native.prelude import Prelude, Rows
from odyssey.compiler.backends.native.products import (
    outer,
    pad,
    refuse_second_derivatives,
)
from odyssey.compiler.backends.native.targets import TARGETS
from odyssey.compiler.program import Group, Program

DTYPES = {torch.float32: "float32", torch.float64: "float64"}


@dataclass(frozen=True)
class Shape:
    """The sizes of one call; `units` are those of each member."""

    members: int
    steps: int
    batch: int
    input_size: int
    hidden: int
    units: tuple[int, ...]

    @property
    def ragged(self) -> bool:
        """Whether some member has fewer units than the tensors."""
        return min(self.units) < self.hidden

    def of(self, size: str) -> int:
        """The number that "H" or "I" stands for."""
        return self.hidden if size == "H" else self.input_size


class Kernel:
    """The compiled code of a plan for one dtype."""

    def __init__(self, plan: Plan, dtype: torch.dtype) -> None:
        self.plan, self.dtype = plan, dtype
        self.target = toolchain.target()
        self.source, self.writer = generate(plan, dtype=DTYPES[dtype], target=self.target)
        self.library = toolchain.load(self.source)
        self.lanes = TARGETS[self.target].bytes // dtype.itemsize

    def run(self, name: str, shape: Shape, fields: Mapping[str, Any], *, keep: bool) -> None:
        """Calls into C with one struct a member.

        Args:
            name: The entry point.
            shape: The sizes.
            fields: Name -> tensor (P, ...), or shared by all members, or a number.
            keep: Whether a backward pass will follow.
        """
        bases = [_base(fields.get(f), shape.members) for f in self.writer.fields[1:]]
        table: list[int] = []
        for p, units in enumerate(shape.units):
            table.append(units)
            table += [base + p * stride for base, stride in bases]
        s = shape
        sizes = (s.members, s.steps, s.batch, s.hidden, s.input_size, int(keep))
        getattr(self.library, name)(
            (ctypes.c_int64 * 6)(*sizes), (ctypes.c_int64 * len(table))(*table)
        )

    def scratch(self, shape: Shape, *, backward: bool) -> dict[str, Tensor]:
        """Allocates what lives for one call, shared by the members."""
        writer: Writer = self.writer
        sizes: dict[str, int] = {}
        for name, size in writer.scratch.items():
            if name[0] == ("e" if backward else "f"):
                sizes[name] = shape.batch * shape.of(size)
        for name, (units, inner, maps) in writer.panels.items():
            if name[0] == ("b" if backward else "w"):
                padded = pad(shape.of(units), self.lanes)
                sizes[name] = padded * maps * sum(shape.of(s) for s in inner.split("+"))
        if backward:
            for n in range(len(self.plan.program.states)):
                sizes[f"c{n}"] = shape.batch * shape.hidden
        return carve(sizes, self.dtype)


def _base(value: Tensor | int | None, members: int) -> tuple[int, int]:
    if isinstance(value, Tensor):
        shared = value.dim() < 2
        stride = 0 if shared or members == 1 else value.stride(0) * value.element_size()
        return value.data_ptr(), stride
    return (value or 0), 0


def carve(sizes: Mapping[str, int], dtype: torch.dtype) -> dict[str, Tensor]:
    """Cuts one allocation into flat tensors whose starts are aligned."""
    starts, end = {}, 0
    for name, size in sizes.items():
        starts[name] = end
        end += -(-size // 16) * 16
    whole = torch.empty(end, dtype=dtype)
    return {name: whole[start : start + sizes[name]] for name, start in starts.items()}


@dataclass
class Call:
    """One call of the loop: everything but the tensors that autograd knows."""

    kernel: Kernel
    shape: Shape
    index: list[Tensor | None]
    keep: bool


class _Loop(torch.autograd.Function):
    """The time loop. Its inputs: rows, vectors, matrices, states; its outputs: y, final states."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        plan, shape, kernel = call.kernel.plan, call.shape, call.kernel
        fields = _inputs(plan, call, tensors)
        new = torch.zeros if shape.ragged else torch.empty
        P, T, B, H = shape.members, shape.steps, shape.batch, shape.hidden
        finals = [new(P, B, H, dtype=kernel.dtype) for _ in plan.program.states]
        fields.update({f"o{n}": f for n, f in enumerate(finals)})
        y = new(P, T, B, H, dtype=kernel.dtype) if plan.writes_output else None
        fields["y"] = y
        kept = [new(P, T + 1 if call.keep else 2, B, H, dtype=kernel.dtype) for _ in finals]
        fields.update({f"s{n}": s for n, s in enumerate(kept)})
        for k in plan.saved:
            rows = T if call.keep else 1
            size = plan.units(k, shape.input_size, H)
            kept.append(new(P, rows, B, size, dtype=kernel.dtype))
            fields[f"v{k}"] = kept[-1]
        fields.update(kernel.scratch(shape, backward=False))
        kernel.run("odyssey_forward", shape, fields, keep=call.keep)
        ctx.call = call
        if call.keep:
            ctx.save_for_backward(*tensors, *kept)
        return (*((y,) if y is not None else ()), *finals)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives()
        call: Call = ctx.call
        plan, shape, kernel = call.kernel.plan, call.shape, call.kernel
        P, T, B, H = shape.members, shape.steps, shape.batch, shape.hidden
        count = len(ctx.saved_tensors) - len(plan.program.states) - len(plan.saved)
        tensors, kept = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        fields = _inputs(plan, call, tensors)
        states = len(plan.program.states)
        fields.update({f"s{n}": s for n, s in enumerate(kept[:states])})
        fields.update({f"v{k}": s for k, s in zip(plan.saved, kept[states:], strict=True)})
        arriving = [g.contiguous() for g in gradients]
        if plan.writes_output:
            fields["dy"] = arriving.pop(0)
        fields.update({f"do{n}": g for n, g in enumerate(arriving)})
        new = torch.zeros if shape.ragged else torch.empty
        width = sum(plan.units(k, shape.input_size, H) for k in plan.slots)
        rows_PTBW = fields["d"] = new(P, T, B, width, dtype=kernel.dtype)
        first = [new(P, B, H, dtype=kernel.dtype) for _ in range(states)]
        fields.update({f"di{n}": g for n, g in enumerate(first)})
        vectors = []
        for k in plan.vectors:
            size = plan.units(k, shape.input_size, H)
            vectors.append(torch.zeros(P, size, dtype=kernel.dtype))
            fields[f"g{k}"] = vectors[-1]
        tables = {}
        for n, index in enumerate(call.index):
            if index is not None:
                tables[n] = fields[f"gx{n}"] = torch.zeros_like(tensors[n])
        fields.update(kernel.scratch(shape, backward=True))
        kernel.run("odyssey_backward", shape, fields, keep=True)
        slots = _Columns(plan, shape, rows_PTBW)
        found: list[Tensor | None] = []
        for n, stack in enumerate(plan.stacks):
            leaves = [plan.backward.leaves.get(leaf, -1) for leaf in stack.leaves]
            sizes = [plan.units(leaf, shape.input_size, H) for leaf in stack.leaves]
            gradient = tables[n] if n in tables else slots.gather(leaves, sizes)
            found.append(gradient.view(tensors[n].shape) if n in tables else gradient)
        found += vectors
        weights = _matrix_gradients(
            kernel, shape, slots, dict(zip(plan.saved, kept[states:], strict=True)), kept
        )
        for n, name in enumerate(plan.matrices):
            like = tensors[len(plan.stacks) + len(plan.vectors) + n]
            found.append(weights[name] if name in weights else torch.zeros_like(like))
        return (None, *found, *first)


class _Columns:
    """The gradient rows (P, T, B, W), by the number of the gradient."""

    def __init__(self, plan: Plan, shape: Shape, rows_PTBW: Tensor) -> None:
        self.plan, self.rows = plan, rows_PTBW
        self.starts: dict[int, int] = {}
        self.sizes: dict[int, int] = {}
        start = 0
        for k in plan.slots:
            self.starts[k], self.sizes[k] = start, plan.units(k, shape.input_size, shape.hidden)
            start += self.sizes[k]

    def gather(self, numbers: Sequence[int], sizes: Sequence[int]) -> Tensor:
        """Takes columns side by side, as a view where they lie so; -1 stands for zeros."""
        ends = [self.starts[k] + self.sizes[k] for k in numbers if k >= 0]
        starts = [self.starts[k] for k in numbers if k >= 0]
        if -1 not in numbers and starts[1:] == ends[:-1]:
            return self.rows[..., starts[0] : ends[-1]]
        parts = []
        for k, size in zip(numbers, sizes, strict=True):
            if k < 0:
                parts.append(self.rows.new_zeros((*self.rows.shape[:-1], size)))
            else:
                parts.append(self.rows[..., self.starts[k] : self.starts[k] + size])
        return torch.cat(parts, -1)


def _inputs(plan: Plan, call: Call, tensors: Sequence[Tensor]) -> dict[str, Any]:
    """Names the inputs of the loop as the C struct does."""
    left = iter(tensors)
    fields: dict[str, Any] = {}
    for n, index in zip(range(len(plan.stacks)), call.index, strict=True):
        rows = next(left)
        fields[f"x{n}"], fields[f"x{n}_row"], fields[f"x{n}_index"] = rows, rows.stride(-2), index
    for k in plan.vectors:
        fields[f"p{k}"] = next(left)
    for n in range(len(plan.matrices)):
        fields[f"m{n}"] = next(left)
    for n in range(len(plan.program.states)):
        fields[f"i{n}"] = next(left)
    return fields


def _matrix_gradients(
    kernel: Kernel,
    shape: Shape,
    columns: _Columns,
    saved: Mapping[int, Tensor],
    states: Sequence[Tensor],
) -> dict[str, Tensor]:
    """Computes each group's gradient in one product over all steps and rows: dG^T X."""
    plan = kernel.plan
    found: dict[str, Tensor] = {}
    nodes, back = plan.program.nodes, plan.backward

    def rows(group: Group) -> Tensor:
        node = nodes[group.operand]
        if node.op == "previous":
            return states[plan.program.states.index(node.name)][:, :-1]
        if group.operand in plan.program.updates:
            return states[plan.program.updates.index(group.operand)][:, 1:]
        return saved[group.operand]

    for group in plan.groups:
        maps = [r for r in group.results if r in back.results]
        if not maps:
            continue
        sizes = [plan.units(r, shape.input_size, shape.hidden) for r in maps]
        d = columns.gather([back.results[r] for r in maps], sizes).flatten(1, 2)
        x = rows(group).flatten(1, 2)
        whole = outer(kernel, d, x)
        for r, part in zip(maps, torch.split(whole, sizes, -2), strict=True):
            name = nodes[r].name
            found[name] = found[name] + part if name in found else part
    return found


@dataclass
class NativeLayer:
    """Runs a layer: the part before the loop in torch, the loop in C.

    Tensors elsewhere than on the CPU, and other dtypes, run on the eager backend.
    """

    program: Program
    population: bool
    masked: bool
    kernels: dict[torch.dtype, Kernel] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> NativeLayer:
        return self  # it holds code, no numbers

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kernels": {}}  # loaded anew from the cache

    @cached_property
    def plan(self) -> Plan | None:
        """The plan; None without a loop."""
        return make_plan(self.program) if has_loop(self.program) else None

    @property
    def source(self) -> str:
        """The C file for float32."""
        if self.plan is None:
            return f"/* {self.program.name} has no time loop: it runs in torch. */\n"
        return generate(self.plan, dtype="float32", target=toolchain.target())[0]

    @cached_property
    def _eager(self) -> Layer:
        return eager.build(self.program, population=self.population, masked=self.masked)

    def __call__(
        self,
        x: Tensor,
        state: State,
        parameters: Mapping[str, Tensor],
        mask: Tensor | None,
        sizes: tuple[int, int],
    ) -> tuple[Tensor, State]:
        """Runs the layer; see `backends.base.Layer`."""
        like = next(iter((*parameters.values(), *state, x)))
        if self.plan is None or like.device.type != "cpu" or like.dtype not in DTYPES:
            return self._eager(x, state, parameters, mask, sizes)
        plan = self.plan
        if like.dtype not in self.kernels:
            self.kernels[like.dtype] = Kernel(plan, like.dtype)
        kernel = self.kernels[like.dtype]
        skip = {k for s in plan.stacks if s.results for k in (*s.leaves, *s.results)}
        before = Prelude(
            plan.program,
            x,
            parameters,
            mask,
            input_size=sizes[0],
            population=self.population,
            skip=skip,
            tiles=kernel,
        )
        rows: list[Rows] = [before.rows(s) for s in plan.stacks]
        vectors = [before.values[k].contiguous() for k in plan.vectors]
        matrices = [parameters[n].contiguous() for n in plan.matrices]
        states = [s.contiguous() for s in state]
        lead = 1 if self.population else 0
        hidden = sizes[1]
        members = x.shape[0] if lead else 1
        units = (hidden,) * members if mask is None else tuple(mask.sum(-1).tolist())
        shape = Shape(members, x.shape[lead], x.shape[lead + 1], *sizes, units)
        tensors = [r.values for r in rows] + vectors + matrices + states
        if not lead:
            tensors = [t.unsqueeze(0) for t in tensors]
        keep = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        call = Call(kernel, shape, [r.index for r in rows], keep)
        outputs = _Loop.apply(call, *tensors)  # type: ignore[no-untyped-call]
        if not lead:
            outputs = tuple(o.squeeze(0) for o in outputs)
        if plan.writes_output:
            y, *finals = outputs
        else:
            y, finals = self._whole(before, mask), list(outputs)
        return y, tuple(finals)

    def _whole(self, before: Prelude, mask: Tensor | None) -> Tensor:
        """The output where it is a value from before the loop."""
        y: Tensor = before.whole()
        return y if mask is None else torch.where(mask[:, None, None], y, y.new_zeros(()))


def has_loop(program: Program) -> bool:
    """Says whether any value depends on a state."""
    return any(n.region == "step" for n in program.nodes)
