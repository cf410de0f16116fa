"""Mutations of sizes: one number for all units, bottlenecks, transposes, means, starting values.

They lead out of the cells in which every value has a number a unit, and back: `one_gate` makes a
gate one number a row, `bottleneck` a linear map one of low rank, `add_context` lets every unit see
the mean of all.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from odyssey.expr.cell import Cell
from odyssey.expr.equations import Equation, Init, Start
from odyssey.expr.primitives import sigmoid
from odyssey.expr.reductions import REDUCTIONS, UNIT_FORMS
from odyssey.expr.sizes import ONE, UNITS
from odyssey.expr.terms import Matrix, Named, Vector, add, matmul, mul, sub, transposed
from odyssey.transforms.ablations import gates
from odyssey.transforms.sites import (
    Names,
    NotApplicable,
    Rng,
    Sizes,
    available,
    build,
    choose,
    put,
    sites,
    wide_sums,
)

RANKS = ("H/2", "H/4", "H/8")
STARTS = (Fraction(-1), Fraction(1), None)  # None: learned


def one_gate(cell: Cell, rng: Rng) -> Cell:
    """Makes a gate one number for all units, or a gate of one number one a unit."""
    sizes = cell.shapes.equations
    known = {UNITS: ONE, ONE: ""}
    found = [
        e
        for e in cell.equations
        if e.target in gates(cell)
        and not e.updates_state
        and e.target != cell.output
        and sizes[e.target] in known
    ]
    gate = choose(rng, found, otherwise="there are no gates")
    size = known[sizes[gate.target]]
    rows = [dataclasses.replace(e, size=size) if e is gate else e for e in cell.equations]
    return build(cell, rows)


def bottleneck(cell: Cell, rng: Rng) -> Cell:
    """Puts a value of fewer numbers into a linear map: `W @ v` becomes `W @ q`, `q : H/4 = Q @ v`.

    The map is of low rank then (Kusupati et al. 2018).
    """
    found = [s for s in sites(cell) if isinstance(s.node, matmul)]
    site = choose(rng, found, otherwise="there is no linear map")
    matrix, operand = site.node.args
    uses = sum(s.node.args[0] == matrix for s in found)
    if uses > 1:
        raise NotApplicable("the matrix is used more than once")
    names = Names(cell)
    name = names.fresh("q", "Q")
    size = choose(rng, RANKS, otherwise="")
    narrow = Equation(name, matmul(Matrix(f"Q_{name}"), operand), size=size)
    changed = put(cell.equations, site, matmul(matrix, Named(name)))
    weights = [w for w in cell.weights if w.name != matrix.name]  # of another shape now
    return build(cell, [narrow, *changed], weights=weights)


def add_transposed(cell: Cell, rng: Rng) -> Cell:
    """Adds or subtracts the map by a matrix that the cell has, transposed, inside a function.

    `U @ h[t-1] - U.T @ h[t-1]` is antisymmetric (Chang et al. 2019).
    """
    sizes = Sizes(cell)
    site = choose(rng, wide_sums(cell), otherwise="there is no function to add a map in")
    shapes = cell.shapes.matrices
    fitting = [
        (m, v)
        for m in cell.matrices
        for v in available(cell, site.index)
        if shapes[m][1] == UNITS and sizes.of(v) == shapes[m][0]
    ]
    name, operand = choose(rng, fitting, otherwise="no matrix fits")
    join = choose(rng, (add, sub, sub), otherwise="")
    value = join(site.node, transposed(Matrix(name), operand))
    return build(cell, put(cell.equations, site, value))


def normalise(cell: Cell, rng: Rng) -> Cell:
    """Normalises what goes into a function over the units, with a gain (Ba et al. 2016)."""
    site = choose(rng, wide_sums(cell), otherwise="there is no function to normalise what goes in")
    name = choose(rng, ("layer_norm", "rms_norm"), otherwise="")
    gain = Names(cell).weight("s", cell.equations[site.index].target)
    value = mul(Vector(gain), UNIT_FORMS[name].function(site.node))
    inits = [*cell.inits, Init(gain, "constant", (1.0,))]
    return build(cell, put(cell.equations, site, value), inits=inits)


def compete(cell: Cell, rng: Rng) -> Cell:
    """Lets the units of a gate compete: its sigmoid becomes a softmax, or its running sum."""
    found = [
        s
        for s in sites(cell)
        if not s.path
        and isinstance(s.node, sigmoid)
        and cell.equations[s.index].target in gates(cell)
    ]
    site = choose(rng, found, otherwise="there is no gate with a sigmoid")
    name = choose(rng, ("softmax", "cumax"), otherwise="")
    value = UNIT_FORMS[name].function(*site.node.args)
    return build(cell, put(cell.equations, site, value))


def add_context(cell: Cell, rng: Rng) -> Cell:
    """Adds the mean, sum or largest of the units of a value in a function, with a weight a unit."""
    sizes = Sizes(cell)
    site = choose(rng, wide_sums(cell), otherwise="there is no function to add one in")
    found = [v for v in available(cell, site.index) if sizes.of(v) != ONE]
    value = choose(rng, found, otherwise="nothing has more than one number")
    rows = [row for row in REDUCTIONS.values() if not row.keeps_size]
    reduced = choose(rng, rows, otherwise="").function(value)
    weight = Names(cell).weight("p", cell.equations[site.index].target)
    return build(cell, put(cell.equations, site, add(site.node, mul(Vector(weight), reduced))))


def change_start(cell: Cell, rng: Rng) -> Cell:
    """Starts a state at -1, at 1, at weights that are learned, or at zero again."""
    state = choose(rng, cell.states, otherwise="there is no state")
    now = next((s for s in cell.starts if s.state == state), None)
    others = [s for s in cell.starts if s.state != state]
    options = [s for s in STARTS if now is None or s != (None if now.weight else now.value)]
    choices: list[Start | None] = [None] if now is not None else []
    for value in options:
        if value is None:
            choices.append(Start(state, weight=Names(cell).fresh(f"{state[:30]}0")))
        else:
            choices.append(Start(state, value))
    start = choose(rng, choices, otherwise="")
    starts = others if start is None else [*others, start]
    return build(cell, cell.equations, starts=starts)
