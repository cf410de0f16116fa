"""What goes where: phases of a step, what is stored, and the columns of the gradient rows.

Fields of the C struct, with n counting from 0 and k the number of a value: x{n} inputs of the loop,
p{k} vectors, m{n} matrices, s{n} states, v{k} saved values, d gradient rows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from odyssey.compiler.autodiff import Backward, differentiate, levels
from odyssey.compiler.passes import fold_constants, hoist, stack_maps
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.program import Group, Program, drop_dead

Phase = tuple[int, str]


@dataclass(frozen=True)
class Stack:
    """Values for all time steps that lie side by side in one tensor.

    Attributes:
        leaves: The values, in the order of their columns.
        results: The products that they are, or that they are a sum of; empty for other values.
        biases: For each product the value that is added to it, or None.
        operand: What the products read; -1 if there are none.
    """

    leaves: tuple[int, ...]
    results: tuple[int, ...] = ()
    biases: tuple[int | None, ...] = ()
    operand: int = -1


@dataclass(frozen=True)
class Plan:
    """Everything that the generated code and the torch side must agree on.

    Attributes:
        program: The program.
        backward: Its backward step.
        stacks: Inputs of the loop.
        vectors: Values that are the same in all steps.
        groups: The products in the loop.
        matrices: Their matrices, in order.
        forward_phase: Value of the step -> its phase.
        backward_phase: Value of the backward step -> its phase.
        saved: Values kept for the backward pass.
        slots: Gradients that are kept for all steps: the columns of the gradient rows.
        writes_output: Whether the output is a value of the loop.
    """

    program: Program
    backward: Backward
    stacks: tuple[Stack, ...]
    vectors: tuple[int, ...]
    groups: tuple[Group, ...]
    matrices: tuple[str, ...]
    forward_phase: dict[int, Phase]
    backward_phase: dict[int, Phase]
    saved: tuple[int, ...]
    slots: tuple[int, ...]
    writes_output: bool

    @property
    def primitives(self) -> frozenset[str]:
        """The primitives that the loop uses, forward and backward."""
        nodes = enumerate(self.backward.nodes)
        inside = {n.op for k, n in nodes if n.region == "step" or k >= self.backward.forward}
        return frozenset(inside & PRIMITIVES.keys())

    def size(self, k: int) -> str:
        """Gives "H" or "I", the size of a value; in a square program both are H."""
        size = self.backward.nodes[k].size
        return "H" if self.program.square else size

    def units(self, k: int, input_size: int, hidden_size: int) -> int:
        """Gives the number of units of a value."""
        return {"I": input_size, "H": hidden_size}[self.size(k)]

    def offset(self, row: tuple[int, ...], k: int) -> tuple[int, int]:
        """Counts what stands before a value in a row of values: how many of size H, and of I."""
        before = [self.size(a) for a in row[: row.index(k)]]
        return before.count("H"), before.count("I")


def make_plan(program: Program) -> Plan:
    """Plans a program that has a time loop."""
    if any(n.size == "1" and n.op != "constant" for n in program.nodes):
        # numbers that came to stand together when sums were ordered
        program = stack_maps(hoist(drop_dead(fold_constants(program))))
    program = _sink(program)
    backward = differentiate(program)
    nodes = program.nodes
    groups = tuple(g for g in program.groups if g.region == "step")
    step = {k for k, n in enumerate(nodes) if n.region == "step" and n.op != "previous"}
    writes_output = nodes[program.output].region == "step"
    ends = {*program.updates, *({program.output} if writes_output else ())}
    read = {a for k in step for a in nodes[k].args} | ends
    read -= {k for k, n in enumerate(nodes) if n.op == "constant"}
    sequences = sorted(k for k in read if nodes[k].region == "sequence")
    vectors = tuple(sorted(k for k in read if nodes[k].region == "once"))
    maps = {k for k in step if nodes[k].op == "matmul"}
    operands = {g.operand for g in groups}
    kept = {*backward.saved, *(k for k in operands if nodes[k].op != "previous")}
    saved = tuple(sorted(kept - set(program.updates)))

    slots: list[int] = []
    for group in groups:
        for r in group.results:
            if r in backward.results and backward.results[r] not in slots:
                slots.append(backward.results[r])
    stacks = _stacks(program, sequences)
    ordered: list[Stack] = []
    for stack in stacks:
        found = [backward.leaves.get(leaf, -1) for leaf in stack.leaves]
        place = [slots.index(d) if d in slots else len(slots) for d in found]
        order = [n for _, n in sorted(zip(place, range(len(place)), strict=True))]
        ordered.append(_permuted(stack, order))
        for n in order:
            if found[n] >= 0 and found[n] not in slots:
                slots.append(found[n])

    square = program.square

    def phases(members: set[int], products: set[int], roots: set[int]) -> dict[int, Phase]:
        found = levels(backward.nodes, members, products, roots)
        return {k: (v, "H" if square else backward.nodes[k].size) for k, v in found.items()}

    live: set[int] = set()
    todo = [*backward.sinks]
    while todo:
        k = todo.pop()
        node = backward.nodes[k]
        if k >= backward.forward and k not in live and node.op != "constant":
            live.add(k)
            todo.extend(node.args)
    seeds = {k for k in live if backward.nodes[k].op in ("later", "output_gradient")}
    return Plan(
        program=program,
        backward=backward,
        stacks=tuple(ordered),
        vectors=vectors,
        groups=groups,
        matrices=tuple(dict.fromkeys(nodes[r].name for g in groups for r in g.results)),
        forward_phase=phases(step, maps, ends & step),
        backward_phase=phases(live, set(backward.transposes), (backward.sinks & live) | seeds),
        saved=saved,
        slots=tuple(slots),
        writes_output=writes_output,
    )


def _sink(program: Program) -> Program:
    """Moves pointwise code from before the loop into the step, where its values need no memory.

    Only products gain from being computed for all steps at a time. What such a product reads stays
    before the loop, as does a bias that is added to one, and an output that needs no state.
    """
    nodes, uses = program.nodes, program.uses()
    stay = {a for n in nodes if n.region == "sequence" and n.op == "matmul" for a in n.args}
    stay |= {k for k in program.roots if nodes[k].region == "sequence"}
    for k in reversed(range(len(nodes))):
        if k in stay:
            stay.update(nodes[k].args)
    moved = [
        replace(node, region="step")
        if node.region == "sequence"
        and node.op not in ("input", "matmul")
        and k not in stay
        and not _biased(program, uses, k)
        else node
        for k, node in enumerate(nodes)
    ]
    return replace(program, nodes=tuple(moved))


def _biased(program: Program, uses: Counter[int], k: int) -> bool:
    """Says whether a value is a product before the loop plus a vector."""
    nodes, node = program.nodes, program.nodes[k]
    kinds = {nodes[a].op if nodes[a].region == "sequence" else nodes[a].region for a in node.args}
    products = [a for a in node.args if nodes[a].op == "matmul" and nodes[a].region == "sequence"]
    return (
        node.op == "add"
        and kinds == {"matmul", "once"}
        and uses[products[0]] == 1
        and all(nodes[a].op != "constant" for a in node.args)
    )


def _permuted(stack: Stack, order: list[int]) -> Stack:
    return Stack(
        leaves=tuple(stack.leaves[n] for n in order),
        results=tuple(stack.results[n] for n in order if stack.results),
        biases=tuple(stack.biases[n] for n in order if stack.results),
        operand=stack.operand,
    )


def _stacks(program: Program, sequences: list[int]) -> list[Stack]:
    """Finds products before the loop that only it reads, with their bias; others stand alone."""
    nodes, uses = program.nodes, program.uses()
    outer = {a for n in nodes if n.region != "step" for a in n.args}
    found: list[Stack] = []
    taken: set[int] = set()
    roots = set(program.roots) if nodes[program.output].region != "step" else set()
    for group in program.groups:
        if group.region != "sequence":
            continue
        members: list[tuple[int, int, int | None]] = []
        for r in group.results:
            if r in sequences and r not in outer and r not in roots:
                members.append((r, r, None))
                continue
            readers = [k for k, n in enumerate(nodes) if r in n.args]
            if uses[r] != 1 or not readers or nodes[readers[0]].op != "add":
                continue
            (total,) = readers
            (bias,) = (a for a in nodes[total].args if a != r)
            if (
                nodes[bias].region == "once"
                and nodes[bias].op != "constant"
                and total in sequences
                and total not in outer
                and total not in roots
            ):
                members.append((total, r, bias))
        if members:
            leaves, results, biases = zip(*members, strict=True)
            found.append(Stack(leaves, results, biases, group.operand))
            taken.update(leaves)
    return found + [Stack((k,)) for k in sequences if k not in taken]
