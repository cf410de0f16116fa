"""The compiled code of a program, and its calls: structures, lengths, memory.

Shapes: P members, T steps, B batch rows, I input, H hidden units of the largest member.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.abi import Array, Form, Structs, Table, counts
from odyssey.compiler.backends.native.call.memory import Layout, borrow, lay_out
from odyssey.compiler.backends.native.plan import Plan, make_plan
from odyssey.compiler.backends.native.source.member_fields import SIZES
from odyssey.compiler.backends.native.source.writer import generate
from odyssey.compiler.backends.native.targets import TARGETS
from odyssey.compiler.lowering import lower
from odyssey.errors import ConfigError
from odyssey.expr import parse_cell
from odyssey.expr.program import Program

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
BLOCK = 1 << 18  # bytes; from half to four times as much measured the same
LEAST_ROWS = 96
REMEMBERED = 1000

Found = TypeVar("Found")


def pad(units: int, lanes: int) -> int:
    """Gives the columns of a packed matrix: tiles are up to four vectors wide."""
    return -(-units // (4 * lanes)) * 4 * lanes


@dataclass(frozen=True)
class Shape:
    """The sizes of one call; `units` are those of each member.

    Attributes:
        keep: Whether a backward call follows, so that the values of all steps are kept.
        indexed: The stacks whose rows are taken by an index; see `abi.Table.of`.
    """

    steps: int
    batch: int
    input_size: int
    units: tuple[int, ...]
    keep: bool = True
    indexed: frozenset[int] = frozenset()

    def __hash__(self) -> int:
        found: int | None = self.__dict__.get("hashed")  # asked for many times a call
        if found is None:
            key = (self.steps, self.batch, self.input_size, self.units, self.keep, self.indexed)
            found = hash(key)
            object.__setattr__(self, "hashed", found)
        return found

    @property
    def members(self) -> int:
        """P."""
        return len(self.units)

    @property
    def hidden(self) -> int:
        """H."""
        return max(self.units)

    @property
    def ragged(self) -> bool:
        """Whether some member has fewer units than the tensors."""
        return min(self.units) < self.hidden

    def lengths(self) -> dict[str, int]:
        """Gives the values of the sizes in a table that do not depend on blocks."""
        kept = self.steps if self.keep else 1
        sizes = {"P": self.members, "T": self.steps, "B": self.batch, "K": kept, "S": kept + 1}
        return {**sizes, "I": self.input_size, "H": self.hidden}


class Kernel:
    """The compiled code of a plan for one dtype."""

    def __init__(self, plan: Plan, dtype: torch.dtype) -> None:
        self.plan, self.dtype = plan, dtype
        self.target = toolchain.target()
        self.source, self.writer = generate(plan, dtype=DTYPES[dtype], target=self.target)
        self.table = self.writer.table
        self.library = toolchain.load(self.source)
        self.lanes = TARGETS[self.target].bytes // dtype.itemsize
        self.entries = {"f": self.library.odyssey_forward, "b": self.library.odyssey_backward}
        self.memory: dict[tuple[Any, ...], Any] = {}

    def form(self, shape: Shape, call: str) -> Form:
        """Gives what each field must be in one kind of call."""

        def make() -> Form:
            block = self.block(shape)
            return Form(
                self.table,
                call,
                lengths={**shape.lengths(), "N": block, "D": block + 1},
                real=self.dtype,
                count=shape.members,
                spread=True,
                indexed=shape.indexed,
            )

        return self._remembered(("form", shape, call), make)

    def structs(self, shape: Shape, call: str, kept: Tensor, scratch: Tensor) -> Structs:
        """Gives structures with numbers and memory filled in.

        Args:
            shape: The sizes.
            call: `f` or `b`.
            kept: What the forward call keeps, as `layout` says for the role `kept`.
            scratch: What lives for this call.
        """
        structs, layouts = self._template(shape, call)
        structs = structs.copy()
        for role, memory in (("kept", kept), ("work", scratch)):
            layout = layouts[role]
            dense = memory.is_cpu and memory.is_contiguous() and memory.dtype == self.dtype
            if not dense or memory.numel() < layout.total:
                raise ConfigError(
                    f"the workspace of {self.plan.program.name} is {tuple(memory.shape)}, expected"
                    f" at least {layout.total} numbers: it is that of another call"
                )
            structs.move(layout.fields, memory.data_ptr())
            structs.held[role] = memory
        return structs

    def _template(self, shape: Shape, call: str) -> tuple[Structs, dict[str, Layout]]:
        """Makes structures with numbers filled in, and fields as if memory began at 0."""

        def make() -> tuple[Structs, dict[str, Layout]]:
            structs = Structs(self.form(shape, call))
            structs.number("h", *shape.units)
            for n, stack in enumerate(self.plan.stacks):
                structs.number(f"x{n}_row", self.total(stack.leaves, shape))
            layouts = {role: self.layout(shape, call, role) for role in ("kept", "work")}
            item = self.dtype.itemsize
            for layout in layouts.values():
                for name, (start, step) in layout.fields.items():
                    structs.place(name, start * item, step * item)
            return structs, layouts

        return self._remembered(("template", shape, call), make)

    def layout(self, shape: Shape, call: str, role: str) -> Layout:
        """Lays out the fields of a role: `kept`, or `work`, which the members share."""

        def make() -> Layout:
            form = self.form(shape, call)
            found = counts(
                form.fields, role, form.lengths, pad=lambda units: pad(units, self.lanes)
            )
            return lay_out(found, shape.members if role == "kept" else 1)

        return self._remembered(("layout", shape, call, role), make)

    def workspace(self, shape: Shape, call: str, role: str) -> Tensor:
        """Borrows the memory of a role."""
        return borrow(self.layout(shape, call, role).total, self.dtype)

    def sizes(self, shape: Shape) -> Array:
        """Gives the structure of sizes."""

        def make() -> Array:
            structs = Structs(Form(SIZES, "f", lengths={}, real=self.dtype))
            known = {**shape.lengths(), "keep": int(shape.keep), "block": self.block(shape)}
            for name in SIZES.names:
                structs.number(name, known[name])
            return structs.filled()

        return self._remembered(("sizes", shape), make)

    def run(self, sizes: Array, call: str, structs: Structs) -> None:
        """Calls into C; the sizes are those of `sizes`."""
        self.entries[call](sizes, structs.filled())

    def _remembered(self, key: tuple[Any, ...], make: Callable[[], Found]) -> Found:
        """Gives what was found for the same sizes before: calls with new sizes are rare."""
        if key not in self.memory:
            if len(self.memory) >= REMEMBERED:
                self.memory.clear()
            self.memory[key] = make()
        found: Found = self.memory[key]
        return found

    def block(self, shape: Shape) -> int:
        """Gives the steps of a block: what they need at once should take about BLOCK bytes."""

        def make() -> int:
            widths = [self.width(shape), *(self.total(s.leaves, shape) for s in self.plan.stacks)]
            rows = max(LEAST_ROWS, BLOCK // (max(1, *widths) * self.dtype.itemsize))
            return max(1, min(shape.steps, rows // shape.batch))

        return self._remembered(("block", shape), make)

    def total(self, row: Sequence[int], shape: Shape) -> int:
        """Gives the length of a row of values."""
        return sum(self.plan.units(k, shape.input_size, shape.hidden) for k in row)

    def width(self, shape: Shape) -> int:
        """Gives the length of a gradient row."""
        return self.total(self.plan.slots, shape)


class Code:
    """A program's plan, and its kernels, one a dtype, compiled when first used."""

    def __init__(self, program: Program) -> None:
        self.plan = make_plan(program)
        self.kernels: dict[torch.dtype, Kernel] = {}

    @cached_property
    def table(self) -> Table:
        """The fields of its structure, which no dtype and no processor changes."""
        if self.kernels:
            return next(iter(self.kernels.values())).table
        return generate(self.plan, dtype="float32", target=toolchain.target())[1].table

    def kernel(self, dtype: torch.dtype) -> Kernel:
        """Gives the compiled loop for float32 or float64.

        Raises:
            ConfigError: It is another dtype.
        """
        if dtype not in self.kernels:
            if dtype not in DTYPES:
                raise ConfigError(f"native code is for float32 and float64, not for {dtype}")
            self.kernels[dtype] = Kernel(self.plan, dtype)
        return self.kernels[dtype]


_LIVE: WeakValueDictionary[str, Code] = WeakValueDictionary()
_LATEST: list[Code] = []
"""The last one: who asks whether a program can run here goes on to run it."""


def code_of(program: Program) -> Code:
    """Gives the code of a program; one for all layers of it."""
    found = _LIVE.get(program.text)
    if found is None:
        found = _LIVE[program.text] = Code(program)
    _LATEST[:] = [found]
    return found


@lru_cache(maxsize=256)
def code(text: str) -> Code:
    """Gives the code of a cell's text, which is all that an exported program knows of it."""
    return _LIVE.get(text) or code_of(lower(parse_cell(text)))


def forget() -> None:
    """Forgets all code, so that it is made anew: for tests that change what it depends on."""
    _LIVE.clear()
    _LATEST.clear()
    code.cache_clear()
