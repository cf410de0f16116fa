"""The products of each phase of a step.

Forward, a product is the maps of one operand. Backward, it is the gradient of one operand from
those of all its maps: products with the transposed matrices, which add up. The matrices of a
product are packed once a call, in the order in which they are read, into a *panel*.
"""

from __future__ import annotations

from dataclasses import dataclass

from odyssey.compiler.backends.native.plan import Phase, Plan
from odyssey.expr.program import Group
from odyssey.expr.sizes import UNITS


@dataclass(frozen=True)
class Product:
    """Maps of one operand, or that operand's gradient from those of its maps.

    Attributes:
        results: The values that it gives: the maps forward, one gradient backward.
        maps: Numbers of the maps.
        group: What they belong to.
        panel: Field of the packed matrices.
        units: Size of the results.
        inner: Sizes whose sum is the length of a packed row.
    """

    results: tuple[int, ...]
    maps: tuple[int, ...]
    group: Group
    panel: str
    units: str
    inner: tuple[str, ...]

    @property
    def transposed(self) -> bool:
        """Whether it is a gradient."""
        return self.results != self.maps


def products(plan: Plan, phase: Phase, *, backward: bool) -> list[Product]:
    """Lists the products of a phase."""
    if not backward:
        return _forward(plan, phase)
    nodes, back = plan.backward.nodes, plan.backward
    groups = back.transposes | {
        k: back.carried[n.name]
        for k, n in enumerate(nodes)
        if n.op == "later" and n.name in back.carried
    }
    inside = sorted(k for k in groups if plan.backward_phase.get(k) == phase)
    return [_transposed(plan, k, groups[k], phase[1]) for k in inside]


def _forward(plan: Plan, phase: Phase) -> list[Product]:
    out = []
    for group in plan.groups:
        maps = tuple(r for r in group.results if plan.forward_phase.get(r) == phase)
        if maps:
            inner = (plan.size(group.operand),) * len(maps)
            out.append(Product(maps, maps, group, f"w{maps[0]}", phase[1], inner))
    return out


def carried_product(plan: Plan, state: str) -> Product:
    """Gives the product that brings the gradient of a state from a step to the one before."""
    nodes = enumerate(plan.backward.nodes)
    number = next(k for k, n in nodes if n.op == "later" and n.name == state)
    return _transposed(plan, number, plan.backward.carried[state], plan.state_size(state))


def _transposed(plan: Plan, number: int, group: Group, units: str) -> Product:
    maps = plan.trained(group)
    return Product((number,), maps, group, f"b{group.operand}", units, plan.sizes(maps))


def panels(plan: Plan) -> dict[str, Product]:
    """Lists the packed matrices of a step: field -> a product that reads it."""
    out: dict[str, Product] = {}
    for backward in (False, True):
        for phase in plan.phases(backward=backward):
            out |= {p.panel: p for p in products(plan, phase, backward=backward)}
    for state in plan.state:
        if state in plan.backward.carried:
            carried = carried_product(plan, state)
            out.setdefault(carried.panel, carried)
    return out


def most_maps(plan: Plan) -> dict[str, int]:
    """Counts the results of the products of a phase, at most: size of the results -> how many."""
    carried = (plan.state_size(s) for s in plan.backward.carried)
    most = {UNITS: 1, **dict.fromkeys(carried, 1)}
    for backward in (False, True):
        for phase in plan.phases(backward=backward):
            inside = products(plan, phase, backward=backward)
            count, size = sum(len(p.results) for p in inside), phase[1]
            most[size] = max(count, most.get(size, 0))
    return most
