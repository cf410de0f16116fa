"""The cell as plain data: what it says is enough to build the equations again."""

import json
from fractions import Fraction

import pytest
from support.departing import exported

from odyssey.cells import LIBRARY, library_cell
from odyssey.expr import terms
from odyssey.formats.cell_data import tree


def _built(node):
    """An expression from its tree: the way back."""
    op, name = node["op"], node.get("name", "")
    args = [_built(a) for a in node.get("args", ())]
    match op:
        case "input":
            return terms.Input(f"{name}[t]")
        case "previous":
            return terms.Previous(f"{name}[t-1]")
        case "value":
            return terms.Current(name) if name.endswith("[t]") else terms.Named(name)
        case "vector":
            return terms.Vector(name)
        case "constant":
            number = terms.constant(Fraction(str(node["value"])))
            return terms.const(name, number) if name else number
        case "matmul" | "transposed":
            return getattr(terms, op)(terms.Matrix(name), *args)
    return terms.apply(op, *args)


@pytest.mark.parametrize("name", LIBRARY)
def test_equations_can_be_built_from_json(name):
    cell = library_cell(name)
    data = json.loads(exported(cell, "json").text)
    assert data["key"] == cell.key
    for equation, node in zip(cell.equations, data["equations"], strict=True):
        assert _built(json.loads(json.dumps(tree(equation.value)))) == equation.value
        assert (equation.target, equation.updates_state) == (node["target"], node["updates_state"])
    assert set(data["weights"]) == set(cell.parameters)
