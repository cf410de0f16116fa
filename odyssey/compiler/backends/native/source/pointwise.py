"""The pointwise code of one phase, for one vector of units: loads, operations, stores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from odyssey.compiler.autodiff import CHEAP
from odyssey.compiler.backends.native.plan import Phase
from odyssey.compiler.backends.native.targets import TARGETS, Product, wide_tile
from odyssey.expr.primitives import PRIMITIVES

if TYPE_CHECKING:
    from odyssey.compiler.backends.native.source.writer import Writer

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


class Pointwise:
    """Writes the pointwise code of one phase for one vector: loads, operations, stores."""

    def __init__(
        self, writer: Writer, phase: Phase, products: list[Product], *, backward: bool
    ) -> None:
        self.w, self.plan, self.phase, self.backward = writer, writer.plan, phase, backward
        self.out: list[str] = []
        self.done: dict[int, str] = {}
        self.hot: dict[int, str] = {}
        wide = wide_tile(products, backward=backward)
        most = TARGETS[writer.target].rows
        widths = [1 if backward else len(p.maps) for p in products]
        rows = min((most[g * wide] for g in widths), default=0)
        start = 0
        for p, g in zip(products, widths, strict=True):
            for number, r in enumerate((p.operand,) if backward else p.maps):
                self.hot[r] = f"HOT({start}, (r * {g} + {number}) * wide + u)"
            start += g * wide * rows

    @property
    def phases(self) -> dict[int, Phase]:
        """The phase of every value of this direction."""
        return self.plan.backward_phase if self.backward else self.plan.forward_phase

    def lines(self) -> list[str]:
        """Writes the code."""
        (self._backward_sinks if self.backward else self._forward_sinks)()
        return self.out

    def _mine(self, k: int) -> bool:
        first = self.phase == (0, "H")
        return self.phases.get(k) == self.phase or (first and k not in self.phases)

    def _crossing(self) -> list[int]:
        """Values of this phase that another phase reads."""
        nodes, phases = self.plan.backward.nodes, self.phases
        return sorted(
            k
            for k, p in phases.items()
            if p == self.phase
            and any(k in nodes[j].args and q != self.phase for j, q in phases.items())
        )

    def _forward_sinks(self) -> None:
        plan = self.plan
        stores: dict[str, int] = {}
        for k in plan.saved:
            if self._mine(k):
                stores[f"{self.w.row(k)} + j"] = k
        for k in self._crossing():
            stores[f"{self.w.row(k)} + j"] = k
        for n, k in enumerate(plan.program.updates):
            if self._mine(k):
                stores[f"{self.w.states(n, 't + 1')} + j"] = k
        if plan.writes_output and self._mine(plan.program.output):
            stores["m->y + at * H + j"] = plan.program.output
        values = {to: self.value(k) for to, k in stores.items()}
        self.out += [f"st({to}, {value}, n);" for to, value in values.items()]

    def _backward_sinks(self) -> None:
        plan, back = self.plan, self.plan.backward
        stores: dict[str, str] = {}
        sums: dict[str, str] = {}
        width = self.w.width()
        for k in plan.slots:
            if self._mine(k):
                stores[f"m->d + here * {width}{self.w.offset(plan.slots, k)} + j"] = self.value(k)
        for leaf, k in back.leaves.items():
            if leaf in plan.vectors and self._mine(k):
                sums[f"m->g{leaf} + j"] = self.value(k)
        for k in self._crossing():
            self.w.scratch[f"e{k}"] = plan.size(k)
            stores[f"m->e{k} + b * {plan.size(k)} + j"] = self.value(k)
        for name, n in self.w.state.items():
            number = back.previous.get(name)
            if number is None and self.phase == (0, "H"):
                stores[f"m->c{n} + b * H + j"] = "splat(0)"
            elif number is not None and self._mine(number):
                stores[f"m->c{n} + b * H + j"] = self.value(number)
        self.out += [f"st({to}, {value}, n);" for to, value in stores.items()]
        self.out += [f"st({to}, ld({to}, n) + {value}, n);" for to, value in sums.items()]

    def value(self, k: int) -> str:
        """Gives the name of a value, and writes down how it comes to be where that is not yet."""
        if k not in self.done:
            node = self.plan.backward.nodes[k]
            text = self._text(k)
            if node.op == "constant":
                return text
            note = f" /* {node.label} */" if node.label else ""
            self.out.append(f"const vec v{k} = {text};{note}")
            self.done[k] = f"v{k}"
        return self.done[k]

    def _text(self, k: int) -> str:
        plan, node = self.plan, self.plan.backward.nodes[k]
        if node.op == "constant":
            return _constant(float(node.value))
        if node.op == "previous":
            return f"ld({self.w.row(k)} + j, n)"
        if k < plan.backward.forward and node.region == "sequence":
            n, stack = next((n, s) for n, s in enumerate(plan.stacks) if k in s.leaves)
            row = f"at * m->x{n}_row"
            if stack.results:
                if self.backward:
                    self.w.again.add(n)
                row = f"(m->x{n}_index ? m->x{n}_index[at] : here) * m->x{n}_row"
            return f"ld(m->x{n} + {row}{self.w.offset(stack.leaves, k)} + j, n)"
        if k < plan.backward.forward and node.region == "once":
            return f"ld(m->p{k} + j, n)"
        if self.backward and k < plan.backward.forward:
            if k in plan.saved or k in self.w.update:
                return f"ld({self.w.row(k)} + j, n)"
            assert node.op in CHEAP, f"%{k} {node.op} is neither saved nor cheap"
            return self._operation(k)
        if self.phases[k] != self.phase:
            if self.backward:
                return f"ld(m->e{k} + b * {plan.size(k)} + j, n)"
            return f"ld({self.w.row(k)} + j, n)"
        if node.op == "output_gradient":
            return "ld(m->dy + at * H + j, n)"
        if node.op == "later":
            text = f"ld(m->c{self.w.state[node.name]} + b * H + j, n)"
            return f"{text} + {self.hot[k]}" if k in self.hot else text
        if node.op in ("matmul", "transpose"):
            return self.hot[k]
        return self._operation(k)

    def _operation(self, k: int) -> str:
        node = self.plan.backward.nodes[k]
        args = [self.value(a) for a in node.args]
        if node.op in _INFIX:
            return f"{args[0]} {_INFIX[node.op]} {args[1]}"
        if node.op == "neg":
            return f"-{args[0]}"
        assert node.op in PRIMITIVES
        self.w.used.add(node.op)
        return f"v{node.op}({', '.join(args)})"


def _constant(value: float) -> str:
    if math.isnan(value):
        return 'splat((real)__builtin_nan(""))'
    if math.isinf(value):
        return f"splat({'-' if value < 0 else ''}(real)__builtin_inf())"
    return f"splat((real){value!r})"
