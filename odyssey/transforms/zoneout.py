"""Zoneout (Krueger et al., 2017): units of states that keep what they were.

Every state is a mixture of what it was and what the cell makes of it,
`c[t] = z * c[t-1] + (1 - z) * c_new`. The equations of the step read what is new; the next step,
and whoever reads a state as the output, the mixture. A state that only hands on the input or
another state, as a delay line does, is left as it is.

Which units keep their values is another thing in every step. A cell reads it off the binary digits
of a number for each unit: with m = 0.z1 z2 ... zK 1 in base two, z1 is whether m > 1/2, and
2 m - z1 begins with z2. The last digit is there so that m is never 1/2. All of this is exact in
floating point, where a number has K + 1 digits: so K steps are one call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from odyssey.expr.cell import Cell
from odyssey.expr.equations import Equation
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.terms import Current, Input, Named, Previous, add, constant, mul, replace, sub
from odyssey.transforms.constant_states import with_states
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
    return _mixed(cell, Names(cell), dict.fromkeys(mixed_states(cell), share), {}, updates={})


def mask_states(cell: Cell) -> Cell:
    """Gives the cell with masks that say which units keep their values: states behind its own.

    There is one for each of `mixed_states`, in that order; a mask stays as it begins.
    """
    names = Names(cell)
    masks = {state: names.fresh(f"z_{state[:LONG]}") for state in mixed_states(cell)}
    shares = {state: Previous(f"{mask}[t-1]") for state, mask in masks.items()}
    # m[t] = m[t-1]: what a share reads is what its mask goes on with
    return _mixed(cell, names, shares, masks, updates=shares)


def schedule_states(cell: Cell) -> Cell:
    """Gives the cell with masks of many steps: states behind its own, as numbers of `scheduled`.

    There is one for each of `mixed_states`, in that order; in every step it loses a digit.
    """
    names = Names(cell)
    digits: dict[str, str] = {}
    read: list[Equation] = []
    shares: dict[str, sp.Expr] = {}
    updates: dict[str, sp.Expr] = {}
    half = constant(Fraction(1, 2))
    for state in mixed_states(cell):
        digits[state] = names.fresh(f"z_{state[:LONG]}")
        first = Named(names.fresh(f"keep_{state[:LONG]}"))
        number = Previous(f"{digits[state]}[t-1]")
        # sign has no slope: no gradient goes to the masks
        sign = PRIMITIVES["sign"].function(sub(number, half))
        read.append(Equation(first.name, add(half, mul(half, sign))))
        shares[state] = first
        updates[state] = sub(mul(constant(Fraction(2)), number), first)
    return _mixed(cell, names, shares, digits, updates=updates, read=read)


def steps_of(precision: int) -> int:
    """Says of how many steps a mask of `schedule_states` holds.

    Args:
        precision: Binary digits of a number, the hidden one included: 24 of float32.
    """
    return precision - 1


def scheduled(zones: NDArray[Any], precision: int) -> NDArray[Any]:
    """Gives the numbers whose digits are masks of as many steps.

    Args:
        zones: (T, ...), floats, 1 where a unit keeps its value and else 0; T is at most `steps_of`.
        precision: Binary digits of a number.
    """
    steps = len(zones)
    assert steps <= steps_of(precision)
    digits = np.ldexp(1.0, -1 - np.arange(steps)).astype(zones.dtype)
    # every sum of these is a number of that type, so that their order plays no part
    numbers: NDArray[Any] = np.tensordot(digits, zones, 1) + digits[-1] / 2
    return numbers


def _mixed(
    cell: Cell,
    names: Names,
    shares: Mapping[str, sp.Expr],
    masks: Mapping[str, str],
    *,
    updates: Mapping[str, sp.Expr],
    read: Sequence[Equation] = (),
) -> Cell:
    """Mixes states with what they were, by the share of that; `masks` are added, by state.

    Args:
        cell: The cell.
        names: Its names.
        shares: By state, the share of what it was.
        masks: By state, the state that is added for it.
        updates: By state, the update of the one that is added for it.
        read: Equations in front of the cell's own.
    """
    new = {state: Named(names.fresh(f"{state[:LONG]}_new")) for state in shares}
    renamed = {Current(f"{state}[t]"): name for state, name in new.items()}
    equations = [*read]
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
    return with_states(cell, equations, sizes, {m: updates[state] for state, m in masks.items()})
