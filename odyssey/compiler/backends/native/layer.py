"""The torch side of the native backend: memory, the call into C, and the gradients of matrices.

Shapes: P members, T steps, B batch rows, I input, H hidden units of the largest member, W columns
of the gradient rows. A plain module is a population of one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from odyssey.compiler.backends import eager
from odyssey.compiler.backends.base import Layer, State
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.codegen import Writer, generate
from odyssey.compiler.backends.native.plan import Plan, make_plan
from odyssey.compiler.backends.native.prelude import Prelude
from odyssey.compiler.backends.native.targets import TARGETS
from odyssey.compiler.program import Program
from odyssey.errors import ConfigError

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
ALIGNED = 16  # numbers: 64 bytes of float32
BLOCK = 1 << 18
LEAST_ROWS = 96
REMEMBERED = 1000
POOLED = 6
NO_SECOND = "backend 'native' has no second derivatives; build the RNN with backend='eager'"

Fields = dict[str, tuple[int, int]]
"""Field of the C struct -> its address (or number) for the first member, and the distance in bytes
to the next member's."""


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
        self.entries = {
            False: self.library.odyssey_forward,
            True: self.library.odyssey_backward,
        }
        self.memory: dict[tuple[Any, ...], Any] = {}

    def run(self, shape: Shape, fields: Fields, *, backward: bool, keep: bool) -> None:
        """Calls into C with one struct a member."""
        found = [fields.get(f, (0, 0)) for f in self.writer.fields[1:]]
        table: list[int] = []
        for p, units in enumerate(shape.units):
            table.append(units)
            table += [base + p * stride for base, stride in found] if p else [a for a, _ in found]
        s = shape
        sizes = (s.members, s.steps, s.batch, s.hidden, s.input_size, int(keep), self.block(shape))
        self.entries[backward]((ctypes.c_int64 * 7)(*sizes), (ctypes.c_int64 * len(table))(*table))

    def _remembered(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """Gives what was found for the same sizes before: calls with new sizes are rare."""
        if key not in self.memory:
            if len(self.memory) >= REMEMBERED:
                self.memory.clear()
            self.memory[key] = make()
        return self.memory[key]

    def block(self, shape: Shape) -> int:
        """Gives the steps of a block: what they need at once should take about BLOCK bytes."""

        def make() -> int:
            widths = [self.width(shape), *(self.total(s.leaves, shape) for s in self.plan.stacks)]
            rows = max(LEAST_ROWS, BLOCK // (max(1, *widths) * self.dtype.itemsize))
            return max(1, min(shape.steps, rows // shape.batch))

        return int(self._remembered(("block", shape), make))

    def total(self, row: Sequence[int], shape: Shape) -> int:
        """Gives the length of a row of values."""
        found = self._remembered(
            (*row, shape.input_size, shape.hidden),
            lambda: sum(self.plan.units(k, shape.input_size, shape.hidden) for k in row),
        )
        return int(found)

    def width(self, shape: Shape) -> int:
        """Gives the length of a gradient row."""
        return self.total(self.plan.slots, shape)

    def scratch(self, shape: Shape, dense: Sequence[int], *, backward: bool) -> Arena:
        """Allocates what lives for one call, shared by the members.

        Args:
            shape: The sizes.
            dense: The stacks that are computed from vectors.
            backward: For which call.
        """
        layout = self._remembered(
            ("scratch", shape, *dense, backward),
            lambda: lay_out(self._scratch(shape, dense, backward=backward), 1),
        )
        return Arena(layout, self.dtype)

    def _scratch(self, shape: Shape, dense: Sequence[int], *, backward: bool) -> dict[str, int]:
        writer: Writer = self.writer
        block = self.block(shape)
        sizes: dict[str, int] = {}
        for name, size in writer.scratch.items():
            if name[0] == ("e" if backward else "f"):
                sizes[name] = shape.batch * shape.of(size)
        for name, (units, inner, maps) in writer.panels.items():
            if name[0] == ("b" if backward else "w"):
                padded = pad(shape.of(units), self.lanes)
                sizes[name] = padded * maps * sum(shape.of(s) for s in inner.split("+"))
        for n in dense:
            stack = self.plan.stacks[n]
            total, inner_size = self.total(stack.leaves, shape), self.total([stack.operand], shape)
            if not backward or n in writer.again:
                sizes[f"aw{n}"] = pad(total, self.lanes) * inner_size
                sizes[f"x{n}"] = block * shape.batch * total
            if backward:
                sizes[f"bw{n}"] = pad(inner_size, self.lanes) * total
        if backward:
            for n in range(len(self.plan.program.states)):
                sizes[f"c{n}"] = shape.batch * shape.hidden
            sizes["d"] = (block + 1) * shape.batch * self.width(shape)
        return sizes

    def kept(self, shape: Shape, *, keep: bool) -> Layout:
        """Lays out what a backward pass reads again; of two steps if none follows."""

        def make() -> Layout:
            rows = shape.steps if keep else 1
            sizes = {
                f"s{n}": (rows + 1) * shape.batch * shape.hidden
                for n in range(len(self.plan.program.states))
            }
            for k in self.plan.saved:
                sizes[f"v{k}"] = rows * shape.batch * self.total([k], shape)
            return lay_out(sizes, shape.members)

        return cast(Layout, self._remembered(("kept", shape, keep), make))


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


@dataclass
class Call:
    """One call of the loop: everything but the tensors that autograd knows."""

    kernel: Kernel
    shape: Shape
    index: list[Tensor | None]
    keep: bool

    def dense(self, tensors: Sequence[Tensor | None]) -> list[int]:
        """Lists the stacks that are computed from vectors: those with a matrix."""
        return [n for n in range(len(self.index)) if tensors[3 * n + 1] is not None]


class _Loop(torch.autograd.Function):
    """The time loop. Its outputs: y if it is a value of the loop, and the final states.

    Its inputs, all (P, ...): for each stack rows, matrix and bias (see `Rows`), then vectors,
    matrices and states.
    """

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        plan, shape, kernel = call.kernel.plan, call.shape, call.kernel
        P, T, B, H = shape.members, shape.steps, shape.batch, shape.hidden
        new = torch.zeros if shape.ragged else torch.empty
        outputs = [new(P, B, H, dtype=kernel.dtype) for _ in plan.program.states]
        fields = _inputs(call, tensors)
        fields.update({f"o{n}": address(f, P) for n, f in enumerate(outputs)})
        if plan.writes_output:
            outputs.insert(0, new(P, T, B, H, dtype=kernel.dtype))
            fields["y"] = address(outputs[0], P)
        kept = Arena(kernel.kept(shape, keep=call.keep), kernel.dtype)
        scratch = kernel.scratch(shape, call.dense(tensors), backward=False)
        fields.update(kept.fields)
        fields.update(scratch.fields)
        kernel.run(shape, fields, backward=False, keep=call.keep)
        ctx.call = call
        if call.keep:
            ctx.save_for_backward(*tensors)
            ctx.kept = kept
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives()
        call: Call = ctx.call
        plan, shape, kernel = call.kernel.plan, call.shape, call.kernel
        P, B, H = shape.members, shape.batch, shape.hidden
        tensors, kept = ctx.saved_tensors, ctx.kept
        dense = call.dense(tensors)
        fields = _inputs(call, tensors)
        scratch = kernel.scratch(shape, dense, backward=True)
        fields.update(kept.fields)
        fields.update(scratch.fields)
        arriving = [g.contiguous() for g in gradients]
        fields.update(
            {f"do{n}": address(g, P) for n, g in enumerate(arriving[plan.writes_output :])}
        )
        if plan.writes_output:
            fields["dy"] = address(arriving[0], P)
        new = torch.zeros if shape.ragged else torch.empty
        found: list[Tensor | None] = []
        needed = ctx.needs_input_grad[1:]
        for n, stack in enumerate(plan.stacks):
            whole = all(leaf in plan.backward.leaves for leaf in stack.leaves)
            rows, weight, bias = tensors[3 * n : 3 * n + 3]
            make = torch.empty_like if whole and not shape.ragged else torch.zeros_like
            if weight is None:
                table = call.index[n] is not None
                gradient = torch.zeros_like(rows) if table else make(rows)
                fields[f"gx{n}"] = address(gradient, P)
                found += [gradient, None, None]
                continue
            into = torch.zeros_like(rows) if needed[3 * n] and not whole else None
            if needed[3 * n] and whole:
                into = torch.empty_like(rows)
            found += [into, make(weight), None if bias is None else torch.zeros_like(bias)]
            for name, made in zip(("ga", "gw", "gq"), found[-3:], strict=True):
                if made is not None:
                    fields[f"{name}{n}"] = address(made, P)
        for k in plan.vectors:
            vector = torch.zeros(P, kernel.total([k], shape), dtype=kernel.dtype)
            fields[f"g{k}"] = address(vector, P)
            found.append(vector)
        groups = []
        for n, group in enumerate(plan.groups):
            maps = kernel.writer.maps(group)
            if maps:
                rows_, columns = kernel.total(maps, shape), kernel.total([group.operand], shape)
                groups.append((maps, new(P, rows_, columns, dtype=kernel.dtype)))
                fields[f"gm{n}"] = address(groups[-1][1], P)
        first = [new(P, B, H, dtype=kernel.dtype) for _ in plan.program.states]
        fields.update({f"di{n}": address(g, P) for n, g in enumerate(first)})
        kernel.run(shape, fields, backward=True, keep=True)
        weights: dict[str, Tensor] = {}
        for maps, gradient in groups:
            parts = torch.split(gradient, [kernel.total([r], shape) for r in maps], -2)
            for r, part in zip(maps, parts, strict=True):
                name = plan.program.nodes[r].name
                weights[name] = weights[name] + part if name in weights else part
        before = 3 * len(plan.stacks) + len(plan.vectors)
        for n, name in enumerate(plan.matrices):
            found.append(
                weights[name] if name in weights else torch.zeros_like(tensors[before + n])
            )
        return (None, *found, *first)


def _inputs(call: Call, tensors: Sequence[Tensor | None]) -> Fields:
    """Names the inputs of the loop as the C struct does."""
    kernel, shape = call.kernel, call.shape
    plan, P = kernel.plan, shape.members
    fields: Fields = {}
    for n, stack in enumerate(plan.stacks):
        rows, weight, bias = tensors[3 * n : 3 * n + 3]
        assert rows is not None
        index = call.index[n]
        fields[f"x{n}_row"] = kernel.total(stack.leaves, shape), 0
        if weight is None:
            fields[f"x{n}"] = address(rows, P)
            if index is not None:
                fields[f"x{n}_index"] = address(index, P)
            continue
        fields[f"a{n}"], fields[f"wx{n}"] = address(rows, P), address(weight, P)
        if bias is not None:
            fields[f"qx{n}"] = address(bias, P)
    names = [f"p{k}" for k in plan.vectors] + [f"m{n}" for n in range(len(plan.matrices))]
    names += [f"i{n}" for n in range(len(plan.program.states))]
    for name, tensor in zip(names, tensors[3 * len(plan.stacks) :], strict=True):
        assert tensor is not None
        fields[name] = address(tensor, P)
    return fields


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

    @cached_property
    def skip(self) -> set[int]:
        """What the loop computes itself of what comes before it."""
        assert self.plan is not None
        return {k for s in self.plan.stacks if s.results for k in (*s.leaves, *s.results)}

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
        lead = 1 if self.population else 0
        before = Prelude(
            plan.program,
            x,
            parameters,
            mask,
            input_size=sizes[0],
            population=self.population,
            skip=self.skip,
        )
        rows = [before.rows(s) for s in plan.stacks]
        tensors: list[Tensor | None] = []
        for r in rows:
            tensors += [r.values, r.weight, r.bias]
        tensors += [before.values[k].contiguous() for k in plan.vectors]
        tensors += [parameters[n].contiguous() for n in plan.matrices]
        tensors += [s.contiguous() for s in state]
        hidden = sizes[1]
        members = x.shape[0] if lead else 1
        units = (hidden,) * members if mask is None else tuple(mask.sum(-1).tolist())
        shape = Shape(members, x.shape[lead], x.shape[lead + 1], *sizes, units)
        keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
        index = [r.index for r in rows]
        if not lead:
            tensors = [None if t is None else t.unsqueeze(0) for t in tensors]
            index = [None if i is None else i.unsqueeze(0) for i in index]
        call = Call(kernel, shape, index, keep)
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
