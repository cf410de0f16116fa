"""The compiled code of a plan, and what its calls need: sizes, layouts, scratch memory.

Shapes: P members, T steps, B batch rows, I input, H hidden units of the largest member.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.codegen import Writer, generate
from odyssey.compiler.backends.native.memory import Arena, Fields, Layout, lay_out
from odyssey.compiler.backends.native.plan import Plan
from odyssey.compiler.backends.native.targets import TARGETS

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
BLOCK = 1 << 18  # bytes; from half to four times as much measured the same
LEAST_ROWS = 96
REMEMBERED = 1000


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
