"""Zoneout (Krueger et al., 2017): units of states that keep what they were.

Every state is a mixture of what it was and what the cell makes of it,
`c[t] = z * c[t-1] + (1 - z) * c_new`. The equations of the step read what is new; the next step,
and whoever reads a state as the output, the mixture. A state that only hands on the input or
another state, as a delay line does, is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import sympy as sp

from odyssey.expr.cell import Cell
from odyssey.expr.equations import Equation
from odyssey.expr.terms import Current, Input, Named, Previous, add, constant, mul, replace, sub
from odyssey.transforms.constant_states import with_constant_states
from odyssey.transforms.sites import Names

LONG = 30  # characters of a state's name that names made of it begin with


def mixed_states(cell: Cell) -> tuple[str, ...]:
    """Names the states that zoneout acts on."""
    handing = (Input, Previous)
    updates = {e.target: e.value for e in cell.equations if e.updates_state}
    return tuple(s for s in cell.states if not isinstance(updates[s], handing))


def expect_zoneout(cell: Cell, p: float) -> Cell:
    """Gives the cell that has the expectation of zoneout in every step, for held-out data.

    Args:
        cell: The cell.
        p: Probability that a unit keeps its value; too small for 1 - p is none.
    """
    if 1 - p == 1:
        return cell
    share = constant(Fraction(p))
    return _mixed(cell, Names(cell), dict.fromkeys(mixed_states(cell), share), {})


def mask_states(cell: Cell) -> Cell:
    """Gives the cell with masks that say which units keep their values: states behind its own.

    There is one for each of `mixed_states`, in that order; a mask stays as it begins.
    """
    names = Names(cell)
    masks = {state: names.fresh(f"z_{state[:LONG]}") for state in mixed_states(cell)}
    shares = {state: Previous(f"{mask}[t-1]") for state, mask in masks.items()}
    return _mixed(cell, names, shares, masks)


def _mixed(
    cell: Cell, names: Names, shares: Mapping[str, sp.Expr], masks: Mapping[str, str]
) -> Cell:
    """Mixes states with what they were, by the share of that; `masks` are added, by state."""
    new = {state: Named(names.fresh(f"{state[:LONG]}_new")) for state in shares}
    renamed = {Current(f"{state}[t]"): name for state, name in new.items()}
    equations = []
    for equation in cell.equations:
        value = replace(equation.value, renamed.get)
        state = equation.target
        if state not in shares:
            equations.append(equation.with_value(value))
            continue
        share = shares[state]
        old = mul(share, Previous(f"{state}[t-1]"))
        rest = sub(sp.Integer(1), share)
        if share.is_Rational:
            rest = constant(1 - Fraction(share.p, share.q))
        mixture = add(old, mul(rest, new[state]))
        equations += [Equation(new[state].name, value), equation.with_value(mixture)]
    sizes = {mask: cell.shapes.states[state] for state, mask in masks.items()}
    return with_constant_states(cell, equations, sizes)
