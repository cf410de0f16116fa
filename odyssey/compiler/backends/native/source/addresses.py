"""Where values lie while a step runs, as C: what all writers of a cell's code say the same way.

Rows are row-major; t is the time step, b the batch row. States have a slot for every step, or two
that take turns when no backward call follows (`SLOT`); saved values likewise (`KEPT`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from odyssey.compiler.backends.native.plan import Plan


def count(size: str) -> str:
    """Writes how many units of a size this member has."""
    return "m->h" if size == "H" else size


@dataclass(frozen=True)
class Addresses:
    """Writes addresses and lengths for a plan."""

    plan: Plan

    def total(self, row: Sequence[int]) -> str:
        """Writes the length of a row of values, as `2 * H + 1 * I`; nothing if there are none."""
        sizes = self.plan.sizes(row)
        return " + ".join(f"{sizes.count(s)} * {s}" for s in ("H", "I") if s in sizes)

    def offset(self, row: tuple[int, ...], k: int) -> str:
        """Writes how far into a row of values one begins, as ` + 2 * H`."""
        before = self.total(row[: row.index(k)])
        return f" + {before}" if before else ""

    def column(self, k: int) -> str:
        """Writes how far into a gradient row a value begins."""
        return self.offset(self.plan.slots, k)

    @property
    def width(self) -> str:
        """How far apart gradient rows lie."""
        return "m->d_row"

    def state(self, n: int, time: str) -> str:
        """Writes the address of a state's row after step `time - 1`."""
        return f"m->s{n} + (SLOT({time}) * B + b) * H"

    def row(self, k: int) -> str:
        """Writes the address of a stored forward value of this step, at unit 0 of batch row b."""
        plan, node = self.plan, self.plan.backward.nodes[k]
        if node.op == "previous":
            return self.state(plan.state[node.name], "t")
        if k in plan.update:
            return self.state(plan.update[k], "t + 1")
        if k in plan.saved:
            return f"m->v{k} + (KEPT(t) * B + b) * {plan.size(k)}"
        return f"m->f{k} + b * {plan.size(k)}"

    def block(self, k: int) -> str:
        """Writes the address of a stored forward value in the first step of a block."""
        plan, node = self.plan, self.plan.backward.nodes[k]
        if node.op == "previous":
            return f"m->s{plan.state[node.name]} + first * B * H"
        if k in plan.update:
            return f"m->s{plan.update[k]} + (first + 1) * B * H"
        return f"m->v{k} + first * B * {plan.size(k)}"
