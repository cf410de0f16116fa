"""The compiled code of a program, and its calls: structures, lengths, memory.

`Code` is a program's plan with a `Kernel` for each dtype. For the sizes of one call, a `Shape`, a
kernel knows which form each structure has (`form`), where its fields lie in the memory of a call
(`layout`), and a template of the structure with both filled in (`structs`); a call copies that,
adds the addresses of its memory and puts in its tensors. All of it is remembered by shape.

Shapes: P members, T steps, B batch rows, I input, H hidden units of the largest member.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from odyssey.compiler.backends.native import toolchain, tuning
from odyssey.compiler.backends.native.abi.member import CALL_SIZES, member_table
from odyssey.compiler.backends.native.abi.structures import Form, Int64Array, Structs
from odyssey.compiler.backends.native.abi.tables import Table, counts, length
from odyssey.compiler.backends.native.call.inputs import Inputs, loop_inputs
from odyssey.compiler.backends.native.call.memory import ALIGNED, Layout, borrow, lay_out
from odyssey.compiler.backends.native.call.products import products
from odyssey.compiler.backends.native.plan import Plan, make_plan
from odyssey.compiler.backends.native.products import most_maps
from odyssey.compiler.backends.native.source.writer import generate
from odyssey.compiler.backends.native.targets import TARGETS, Tiling
from odyssey.compiler.lowering import lower
from odyssey.errors import ConfigError
from odyssey.expr import parse_cell
from odyssey.expr.program import Program
from odyssey.expr.sizes import PLAIN, resolve

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
BLOCK_BYTES = 1 << 18  # from half to four times as much measured the same
LEAST_ROWS = 96
ALIASED = 1024  # bytes; rows that are multiples of it apart share few sets of the first-level cache
MOST_REMEMBERED = 1000  # sizes, of a kernel
MOST_CODES = 512

_Value = TypeVar("_Value")


def pad(units: int, lanes: int) -> int:
    """Gives the columns of a packed matrix: tiles are up to four vectors wide."""
    return -(-units // (4 * lanes)) * 4 * lanes


@dataclass(frozen=True)
class Shape:
    """The sizes of one call; `units` are those of each member.

    Attributes:
        keep: Whether a backward call follows, so that the values of all steps are kept.
        indexed: The stacks whose rows are taken by an index; see `abi.Table.of`.
        lead: Whether tensors lead with P, as those of a population do.
    """

    steps: int
    batch: int
    input_size: int
    units: tuple[int, ...]
    keep: bool = True
    indexed: frozenset[int] = frozenset()
    lead: bool = True

    def __hash__(self) -> int:
        value: int | None = self.__dict__.get("hashed")  # asked for many times a call
        if value is None:
            key = (self.steps, self.batch, self.input_size, self.units, self.keep, self.indexed)
            value = hash((key, self.lead))
            object.__setattr__(self, "hashed", value)
        return value

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

    def all_lengths(self, plan: Plan) -> dict[str, int]:
        """Gives those values, and those of the sizes that a cell declares."""
        declared = {s: resolve(s, self.input_size, self.hidden) for s in plan.declared}
        return {**self.lengths(), **declared}


class Kernel:
    """The compiled code of a plan for one dtype."""

    def __init__(self, plan: Plan, table: Table, dtype: torch.dtype) -> None:
        self.plan, self.table, self.dtype = plan, table, dtype
        self.target = toolchain.target()
        self.source = generate(plan, dtype=DTYPES[dtype], target=self.target)
        self.library = toolchain.load(self.source)
        self.lanes = TARGETS[self.target].bytes // dtype.itemsize
        self.entries = {"f": self.library.odyssey_forward, "b": self.library.odyssey_backward}
        self.maps = most_maps(plan)
        self.fixed: Tiling | None = None
        self.memories: dict[Tiling | None, dict[tuple[Any, ...], Any]] = {}
        self.calls: dict[Tiling | None, dict[Any, Any]] = {}
        self.use(None)

    def use(self, tiling: Tiling | None) -> None:
        """Cuts all products in one way, to measure it; None for that of each size."""
        self.fixed = tiling
        self.memory = self.memories.setdefault(tiling, {})
        self.prepared = self.calls.setdefault(tiling, {})  # see `prepared.prepared`

    def tiling(self, shape: Shape) -> Tiling:
        """Gives how the products of a size are cut."""
        if self.fixed is not None:
            return self.fixed
        return tuning.tiling_for(DTYPES[self.dtype], self.target, shape.hidden, shape.batch)

    def form(self, shape: Shape, call: str) -> Form:
        """Gives what each field must be in one kind of call."""

        def make() -> Form:
            block = self.block(shape)
            return Form(
                self.table,
                call,
                lengths={
                    **shape.all_lengths(self.plan),
                    "N": block,
                    "D": block + 1,
                    "hot": self.rows(shape) * self.columns(shape),
                    "d_row": self.gradient_row(shape),
                },
                real=self.dtype,
                count=shape.members,
                spread=shape.lead,
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
            self.check_memory(memory, layout.total)
            structs.move(layout.fields, memory.data_ptr())
            structs.held[role] = memory
        return structs

    def check_memory(self, memory: Tensor, total: int) -> None:
        """Checks that memory is as long as a layout.

        Raises:
            ConfigError: It is that of another call.
        """
        dense = memory.is_cpu and memory.is_contiguous() and memory.dtype == self.dtype
        if not dense or memory.numel() < total:
            raise ConfigError(
                f"the workspace of {self.plan.program.name} is {tuple(memory.shape)}, expected"
                f" at least {total} numbers: it is that of another call"
            )

    def _template(self, shape: Shape, call: str) -> tuple[Structs, dict[str, Layout]]:
        """Makes structures with numbers filled in, and fields as if memory began at 0."""

        def make() -> tuple[Structs, dict[str, Layout]]:
            structs = Structs(self.form(shape, call))
            structs.number("h", *shape.units)
            structs.number("d_row", self.gradient_row(shape))
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
            numbers = counts(
                form.fields, role, form.lengths, pad=lambda units: pad(units, self.lanes)
            )
            return lay_out(numbers, shape.members if role == "kept" else 1)

        return self._remembered(("layout", shape, call, role), make)

    def workspace(self, shape: Shape, call: str, role: str) -> Tensor:
        """Borrows the memory of a role."""
        return borrow(self.layout(shape, call, role).total, self.dtype)

    def sizes(self, shape: Shape) -> Int64Array:
        """Gives the structure of sizes."""

        def make() -> Int64Array:
            structs = Structs(Form(CALL_SIZES, "f", lengths={}, real=self.dtype))
            known = {**shape.lengths(), "keep": int(shape.keep), "block": self.block(shape)}
            shared = products(DTYPES[self.dtype], self.target, self.tiling(shape))
            known |= {"rows": self.rows(shape), "products": shared}
            for name in CALL_SIZES.names:
                structs.number(name, known[name])
            return structs.filled()

        return self._remembered(("sizes", shape), make)

    def run(self, sizes: Int64Array, call: str, structs: Structs) -> None:
        """Calls into C; the sizes are those of `sizes`."""
        self.entries[call](sizes, structs.filled())

    def _remembered(self, key: tuple[Any, ...], make: Callable[[], _Value]) -> _Value:
        """Gives what was made for the same sizes before: calls with new sizes are rare."""
        if key not in self.memory:
            if len(self.memory) >= MOST_REMEMBERED:
                self.memory.clear()
            self.memory[key] = make()
        value: _Value = self.memory[key]
        return value

    def block(self, shape: Shape) -> int:
        """Gives the steps of a block: what they need at once should take about BLOCK_BYTES."""

        def make() -> int:
            rows = [self.plan.slots, *(s.leaves for s in self.plan.stacks)]
            width = max(1, *(self.total(row, shape) for row in rows))
            most = max(LEAST_ROWS, BLOCK_BYTES // (width * self.dtype.itemsize))
            return max(1, min(shape.steps, most // shape.batch))

        return self._remembered(("block", shape), make)

    def gradient_row(self, shape: Shape) -> int:
        """Gives how far apart gradient rows lie, in numbers.

        A product goes down the columns of these rows; where they are multiples of `ALIASED` apart,
        a few sets of the cache must hold them all.
        """
        width = self.total(self.plan.slots, shape)
        return width + (0 if width * self.dtype.itemsize % ALIASED else ALIGNED)

    def columns(self, shape: Shape) -> int:
        """Gives the numbers of a batch row that a phase's products have, at most."""
        lengths = shape.all_lengths(self.plan)
        lengths |= dict.fromkeys(PLAIN, max(shape.hidden, shape.input_size))
        return max(maps * pad(lengths[size], self.lanes) for size, maps in self.maps.items())

    def rows(self, shape: Shape) -> int:
        """Gives the batch rows whose products a phase computes at a time."""

        def make() -> int:
            tiling = self.tiling(shape)
            tile = tiling.rows[-1]
            most = max(tile, tiling.hot * 1024 // (self.columns(shape) * self.dtype.itemsize))
            parts = -(-shape.batch // most)
            return min(shape.batch, -(-shape.batch // parts // tile) * tile)

        return self._remembered(("rows", shape), make)

    def total(self, row: Sequence[int], shape: Shape) -> int:
        """Gives the length of a row of values."""
        return length(self.plan.sizes(row), shape.all_lengths(self.plan))


class Code:
    """A program's plan, and its kernels, one a dtype, compiled when first used."""

    def __init__(self, program: Program) -> None:
        self.plan = make_plan(program)
        self.table = member_table(self.plan)
        self.kernels: dict[torch.dtype, Kernel] = {}
        self._inputs: dict[frozenset[int], Inputs] = {}
        self._outputs: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def inputs(self, indexed: frozenset[int]) -> Inputs:
        """Lists the tensors that the loop reads; `indexed` are the stacks that an index reads."""
        if indexed not in self._inputs:
            self._inputs[indexed] = loop_inputs(self.plan, indexed)
        return self._inputs[indexed]

    def outputs(
        self, call: str, indexed: frozenset[int], wanted: tuple[bool, ...] = ()
    ) -> tuple[str, ...]:
        """Names what comes out of a call, in the order of the table.

        Args:
            call: `f` or `b`.
            indexed: The stacks that an index reads.
            wanted: Whether the gradient of each input is; all are if empty.
        """
        key = call, indexed, wanted
        if key not in self._outputs:
            fields = self.table.of(call, indexed)
            left = self.inputs(indexed).unwanted(fields, wanted) if wanted else ()
            names = (n for n, f in fields.items() if f.role == "output" and n not in left)
            self._outputs[key] = tuple(names)
        return self._outputs[key]

    def kernel(self, dtype: torch.dtype) -> Kernel:
        """Gives the compiled loop for float32 or float64.

        Raises:
            ConfigError: It is another dtype.
        """
        if dtype not in self.kernels:
            if dtype not in DTYPES:
                raise ConfigError(f"native code is for float32 and float64, not for {dtype}")
            self.kernels[dtype] = Kernel(self.plan, self.table, dtype)
        return self.kernels[dtype]


_CODES: dict[str, Code] = {}
"""The codes of the last `MOST_CODES` cells by their text; the oldest goes first.

All layers of a cell share one. The operator knows a cell by its text alone, also where another
process exported the program, so what has gone is made again when it is called.
"""


def code_of(program: Program) -> Code:
    """Gives the code of a program."""
    return _CODES.get(program.text) or _remember(program)


def code(text: str) -> Code:
    """Gives the code of a cell's text."""
    return _CODES.get(text) or _remember(lower(parse_cell(text)))


def _remember(program: Program) -> Code:
    for oldest in list(_CODES)[: max(0, len(_CODES) - MOST_CODES + 1)]:
        _CODES.pop(oldest, None)
    return _CODES.setdefault(program.text, Code(program))


def forget() -> None:
    """Forgets all code, so that it is made anew: for tests that change what it depends on."""
    _CODES.clear()
