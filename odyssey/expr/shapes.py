"""The shapes of what a cell holds, inferred from use and from what it declares.

Sizes are those of `sizes.py`. The output has size H, and so has every state for which nothing else
is declared. A value that meets `x[t]` elementwise has size I; where that value also meets a value
of size H, the cell needs I = H (`Shapes.square`), and the model embeds its input at hidden size.
Numbers, reductions and whatever is declared so have size 1, and meet values of any size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy as sp

from odyssey.expr import properties
from odyssey.expr.equations import (
    Declaration,
    Equations,
    IllegalCellError,
    IllegalEquationError,
)
from odyssey.expr.reductions import OVER_UNITS, WrongSizeError, size_over_units
from odyssey.expr.sizes import (
    INPUTS,
    MATRIX,
    ONE,
    UNITS,
    axes,
    format_size,
    is_matrix,
    matrix,
    meet,
    parts,
)
from odyssey.expr.terms import Leaf, term


@dataclass(frozen=True)
class Shapes:
    """Sizes of everything in a cell.

    Attributes:
        matrices: Name -> (rows, columns).
        vectors: Name -> size; of a matrix that is used number by number, that of a matrix.
        equations: Name of an equation -> size.
        square: Whether the cell needs input size = hidden size.
        states: Name -> size.
        inputs: Name of a further input -> size.
    """

    matrices: dict[str, tuple[str, str]]
    vectors: dict[str, str]
    equations: dict[str, str]
    square: bool
    states: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether all sizes are I or H."""
        named = (self.vectors, self.equations, self.states, self.inputs)
        sizes = {s for sizes in named for s in sizes.values()}
        return {*sizes, *(s for pair in self.matrices.values() for s in pair)} <= {INPUTS, UNITS}

    def of(self, expr: sp.Expr) -> str:
        """Gives the size of an expression over the names of the cell; 1 for a constant.

        A weight that the cell does not have is taken to have the size of its surroundings, or H.
        """
        return self._of(expr) or UNITS

    def _of(self, expr: sp.Expr) -> str:
        """The size; empty where only the surroundings could tell."""
        op, args, name = term(expr)
        match op:
            case "constant":
                return ONE
            case "input":
                return self.inputs.get(name) or (UNITS if self.square else INPUTS)
            case "previous":
                return self.states.get(name, UNITS)
            case "value":
                return self.equations[name.partition("[")[0]]
            case "vector":
                return self.vectors.get(name, "")
            case "matmul":
                return self.matrices.get(name, ("", ""))[0]
            case "transposed":
                return self.matrices.get(name, ("", ""))[1]
        sizes = [self._of(a) for a in args]
        if op in OVER_UNITS:
            try:
                return size_over_units(op, sizes)
            except WrongSizeError:  # in the middle of a change; the cell is not legal
                return ""
        found = meet(s for s in sizes if s)
        return "" if found == ONE and "" in sizes else found


