"""Reverse mode on a `Program`: the code of one backward step, for the nodes of the time loop.

The backward code continues the numbering of the forward code and reads its values. Derivatives
come from the `derivative` column of the primitives, written in the saved output `y` where that
is possible: `tanh` needs one multiplication, no second `tanh`.

What a backward step reads of the forward step is either a state (kept anyway), a value from
outside the loop, or it is *saved* or *recomputed*. The rule: matrix products, quotients and
functions that need a polynomial are never computed twice; an addition, multiplication or
comparison is, when all that it reads is at hand.

A value of size 1 that meets wider ones gets the sum over units of what arrives; what arrives at a
value of more units as one number is spread over them. Both are nodes, so that values keep their
sizes. Functions over units of one row, as that sum, are *row functions*: like a product, one reads
all numbers of what it is given, which must be complete before.

Gradients of matrices are no part of the step. The gradients of products are stored for all steps,
and each group of matrices gets its gradient in one large product after the loop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from odyssey.expr.arithmetic import read_formula
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.program import Group, Node, Program, reach
from odyssey.expr.reductions import REDUCTIONS
from odyssey.expr.sizes import ONE
from odyssey.registry import View

CHEAP: View[str, bool] = View(
    lambda: dict.fromkeys(
        ["add", "sub", "mul", "neg", *(name for name, row in PRIMITIVES.items() if row.cheap)], True
    ),
    PRIMITIVES,
)
"""Operations that the backward step may repeat."""

ROW_FUNCTIONS = frozenset(REDUCTIONS) | {"reverse_cumsum"}
"""Operations over the units of one row; the last is the gradient of `cumsum`."""

NUMBERS = frozenset({"constant", "inverse"})
"""Operations of values that need no memory and no phase."""


@dataclass(frozen=True)
class Backward:
    """The backward code of a program's loop.

    Attributes:
        program: The forward program.
        nodes: Its nodes, then the backward nodes. Some operations are new: `later`, the gradient
            of a state from the later steps; `output_gradient`; `transpose`, the gradient of
            the operand of a group of products, from those of their results; `spread`, one number
            for every unit; `equal`, 1 where two values are equal, else 0; `inverse`, 1 over how
            many units a member has of the size that is its name; and `reverse_cumsum`.
        previous: State -> its pointwise gradient, for the step before; without the products.
        carried: State -> the group of products on its previous value, if any. Its transposed
            product is added when the step before begins, as part of `later`.
        leaves: Value from outside the loop -> its gradient in one step.
        results: Product in the loop -> its gradient; products without gradient are missing.
        transposes: Number of a `transpose` node -> its group.
        saved: Values of the forward step to keep, in order.
    """

    program: Program
    nodes: tuple[Node, ...]
    previous: dict[str, int]
    carried: dict[str, Group]
    leaves: dict[int, int]
    results: dict[int, int]
    transposes: dict[int, Group]
    saved: tuple[int, ...]

    @property
    def forward(self) -> int:
        """How many nodes belong to the forward step."""
        return len(self.program.nodes)

    @property
    def sinks(self) -> set[int]:
        """Values that leave the backward step."""
        return {*self.previous.values(), *self.leaves.values(), *self.results.values()}


class _Tape:
    """Appends backward nodes, sharing equal ones and folding ones and zeros."""

    def __init__(self, program: Program) -> None:
        self.nodes = list(program.nodes)
        self.numbers: dict[Node, int] = {}

    def emit(self, node: Node) -> int:
        if node not in self.numbers:
            self.numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return self.numbers[node]

    def constant(self, value: float) -> int:
        return self.emit(Node("constant", value=value, size=ONE))

    def value(self, k: int) -> float | None:
        node = self.nodes[k]
        return float(node.value) if node.op == "constant" else None

    def apply(self, op: str, *args: int) -> int:
        first, *rest = (self.value(a) for a in args)
        if op == "mul":
            (second,) = rest
            if first == 0 or second == 0:
                return self.constant(0.0)
            if first == 1:
                return args[1]
            if second == 1:
                return args[0]
        if op == "add" and 0 in (first, *rest):
            return args[0] if first != 0 else args[1]
        if op == "neg" and first is not None:
            return self.constant(-first)
        if op == "neg" and self.nodes[args[0]].op == "neg":
            return self.nodes[args[0]].args[0]
        sizes = [self.nodes[a].size for a in args if self.nodes[a].size != ONE]
        return self.emit(Node(op, args, size=sizes[0] if sizes else ONE))

    def total(self, parts: list[int], size: str) -> int:
        """Adds the parts of a gradient up, as a value of a size: summed over units, or spread."""
        if size == ONE:
            kinds = dict.fromkeys(self.nodes[p].size for p in parts)
            sums = (self.added([p for p in parts if self.nodes[p].size == kind]) for kind in kinds)
            return self.added([self.summed(s) for s in sums])
        whole = self.added(parts)
        if self.nodes[whole].size == ONE:
            return self.emit(Node("spread", (whole,), size=size))
        return whole

    def added(self, parts: list[int]) -> int:
        """Adds values up, from the first to the last."""
        total = parts[0]
        for part in parts[1:]:
            total = self.apply("add", total, part)
        return total

    def summed(self, k: int) -> int:
        """Gives the sum of a value over units."""
        return k if self.nodes[k].size == ONE else self.emit(Node("sum", (k,), size=ONE))

    def formula(self, text: str, names: dict[str, int]) -> int:
        """Writes a derivative, given as text, down as nodes."""
        return read_formula(
            text, names=names, number=lambda v: self.constant(float(v)), apply=self.apply
        )


def differentiate(program: Program) -> Backward:
    """Writes the backward step of a program whose passes have run."""
    tape = _Tape(program)
    parts: dict[int, list[int]] = {}
    groups = {g.operand: g for g in program.groups if g.region == "step"}
    for state, update in zip(program.states, program.updates, strict=True):
        later = Node("later", name=state, size=program.state_size(state))
        parts.setdefault(update, []).append(tape.emit(later))
    if program.nodes[program.output].region == "step":
        size = program.nodes[program.output].size
        parts.setdefault(program.output, []).append(tape.emit(Node("output_gradient", size=size)))
    previous: dict[str, int] = {}
    carried: dict[str, Group] = {}
    leaves: dict[int, int] = {}
    results: dict[int, int] = {}
    transposes: dict[int, Group] = {}
    passes = _passing(program)
    for k in reversed(range(len(program.nodes))):
        node, gradients = program.nodes[k], parts.get(k, [])
        group = groups.get(k)
        arriving = group and tuple(results[r] for r in group.results if r in results)
        if group and arriving:
            if node.op == "previous":
                carried[node.name] = group
            else:
                number = tape.emit(Node("transpose", arriving, name=str(k), size=node.size))
                transposes[number] = group
                gradients.append(number)
        if not gradients or not passes[k]:
            continue
        total = tape.total(gradients, node.size)
        if node.region != "step":
            leaves[k] = total
        elif node.op == "previous":
            previous[node.name] = total
        elif node.op == "matmul":
            results[k] = total
        else:
            fixed = [not passes[a] for a in node.args]
            for a, part in zip(node.args, _parts(tape, k, total, fixed), strict=True):
                if passes[a] and tape.value(part) != 0:
                    parts.setdefault(a, []).append(part)
    backward = Backward(
        program=program,
        nodes=tuple(tape.nodes),
        previous=previous,
        carried=carried,
        leaves=leaves,
        results=results,
        transposes=transposes,
        saved=(),
    )
    return replace(backward, saved=_saved(backward))


def _passing(program: Program) -> list[bool]:
    """Says of each value whether a gradient goes on from it, to a weight, a state or an input."""
    passing: list[bool] = []
    for node in program.nodes:
        if node.region != "step" or node.op in ("previous", "matmul"):
            passing.append(node.op != "constant")
            continue
        flat = node.op in PRIMITIVES and PRIMITIVES[node.op].is_flat
        passing.append(not flat and any(passing[a] for a in node.args))
    return passing


def _parts(tape: _Tape, k: int, d: int, constant: list[bool]) -> tuple[int, ...]:
    """The gradients of a node's arguments, from its own; those of constant ones are zero."""
    zero = tape.constant(0.0)
    node = tape.nodes[k]
    match node.op:
        case "add":
            return d, d
        case "sub":
            return d, zero if constant[1] else tape.apply("neg", d)
        case "neg":
            return (tape.apply("neg", d),)
        case "mul":
            a, b = node.args
            return (
                zero if constant[0] else tape.apply("mul", d, b),
                zero if constant[1] else tape.apply("mul", d, a),
            )
        case "div":
            first = tape.apply("div", d, node.args[1])
            # d(a/b)/db = -(1/b) (a/b)
            return first, zero if constant[1] else tape.apply("neg", tape.apply("mul", first, k))
    if node.op in REDUCTIONS:
        return (_reduced(tape, k, node, d),)
    names = {"y": k, **dict(zip("ab", node.args, strict=False))}
    rules = PRIMITIVES[node.op].derivative
    return tuple(
        zero if fixed else tape.apply("mul", d, tape.formula(rule, names))
        for rule, fixed in zip(rules, constant, strict=True)
    )


