"""Places in a cell: what mutations choose from, and how they put something else there.

A site is a subexpression that is a value: not a matrix, not a constant, not the inside of a
quotient's bookkeeping. Sites are listed in the order of the equations, so that a draw depends on
nothing but the generator.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.cell import Cell
from odyssey.expr.equations import Declaration, Equation, Init, Start
from odyssey.expr.forms import BY_FUNCTION
from odyssey.expr.primitives import sigmoid
from odyssey.expr.sizes import UNITS, is_matrix
from odyssey.expr.terms import (
    Const,
    Current,
    Input,
    Leaf,
    Matrix,
    Named,
    Previous,
    Vector,
    add,
    fold,
    is_constant,
    is_negation,
    is_reciprocal,
    leaves,
    matmul,
    rebuild,
    replace,
    subexpressions,
)

T = TypeVar("T")
Rng = np.random.Generator
Path = tuple[int, ...]
Signed = tuple[bool, sp.Expr]  # whether it is subtracted, and the term


class NotApplicable(CellError):  # noqa: N818 - it is an answer, not a fault
    """Says why an operator cannot be applied to a cell."""


@dataclass(frozen=True)
class Site:
    """One subexpression of a cell.

    Attributes:
        index: Number of the equation.
        path: Which argument to take, from the equation's value down.
        node: The subexpression.
        above: What it is an argument of; None for a whole right-hand side.
    """

    index: int
    path: Path
    node: sp.Expr
    above: sp.Expr | None


def sites(cell: Cell) -> list[Site]:
    """Lists all sites, equation by equation, from the top down."""
    found: list[Site] = []
    for index, equation in enumerate(cell.equations):
        found.extend(_sites(equation.value, index, (), None))
    return found


def _sites(node: sp.Expr, index: int, path: Path, above: sp.Expr | None) -> Iterator[Site]:
    if node.is_Rational or isinstance(node, Matrix | Const):
        return
    subtracted = is_negation(node) and isinstance(above, sp.Add) and path[-1] == 1
    if not is_reciprocal(node) and not subtracted:
        yield Site(index, path, node, above)
    for k, argument in enumerate(node.args):
        inside = above if is_reciprocal(node) else node
        yield from _sites(argument, index, (*path, k), inside)


def choose(rng: np.random.Generator, options: Sequence[T], *, otherwise: str) -> T:
    """Draws one of the options.

    Raises:
        NotApplicable: There are none; `otherwise` says what is missing.
    """
    if not options:
        raise NotApplicable(otherwise)
    return options[int(rng.integers(len(options)))]


def put(equations: Iterable[Equation], site: Site, value: sp.Expr) -> list[Equation]:
    """Gives the equations with another value at a site."""

    def rebuilt(node: sp.Expr, path: Path) -> sp.Expr:
        if not path:
            return value
        args = tuple(rebuilt(a, path[1:]) if k == path[0] else a for k, a in enumerate(node.args))
        return rebuild(node, args)

    changed = list(equations)
    old = changed[site.index]
    changed[site.index] = old.with_value(rebuilt(old.value, site.path))
    return changed


def leaf_of(equation: Equation) -> Leaf:
    """Gives the leaf that reads the value of an equation in the same step."""
    return Current(equation.label) if equation.updates_state else Named(equation.target)


def previous(state: str) -> Leaf:
    """Gives the leaf that reads a state after the previous step."""
    return Previous(f"{state}[t-1]")


def input_of(cell: Cell) -> Leaf:
    """Gives the leaf that reads the main input."""
    return Input(f"{cell.input}[t]")


def inputs_of(cell: Cell) -> list[Leaf]:
    """Gives the leaves that read the inputs, the main one first."""
    return [Input(f"{name}[t]") for name in cell.inputs]


class Names:
    """Names that a cell does not use yet."""

    def __init__(self, cell: Cell) -> None:
        self.taken = set(cell.names)

    def fresh(self, stem: str, *weights: str) -> str:
        """Gives a free name such as `q`, `q2`, whose weights `W_q`, ... are free as well."""
        number = 1
        while True:
            name = stem if number == 1 else f"{stem}{number}"
            wanted = {name, *(f"{letter}_{name}" for letter in weights)}
            if not wanted & self.taken:
                self.taken |= wanted
                return name
            number += 1

    def weight(self, letter: str, equation: str) -> str:
        """Gives a free name for a weight in an equation, such as `U_f`, `U_f2`."""
        number = 1
        while True:
            name = f"{letter}_{equation}" if number == 1 else f"{letter}_{equation}{number}"
            if name not in self.taken:
                self.taken.add(name)
                return name
            number += 1


class Sizes:
    """The size of any expression over the names of a cell."""

    def __init__(self, cell: Cell) -> None:
        self.shapes = cell.shapes

    def of(self, node: sp.Expr) -> str:
        """Gives the size; H for a constant, which fits all."""
        return UNITS if is_constant(node) else self.shapes.of(node)


def readers(cell: Cell) -> dict[str, int]:
    """Counts how often each label is read in the same step; a state's next step counts once."""
    found = {e.label: int(e.updates_state) for e in cell.equations}
    for equation in cell.equations:
        for node in subexpressions(equation.value):
            if isinstance(node, Named | Current) and node.name in found:
                found[node.name] += 1
    return found


