"""The products of each phase of a step, and the register tiles that compute them.

A tile is a few vectors of units wide and a few batch rows high, and holds all sums of a phase: the
operand's numbers are broadcast, the matrices stream through once. For that the matrices of a
product are packed, in the order in which a tile reads them, into a *panel*.

Forward, a product is up to four maps of one operand. Backward, it is the gradient of one operand
from those of all its maps: products with the transposed matrices, which add up.
"""

from __future__ import annotations

from dataclasses import dataclass

from odyssey.compiler.backends.native.plan import FIRST, Phase, Plan
from odyssey.compiler.backends.native.targets import TARGETS
from odyssey.expr.program import Group

MOST_MAPS = 4  # of one product: so many sums of a batch row fit into the registers


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
        for first in range(0, len(maps), MOST_MAPS):
            part = maps[first : first + MOST_MAPS]
            inner = (plan.size(group.operand),) * len(part)
            out.append(Product(part, part, group, f"w{part[0]}", phase[1], inner))
    return out


def carried_product(plan: Plan, state: str) -> Product:
    """Gives the product that brings the gradient of a state from a step to the one before."""
    nodes = enumerate(plan.backward.nodes)
    number = next(k for k, n in nodes if n.op == "later" and n.name == state)
    return _transposed(plan, number, plan.backward.carried[state], FIRST[1])


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


class Tile:
    """The register tile of a phase's products.

    Attributes:
        wide: Vectors of units, so that a row of a product is up to four vectors.
        rows: Batch rows, at most.
        starts: Where each product begins in the array `hot` of results, in vectors.
        length: Of that array.
        hot: Result -> its place there, for row r and vector u of the tile.
        shapes: What `frame.write_tiles` must write: (vectors, rows).
    """

    def __init__(self, products: list[Product], target: str) -> None:
        columns = [len(p.results) for p in products]
        self.wide = tile_width(products)
        self.rows = min(TARGETS[target].rows[g * self.wide] for g in columns)
        self.starts: list[int] = []
        self.length = 0
        self.hot: dict[int, str] = {}
        for product, g in zip(products, columns, strict=True):
            for number, r in enumerate(product.results):
                self.hot[r] = f"HOT({self.length}, (r * {g} + {number}) * wide + u)"
            self.starts.append(self.length)
            self.length += g * self.wide * self.rows
        self.shapes = {(g * wide, self.rows) for g in columns for wide in (1, self.wide)}


def tile_width(products: list[Product]) -> int:
    """Gives the vectors of units of a tile, so that a row of a product is two to four vectors."""
    return {1: 4, 2: 2}.get(max(len(p.results) for p in products), 1)
