"""Recurrent maps: which they are, and what they read with masks on it.

A recurrent map is a linear map, `U @ v` or `U.T @ v`, of anything that the past reaches: of a
state, of a gated state, of a value behind another recurrent map.
"""

from __future__ import annotations

import sympy as sp

from odyssey.expr.cell import Cell
from odyssey.expr.terms import MAPS, Previous, mul, replace, subexpressions, term
from odyssey.transforms.constant_states import with_constant_states
from odyssey.transforms.named import reads_past
from odyssey.transforms.sites import Names


def is_recurrent(cell: Cell, node: sp.Expr) -> bool:
    """Says whether an expression of a cell is a recurrent map."""
    return type(node) in MAPS and reads_past(cell, node.args[1])


def recurrent_matrices(cell: Cell) -> tuple[str, ...]:
    """Names the matrices of recurrent maps, in order of first use."""
    nodes = (n for e in cell.equations for n in subexpressions(e.value))
    return tuple(dict.fromkeys(n.args[0].name for n in nodes if is_recurrent(cell, n)))


def mask_recurrent_maps(cell: Cell) -> Cell:
    """Multiplies what every recurrent map reads by a mask: `U @ h[t-1]` -> `U @ (m[t-1] * h[t-1])`.

    A mask is a state that stays as it begins, `m[t] = m[t-1]`, so that every row of a batch has its
    own, for all steps. Masks stand behind the states of the cell. Maps that read the same states
    have the same mask, so `h[t-1]` and `r * h[t-1]` (Gal & Ghahramani, 2016); what is read through
    another map counts as no state, and has one mask for each size.
    """
    names = Names(cell)
    read: dict[str, frozenset[str]] = {}  # by equation: the states that it reads through no map
    masks: dict[tuple[str, frozenset[str]], str] = {}

    def states(expr: sp.Expr) -> frozenset[str]:
        op, args, name = term(expr)
        if op == "previous":
            return frozenset({name})
        if op == "value":
            return read[name]
        if type(expr) in MAPS:
            return frozenset()
        return frozenset().union(*(states(a) for a in args))

    def masked(node: sp.Expr) -> sp.Expr | None:
        if not is_recurrent(cell, node):
            return None
        matrix, operand = node.args
        role = cell.shapes.of(operand), states(operand)
        if role not in masks:
            masks[role] = names.fresh("m")
        mask = Previous(f"{masks[role]}[t-1]")
        return node.func(matrix, mul(mask, replace(operand, masked)))

    equations = []
    for equation in cell.equations:
        equations.append(equation.with_value(replace(equation.value, masked)))
        read[equation.label] = states(equation.value)
    return with_constant_states(cell, equations, {m: size for (size, _), m in masks.items()})
