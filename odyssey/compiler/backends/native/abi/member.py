"""The structures that a cell's code works on: one a member, and one of sizes.

n counts from 0, k is the number of a value: x{n} inputs of the loop, p{k} vectors, m{n} matrices,
i{n}, s{n} and o{n} states before, in and after the loop, v{k} saved values, d gradient rows, e{k}
and f{k} values between phases, w{k}, b{k}, aw{n} and bw{n} packed matrices. What begins with g or d
is a gradient. All of it follows from the plan; no dtype and no processor changes it.
"""

from __future__ import annotations

from dataclasses import replace

from odyssey.compiler.backends.native.abi.tables import PRODUCTS, Field, Size, Table
from odyssey.compiler.backends.native.plan import Plan, Stack
from odyssey.compiler.backends.native.products import panels

_NUMBERS = ("P", "T", "B", "H", "I", "keep", "block", "rows")
CALL_SIZES = Table((*(Field(name, "long", role="number") for name in _NUMBERS), PRODUCTS))
"""The fields of `struct sizes`."""

_STEPS: tuple[Size, ...] = (("T",), ("B",))
_SEQUENCE: tuple[Size, ...] = (*_STEPS, ("H",))


def member_table(plan: Plan) -> Table:
    """Lists the fields of `struct member`."""
    fields = [Field("h", "long", "units of this member, at most H", role="number")]
    for n, stack in enumerate(plan.stacks):
        fields += _stack(plan, n, stack) if stack.results else _rows(plan, n, stack)
    for k in plan.vectors:
        size: tuple[Size, ...] = (plan.sizes([k]),)
        fields.append(Field(f"p{k}", "const real", plan.about(k), size))
        fields.append(_output(f"g{k}", "its gradient", size, "b", zeros="always"))
    for n, name in enumerate(plan.matrices):
        rows, columns = plan.shape(name)
        shape: tuple[Size, ...] = ((rows,), (columns,))
        fields.append(Field(f"m{n}", "const real", f"matrix {name}", shape))
    for name, n in plan.state.items():
        fields += _state(name, n, plan.state_size(name))
    if plan.writes_output:
        fields.append(_output("y", "output", _SEQUENCE, "f", zeros="ragged"))
        fields.append(Field("dy", "const real", "its gradient", _SEQUENCE, calls="b"))
    for k in plan.saved:
        steps = (("K",), ("B",), plan.sizes([k]))
        fields.append(Field(f"v{k}", "real", f"saved: {plan.about(k)}", steps, "kept"))
    for n, group in enumerate(plan.groups):
        maps = plan.trained(group)
        for i, r in enumerate(maps):
            shape = (plan.sizes([r]), plan.sizes([group.operand]))
            if plan.program.nodes[r].transposed:
                shape = shape[::-1]
            about = f"gradient of {plan.program.nodes[r].name}"
            fields.append(_output(f"gm{n}_{i}", about, shape, "b", zeros="ragged"))
    return Table((*fields, *_workspace(plan)))


def _output(name: str, note: str, shape: tuple[Size, ...], calls: str, zeros: str) -> Field:
    return Field(name, "real", note, shape, "output", calls, zeros=zeros)


def _state(name: str, n: int, size: str) -> list[Field]:
    back, row = f"gradient of {name}", (("B",), (size,))
    return [
        Field(f"i{n}", "const real", f"{name} before the first step", row, calls="f"),
        Field(f"s{n}", "real", f"{name} after every step", (("S",), *row), "kept"),
        _output(f"o{n}", f"{name} after the last step", row, "f", zeros="ragged"),
        Field(f"do{n}", "const real", "its gradient, or null", row, calls="b", optional=True),
        replace(
            _output(f"di{n}", f"{back} before the first step, or null", row, "b", zeros="ragged"),
            optional=True,
        ),
        Field(f"c{n}", "real", f"{back} on its way back", row, "work", "b"),
    ]


def _row_length(n: int) -> Field:
    return Field(f"x{n}_row", "long", "numbers from row to row", role="number")


_BACK = "gradient of those rows"


def _about_rows(stack: Stack) -> str:
    return "from before the loop: " + ", ".join(f"%{k}" for k in stack.leaves)


def _zeros(plan: Plan, stack: Stack) -> str:
    """Says when the gradient of rows must start at zero: where not all columns are written."""
    return "ragged" if all(k in plan.backward.leaves for k in stack.leaves) else "always"


