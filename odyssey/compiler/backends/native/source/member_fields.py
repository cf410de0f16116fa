"""The fields of the structure that a cell's code works on: one a member.

n counts from 0, k is the number of a value: x{n} inputs of the loop, p{k} vectors, m{n} matrices,
s{n} states, v{k} saved values, d gradient rows, e and f values between phases, w and b packed
matrices. What begins with g or d is a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from odyssey.compiler.backends.native.abi import Field, Size, Table
from odyssey.compiler.backends.native.plan import Stack

if TYPE_CHECKING:
    from odyssey.compiler.backends.native.source.writer import Writer

SIZES = Table(
    tuple(Field(name, "long", role="number") for name in ("P", "T", "B", "H", "I", "keep", "block"))
)
"""The fields of `struct sizes`."""

_ROW: tuple[Size, ...] = (("B",), ("H",))
_STEPS: tuple[Size, ...] = (("T",), ("B",))


def member_table(w: Writer) -> Table:
    """Lists the fields of `struct member` for a program whose phases have been written."""
    plan, sizes = w.plan, _Sizes(w)
    fields = [Field("h", "long", "units of this member, at most H", role="number")]
    for n, stack in enumerate(plan.stacks):
        fields += _stack(w, sizes, n, stack)
    for k in plan.vectors:
        size = (sizes.of(k),)
        fields.append(Field(f"p{k}", "const real", w.about(k), size))
        fields.append(_output(f"g{k}", "its gradient", size, "b", zeros="always"))
    for name, n in w.matrix.items():
        rows, columns = plan.program.matrices[name]
        shape = (sizes.named(rows), sizes.named(columns))
        fields.append(Field(f"m{n}", "const real", f"matrix {name}", shape))
    for name, n in w.state.items():
        fields += _state(name, n)
    if plan.writes_output:
        fields.append(_output("y", "output", (("T",), *_ROW), "f", zeros="ragged"))
        fields.append(Field("dy", "const real", "its gradient", (("T",), *_ROW), calls="b"))
    for k in plan.saved:
        kept = (("K",), ("B",), sizes.of(k))
        fields.append(Field(f"v{k}", "real", f"saved: {w.about(k)}", kept, "kept"))
    for n, group in enumerate(plan.groups):
        maps = w.maps(group)
        if maps:
            names = ", ".join(plan.program.nodes[r].name for r in maps)
            shape = (sizes.total(maps), sizes.of(group.operand))
            fields.append(_output(f"gm{n}", f"gradient of {names}", shape, "b", zeros="ragged"))
    return Table((*fields, *_workspace(w, sizes)))


class _Sizes:
    """Sizes of values, as the table spells them."""

    def __init__(self, w: Writer) -> None:
        self.plan = w.plan

    def named(self, size: str) -> Size:
        """A size of the program; in a square one all are H."""
        return ("H" if self.plan.program.square else size,)

    def of(self, k: int) -> Size:
        """The size of a value."""
        return (self.plan.size(k),)

    def total(self, row: Sequence[int]) -> Size:
        """The length of a row of values."""
        return tuple(self.plan.size(k) for k in row)


def _output(name: str, note: str, shape: tuple[Size, ...], calls: str, zeros: str) -> Field:
    return Field(name, "real", note, shape, "output", calls, zeros=zeros)


def _state(name: str, n: int) -> list[Field]:
    back = f"gradient of {name}"
    return [
        Field(f"i{n}", "const real", f"{name} before the first step", _ROW, calls="f"),
        Field(f"s{n}", "real", f"{name} after every step", (("S",), *_ROW), "kept"),
        _output(f"o{n}", f"{name} after the last step", _ROW, "f", zeros="ragged"),
        Field(f"do{n}", "const real", "gradient of that", _ROW, calls="b"),
        _output(f"di{n}", f"{back} before the first step", _ROW, "b", zeros="ragged"),
        Field(f"c{n}", "real", f"{back} on its way back", _ROW, "work", "b"),
    ]


def _stack(w: Writer, sizes: _Sizes, n: int, stack: Stack) -> list[Field]:
    """Rows of a stack, or what they are computed from, and the gradients of that."""
    total = sizes.total(stack.leaves)
    rows = "from before the loop: " + ", ".join(f"%{k}" for k in stack.leaves)
    back = "gradient of those rows"
    length = Field(f"x{n}_row", "long", "numbers from row to row", role="number")
    complete = all(leaf in w.plan.backward.leaves for leaf in stack.leaves)
    partly = "ragged" if complete else "always"
    if not stack.results:
        shape = (*_STEPS, total)
        made = Field(f"x{n}", "real", rows, shape)
        return [made, length, _output(f"gx{n}", back, shape, "b", zeros=partly)]
    inner = sizes.of(stack.operand)
    again = "fb" if n in w.again else "f"
    biased = any(b is not None for b in stack.biases)

    def index(name: str, type: str, note: str, *shape: Size) -> Field:
        return Field(name, type, note, shape, way="index", stack=n)

    def dense(name: str, type: str, note: str, *shape: Size) -> Field:
        return Field(name, type, note, shape, way="dense", stack=n)

    def gradient(field: Field, zeros: str, *, optional: bool = False) -> Field:
        return replace(field, role="output", calls="b", zeros=zeros, optional=optional)

    def packed(field: Field, calls: str) -> Field:
        return replace(field, role="work", calls=calls, pads=True)

    vectors = dense(f"a{n}", "const real", "without an index: the vectors whose products they are")
    into = dense(f"ga{n}", "real", "gradient of the vectors, or null", *_STEPS, inner)
    bias = dense(f"qx{n}", "const real", "their bias, or null", total)
    bias_gradient = dense(f"gq{n}", "real", "gradient of the bias", total)
    block = dense(f"x{n}", "real", rows, ("N",), ("B",), total)
    which = "which row each step and batch row reads, or null"
    return [
        replace(index(f"x{n}", "real", rows, ("I",), total), calls=again),
        replace(block, role="work", calls=again),
        length,
        gradient(index(f"gx{n}", "real", back, ("I",), total), "always"),
        index(f"x{n}_index", "const long", which, *_STEPS),
        replace(vectors, shape=(*_STEPS, inner)),
        dense(f"wx{n}", "const real", "their matrix", total, inner),
        replace(bias, calls=again, optional=not biased),
        gradient(into, "" if complete else "always", optional=True),
        gradient(dense(f"gw{n}", "real", "gradient of the matrix", total, inner), partly),
        gradient(bias_gradient, "always", optional=not biased),
        packed(dense(f"aw{n}", "real", "packed matrix", total, inner), again),
        packed(dense(f"bw{n}", "real", "packed transposed matrix", inner, total), "b"),
    ]


def _workspace(w: Writer, sizes: _Sizes) -> list[Field]:
    """What the phases of a step hand to each other, and packed matrices."""
    note = "gradient rows of a block of steps: " + ", ".join(f"%{k}" for k in w.plan.slots)
    rows = (("D",), ("B",), sizes.total(w.plan.slots))
    fields = [Field("d", "real", note, rows, "work", "b")]
    for name, size in w.scratch.items():
        shape: tuple[Size, ...] = (("B",), (size,))
        call = "b" if name[0] == "e" else "f"
        fields.append(Field(name, "real", "one step's values between phases", shape, "work", call))
    for name, (units, inner, maps) in w.panels.items():
        shape = ((units,), tuple(inner.split("+")) * maps)
        call = "b" if name[0] == "b" else "f"
        fields.append(Field(name, "real", "packed matrices", shape, "work", call, pads=True))
    return fields
