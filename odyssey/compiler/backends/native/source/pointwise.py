"""The pointwise code of one phase, for one vector of units: loads, operations, stores.

It is a function of the rows of memory that it works on (`ROW`), always for whole vectors: where
units are left over at the end of a row, it is given copies of them.

It is written backwards from what leaves the phase: each such value asks for what it reads, and is
written down after that; nothing else is. A value comes from a register (a product of this phase,
or what has been written down), from memory, or it is computed. The backward code reads forward
values too: what was not saved is cheap, and is computed again from what was.
"""

from __future__ import annotations

import math

from odyssey.compiler.autodiff import CHEAP
from odyssey.compiler.backends.native.plan import FIRST, Phase, Plan
from odyssey.compiler.backends.native.source.addresses import Addresses
from odyssey.expr.primitives import ARITHMETIC, PRIMITIVES
from odyssey.expr.program import Node


class Pointwise:
    """Writes the pointwise code of one phase.

    Args:
        plan: The plan.
        phase: The phase.
        hot: Products of the phase -> their results in registers.
        backward: Whether it is a phase of the backward step.

    Attributes:
        places: Where a row of memory begins -> its name in the code.
        stored: The names of the rows that are written.
        lines: The code.
        functions: The primitives that it calls.
    """

    def __init__(self, plan: Plan, phase: Phase, hot: dict[int, str], *, backward: bool) -> None:
        self.plan, self.at = plan, Addresses(plan)
        self.phase, self.hot, self.backward = phase, hot, backward
        self.phases = plan.backward_phase if backward else plan.forward_phase
        self.places: dict[str, str] = {}
        self.stored: set[str] = set()
        self.lines: list[str] = []
        self.functions: set[str] = set()
        self.written: dict[int, str] = {}
        (self._store_backward if backward else self._store_forward)()

    def function(self, name: str) -> list[str]:
        """Writes the function: rows, the products of this batch row, how many vectors."""
        rows = [f"  real *const {row} = rows[{k}];" for k, row in enumerate(self.places.values())]
        return [
            f"static void {name}(real *const *rows, const real *hot, long units_v,",
            "                    long vectors) {",
            *rows,
            "  for (long j = 0; j < vectors * V; j += V) {",
            *(f"    {line}" for line in self.lines),
            "  }",
            "}",
        ]

    def call(self, name: str, hot: str) -> list[str]:
        """Writes the call for a batch row; nothing where there is nothing to do."""
        if not self.places:
            return []
        flags = ", ".join(str(int(row in self.stored)) for row in self.places.values())
        return [
            "real *const rows[] = {",
            *(f"  (real *)({place})," for place in self.places),
            "};",
            f"static const char stored[] = {{{flags}}};",
            f"run_row({name}, rows, {len(self.places)}, stored, {hot}, units);",
        ]

    def _row(self, row: str) -> str:
        """Names where a row of memory begins."""
        return self.places.setdefault(row, f"r{len(self.places)}")

    def _store(self, row: str, value: str) -> None:
        name = self._row(row)
        self.stored.add(name)
        self.lines.append(f"ST({name} + j, {value});")

    def _mine(self, k: int) -> bool:
        """Says whether this phase computes a value; what no phase does, the first one does."""
        return self.phases.get(k, FIRST) == self.phase

    def _store_forward(self) -> None:
        plan, at = self.plan, self.at
        leaving = [k for k in plan.saved if self._mine(k)]
        leaving += plan.crossing(self.phase, backward=False)
        stores = {at.row(k): k for k in leaving}
        for n, k in enumerate(plan.program.updates):
            if self._mine(k):
                stores[at.state(n, "t + 1")] = k
        if plan.writes_output and self._mine(plan.program.output):
            stores["m->y + at * H"] = plan.program.output
        values = {to: self._value(k) for to, k in stores.items()}
        for to, value in values.items():
            self._store(to, value)

    def _store_backward(self) -> None:
        plan, back = self.plan, self.plan.backward
        stores: dict[str, str] = {}
        sums: dict[str, str] = {}
        for k in plan.slots:
            if self._mine(k):
                stores[f"m->d + here * {self.at.width}{self.at.column(k)}"] = self._value(k)
        for leaf, k in back.leaves.items():
            if leaf in plan.vectors and self._mine(k):
                sums[f"m->g{leaf}"] = self._value(k)
        for k in plan.crossing(self.phase, backward=True):
            stores[f"m->e{k} + b * {plan.size(k)}"] = self._value(k)
        for name, n in plan.state.items():
            number = back.previous.get(name)
            if number is None and self.phase == FIRST:
                stores[f"m->c{n} + b * H"] = "splat(0)"
            elif number is not None and self._mine(number):
                stores[f"m->c{n} + b * H"] = self._value(number)
        for to, value in stores.items():
            self._store(to, value)
        for to, value in sums.items():
            self._store(to, f"{self._load(to)} + {value}")

    def _value(self, k: int) -> str:
        """Gives the name of a value, and writes down how it comes to be where that is not yet."""
        node = self.plan.backward.nodes[k]
        if node.op == "constant":
            return _constant(float(node.value))
        if k not in self.written:
            text = self._text(k, node)
            note = f" /* {node.label} */" if node.label else ""
            self.lines.append(f"const vec v{k} = {text};{note}")
            self.written[k] = f"v{k}"
        return self.written[k]

    def _text(self, k: int, node: Node) -> str:
        """Writes where a value comes from."""
        plan, forward = self.plan, k < self.plan.backward.forward
        if node.op == "previous":
            return self._load(self.at.row(k))
        if forward and node.region == "sequence":
            return self._load(self._input(k))
        if forward and node.region == "once":
            return self._load(f"m->p{k}")
        if self.backward and forward:
            if k in plan.saved or k in plan.update:
                return self._load(self.at.row(k))
            assert node.op in CHEAP, f"%{k} {node.op} is neither saved nor cheap"
            return self._operation(node)
        if self.phases[k] != self.phase:
            return self._load(f"m->e{k} + b * {plan.size(k)}" if self.backward else self.at.row(k))
        if node.op == "output_gradient":
            return self._load("m->dy + at * H")
        if node.op == "later":
            text = self._load(f"m->c{plan.state[node.name]} + b * H")
            return f"{text} + {self.hot[k]}" if k in self.hot else text
        if node.op in ("matmul", "transpose"):
            return self.hot[k]
        return self._operation(node)

    def _load(self, row: str) -> str:
        return f"LD({self._row(row)} + j)"

    def _input(self, k: int) -> str:
        """Writes the address of an input of the loop."""
        n, stack = next((n, s) for n, s in enumerate(self.plan.stacks) if k in s.leaves)
        row = f"(m->x{n}_index ? m->x{n}_index[at] : here)" if stack.results else "at"
        return f"m->x{n} + {row} * m->x{n}_row{self.at.offset(stack.leaves, k)}"

    def _operation(self, node: Node) -> str:
        args = [self._value(a) for a in node.args]
        if node.op in ARITHMETIC and node.op != "neg":
            return f"{args[0]} {ARITHMETIC[node.op].symbol} {args[1]}"
        if node.op == "neg":
            return f"-{args[0]}"
        assert node.op in PRIMITIVES
        self.functions.add(node.op)
        return f"v{node.op}({', '.join(args)})"


def _constant(value: float) -> str:
    if math.isnan(value):
        return 'splat((real)__builtin_nan(""))'
    if math.isinf(value):
        return f"splat({'-' if value < 0 else ''}(real)__builtin_inf())"
    return f"splat((real){value!r})"
