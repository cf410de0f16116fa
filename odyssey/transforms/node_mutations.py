"""Mutations of single nodes: the operators of Jozefowicz et al. 2015, section 3.4, and two more.

In the paper a cell is a graph whose nodes are all vectors of one size. Here a value that is read in
several places is a named equation, and a subexpression stands in one place. A linear map counts
as an activation node, as in the paper. Where a change lets the bare input meet the state
elementwise, the cell becomes square (docs/language.md, Shapes); that is how MUT1 came about.
"""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from odyssey.expr.cell import Cell
from odyssey.expr.forms import LANGUAGE
from odyssey.expr.primitives import PRIMITIVES, Function
from odyssey.expr.terms import (
    Current,
    Leaf,
    Matrix,
    Named,
    Vector,
    add,
    apply,
    constant,
    is_negation,
    leaves,
    matmul,
    mul,
    subexpressions,
    term,
)
from odyssey.registry import View
from odyssey.transforms.sites import (
    Names,
    Rng,
    Site,
    Sizes,
    ancestors,
    available,
    build,
    choose,
    is_activation,
    needs,
    put,
    readers,
    share,
    sites,
)

# Linear(a, v) = W @ v + b with `a` added to the diagonal of W; here W @ v + a * v + b, which is the
# same function, starts the same and has the same gradients.
DIAGONALS: dict[str, Fraction] = {
    "linear0": Fraction(0),
    "linear1": Fraction(1),
    "linear0.9": Fraction(9, 10),
    "linear1.1": Fraction(11, 10),
}
ACTIVATIONS = ("sigmoid", "tanh", "relu", *DIAGONALS)
# those without a value for half of all arguments are left out
OTHERS: View[str, Function] = View(
    lambda: {n: row for n, row in LANGUAGE.items() if row.arity == 1 and row.edge != "end"},
    PRIMITIVES,
)
OPERATIONS = ("add", "sub", "mul")
ELEMENTWISE = (*OPERATIONS, "div")