def _rows(plan: Plan, n: int, stack: Stack) -> list[Field]:
    """Rows that torch computed, and their gradient."""
    shape = (*_STEPS, plan.sizes(stack.leaves))
    return [
        Field(f"x{n}", "real", _about_rows(stack), shape),
        _row_length(n),
        _output(f"gx{n}", _BACK, shape, "b", zeros=_zeros(plan, stack)),
    ]


def _stack(plan: Plan, n: int, stack: Stack) -> list[Field]:
    """Products before the loop, and the gradients of what they are computed from.

    An index takes their rows from a table, one a class (`way` index), or blocks of rows are
    computed from vectors and the matrices (`way` dense).
    """
    total, inner = plan.sizes(stack.leaves), plan.sizes([stack.operand])
    rows = _about_rows(stack)
    calls = "fb" if n in plan.reread else "f"
    trained = [k for k in stack.leaves if k in plan.backward.leaves]
    zeros = "" if trained else "always"

    def index(name: str, type: str, note: str, *shape: Size) -> Field:
        return Field(name, type, note, shape, way="index", stack=n)

    def dense(name: str, type: str, note: str, *shape: Size) -> Field:
        return Field(name, type, note, shape, way="dense", stack=n)

    def work(field: Field, calls: str, *, pads: bool = False) -> Field:
        return replace(field, role="work", calls=calls, pads=pads)

    def gradient(field: Field, zeros: str, *, optional: bool = False) -> Field:
        return replace(field, role="output", calls="b", zeros=zeros, optional=optional)

    fields = [
        work(index(f"x{n}", "real", rows, ("I",), total), calls),
        work(dense(f"x{n}", "real", rows, ("N",), ("B",), total), calls),
        _row_length(n),
        work(index(f"gx{n}", "real", _BACK, ("I",), total), "b"),
        index(
            *(f"x{n}_index", "const long", "which row each step and batch row reads, or null"),
            *_STEPS,
        ),
        dense(
            f"a{n}", "const real", "without an index: what the matrices multiply", *_STEPS, inner
        ),
        gradient(
            dense(f"ga{n}", "real", "its gradient, or null", *_STEPS, inner), zeros, optional=True
        ),
    ]
    for i, (r, leaf, bias) in enumerate(
        zip(stack.results, stack.leaves, stack.biases, strict=True)
    ):
        size = plan.sizes([leaf])
        name, row = plan.program.nodes[r].name, ("real", "its gradient")
        ragged, never = ("always",) * 2 if leaf not in plan.backward.leaves else ("ragged", "")
        matrix = (f"wx{n}_{i}", "const real", f"matrix {name}", size, inner)
        fields += [
            replace(index(*matrix), calls=calls),
            dense(*matrix),
            gradient(index(f"gw{n}_{i}", *row, size, inner), never),
            gradient(dense(f"gw{n}_{i}", *row, size, inner), ragged),
            work(dense(f"aw{n}_{i}", "real", "packed", size, inner), calls, pads=True),
        ]
        if bias is not None:
            fields += [
                Field(f"qx{n}_{i}", "const real", f"bias of {name}", (size,), calls=calls),
                _output(f"gq{n}_{i}", "its gradient", (size,), "b", zeros="always"),
            ]
    packed = dense(f"bw{n}", "real", "packed transposed matrices", inner, total)
    return [*fields, work(packed, "b", pads=True)]


def _workspace(plan: Plan) -> list[Field]:
    """Gradient rows, what the phases of a step hand to each other, and packed matrices."""
    note = "gradient rows of a block of steps: " + ", ".join(f"%{k}" for k in plan.slots)
    fields = [
        Field("d", "real", note, (("D",), ("B",), ("d_row",)), "work", "b"),
        Field("d_row", "long", "numbers from row to row", role="number"),
    ]
    for letter, call, backward in (("f", "f", False), ("e", "b", True)):
        for phase in plan.phases(backward=backward):
            for k in plan.handed(phase, backward=backward):
                if backward or not (k in plan.saved or k in plan.update):
                    shape: tuple[Size, ...] = (("B",), plan.sizes([k]))
                    handed = "one step's values between phases"
                    fields.append(Field(f"{letter}{k}", "real", handed, shape, "work", call))
    hot = "products of a phase, for some batch rows at a time"
    fields.append(Field("hot", "real", hot, (("hot",),), "work"))
    for name, product in panels(plan).items():
        shape = ((product.units,), product.inner)
        call = "b" if product.transposed else "f"
        fields.append(Field(name, "real", "packed matrices", shape, "work", call, pads=True))
    return fields
