"""A cell as plain data: what stands in it, with equations as trees."""

from __future__ import annotations

from typing import Any

import sympy as sp

from odyssey.expr.cell import Cell
from odyssey.expr.initial import format_init
from odyssey.expr.sizes import axes, format_size
from odyssey.expr.terms import Const, exact_value, term


def cell_data(cell: Cell) -> dict[str, Any]:
    """Gives what a cell is made of, for `json.dumps`.

    A node of a tree has its operation `op`, and `args`, `name` or `value` where it has them:
    leaves are `input` (by its name), `previous` (a state after the step before), `value` (of an
    equation, `c[t]` of a state), `vector` (a weight) and `constant`; `matmul` and `transposed` have
    the name of their matrix and one argument.
    """
    shapes = cell.shapes
    inits = {i.parameter: format_init(i) for i in cell.inits}
    said = {w.name: list(w.properties) for w in cell.weights if w.properties}
    sizes = {**shapes.matrices, **{name: axes(size) for name, size in shapes.vectors.items()}}
    return {
        "input": cell.input,
        "further_inputs": {name: format_size(size) for name, size in shapes.inputs.items()},
        "output": cell.output,
        "equations": [
            {
                "target": e.target,
                "updates_state": e.updates_state,
                "size": format_size(shapes.equations[e.target]),
                "value": tree(e.value),
            }
            for e in cell.equations
        ],
        "state_sizes": {name: format_size(size) for name, size in shapes.states.items()},
        "starts": {s.state: s.weight or float(s.value) for s in cell.starts},
        "constants": {name: float(value) for name, value in cell.constants.items()},
        "weights": {
            name: {
                "shape": list(map(format_size, sizes[name])),
                "init": inits.get(name),
                "properties": said.get(name, []),
            }
            for name in cell.parameters
        },
    }


def tree(expr: sp.Expr) -> dict[str, Any]:
    """Gives an expression as nested dictionaries; see `cell_data`."""
    op, args, name = term(expr)
    node: dict[str, Any] = {"op": op}
    if op == "constant":
        node["value"] = float(exact_value(expr))
        name = expr.stem if isinstance(expr, Const) else ""
    if name:
        node["name"] = name
    if args:
        node["args"] = [tree(a) for a in args]
    return node