def _activated(cell: Cell, name: str, value: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Applies an activation; gives the result, and what it reads more than once."""
    if name not in DIAGONALS:
        return LANGUAGE[name].function(value), value
    new = Names(cell).fresh("l", "W", "b")
    result = matmul(Matrix(f"W_{new}"), value)
    return add(_plus_diagonal(result, value, DIAGONALS[name]), Vector(f"b_{new}")), value


def _plus_diagonal(result: sp.Expr, value: sp.Expr, diagonal: Fraction) -> sp.Expr:
    if not diagonal:
        return result
    return add(result, value if diagonal == 1 else mul(constant(diagonal), value))


def replace_activation(cell: Cell, rng: Rng) -> Cell:
    """Replaces an activation or a linear map by another activation of the paper's list."""
    found = [s for s in sites(cell) if is_activation(s.node) or isinstance(s.node, matmul)]
    site = choose(rng, found, otherwise="there is no activation and no linear map")
    value = site.node.args[-1]
    if isinstance(site.node, matmul):
        name = choose(rng, [a for a in ACTIVATIONS if a != "linear0"], otherwise="")
        if name in DIAGONALS:  # the map is there already: Linear(a, v) keeps it
            result = _plus_diagonal(site.node, value, DIAGONALS[name])
        else:
            result = LANGUAGE[name].function(value)
    else:
        now = type(site.node).__name__
        name = choose(rng, [a for a in ACTIVATIONS if a != now], otherwise="")
        result, _ = _activated(cell, name, value)
    return build(cell, share(cell, put(cell.equations, site, result), value))


def replace_function(cell: Cell, rng: Rng) -> Cell:
    """Replaces an activation by any other function of the language."""
    found = [s for s in sites(cell) if is_activation(s.node)]
    site = choose(rng, found, otherwise="there is no activation")
    now = type(site.node).__name__
    name = choose(rng, [n for n in OTHERS if n != now], otherwise="")
    return build(cell, put(cell.equations, site, LANGUAGE[name].function(*site.node.args)))


def insert_activation(cell: Cell, rng: Rng) -> Cell:
    """Puts an activation between a node and something that it reads."""
    found = [s for s in sites(cell) if s.above is not None and not isinstance(s.node, Vector)]
    site = choose(rng, found, otherwise="no node reads another one")
    name = choose(rng, ACTIVATIONS, otherwise="")
    result, value = _activated(cell, name, site.node)
    return build(cell, share(cell, put(cell.equations, site, result), value))


def replace_operation(cell: Cell, rng: Rng) -> Cell:
    """Replaces a sum, difference, product or quotient by another one of the first three.

    A sum does not become a difference where training would not notice: where the second operand is
    a weight, or a linear map, that occurs once and starts symmetrically around zero.
    """
    found = [s for s in sites(cell) if term(s.node).op in ELEMENTWISE]
    site = choose(rng, found, otherwise="there is no element-wise operation")
    now, (left, right), _ = term(site.node)
    free = now in ("add", "sub") and _takes_any_sign(cell, right)
    options = [o for o in OPERATIONS if o != now and not (free and o in ("add", "sub"))]
    value = apply(choose(rng, options, otherwise=""), left, right)
    return build(cell, put(cell.equations, site, value))


def _takes_any_sign(cell: Cell, value: sp.Expr) -> bool:
    weight = value.args[0] if isinstance(value, matmul) else value
    if not isinstance(weight, Matrix | Vector):
        return False
    given = any(weight.name in (i.parameter, i.source) for i in cell.inits)
    uses = sum(n == weight for e in cell.equations for n in subexpressions(e.value))
    return uses == 1 and not given


def insert_operation(cell: Cell, rng: Rng) -> Cell:
    """Adds, subtracts or multiplies something that the equation can read, of the same size."""
    site = choose(rng, sites(cell), otherwise="the cell has no values")
    sizes = Sizes(cell)
    own = sizes.of(site.node)
    found = [v for v in available(cell, site.index) if v != site.node and sizes.of(v) == own]
    other = choose(rng, found, otherwise="nothing of the same size can be read there")
    value = apply(choose(rng, OPERATIONS, otherwise=""), site.node, other)
    return build(cell, put(cell.equations, site, value))


def remove_node(cell: Cell, rng: Rng) -> Cell:
    """Removes a node with one input and one output: an activation, a linear map, a sign."""
    count = readers(cell)
    found = [
        s
        for s in sites(cell)
        if (is_activation(s.node) or isinstance(s.node, matmul) or is_negation(s.node))
        and (s.path or count[cell.equations[s.index].label] <= 1)
    ]
    site = choose(rng, found, otherwise="no node has one input and one output")
    return build(cell, put(cell.equations, site, site.node.args[-1]))


def replace_by_ancestor(cell: Cell, rng: Rng) -> Cell:
    """Replaces a node by something that it is computed from."""
    found = [s for s in sites(cell) if not isinstance(s.node, Leaf) or _is_inner(s.node)]
    site = choose(rng, found, otherwise="every node is an input")
    other = choose(rng, ancestors(cell, site), otherwise="the node has no ancestors")
    return build(cell, share(cell, put(cell.equations, site, other), other))


def _is_inner(node: sp.Expr) -> bool:
    return isinstance(node, Named | Current)


def combine_ancestors(cell: Cell, rng: Rng) -> Cell:
    """Replaces a node by the sum, difference or product of an ancestor of it and one of another."""
    everything = sites(cell)
    found = [s for s in everything if not isinstance(s.node, Leaf) or _is_inner(s.node)]
    site = choose(rng, found, otherwise="every node is an input")
    other = choose(rng, found, otherwise="every node is an input")
    sizes = Sizes(cell)
    own = sizes.of(site.node)

    def fitting(where: Site) -> list[sp.Expr]:
        here, above = cell.equations[site.index].label, needs(cell)
        return [
            v
            for v in ancestors(cell, where)
            if sizes.of(v) == own
            and all(here != n.name and here not in above.get(n.name, ()) for n in leaves(v))
        ]

    first = choose(rng, fitting(site), otherwise="the node has no ancestor of its size")
    second = choose(rng, fitting(other), otherwise="the other node has no ancestor of that size")
    value = apply(choose(rng, OPERATIONS, otherwise=""), first, second)
    changed = put(cell.equations, site, value)
    if first in set(subexpressions(second)):  # the larger one first, or it would be split
        first, second = second, first
    return build(cell, share(cell, share(cell, changed, first), second))


def swap_operands(cell: Cell, rng: Rng) -> Cell:
    """Exchanges two values of one size in an equation, such as the ends of a blend."""
    index = int(rng.integers(len(cell.equations)))
    here = [
        s for s in sites(cell) if s.index == index and s.path and not isinstance(s.node, Vector)
    ]
    sizes = Sizes(cell)
    first = choose(rng, here, otherwise="the equation holds no two values")
    found = [
        s
        for s in here
        if s.node != first.node
        and sizes.of(s.node) == sizes.of(first.node)
        and not _nested(first.path, s.path)
        and not (s.above is first.above and term(s.above).op in ("add", "mul"))
    ]
    second = choose(rng, found, otherwise="no other value of that size stands beside it")
    half = put(cell.equations, first, second.node)
    return build(cell, put(half, second, first.node))


def _nested(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a == b[: len(a)] or b == a[: len(b)]