def _reduced(tape: _Tape, k: int, node: Node, d: int) -> int:
    """The gradient of what a reduction reads, from its own; one number where all get the same."""
    (a,) = node.args
    size = tape.nodes[a].size
    match node.op:
        case "sum":
            return d
        case "mean":
            return tape.apply("mul", d, tape.emit(Node("inverse", name=size, size=ONE)))
        case "cumsum":
            return tape.emit(Node("reverse_cumsum", (d,), size=size))
    assert node.op == "max", f"no derivative of {node.op}"
    # where several units are the greatest, each gets the same part
    equal = tape.emit(Node("equal", (a, k), size=size))
    part = tape.apply("div", d, tape.summed(equal))
    return tape.apply("mul", part, equal)


def _saved(backward: Backward) -> tuple[int, ...]:
    nodes, count = backward.program.nodes, backward.forward
    live = reach(backward.sinks, lambda k: backward.nodes[k].args if k >= count else ())
    needed = {k for k in live if k < count and nodes[k].region == "step"}
    kept = {k for k in needed if nodes[k].op != "previous"} - set(backward.program.updates)

    def at_hand(k: int) -> bool:
        node = nodes[k]
        free = node.region != "step" or node.op == "previous" or k in backward.program.updates
        return free or k in kept

    # computed again, a value may differ in its last bit
    exact = {a for k in live if backward.nodes[k].op == "equal" for a in backward.nodes[k].args}
    for k in sorted(kept - exact, reverse=True):
        if nodes[k].op in CHEAP and all(at_hand(a) for a in nodes[k].args):
            kept.remove(k)
    return tuple(sorted(kept))


def levels(
    nodes: tuple[Node, ...], members: set[int], products: set[int], roots: set[int]
) -> dict[int, int]:
    """Assigns the nodes of a step to phases: how many products come before, as late as possible.

    A node waits for the phase that reads it, so that it need not be stored in between; what leaves
    the step is made as soon as it can be.

    Args:
        nodes: All nodes.
        members: Numbers of those to assign.
        products: Those of them that are products or row functions: what they read must be complete
            one phase before.
        roots: Those that leave the step.
    """
    soonest: dict[int, int] = {}
    for k in sorted(members):
        below = max((soonest[a] for a in nodes[k].args if a in members), default=0)
        soonest[k] = below + (k in products)
    phase: dict[int, int] = {}
    for k in sorted(members, reverse=True):
        readers = [phase[j] - (j in products) for j in members if j > k and k in nodes[j].args]
        phase[k] = min(readers) if readers and k not in roots else soonest[k]
        if k in roots and readers:
            phase[k] = min(soonest[k], *readers)
    return phase
