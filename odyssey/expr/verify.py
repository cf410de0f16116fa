"""What a legal cell is, the reason when it is not, and the shapes of what it holds.

Sizes: I is the size of the input, H the number of units. Every state and the output have size H.
A value that meets `x[t]` elementwise has size I; where that value also meets a value of size H,
the cell needs I = H (`Shapes.square`), and the model embeds its input at hidden size.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.cell import Cell, Equation
from odyssey.expr.functions import (
    BY_FUNCTION,
    PRIMITIVES,
    Current,
    Input,
    Leaf,
    Matrix,
    Named,
    Previous,
    Vector,
    is_reciprocal,
    leaves,
    matmul,
)

MAX_NODES = 2000
MAX_DEPTH = 100
MAX_NAME = 40
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)
_CELL_NAME = re.compile(r"[A-Za-z_][\w:+=.~/\-]{0,199}\Z", re.ASCII)


class IllegalEquationError(CellError):
    """Carries the number of the equation that is to blame, for the parser's line number."""

    def __init__(self, reason: str, index: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.index = index


@dataclass(frozen=True)
class Shapes:
    """Sizes of everything in a cell, as "I" or "H".

    Attributes:
        matrices: Name -> (rows, columns).
        vectors: Name -> size.
        equations: Name of an equation -> size.
        square: Whether the cell needs input size = hidden size.
    """

    matrices: dict[str, tuple[str, str]]
    vectors: dict[str, str]
    equations: dict[str, str]
    square: bool


def check_name(name: str, *, what: str) -> None:
    """Raises `CellError` unless the name may stand for an equation, state or parameter."""
    if len(name) > MAX_NAME or not _NAME.match(name):
        raise CellError(
            f"{name[:MAX_NAME]!r} cannot name {what}; use at most {MAX_NAME} ASCII letters, digits and _"
        )
    if name in PRIMITIVES or name == "t" or keyword.iskeyword(name):
        raise CellError(f"{name!r} cannot name {what}: the language uses it")


def verify(cell: Cell) -> None:
    """Raises `CellError` with the reason unless the cell is legal.

    Every state is updated once, every name is defined before it is used, the output reaches the
    input, every state carries something from step to step, and shapes agree.
    """
    if not _CELL_NAME.match(cell.name):
        raise CellError(
            f"cell name {cell.name[:60]!r} is not allowed; use letters, digits and _ (ASCII)"
        )
    check_name(cell.input, what="the input")
    _check_targets(cell)
    nodes = 0
    defined: set[str] = set()
    targets = {e.target for e in cell.equations}
    for index, equation in enumerate(cell.equations):
        nodes += _check_expression(cell, equation, index, defined=defined, targets=targets)
        if nodes > MAX_NODES:
            raise IllegalEquationError(f"more than {MAX_NODES} operations in one cell", index)
        defined.add(equation.label)
    _check_reach(cell)
    infer_shapes(cell)
    _check_inits(cell)


def _check_targets(cell: Cell) -> None:
    seen: dict[str, int] = {}
    for index, equation in enumerate(cell.equations):
        try:
            check_name(equation.target, what="an equation")
        except CellError as error:
            raise IllegalEquationError(str(error), index) from None
        if equation.target == cell.input:
            raise IllegalEquationError(f"{cell.input!r} is the input; it cannot be assigned", index)
        if equation.target in seen:
            raise IllegalEquationError(f"{equation.label} is defined twice", index)
        if equation.updates_state and equation.target not in cell.states:
            raise IllegalEquationError(
                f"{equation.label}: {equation.target!r} is not a declared state"
                f" (state {', '.join(cell.states) or '-'})",
                index,
            )
        if not equation.updates_state and equation.target in cell.states:
            raise IllegalEquationError(
                f"{equation.target!r} is a state: write {equation.target}[t] = ...", index
            )
        seen[equation.target] = index
    if len(set(cell.states)) != len(cell.states):
        raise CellError(f"a state is declared twice (state {', '.join(cell.states)})")
    for state in cell.states:
        check_name(state, what="a state")
        if state == cell.input:
            raise CellError(f"{state!r} is both the input and a state")
        if state not in seen:
            raise CellError(f"state {state!r} is never updated: add {state}[t] = ...")
    if cell.output not in seen:
        raise CellError(f"output {cell.output!r} is neither a state nor a named equation")


def _check_expression(
    cell: Cell, equation: Equation, index: int, *, defined: set[str], targets: set[str]
) -> int:
    def fail(reason: str) -> None:
        raise IllegalEquationError(reason, index)

    count = 0
    stack: list[tuple[sp.Expr, int, bool]] = [(equation.value, 1, False)]
    while stack:
        node, depth, is_map = stack.pop()
        count += 1
        if depth > MAX_DEPTH:
            fail(f"nested deeper than {MAX_DEPTH}")
        if isinstance(node, Matrix) and not is_map:
            fail(f"matrix {node.name!r} may only stand on the left of @")
        elif isinstance(node, Leaf):
            _check_leaf(cell, node, defined=defined, targets=targets, fail=fail)
        elif isinstance(node, sp.Rational):
            if abs(node) > 10**30 or (node != 0 and abs(node) < sp.Rational(1, 10**30)):
                fail(f"constant {float(node):g} is out of range (1e-30 to 1e30)")
        elif isinstance(node, matmul):
            if not isinstance(node.args[0], Matrix):
                fail("the left of @ must be the name of a weight matrix")
        elif is_reciprocal(node):
            if not leaves(node.args[0]) and _constant(node.args[0]) == 0:
                fail("division by zero")
        elif type(node) in BY_FUNCTION:
            if BY_FUNCTION[type(node)].internal:
                fail(f"{BY_FUNCTION[type(node)].name!r} is not a function of the language")
        elif not (isinstance(node, sp.Add | sp.Mul) and len(node.args) == 2):
            fail(f"{type(node).__name__} is not an operation of the language")
        stack.extend(
            (arg, depth + 1, isinstance(node, matmul) and k == 0) for k, arg in enumerate(node.args)
        )
    return count


def _check_leaf(
    cell: Cell,
    node: Leaf,
    *,
    defined: set[str],
    targets: set[str],
    fail: object,
) -> None:
    assert callable(fail)
    name = node.name.split("[")[0]
    if isinstance(node, Input):
        if name != cell.input:
            fail(f"{node.name}: the input is called {cell.input!r}")
    elif isinstance(node, Previous):
        if name not in cell.states:
            fail(
                f"{node.name}: {name!r} is not a declared state (state {', '.join(cell.states) or '-'})"
            )
    elif isinstance(node, Current | Named):
        if node.name not in defined:
            hint = "move its equation up" if name in targets else "there is no such equation"
            fail(f"{node.name} is used before it is defined; {hint}")
    elif isinstance(node, Vector | Matrix):
        try:
            check_name(name, what="a parameter")
        except CellError as error:
            fail(str(error))
        if name in targets or name in cell.states or name == cell.input:
            fail(f"{name!r} is both a parameter and a variable")
    else:
        fail(f"{node.name!r} has no meaning here")


def _constant(expr: sp.Expr) -> float:
    """Evaluates a constant expression; NaN where it has no value."""
    if isinstance(expr, sp.Rational):
        return float(expr)
    values = [_constant(a) for a in expr.args]
    if isinstance(expr, sp.Add):
        return sum(values)
    if isinstance(expr, sp.Mul):
        return values[0] * values[1]
    if isinstance(expr, sp.Pow):
        return 1.0 / values[0] if values[0] else float("nan")
    import numpy as np

    with np.errstate(all="ignore"):
        return float(BY_FUNCTION[type(expr)].numpy(*(np.float64(v) for v in values)))


def dependencies(cell: Cell) -> dict[str, set[str]]:
    """Gives for each equation's label the labels, input and previous states it reads."""
    return {e.label: {leaf.name for leaf in leaves(e.value)} for e in cell.equations}


def reach(cell: Cell, start: str) -> set[str]:
    """Gives everything that a label depends on, through this step and the steps before."""
    reads = dependencies(cell)
    found: set[str] = set()
    todo = [start]
    while todo:
        for name in reads.get(todo.pop(), ()):
            earlier = name.endswith("[t-1]")
            for label in (name, name.replace("[t-1]", "[t]") if earlier else name):
                if label not in found:
                    found.add(label)
                    todo.append(label)
    return found


def _check_reach(cell: Cell) -> None:
    output = f"{cell.output}[t]" if cell.output in cell.states else cell.output
    if f"{cell.input}[t]" not in reach(cell, output):
        raise CellError(f"the output {output} does not depend on the input {cell.input}[t]")
    previous = {f"{s}[t-1]" for s in cell.states}
    reads = dependencies(cell)
    if not cell.recurrent:
        used = sorted(previous & set().union(*reads.values()))
        if used:
            raise CellError(f"the cell says 'not recurrent' but reads {used[0]}")
        return
    if not previous & reach(cell, output):
        raise CellError(
            "the output does not depend on any previous state; if that is meant, say 'not recurrent'"
        )
    everything = set().union(*reads.values())
    for state in cell.states:
        carried = f"{state}[t-1]" in everything  # a delay line is a memory as well
        if not carried and not previous & reach(cell, f"{state}[t]"):
            raise CellError(
                f"state {state!r} carries nothing from step to step;"
                f" make it a plain equation: {state} = ..."
            )


class _Sizes:
    """Union-find over sizes: "I", "H" and unknowns."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {"I": "I", "H": "H"}

    def find(self, size: str) -> str:
        self.parent.setdefault(size, size)
        while self.parent[size] != size:
            size = self.parent[size]
        return size

    def join(self, a: str, b: str) -> None:
        a, b = self.find(a), self.find(b)
        if a == b:
            return
        # I and H stay representatives of their classes; H wins where both meet
        if a == "H" or (a == "I" and b != "H"):
            self.parent[b] = a
        else:
            self.parent[a] = b


def infer_shapes(cell: Cell) -> Shapes:
    """Infers the size of every parameter and equation from their use.

    Raises:
        CellError: A matrix or vector is used at two sizes.
    """
    sizes = _Sizes()
    uses: dict[str, list[tuple[tuple[str, ...], int]]] = {}  # parameter -> (sizes, equation)
    count = 0

    def fresh() -> str:
        nonlocal count
        count += 1
        return f"?{count}"

    def size_of(node: sp.Expr, index: int) -> str | None:
        """Gives the size of a value, None for a constant."""
        if isinstance(node, Input):
            return "I"
        if isinstance(node, Previous | Current):
            return "H"
        if isinstance(node, Named):
            return f"={node.name}"
        if isinstance(node, Vector):
            use = fresh()
            uses.setdefault(node.name, []).append(((use,), index))
            return use
        if isinstance(node, matmul):
            rows, columns = fresh(), size_of(node.args[1], index)
            if columns is None:
                raise IllegalEquationError(
                    f"{node.args[0].name} @ constant: the right of @ must be a vector", index
                )
            uses.setdefault(node.args[0].name, []).append(((rows, columns), index))
            return rows
        known = [s for s in (size_of(a, index) for a in node.args) if s is not None]
        for other in known[1:]:
            sizes.join(known[0], other)
        return known[0] if known else None

    for index, equation in enumerate(cell.equations):
        size = size_of(equation.value, index)
        if size is not None:
            sizes.join(f"={equation.target}", size)
        if equation.updates_state or equation.target == cell.output:
            sizes.join(f"={equation.target}", "H")

    square = sizes.find("I") == sizes.find("H")
    for name, found in uses.items():
        if len({len(use) for use, _ in found}) > 1:
            raise IllegalEquationError(
                f"{name!r} is used both as a matrix and as a vector", found[-1][1]
            )
        first, at = found[0]
        for use, index in found[1:]:
            for a, b in zip(first, use, strict=True):
                if not square and {sizes.find(a), sizes.find(b)} == {"I", "H"}:
                    here, there = (cell.equations[k].label for k in (at, index))
                    raise IllegalEquationError(
                        f"shapes of {name!r} disagree: {_shape(sizes, first)} in {here},"
                        f" {_shape(sizes, use)} in {there} (I input size, H hidden size)",
                        index,
                    )
                sizes.join(a, b)

    def final(size: str) -> str:
        return "I" if sizes.find(size) == "I" else "H"

    return Shapes(
        matrices={
            n: (final(u[0][0][0]), final(u[0][0][1])) for n, u in uses.items() if len(u[0][0]) == 2
        },
        vectors={n: final(u[0][0][0]) for n, u in uses.items() if len(u[0][0]) == 1},
        equations={e.target: final(f"={e.target}") for e in cell.equations},
        square=square,
    )


def _shape(sizes: _Sizes, use: tuple[str, ...]) -> str:
    return "(" + ", ".join("I" if sizes.find(s) == "I" else "H" for s in use) + ")"


def _check_inits(cell: Cell) -> None:
    matrices, vectors = set(cell.matrices), set(cell.vectors)
    shapes = infer_shapes(cell)
    seen: set[str] = set()
    for init in cell.inits:
        name = init.parameter
        if name not in matrices | vectors:
            raise CellError(f"init {name}: there is no such parameter")
        if name in seen:
            raise CellError(f"init {name} is given twice")
        seen.add(name)
        if init.kind in ("identity", "orthogonal") and name not in matrices:
            raise CellError(f"init {name} = {init.kind}: {name} is a vector")
        if init.kind == "identity" and len(set(shapes.matrices[name])) > 1 and not shapes.square:
            raise CellError(f"init {name} = identity: {name} is not square")
        if init.kind == "chrono" and name not in vectors:
            raise CellError(f"init {name} = chrono: {name} is a matrix; chrono is for gate biases")
        if init.kind == "chrono" and init.args[0] < 3:
            raise CellError(
                f"init {name} = chrono({init.args[0]:g}): T_max must be at least 3 steps"
            )
        if init.kind == "negated":
            other = next((i for i in cell.inits if i.parameter == init.source), None)
            if init.source not in vectors or name not in vectors:
                raise CellError(f"init {name} = -{init.source}: both must be vectors of the cell")
            if other is not None and other.kind == "negated":
                raise CellError(f"init {name} = -{init.source}: {init.source} is itself a copy")
