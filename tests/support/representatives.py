"""Cells of the library that stand for all of it where a test is heavy.

Going through the library in its order, a cell is taken if it has something that none before it
has: a family, a function, division, an initial value of a kind, a diagonal map of the past, two
states or more, a bare input among the units, or an output that is no state. Long cells, of which
every key and every mutant costs much, stand for none. Nor do cells with other sizes, reductions or
matrices, with weights that have properties, or with functions that jump, or end where a change may
take them. The tests of wide layers and cells draw such ones, and
`tests/compiler/test_oracle.py` judges all of the library.
"""

from odyssey.cells import LIBRARY, library_cell, library_entry
from odyssey.expr.forms import BY_FUNCTION
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.reductions import OVER_UNITS
from odyssey.expr.shapes import infer_shapes
from odyssey.expr.terms import Previous, Vector, subexpressions


def traits(name):
    """What a test may be sensitive to in a cell of the library."""
    cell = library_cell(name)
    nodes = [node for e in cell.equations for node in subexpressions(e.value)]
    return {
        ("family", library_entry(name).family),
        ("states", min(len(cell.states), 3)),
        ("square", infer_shapes(cell).square),
        ("output", cell.output in cell.states),
        *(("function", type(node)) for node in nodes if type(node) in BY_FUNCTION or node.is_Pow),
        *(("diagonal", True) for node in nodes if node.is_Mul and _is_diagonal(node)),
        *(("init", init.kind) for init in cell.inits),
    }


def _is_diagonal(product):
    kinds = {type(factor) for factor in product.args}
    return Vector in kinds and Previous in kinds


def chosen(names, traits_of):
    """Takes each that has a trait which those taken before it have not."""
    seen, found = set(), []
    for name in names:
        if not traits_of(name) <= seen:
            seen |= traits_of(name)
            found.append(name)
    return tuple(found)


LONGEST = 12


def common(name):
    """Says whether a cell has sizes I and H, weights as stored, and no function with an edge."""
    cell = library_cell(name)
    ops = {node.op for node in cell.program.nodes} - {"matmul"}
    special = any(PRIMITIVES[op].edge for op in ops & PRIMITIVES.keys())
    turned = any(node.transposed for node in cell.program.nodes)
    wide = turned or ops & OVER_UNITS.keys() or not infer_shapes(cell).plain
    return not (wide or special or cell.weights)


SHORT = [name for name in LIBRARY if len(library_cell(name).equations) <= LONGEST and common(name)]
REPRESENTATIVES = chosen(SHORT, traits)