class _Sizes:
    """Union-find over sizes, and unknowns, which begin with `?` or `=`."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}

    def find(self, size: str) -> str:
        while not is_matrix(size):
            above = self.parent.setdefault(size, size)
            if above == size:
                return size
            size = above
        return matrix(*map(self.find, axes(size)))

    def join(self, a: str, b: str) -> bool:
        """Makes two sizes one; says whether that can be."""
        a, b = self.find(a), self.find(b)
        if a == b:
            return True
        if is_matrix(a) and is_matrix(b):
            return all(self.join(x, y) for x, y in zip(axes(a), axes(b), strict=True))
        if not (_is_unknown(a) or _is_unknown(b)):
            if {a, b} != {INPUTS, UNITS}:
                return False
            self.parent[INPUTS] = UNITS  # the cell is square
        elif _is_unknown(b):
            self.parent[b] = a
        else:
            self.parent[a] = b
        return True


def _is_unknown(size: str) -> bool:
    return size[0] in "?=" and not is_matrix(size)


class _Inference:
    """Reads the equations and joins the sizes that must be one."""

    def __init__(self, cell: Equations) -> None:
        self.cell = cell
        self.sizes = _Sizes()
        self.uses: dict[str, list[tuple[tuple[str, ...], int]]] = {}  # weight -> sizes, equation
        self.states = dict.fromkeys(cell.states, UNITS) | {
            d.name: MATRIX.join(map(cell.size, d.sizes)) for d in cell.state_sizes
        }
        self.inputs = {d.name: cell.size(d.sizes[0]) for d in cell.further_inputs}
        self.declared = {d.name: tuple(map(cell.size, d.sizes)) for d in cell.weights if d.sizes}
        self.constants: set[str] = set()
        for index, equation in enumerate(cell.equations):
            self.read(index)
            if equation.target == cell.output:
                self.demand(f"={equation.target}", UNITS, index, "the layer puts out H units")
        for start in cell.starts:
            if start.weight:
                self.start(start.state, start.weight)
        self.square = self.sizes.find(INPUTS) == self.sizes.find(UNITS)
        for name in self.uses:
            self.join_uses(name)

    def read(self, index: int) -> None:
        """Reads one equation."""
        equation = self.cell.equations[index]
        own, size = f"={equation.target}", self.size_of(equation.value, index)
        if size is None:
            self.constants.add(equation.label)  # a constant meets values of any size
            if equation.size:
                raise IllegalEquationError(self.cell, index, "a number needs no size")
        else:
            self.demand(size, own, index, "")
        if equation.updates_state:
            size = self.states[equation.target]
            self.demand(own, size, index, f"the state has size {format_size(size)}")
        elif equation.size:
            size = self.cell.size(equation.size)
            self.demand(own, size, index, f"it is declared to have size {format_size(size)}")

    def demand(self, a: str, b: str, index: int, why: str) -> None:
        """Joins two sizes, or says why they are not one."""
        if not self.sizes.join(a, b):
            sizes = " and ".join(format_size(self.final(s)) for s in (a, b))
            reason = f"sizes {sizes} do not meet" + (f": {why}" if why else "")
            raise IllegalEquationError(self.cell, index, reason)

    def start(self, state: str, weight: str) -> None:
        """Gives a weight that a state starts at the size of the state."""
        if is_matrix(self.states[state]):
            number = [s.state for s in self.cell.starts].index(state)
            reason = f"start {state}: a matrix starts at a number"
            raise IllegalCellError(reason, f"start {number}")
        uses = self.uses.setdefault(weight, [])
        index = [e.target for e in self.cell.equations].index(state)
        uses.append(((self.states[state],), index))

    def size_of(self, expr: sp.Expr, index: int) -> str | None:
        """Gives the size of a value, None for a constant."""
        op, args, name = term(expr)
        match op:
            case "constant":
                return None
            case "input":
                return self.inputs.get(name, INPUTS)
            case "previous":
                return self.states[name]
            case "value":
                return (
                    None
                    if name in self.constants
                    else self.sizes.find(f"={name.partition('[')[0]}")
                )
            case "vector":
                return self.use(name, index)
        sizes = [s for s in (self.size_of(a, index) for a in args) if s is not None]
        if op in ("matmul", "transposed"):
            if sizes and is_matrix(self.sizes.find(sizes[0])):
                reason = f"{name} @ a matrix: the right of @ must be a vector"
                raise IllegalEquationError(self.cell, index, reason)
            if not sizes:
                raise IllegalEquationError(
                    self.cell, index, f"{name} @ constant: the right of @ must be a vector"
                )
            return self.map(name, index, sizes[0], transposed=op == "transposed")
        if op in OVER_UNITS:
            if not sizes:
                raise IllegalEquationError(self.cell, index, f"{op} of a constant")
            return self.over_units(op, args, sizes, index)
        wide = [s for s in sizes if self.sizes.find(s) != ONE]
        if any(is_matrix(self.sizes.find(s)) for s in wide):
            return self.of_matrices([self.sizes.find(s) for s in wide], index)
        for other in wide[1:]:
            self.demand(wide[0], other, index, "")
        return wide[0] if wide else (ONE if sizes else None)

    def of_matrices(self, sizes: list[str], index: int) -> str:
        """Gives the size of what matrices give elementwise: along each axis, 1 meets any size."""
        if not all(map(is_matrix, sizes)):
            reason = (
                "a matrix meets matrices and single numbers alone; write column(v) or row(v), or"
                " declare the size of a weight, as weight A : H, H"
            )
            raise IllegalEquationError(self.cell, index, reason)
        found = []
        for along in zip(*map(axes, sizes), strict=True):
            wide = [s for s in along if self.sizes.find(s) != ONE]
            for other in wide[1:]:
                self.demand(wide[0], other, index, "")
            found.append(wide[0] if wide else ONE)
        return matrix(*found)

    def over_units(self, op: str, args: tuple[sp.Expr, ...], sizes: list[str], index: int) -> str:
        """Gives the size of the value of a function over units."""
        known = [self.sizes.find(s) for s in sizes]
        if len(known) != OVER_UNITS[op].arity:
            raise IllegalEquationError(self.cell, index, f"{op} of a constant")
        try:
            size = size_over_units(op, known)
        except WrongSizeError as error:
            reason = str(error)
            if op in ("read", "read_transposed") and isinstance(args[0], Leaf):
                reason = f"the left of @ must be a matrix; {args[0].name!r} is a variable"
            raise IllegalEquationError(self.cell, index, reason) from None
        if op in ("read", "read_transposed"):
            inner = axes(known[0])[1 if op == "read" else 0]
            self.demand(inner, known[1], index, "a matrix reads what it has columns for")
        return size

    def use(self, name: str, index: int) -> str:
        """Notes a use of a weight number by number; gives its size."""
        own = self.declared.get(name) or (f"?{name}.{len(self.uses.get(name, ()))}",)
        own = (MATRIX.join(own),)  # a matrix without @ is used number by number
        self.uses.setdefault(name, []).append((own, index))
        return own[0]

    def map(self, name: str, index: int, columns: str, *, transposed: bool) -> str:
        """Notes a use of a matrix on a value; gives the size of what it yields."""
        number = len(self.uses.get(name, ()))
        own = self.declared.get(name) or (f"?{name}.{number}", f"?{name}.{number}c")
        self.uses.setdefault(name, []).append((own, index))
        if len(own) == 2:
            rows, inner = own[::-1] if transposed else own
            self.demand(inner, columns, index, f"that is what {name} takes")
            return rows
        raise IllegalEquationError(self.cell, index, f"{name!r} is declared to be a vector")

    def join_uses(self, name: str) -> None:
        """Gives all uses of a weight one shape."""
        (first, at), *others = self.uses[name]
        declared = len(self.declared.get(name, ())) == 2
        if not declared and any(is_matrix(self.sizes.find(s)) for s in first):
            reason = (
                f"{name!r} gives a vector where a matrix is wanted; write outer(a, b), or declare"
                " its size, as weight A : H, H"
            )
            raise IllegalEquationError(self.cell, at, reason)
        for use, index in others:
            if len(use) != len(first):
                raise IllegalEquationError(
                    self.cell, index, f"{name!r} is used both with @ and without"
                )
        for use, index in others:
            for a, b in zip(first, use, strict=True):
                one, other = self.sizes.find(a), self.sizes.find(b)
                unlike = not (one == other or _is_unknown(one) or _is_unknown(other))
                if unlike and not (self.square and {one, other} == {INPUTS, UNITS}):
                    before, now = (self.cell.equations[k].label for k in (at, index))
                    raise IllegalEquationError(
                        self.cell,
                        index,
                        f"shapes of {name!r} disagree: {self.shown(first)} in {before},"
                        f" {self.shown(use)} in {now} (I input size, H hidden size)",
                    )
                self.sizes.join(a, b)

    def final(self, size: str) -> str:
        """Gives a size that is known; what nothing decides is H."""
        size = self.sizes.find(size)
        if is_matrix(size):
            return matrix(*map(self.final, axes(size)))
        return UNITS if _is_unknown(size) else size

    def shown(self, use: tuple[str, ...]) -> str:
        """Prints the shape of a use."""
        return f"({', '.join(format_size(self.final(s)) for s in use)})"


_NOT_SQUARE = "the property is for square matrices"


def _reason_against_properties(declaration: Declaration, shape: tuple[str, ...]) -> str:
    """Gives the reason why a weight of a shape cannot have its properties; empty if it can."""
    for written in declaration.properties:
        try:
            row, _ = properties.read(written)
        except ValueError as error:
            return str(error)
        if row.matrix and len(shape) != 2:
            return f"{written} is for matrices; it is a vector"
        if row.square and len(set(shape)) > 1:
            return _NOT_SQUARE
    return ""


def infer_shapes(cell: Equations) -> Shapes:
    """Infers the size of every parameter and equation from their use.

    Raises:
        CellError: Sizes that must be one are not.
    """
    inference = _Inference(cell)
    final = inference.final
    for number, declaration in enumerate(cell.further_inputs if inference.square else ()):
        if parts(cell.size(declaration.sizes[0]))[0] == INPUTS:
            raise IllegalCellError(
                f"the input {declaration.name!r} cannot have the size of {cell.input}, which meets"
                " units elementwise and so has as many numbers as there are of them; say a number",
                f"input {number}",
            )
    for number, declaration in enumerate(cell.weights):
        if declaration.name not in inference.uses:
            raise IllegalCellError(
                f"weight {declaration.name[:60]}: there is no such weight", f"weight {number}"
            )
    shapes = {n: tuple(map(final, uses[0][0])) for n, uses in inference.uses.items()}
    for number, declaration in enumerate(cell.weights):
        shape = tuple(a for size in shapes[declaration.name] for a in axes(size))
        reason = _reason_against_properties(declaration, shape)
        if reason and not (inference.square and reason == _NOT_SQUARE):
            raise IllegalCellError(f"weight {declaration.name}: {reason}", f"weight {number}")
    return Shapes(
        matrices={n: (s[0], s[1]) for n, s in shapes.items() if len(s) == 2},
        vectors={n: s[0] for n, s in shapes.items() if len(s) == 1},
        equations={e.target: final(f"={e.target}") for e in cell.equations},
        square=inference.square,
        states={n: final(s) for n, s in inference.states.items()},
        inputs={n: final(s) for n, s in inference.inputs.items()},
    )
