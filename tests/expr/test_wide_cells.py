"""Random cells with declared sizes, reductions, transposes, constants, delays and starts."""

import dataclasses
import functools

import numpy as np
import pytest
import sympy as sp
from support.random_cells import random_wide_cell

from odyssey.expr import parse_cell
from odyssey.expr.bounds import value_bounds
from odyssey.expr.notation import to_html
from odyssey.expr.terms import Const, Current, Matrix, Named, Previous, Vector, replace

each = pytest.mark.parametrize("cell", range(40), indirect=True)


@pytest.fixture
def cell(request):
    return drawn(request.param)


@functools.cache
def drawn(n):
    rng = np.random.default_rng([16, n])
    return random_wide_cell(rng, size=3 + n % 14, matrices=True)


@each
def test_text_reads_back(cell):
    assert parse_cell(cell.text) == cell


@each
def test_the_canonical_form_is_its_own_and_the_same_function(cell):
    own = parse_cell(cell.canonical_text)
    assert own.canonical_text == cell.canonical_text
    assert own.fingerprint == cell.fingerprint
    assert own.identity[1] == cell.identity[1]


def renamed(cell):
    """The same cell with other names, and its sizes said in place of named."""

    def name(old):
        return f"{old[:30]}_new"

    def leaf(node):
        if isinstance(node, Const):
            return sp.Rational(node.value.numerator, node.value.denominator)
        if isinstance(node, Previous | Current):
            state, _, when = node.name.partition("[")
            return type(node)(f"{name(state)}[{when}")
        if isinstance(node, Matrix | Vector | Named):
            return type(node)(name(node.name))
        return None

    def declared(declarations):
        return tuple(
            dataclasses.replace(d, name=name(d.name), sizes=tuple(map(cell.size, d.sizes)))
            for d in declarations
        )

    return dataclasses.replace(
        cell,
        sizes=(),
        states=tuple(map(name, cell.states)),
        equations=tuple(
            dataclasses.replace(
                e, target=name(e.target), value=replace(e.value, leaf), size=cell.size(e.size)
            )
            for e in cell.equations
        ),
        output=name(cell.output),
        state_sizes=declared(cell.state_sizes),
        weights=declared(cell.weights),
        starts=tuple(
            dataclasses.replace(s, state=name(s.state), weight=name(s.weight) if s.weight else "")
            for s in cell.starts
        ),
        inits=tuple(
            dataclasses.replace(
                i, parameter=name(i.parameter), source=name(i.source) if i.source else ""
            )
            for i in cell.inits
        ),
    )


@each
def test_names_do_not_matter(cell):
    assert renamed(cell).key == cell.key


@each
def test_it_prints_and_is_bounded(cell):
    assert cell.latex().startswith("\\begin{aligned}")
    assert to_html(cell).startswith("<table")
    assert value_bounds(cell).keys() == {e.label for e in cell.equations}
    assert to_html(cell).count("<td>size</td>") == sum(
        1 for d in (*cell.state_sizes, *cell.weights, *(e for e in cell.equations if e.size))
    )
