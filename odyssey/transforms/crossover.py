"""Crossover: a named equation, or the update of a state, of one cell into another.

What comes along keeps its structure and initial values; its names change where they are taken, and
its weights are always new ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp

from odyssey.expr.cell import Cell
from odyssey.expr.equations import Declaration, Equation, Init
from odyssey.expr.terms import (
    Const,
    Current,
    Input,
    Leaf,
    Named,
    Previous,
    constant,
    leaves,
    replace,
)
from odyssey.transforms.sites import (
    Names,
    NotApplicable,
    Rng,
    Sizes,
    build,
    choose,
    input_of,
    previous,
)


@dataclass(frozen=True)
class Crossover:
    """One row of the table of crossovers.

    Attributes:
        name: Its name.
        about: What it does, in a line.
        apply: `(first, second, rng) -> Cell`: a part of the second in the first.
        weight: How often it is drawn, relative to the others.
        source: Where it comes from.
    """

    name: str
    about: str
    apply: Callable[[Cell, Cell, Rng], Cell]
    weight: float
    source: str


class _Guest:
    """Carries equations of one cell over into another."""

    def __init__(self, host: Cell, guest: Cell, rng: Rng) -> None:
        if not host.states or not guest.states:
            raise NotApplicable("one of the cells has no state")
        self.host, self.guest = host, guest
        self.names = Names(host)
        self.given: dict[str, str] = {}
        # states of one name answer to each other, others are matched by chance
        others = [s for s in host.states if s not in guest.states] or list(host.states)
        self.states = {
            s: s if s in host.states else others[int(rng.integers(len(others)))]
            for s in guest.states
        }
        self.rows: list[Equation] = []

    def bring(self, expr: sp.Expr) -> sp.Expr:
        """Rewrites an expression for the host; adds the equations that it needs."""
        for label in sorted(n.name for n in leaves(expr, Named)):
            if label not in self.given:
                equation = self.guest.equation(label)
                assert equation is not None
                value = self.bring(equation.value)
                self.given[label] = self.names.fresh(label)
                size = self.guest.size(equation.size)
                self.rows.append(Equation(self.given[label], value, size=size))
        return replace(expr, self._leaf)

    def _leaf(self, node: sp.Expr) -> sp.Expr | None:
        if not isinstance(node, Leaf):
            return None
        if isinstance(node, Const):
            return constant(node.value)
        if isinstance(node, Input):
            return input_of(self.host) if node.stem == self.guest.input else node
        if isinstance(node, Previous | Current):  # its new states are not computed here
            return previous(self.states[node.name.partition("[")[0]])
        if isinstance(node, Named):
            return Named(self.given[node.name])
        if node.name not in self.given:
            self.given[node.name] = self.names.fresh(node.name)
        return type(node)(self.given[node.name])

    def inits(self) -> list[Init]:
        """Initial values of what was carried over."""
        return [
            Init(self.given[i.parameter], i.kind, i.args, self.given.get(i.source, ""))
            for i in self.guest.inits
            if i.parameter in self.given and (not i.source or i.source in self.given)
        ]

    def further_inputs(self) -> list[Declaration]:
        """Inputs that the guest reads by a name that the host has not declared."""
        return [
            Declaration(d.name, (self.guest.size(d.sizes[0]),))
            for d in self.guest.further_inputs
            if d.name not in self.host.inputs
        ]

    def weights(self) -> list[Declaration]:
        """Declared shapes of what was carried over."""
        return [
            Declaration(self.given[w.name], tuple(map(self.guest.size, w.sizes)), w.properties)
            for w in self.guest.weights
            if w.name in self.given
        ]


def _graft(host: Cell, guest: Cell, rng: Rng, *, update: bool) -> Cell:
    what = "state" if update else "named equation"
    targets = [e for e in host.equations if e.updates_state == update]
    sources = [e for e in guest.equations if e.updates_state == update and e.value.args]
    target = choose(rng, targets, otherwise=f"the first cell has no {what}")
    if not update:  # I stays I
        own, other = Sizes(host), Sizes(guest)
        size = own.shapes.equations[target.target]
        sources = [e for e in sources if other.shapes.equations[e.target] == size]
    source = choose(rng, sources, otherwise=f"the second cell has no {what} that fits")
    carrier = _Guest(host, guest, rng)
    value = carrier.bring(source.value)
    rows = [e.with_value(value) if e is target else e for e in host.equations]
    return build(
        host,
        [*carrier.rows, *rows],
        inits=[*host.inits, *carrier.inits()],
        weights=[*host.weights, *carrier.weights()],
        further_inputs=carrier.further_inputs(),
    )


CROSSOVERS: dict[str, Crossover] = {
    row.name: row
    for row in (
        Crossover(
            "graft_equation",
            "a named equation gets the right-hand side of one of the other cell",
            lambda first, second, rng: _graft(first, second, rng, update=False),
            1.0,
            "ours",
        ),
        Crossover(
            "graft_state",
            "a state gets the update of a state of the other cell",
            lambda first, second, rng: _graft(first, second, rng, update=True),
            1.0,
            "ours",
        ),
    )
}