def needs(cell: Cell) -> dict[str, set[str]]:
    """Gives for each label every label of the same step that it depends on."""
    found: dict[str, set[str]] = {}
    for equation in cell.equations:
        direct = {n.name for n in leaves(equation.value) if n.name in found}
        found[equation.label] = direct.union(*(found[name] for name in direct))
    return found


def available(cell: Cell, index: int) -> list[sp.Expr]:
    """Lists what the equation with this number can read: inputs, previous states, equations.

    Equations below it count where they do not depend on it; `build` then puts them first.
    """
    here = cell.equations[index].label
    after = needs(cell)
    return [
        *inputs_of(cell),
        *(previous(s) for s in cell.states),
        *(leaf_of(e) for e in cell.equations if e.label != here and here not in after[e.label]),
    ]


def ancestors(cell: Cell, site: Site) -> list[sp.Expr]:
    """Lists what a site is computed from in this step, itself excluded, each value once."""
    values = {e.label: e.value for e in cell.equations}
    found: dict[sp.Expr, None] = {}
    todo = [site.node]
    while todo:
        node = todo.pop()
        if isinstance(node, Named | Current):
            node = values[node.name]  # the leaf already stands for this value
        for argument in reversed(node.args):
            inner = argument.args[0] if is_reciprocal(argument) else argument
            number = inner.is_Rational or isinstance(inner, Const)
            if not (isinstance(inner, Matrix) or number or inner in found):
                found[inner] = None
                todo.append(inner)
    found.pop(site.node, None)
    return list(found)


def build(
    cell: Cell,
    equations: Iterable[Equation],
    *,
    states: Sequence[str] | None = None,
    inits: Sequence[Init] | None = None,
    weights: Sequence[Declaration] | None = None,
    starts: Sequence[Start] | None = None,
    further_inputs: Sequence[Declaration] = (),
) -> Cell:
    """Builds the changed cell: folds constants, orders the equations, drops what is dead.

    A state that nothing reads a step later becomes a plain equation. `further_inputs` are what is
    declared of inputs that the cell does not have.

    Raises:
        NotApplicable: The change makes a circle, or leaves no legal cell.
    """
    rows = [e.with_value(fold(e.value)) for e in equations]
    draft = _ordered(rows)
    names = tuple(cell.states if states is None else states)
    sizes = {d.name: d.sizes[0] for d in cell.state_sizes}
    draft, names = _tidy(draft, names, cell.output, sizes)
    try:
        return cell.replace(
            equations=tuple(draft),
            states=names,
            inits=tuple(cell.inits if inits is None else inits),
            weights=tuple(cell.weights if weights is None else weights),
            starts=tuple(cell.starts if starts is None else starts),
            further_inputs=(*cell.further_inputs, *further_inputs),
            citation="",
        )
    except NotApplicable:
        raise
    except CellError as error:
        raise NotApplicable(f"leaves no legal cell: {error}") from None


def _ordered(equations: list[Equation]) -> list[Equation]:
    """Puts every equation below what it reads, and otherwise where it stood."""
    place = {e.label: k for k, e in enumerate(equations)}
    reads = [{place[n.name] for n in leaves(e.value) if n.name in place} for e in equations]
    if all(max(found, default=-1) < k for k, found in enumerate(reads)):
        return equations
    waiting = [len(found) for found in reads]
    ready = [k for k, count in enumerate(waiting) if not count]
    order: list[Equation] = []
    while ready:
        k = heapq.heappop(ready)
        order.append(equations[k])
        for other, found in enumerate(reads):
            if k in found:
                waiting[other] -= 1
                if not waiting[other]:
                    heapq.heappush(ready, other)
    if len(order) < len(equations):
        raise NotApplicable("the change makes a circle")
    return order


