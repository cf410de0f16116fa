"""The shapes of what a cell holds, inferred from use.

Sizes: I is the size of the input, H the number of units. Every state and the output have size H.
A value that meets `x[t]` elementwise has size I; where that value also meets a value of size H,
the cell needs I = H (`Shapes.square`), and the model embeds its input at hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from odyssey.expr.equations import Equations, IllegalEquationError
from odyssey.expr.terms import Current, Previous, term


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


class _Inference:
    """Reads the equations and joins the sizes that must be one."""

    def __init__(self, cell: Equations) -> None:
        self.cell = cell
        self.sizes = _Sizes()
        self.uses: dict[str, list[tuple[tuple[str, ...], int]]] = {}  # weight -> sizes, equation
        self.constants: set[str] = set()
        for index, equation in enumerate(cell.equations):
            size = self.size_of(equation.value, index)
            if size is None:
                self.constants.add(equation.label)  # a constant meets values of any size
            else:
                self.sizes.join(f"={equation.target}", size)
            if equation.updates_state or equation.target == cell.output:
                self.sizes.join(f"={equation.target}", "H")
        self.square = self.sizes.find("I") == self.sizes.find("H")
        for name in self.uses:
            self.join_uses(name)

    def size_of(self, expr: sp.Expr, index: int) -> str | None:
        """Gives the size of a value, None for a constant."""
        op, args, name = term(expr)
        if op == "input":
            return "I"
        if isinstance(expr, Previous | Current):
            return "H"
        if op == "value":
            return f"={name}" if name not in self.constants else None
        if op == "vector":
            return self.use(name, index)
        sizes = [s for s in (self.size_of(a, index) for a in args) if s is not None]
        if op == "matmul":
            if not sizes:
                raise IllegalEquationError(
                    self.cell, index, f"{name} @ constant: the right of @ must be a vector"
                )
            return self.use(name, index, *sizes)
        for other in sizes[1:]:
            self.sizes.join(sizes[0], other)
        return sizes[0] if sizes else None

    def use(self, name: str, index: int, *columns: str) -> str:
        """Notes a use of a weight; gives a size of its own for what it yields."""
        rows = f"?{name}.{len(self.uses.get(name, ()))}"
        self.uses.setdefault(name, []).append(((rows, *columns), index))
        return rows

    def join_uses(self, name: str) -> None:
        """Gives all uses of a weight one shape."""
        (first, at), *others = self.uses[name]
        for use, index in others:
            if len(use) != len(first):
                raise IllegalEquationError(
                    self.cell, index, f"{name!r} is used both as a matrix and as a vector"
                )
        for use, index in others:
            for a, b in zip(first, use, strict=True):
                if not self.square and {self.sizes.find(a), self.sizes.find(b)} == {"I", "H"}:
                    before, now = (self.cell.equations[k].label for k in (at, index))
                    raise IllegalEquationError(
                        self.cell,
                        index,
                        f"shapes of {name!r} disagree: {self.shown(first)} in {before},"
                        f" {self.shown(use)} in {now} (I input size, H hidden size)",
                    )
                self.sizes.join(a, b)

    def final(self, size: str) -> str:
        """Gives I or H; what nothing decides is H."""
        return "I" if self.sizes.find(size) == "I" else "H"

    def shown(self, use: tuple[str, ...]) -> str:
        """Prints the shape of a use."""
        return f"({', '.join(map(self.final, use))})"


def infer_shapes(cell: Equations) -> Shapes:
    """Infers the size of every parameter and equation from their use.

    Raises:
        CellError: A matrix or vector is used at two sizes.
    """
    inference = _Inference(cell)
    final = inference.final
    shapes = {n: tuple(map(final, uses[0][0])) for n, uses in inference.uses.items()}
    return Shapes(
        matrices={n: (s[0], s[1]) for n, s in shapes.items() if len(s) == 2},
        vectors={n: s[0] for n, s in shapes.items() if len(s) == 1},
        equations={e.target: final(f"={e.target}") for e in cell.equations},
        square=inference.square,
    )
