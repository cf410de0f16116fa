"""The pointwise code of one phase, for one vector of units: loads, operations, stores.

It is a function of the rows of memory that it works on (`ROW`), always for whole vectors: where
units are left over at the end of a row, it is given copies of them.

It is written backwards from what leaves the phase: each such value asks for what it reads, and is
written down after that; nothing else is. A value comes from a register (a product of this phase,
or what has been written down), from memory, or it is computed. The backward code reads forward
values too: what was not saved is cheap, and is computed again from what was.

One number a row that wider values read is loaded once a row, before its vectors. In a phase of such
numbers the lanes of a vector are batch rows instead of units: for every row of memory, also those
of products, the call says how far apart the numbers of two batch rows lie.
"""

from __future__ import annotations

import math

from odyssey.compiler.autodiff import CHEAP, ROW_FUNCTIONS
from odyssey.compiler.backends.native.plan import FIRST, Phase, Plan
from odyssey.compiler.backends.native.source.addresses import ROW_KINDS, Addresses, extent
from odyssey.expr.arithmetic import ARITHMETIC
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.program import Node
from odyssey.expr.sizes import ONE


class Pointwise:
    """Writes the pointwise code of one phase.

    Args:
        plan: The plan.
        phase: The phase.
        hot: Products of the phase -> their results in registers.
        backward: Whether it is a phase of the backward step.

    Attributes:
        places: Where a row of memory begins -> its name in the code.
        kinds: What is done with a row, by name, where it is more than read: one of `ROW_KINDS`.
        steps: Of a phase of numbers: how far apart those of two batch rows lie in a row, by name.
        indices: Of a phase of numbers: the indices of batch rows, by name, where there may be any.
        before: What is loaded before the first vector.
        lines: The code.
        functions: The primitives that it calls.
    """

    def __init__(self, plan: Plan, phase: Phase, hot: dict[int, str], *, backward: bool) -> None:
        self.plan, self.at = plan, Addresses(plan)
        self.phase, self.hot, self.backward = phase, hot, backward
        self.phases = plan.backward_phase if backward else plan.forward_phase
        self.places: dict[str, str] = {}
        self.kinds: dict[str, str] = {}
        self.steps: dict[str, str] = {}
        self.indices: dict[str, str] = {}
        self.before: list[str] = []
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
            *(f"  {line}" for line in self.before),
            "  for (long j = 0; j < vectors * V; j += V) {",
            *(f"    {line}" for line in self.lines),
            "  }",
            "}",
        ]

    def call(self, name: str, hot: str) -> list[str]:
        """Writes the call for a batch row; nothing where there is nothing to do."""
        if not self.places:
            return []
        names = self.places.values()
        flags = ", ".join(str(ROW_KINDS.index(self.kinds.get(row, "READ"))) for row in names)
        rows = [
            "real *const rows[] = {",
            *(f"  (real *)({place})," for place in self.places),
            "};",
            f"static const char stored[] = {{{flags}}};",
        ]
        if self.phase[1] != ONE:
            return [*rows, f"run_row({name}, rows, {len(self.places)}, stored, {hot}, units);"]
        steps = ", ".join(self.steps[row] for row in names)
        indices = ", ".join(self.indices.get(row, "0") for row in names)
        return [
            *rows,
            f"const long step[] = {{{steps}}};",
            f"const long *const index[] = {{{indices}}};",
            f"run_column({name}, rows, step, index, {len(self.places)}, stored, batch);",
        ]

    def _row(self, row: str) -> str:
        """Names where a row of memory begins."""
        return self.places.setdefault(row, f"r{len(self.places)}")

    def _store(self, row: str, value: str, *, step: str = "1") -> None:
        name = self._row(row)
        self.kinds[name] = "STORED"
        self.steps[name] = step
        self.lines.append(f"ST({name} + j, {value});")

    def _add(self, row: str, value: str) -> None:
        """Adds a value to a row that all batch rows share."""
        if self.phase[1] != ONE:
            self._store(row, f"{self._load(row, self.phase[1])} + {value}")
            return
        self._store(row, value, step="0")
        self.kinds[self._row(row)] = "SUM"

    def _mine(self, k: int, size: str) -> bool:
        """Says whether this phase computes a value; what none does, the first of its size does."""
        return self.phases.get(k, (0, size)) == self.phase

    def _store_forward(self) -> None:
        plan, at = self.plan, self.at
        leaving = [k for k in plan.saved if self._mine(k, FIRST[1])]
        leaving += plan.crossing(self.phase, backward=False)
        stores = {at.row(k): k for k in leaving}
        for n, k in enumerate(plan.program.updates):
            if self._mine(k, plan.state_size(plan.program.states[n])):
                stores[at.state(n, "t + 1")] = k
        if plan.writes_output and self._mine(plan.program.output, FIRST[1]):
            stores["m->y + at * H"] = plan.program.output
        for k in plan.reductions(self.phase, backward=False):
            stores.pop(at.row(k), None)  # it is there already
        values = {to: self._value(k) for to, k in stores.items()}
        for to, value in values.items():
            self._store(to, value)

    def _store_backward(self) -> None:
        plan, at, back = self.plan, self.at, self.plan.backward
        stores: dict[str, str] = {}
        sums: dict[str, str] = {}
        steps: dict[str, str] = {}
        for k in plan.slots:
            if self._mine(k, FIRST[1]):
                to = f"m->d + here * {at.width}{at.column(k)}"
                stores[to], steps[to] = self._value(k), at.width
        for leaf, k in back.leaves.items():
            if leaf in plan.vectors and self._mine(k, FIRST[1]):
                sums[f"m->g{leaf}"] = self._value(k)
        reductions = plan.reductions(self.phase, backward=True)
        for k in plan.crossing(self.phase, backward=True):
            if k not in reductions:  # which are there already
                stores[at.handed(k)] = self._value(k)
        for name, n in plan.state.items():
            number, size = back.previous.get(name), plan.state_size(name)
            if number is None and self.phase == (0, size):
                stores[f"m->c{n} + b * {extent(size)}"] = "splat(0)"
            elif number is not None and self._mine(number, size):
                stores[f"m->c{n} + b * {extent(size)}"] = self._value(number)
        for to, value in stores.items():
            self._store(to, value, step=steps.get(to, "1"))
        for to, value in sums.items():
            self._add(to, value)

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
        plan, forward, size = self.plan, k < self.plan.backward.forward, self.plan.size(k)
        if node.op == "previous":
            return self._load(self.at.row(k), size)
        if forward and node.region == "sequence":
            return self._input(k, size)
        if forward and node.region == "once":
            return self._load(f"m->p{k}", size, step="0")
        if node.op == "inverse":
            return self._load(f"&inverse_{extent(plan.as_units(node.name))}", ONE, step="0")
        if self.backward and forward:
            if k in plan.saved or k in plan.update:
                return self._load(self.at.row(k), size)
            assert node.op in CHEAP, f"%{k} {node.op} is neither saved nor cheap"
            return self._operation(node)
        if self.phases[k] != self.phase or node.op in ROW_FUNCTIONS:
            return self._load(self.at.handed(k) if self.backward else self.at.row(k), size)
        if node.op == "output_gradient":
            return self._load("m->dy + at * H", size)
        if node.op == "later":
            text = self._load(f"m->c{plan.state[node.name]} + b * {extent(size)}", size)
            return f"{text} + {self._product(k)}" if k in self.hot else text
        if node.op in ("matmul", "transpose"):
            return self._product(k)
        return self._operation(node)

    def _load(self, row: str, size: str, *, step: str = "1", index: str = "") -> str:
        name = self._row(row)
        if size == ONE and self.phase[1] != ONE:
            if name not in self.kinds:
                self.kinds[name] = "NUMBER"
                self.before.append(f"const vec n{name} = splat(*{name});")
            return f"n{name}"
        self.steps[name] = step
        if index:
            self.indices[name] = index
        return f"LD({name} + j)"

    def _product(self, k: int) -> str:
        """Writes the result of a product of this phase."""
        if self.phase[1] != ONE:
            return self.hot[k]
        number = list(self.hot).index(k)
        return self._load(f"hot + {number} * units_v", ONE, step="hot_row")

    def _input(self, k: int, size: str) -> str:
        """Loads an input of the loop."""
        n, stack = next((n, s) for n, s in enumerate(self.plan.stacks) if k in s.leaves)
        row, indexed = "at" if not stack.results else "here", f"m->x{n}_index"
        offset, step = self.at.offset(stack.leaves, k), f"m->x{n}_row"
        if self.phase[1] != ONE:
            if stack.results:
                row = f"({indexed} ? {indexed}[at] : here)"
            return self._load(f"m->x{n} + {row} * {step}{offset}", size)
        index = ""
        if stack.results:
            row = f"({indexed} ? 0 : here)"
            index = f"{indexed} ? {indexed} + at : 0"
        return self._load(f"m->x{n} + {row} * {step}{offset}", size, step=step, index=index)

    def _operation(self, node: Node) -> str:
        args = [self._value(a) for a in node.args]
        if node.op == "spread":
            return args[0]
        if node.op == "equal":
            return f"pick({args[0]} == {args[1]}, splat(1), splat(0))"
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