def _tidy(
    equations: list[Equation], states: tuple[str, ...], output: str, sizes: Mapping[str, str]
) -> tuple[list[Equation], tuple[str, ...]]:
    """Drops dead equations and states, and inlines what is only another name for a leaf."""
    while True:
        by_label = {e.label: e for e in equations}
        start = f"{output}[t]" if output in states else output
        live: set[str] = set()
        past: set[str] = set()
        todo = [start]
        while todo:
            label = todo.pop()
            if label not in by_label or label in live:
                continue
            live.add(label)
            for leaf in leaves(by_label[label].value):
                if isinstance(leaf, Previous):
                    past.add(leaf.name.removesuffix("[t-1]"))
                    todo.append(f"{leaf.name.removesuffix('[t-1]')}[t]")
                else:
                    todo.append(leaf.name)
        kept = [e for e in equations if e.label in live]
        plain = {e.target for e in kept if e.updates_state and e.target not in past}
        alias = next(
            (
                e
                for e in kept
                if not e.updates_state and e.target != output and isinstance(e.value, Leaf)
            ),
            None,
        )
        names = tuple(s for s in states if f"{s}[t]" in live and s not in plain)
        if len(kept) == len(equations) and not plain and alias is None:
            return kept, names
        change = _renaming(plain, alias)
        equations = [
            dataclasses.replace(
                e,
                value=replace(e.value, change),
                updates_state=e.updates_state and e.target not in plain,
                size=sizes.get(e.target, "") if e.target in plain else e.size,
            )
            for e in kept
            if e is not alias
        ]
        states = names


def _renaming(plain: set[str], alias: Equation | None) -> Callable[[sp.Expr], sp.Expr | None]:
    def change(node: sp.Expr) -> sp.Expr | None:
        if isinstance(node, Current) and node.name.removesuffix("[t]") in plain:
            return Named(node.name.removesuffix("[t]"))
        if alias is not None and node == Named(alias.target):
            return alias.value
        return None

    return change


def share(cell: Cell, equations: list[Equation], node: sp.Expr) -> list[Equation]:
    """Gives a value that now stands in several places a name, so that it stays one value."""
    if isinstance(node, Leaf):
        return equations
    count = sum(_count(e.value, node) for e in equations)
    if count < 2:
        return equations
    names = Names(cell)
    names.taken |= {e.target for e in equations}
    leaf = Named(names.fresh("k"))

    def read(expr: sp.Expr) -> sp.Expr:
        return replace(expr, lambda n: leaf if n == node else None)

    return [Equation(leaf.name, node), *(e.with_value(read(e.value)) for e in equations)]


def _count(expr: sp.Expr, node: sp.Expr) -> int:
    return sum(n == node for n in subexpressions(expr))


def is_activation(node: sp.Expr) -> bool:
    """Says whether a node is a function of one argument."""
    return type(node) in BY_FUNCTION and len(node.args) == 1


def squash_arguments(cell: Cell) -> list[Site]:
    """Lists the arguments of functions: the sums in which linear maps, biases, peepholes meet."""
    return [
        s
        for s in sites(cell)
        if s.above is not None and is_activation(s.above) and s.above.args[0] is s.node
    ]


def wide_sums(cell: Cell) -> list[Site]:
    """Lists the arguments of functions that have size H."""
    return [s for s in squash_arguments(cell) if Sizes(cell).of(s.node) == UNITS]


def signed_terms(expr: sp.Expr, *, negative: bool = False) -> list[Signed]:
    """Lists the terms of a sum, each with whether it is subtracted."""
    if isinstance(expr, sp.Add):
        return [t for a in expr.args for t in signed_terms(a, negative=negative)]
    if is_negation(expr):
        return signed_terms(expr.args[1], negative=not negative)
    return [(negative, expr)]


def terms(expr: sp.Expr) -> list[sp.Expr]:
    """Lists the terms of a sum, without their signs."""
    return [term for _, term in signed_terms(expr)]


def affine(name: str, operands: Sequence[sp.Expr], letters: Sequence[str]) -> sp.Expr:
    """Builds `W_name @ x[t] + U_name @ h[t-1] + b_name` from operands and their letters."""
    value = matmul(Matrix(f"{letters[0]}_{name}"), operands[0])
    for letter, operand in zip(letters[1:], operands[1:], strict=True):
        value = add(value, matmul(Matrix(f"{letter}_{name}"), operand))
    return add(value, Vector(f"b_{name}"))


def gate(cell: Cell, names: Names, rng: np.random.Generator) -> tuple[Equation, Leaf]:
    """Makes a new gate `q = sigmoid(W_q @ x[t] + U_q @ s[t-1] + b_q)` and the leaf to read it."""
    name = names.fresh("q", "W", "U", "b")
    # weights map vectors; what a matrix is read with, a gate does not know
    vectors = [s for s in cell.states if not is_matrix(cell.shapes.states[s])]
    state = vectors[int(rng.integers(len(vectors)))] if vectors else None
    operands = [input_of(cell), *([previous(state)] if state else [])]
    value = sigmoid(affine(name, operands, ("W", "U")[: len(operands)]))
    return Equation(name, value), Named(name)
