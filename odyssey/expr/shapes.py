"""The shapes of what a cell holds, inferred from use.

Sizes: I is the size of the input, H the number of units. Every state and the output have size H.
A value that meets `x[t]` elementwise has size I; where that value also meets a value of size H,
the cell needs I = H (`Shapes.square`), and the model embeds its input at hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from odyssey.expr.equations import Equations, IllegalEquationError
from odyssey.expr.terms import Current, Input, Named, Previous, Vector, matmul


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


def infer_shapes(cell: Equations) -> Shapes:
    """Infers the size of every parameter and equation from their use.

    Raises:
        CellError: A matrix or vector is used at two sizes.
    """
    sizes = _Sizes()
    uses: dict[str, list[tuple[tuple[str, ...], int]]] = {}  # parameter -> (sizes, equation)
    constants: set[str] = set()
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
            return f"={node.name}" if node.name not in constants else None
        if isinstance(node, Vector):
            use = fresh()
            uses.setdefault(node.name, []).append(((use,), index))
            return use
        if isinstance(node, matmul):
            rows, columns = fresh(), size_of(node.args[1], index)
            if columns is None:
                raise IllegalEquationError(
                    cell, index, f"{node.args[0].name} @ constant: the right of @ must be a vector"
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
        else:
            constants.add(equation.target)  # a constant meets values of any size
        if equation.updates_state or equation.target == cell.output:
            sizes.join(f"={equation.target}", "H")

    square = sizes.find("I") == sizes.find("H")
    for name, found in uses.items():
        if len({len(use) for use, _ in found}) > 1:
            kind = len(found[0][0])
            index = next(k for use, k in found if len(use) != kind)
            raise IllegalEquationError(
                cell, index, f"{name!r} is used both as a matrix and as a vector"
            )
        first, at = found[0]
        for use, index in found[1:]:
            for a, b in zip(first, use, strict=True):
                if not square and {sizes.find(a), sizes.find(b)} == {"I", "H"}:
                    here, there = (cell.equations[k].label for k in (at, index))
                    raise IllegalEquationError(
                        cell,
                        index,
                        f"shapes of {name!r} disagree: {_shape(sizes, first)} in {here},"
                        f" {_shape(sizes, use)} in {there} (I input size, H hidden size)",
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
