"""Where values lie while a step runs, as C: what all writers of a cell's code say the same way.

Rows are row-major; t is the time step, b the batch row. States have a slot for every step, or two
that take turns when no backward call follows (`SLOT`); saved values likewise (`KEPT`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from odyssey.compiler.backends.native.plan import Plan
from odyssey.expr.sizes import INPUTS, ONE, UNITS, grows, parts

ROW_KINDS = ("READ", "STORED", "NUMBER", "SUM")
"""What a phase does with a row of memory: it reads it, it writes it, it reads one number of it for
all units, or it adds up there what batch rows would write."""


def extent(size: str) -> str:
    """Writes how many numbers of a size a tensor has; names are those of `define_sizes`."""
    base, factor = parts(size)
    if base == ONE:
        return str(factor)
    above = "" if factor.numerator == 1 else f"{factor.numerator}"
    return base + above + ("" if factor.denominator == 1 else f"_{factor.denominator}")


def count(size: str) -> str:
    """Writes how many units of a size this member has."""
    if size == UNITS:
        return "m->h"
    return f"OWN_{extent(size)}" if grows(size) else extent(size)


def define_sizes(sizes: Iterable[str]) -> str:
    """Defines the names of declared sizes that depend on H or I."""
    lines = []
    for size in sizes:
        base, factor = parts(size)
        if base != ONE:
            own = f"m->h * {factor.numerator} / {factor.denominator}"
            whole = f"{base} * {factor.numerator} / {factor.denominator}"
            lines.append(f"#define {extent(size)} AT_LEAST_ONE({whole})")
            if base == UNITS:
                lines.append(f"#define {count(size)} AT_LEAST_ONE({own})")
    if not lines:
        return ""
    return "\n".join(["#define AT_LEAST_ONE(n) ((n) > 1 ? (n) : 1)", *lines, ""])


@dataclass(frozen=True)
class Addresses:
    """Writes addresses and lengths for a plan."""

    plan: Plan

    def total(self, row: Sequence[int]) -> str:
        """Writes the length of a row of values, as `2 * H + 1 * I`; nothing if there are none."""
        sizes = self.plan.sizes(row)
        order = (UNITS, INPUTS, *self.plan.declared)
        return " + ".join(f"{sizes.count(s)} * {extent(s)}" for s in order if s in sizes)

    def extent(self, k: int) -> str:
        """Writes how many numbers a value has in a row of memory."""
        return extent(self.plan.size(k))

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
        return f"m->s{n} + (SLOT({time}) * B + b) * {self.state_extent(n)}"

    def state_extent(self, n: int) -> str:
        """Writes how many numbers a state has in a row of memory."""
        return extent(self.plan.state_size(self.plan.program.states[n]))

    def row(self, k: int) -> str:
        """Writes the address of a stored forward value of this step, at unit 0 of batch row b."""
        plan, node = self.plan, self.plan.backward.nodes[k]
        if node.op == "previous":
            return self.state(plan.state[node.name], "t")
        if k in plan.update:
            return self.state(plan.update[k], "t + 1")
        if k in plan.saved:
            return f"m->v{k} + (KEPT(t) * B + b) * {self.extent(k)}"
        return f"m->f{k} + b * {self.extent(k)}"

    def handed(self, k: int) -> str:
        """Writes the address of a value of the backward step that another phase reads."""
        return f"m->e{k} + b * {self.extent(k)}"

    def block(self, k: int) -> str:
        """Writes the address of a stored forward value in the first step of a block."""
        plan, node = self.plan, self.plan.backward.nodes[k]
        if node.op == "previous":
            n = plan.state[node.name]
            return f"m->s{n} + first * B * {self.state_extent(n)}"
        if k in plan.update:
            n = plan.update[k]
            return f"m->s{n} + (first + 1) * B * {self.state_extent(n)}"
        return f"m->v{k} + first * B * {self.extent(k)}"
