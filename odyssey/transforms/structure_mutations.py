"""Mutations of what a cell is made of: linear maps, gates, peepholes, states, skips, biases.

New weights and gates have names of their own (`q` with `W_q`, `U_q`, `b_q`), so that a mutant can
be read like a cell of the literature and mutated, ablated and printed further.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.cell import Cell
from odyssey.expr.equations import Equation, Init
from odyssey.expr.terms import (
    Current,
    Input,
    Leaf,
    Matrix,
    Named,
    Previous,
    Vector,
    add,
    is_negation,
    matmul,
    mul,
    replace,
    sub,
)
from odyssey.transforms.ablations import drop_gate, gates, is_peephole
from odyssey.transforms.families import integrate, make_diagonal, mixed_sums, state_maps
from odyssey.transforms.sites import (
    Names,
    NotApplicable,
    Rng,
    Site,
    Sizes,
    ancestors,
    available,
    build,
    choose,
    gate,
    is_activation,
    previous,
    put,
    share,
    sites,
    terms,
    wide_sums,
)

BIASES = (-2.0, -1.0, 0.0, 1.0, 2.0)
_ONE = sp.Integer(1)


def add_map(cell: Cell, rng: Rng) -> Cell:
    """Adds a linear map of the input, a state or an equation inside a function."""
    site = choose(rng, wide_sums(cell), otherwise="there is no function to add a map in")
    mapped = {t.args[1] for t in terms(site.node) if isinstance(t, matmul)}
    found = [v for v in available(cell, site.index) if v not in mapped]
    operand = choose(rng, found, otherwise="it maps everything that it can read")
    matrix = Names(cell).weight("W" if isinstance(operand, Input) else "U", _target(cell, site))
    value = add(site.node, matmul(Matrix(matrix), operand))
    return build(cell, put(cell.equations, site, value))


def _target(cell: Cell, site: Site) -> str:
    return cell.equations[site.index].target


def remove_map(cell: Cell, rng: Rng) -> Cell:
    """Removes a linear map from a sum."""
    found = [s for s in sites(cell) if isinstance(s.node, matmul) and _is_term(s)]
    site = choose(rng, found, otherwise="no sum has a linear map")
    return build(cell, put(cell.equations, site, sp.Integer(0)))


def diagonal_map(cell: Cell, rng: Rng) -> Cell:
    """Makes a square linear map of a previous state elementwise (Li et al. 2018)."""
    site = choose(rng, state_maps(cell), otherwise="there is no square map of a previous state")
    return _changed(make_diagonal, cell, [site])


def multiply_maps(cell: Cell, rng: Rng) -> Cell:
    """Multiplies maps of this step with maps of the past besides adding them (Wu et al. 2016)."""
    site = choose(rng, mixed_sums(cell), otherwise="no function has a map of input and past")
    return _changed(integrate, cell, [site])


def _changed(change: Callable[[Cell, list[Site]], Cell], cell: Cell, places: list[Site]) -> Cell:
    try:
        result = change(cell, places)
    except CellError as error:
        raise NotApplicable(f"leaves no legal cell: {error}") from None
    return build(result, result.equations)


def _is_term(site: Site) -> bool:
    return isinstance(site.above, sp.Add) or (site.above is not None and is_negation(site.above))


def _gateable(cell: Cell) -> list[Site]:
    """Lists what a gate can weigh: variables and activations of hidden size, not gates."""
    sizes = Sizes(cell)
    known = {Named(g) for g in gates(cell)}
    return [
        s
        for s in sites(cell)
        if (isinstance(s.node, Named | Current | Previous) or is_activation(s.node))
        and s.node not in known
        and cell.equations[s.index].target not in gates(cell)
        and sizes.of(s.node) == "H"
    ]


def add_gate(cell: Cell, rng: Rng) -> Cell:
    """Multiplies a variable or an activation by a new gate."""
    site = choose(rng, _gateable(cell), otherwise="there is nothing to weigh")
    equation, leaf = gate(cell, Names(cell), rng)
    return build(cell, [equation, *put(cell.equations, site, mul(leaf, site.node))])


def add_update_gate(cell: Cell, rng: Rng) -> Cell:
    """Blends the update of a state with its previous value by a new gate."""
    state = choose(rng, cell.states, otherwise="there is no state")
    names = Names(cell)
    equation, leaf = gate(cell, names, rng)
    rows = [equation]
    for e in cell.equations:
        if e.label == f"{state}[t]":
            value = e.value
            if value.args:  # it has a name of its own, as in the equations of the literature
                value = Named(names.fresh("n"))
                rows.append(Equation(value.name, e.value))
            e = e.with_value(add(mul(leaf, previous(state)), mul(sub(_ONE, leaf), value)))
        rows.append(e)
    return build(cell, rows)


def remove_gate(cell: Cell, rng: Rng) -> Cell:
    """Sets a gate to 1 and removes its weights."""
    name = choose(rng, _plain_gates(cell), otherwise="there are no gates")
    try:
        dropped = drop_gate(cell, name)
    except CellError as error:
        raise NotApplicable(f"leaves no legal cell: {error}") from None
    return build(dropped, dropped.equations)


def couple_gates(cell: Cell, rng: Rng) -> Cell:
    """Replaces a gate by one minus another."""
    names = _plain_gates(cell)
    if len(names) < 2:
        raise NotApplicable("there are no two gates")
    first, second = (names[k] for k in rng.permutation(len(names))[:2])
    coupled = sub(_ONE, Named(second))
    return build(cell, [e.with_value(coupled) if e.target == first else e for e in cell.equations])


def _plain_gates(cell: Cell) -> list[str]:
    return [g for g in gates(cell) if g not in cell.states and g != cell.output]


def add_peephole(cell: Cell, rng: Rng) -> Cell:
    """Adds a diagonal map of a state inside a function."""
    site = choose(rng, wide_sums(cell), otherwise="there is no function to add one in")
    seen = {a for t in terms(site.node) if is_peephole(t) for a in t.args}
    found = [
        v
        for v in available(cell, site.index)
        if isinstance(v, Previous | Current) and v not in seen
    ]
    state = choose(rng, found, otherwise="it has a peephole from every state")
    vector = Names(cell).weight("p", _target(cell, site))
    return build(cell, put(cell.equations, site, add(site.node, mul(Vector(vector), state))))


def remove_peephole(cell: Cell, rng: Rng) -> Cell:
    """Removes a peephole from a sum."""
    found = [s for s in sites(cell) if is_peephole(s.node) and _is_term(s)]
    site = choose(rng, found, otherwise="there are no peepholes")
    return build(cell, put(cell.equations, site, sp.Integer(0)))


def add_state(cell: Cell, rng: Rng) -> Cell:
    """Puts a memory behind a value: `m[t] = q * m[t-1] + (1 - q) * value`, read in its place."""
    sizes = Sizes(cell)
    found = [
        s
        for s in sites(cell)
        if s.above is not None
        and not isinstance(s.node, Vector | Previous)
        and sizes.of(s.node) == "H"
    ]
    site = choose(rng, found, otherwise="there is no value to remember")
    names = Names(cell)
    equation, leaf = gate(cell, names, rng)
    state = names.fresh("m")
    blend = add(mul(leaf, previous(state)), mul(sub(_ONE, leaf), site.node))
    update = Equation(state, blend, updates_state=True)
    changed = put(cell.equations, site, Current(f"{state}[t]"))
    return build(cell, [equation, update, *changed], states=(*cell.states, state))


def add_delay(cell: Cell, rng: Rng) -> Cell:
    """Adds a state that holds a state of two steps ago, and a linear map that reads it."""
    source = choose(rng, cell.states, otherwise="there is no state to delay")
    held = {e.value for e in cell.equations if e.updates_state and isinstance(e.value, Leaf)}
    if previous(source) in held:
        raise NotApplicable("the state is delayed already")
    site = choose(rng, wide_sums(cell), otherwise="there is no function to read it in")
    names = Names(cell)
    state = names.fresh("d")
    matrix = names.weight("U", _target(cell, site))
    value = add(site.node, matmul(Matrix(matrix), previous(state)))
    changed = put(cell.equations, site, value)
    delay = Equation(state, previous(source), updates_state=True)
    return build(cell, [delay, *changed], states=(*cell.states, state))


def remove_state(cell: Cell, rng: Rng) -> Cell:
    """Makes a state a plain equation; what read its past reads that of another state."""
    if len(cell.states) < 2:
        raise NotApplicable("there is one state only")
    gone, other = (cell.states[k] for k in rng.permutation(len(cell.states))[:2])
    leaf = previous(gone)
    rows = [
        e.with_value(replace(e.value, lambda n: previous(other) if n == leaf else None))
        for e in cell.equations
    ]
    return build(cell, rows)  # nothing reads its past any more


def add_skip(cell: Cell, rng: Rng) -> Cell:
    """Adds to a value something that it is computed from, past at least one operation."""
    sizes = Sizes(cell)
    found = [s for s in sites(cell) if not isinstance(s.node, Leaf) and sizes.of(s.node) == "H"]
    site = choose(rng, found, otherwise="no value is computed")
    near = {*terms(site.node), *site.node.args}
    values = [v for v in ancestors(cell, site) if v not in near and not isinstance(v, Vector)]
    source = choose(rng, values, otherwise="the value has no earlier nodes")
    skip = source
    if sizes.of(source) != "H":
        skip = matmul(Matrix(Names(cell).weight("W", _target(cell, site))), source)
    changed = put(cell.equations, site, add(site.node, skip))
    return build(cell, share(cell, changed, source))


def change_bias(cell: Cell, rng: Rng) -> Cell:
    """Gives a bias another initial value."""
    biases = [v for v in cell.live.vectors if v in cell.live.biases]
    name = choose(rng, biases, otherwise="there are no biases")
    now = next((i for i in cell.inits if i.parameter == name), Init(name, "constant", (0.0,)))
    found = [b for b in BIASES if now.kind != "constant" or (b,) != now.args]
    value = choose(rng, found, otherwise="")
    kept = [i for i in cell.inits if i.parameter != name and i.source != name]
    if value:
        kept.append(Init(name, "constant", (value,)))
    return build(cell, cell.equations, inits=kept)
