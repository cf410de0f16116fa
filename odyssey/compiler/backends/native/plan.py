"""What goes where: phases of a step, what is saved, and the columns of the gradient rows.

A step of the loop is a few matrix products with pointwise code between them. A *phase* is the
pointwise code after one level of products, for values of one size: what a phase computes stays in
registers, and only what another phase reads (*crossing*), what the backward step needs (*saved*)
and what leaves the loop goes to memory. A function over units, as a sum, counts as a product: it
reads a row that a phase before it left in memory, and leaves its result there. Numbers (size 1)
come before the other values of their level, which may read them. The steps of planning:

1. move pointwise code from before the loop into the step, where its values need no memory;
2. differentiate: the backward step, and which forward values it reads;
3. stack what the loop reads from before it, and order those columns as their gradients lie;
4. assign forward and backward values to phases.

Everything that the generated code and the torch side must agree on is in a `Plan`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from odyssey.compiler.autodiff import NUMBERS, ROW_FUNCTIONS, Backward, differentiate, levels
from odyssey.compiler.passes import fold_constants, hoist, stack_maps
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.program import MAIN_INPUT, Group, Program, drop_dead, reach
from odyssey.expr.reductions import REDUCTIONS
from odyssey.expr.sizes import INPUTS, ONE, PLAIN, UNITS, multiple, parts

Phase = tuple[int, str]
"""Products that come before (a level, from 0), and the size of the values."""

FIRST: Phase = (0, UNITS)


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

    @property
    def biased(self) -> bool:
        """Whether anything is added to any product."""
        return any(b is not None for b in self.biases)


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
        saved: Values stored for the backward pass, besides the states.
        slots: Gradients that are stored for all steps: the columns of the gradient rows.
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

    @cached_property
    def state(self) -> dict[str, int]:
        """State -> its number."""
        return {name: n for n, name in enumerate(self.program.states)}

    @cached_property
    def update(self) -> dict[int, int]:
        """Value -> the number of the first state that it becomes."""
        numbers: dict[int, int] = {}
        for n, k in enumerate(self.program.updates):
            numbers.setdefault(k, n)
        return numbers

    @cached_property
    def indexable(self) -> frozenset[int]:
        """The stacks of products of the main input: class indices take their rows from a table."""
        nodes = self.program.nodes
        main = [n.op == "input" and n.name == MAIN_INPUT for n in nodes]
        reads = (bool(s.results) and main[s.operand] for s in self.stacks)
        return frozenset(n for n, indexable in enumerate(reads) if indexable)

    @cached_property
    def reread(self) -> frozenset[int]:
        """The stacks of products that the backward step reads again."""
        nodes, count = self.backward.nodes, self.backward.forward

        def reads(k: int) -> tuple[int, ...]:
            stored = k in self.saved or k in self.update or nodes[k].region != "step"
            # what is not stored is computed again, from what it reads
            return () if k < count and stored else nodes[k].args

        read = reach(self.backward.sinks, reads)
        return frozenset(n for n, s in enumerate(self.stacks) if s.results and read & {*s.leaves})

    def phases(self, *, backward: bool) -> list[Phase]:
        """Gives the phases of a step in order; the first is always there."""
        used = (self.backward_phase if backward else self.forward_phase).values()
        phases = {*used, FIRST, *self._of_states(backward=backward)}
        return sorted(phases, key=lambda phase: (phase[0], phase[1] != ONE, phase[1]))

    def _of_states(self, *, backward: bool) -> set[Phase]:
        """Gives the phases that fill the states, or their gradients, that no value does."""
        if backward:
            rest = [s for s in self.program.states if s not in self.backward.previous]
        else:
            ends = zip(self.program.states, self.program.updates, strict=True)
            rest = [s for s, k in ends if k not in self.forward_phase]
        return {(0, self.state_size(s)) for s in rest}

    def crossing(self, phase: Phase, *, backward: bool) -> list[int]:
        """Gives the values of a phase that another phase reads."""
        nodes = self.backward.nodes
        phases = self.backward_phase if backward else self.forward_phase
        elsewhere = {a for j, q in phases.items() if q != phase for a in nodes[j].args}
        return sorted(k for k, p in phases.items() if p == phase and k in elsewhere)

    def reductions(self, phase: Phase, *, backward: bool) -> list[int]:
        """Gives the row functions of a phase."""
        nodes = self.backward.nodes
        phases = self.backward_phase if backward else self.forward_phase
        return sorted(k for k, p in phases.items() if p == phase and nodes[k].op in ROW_FUNCTIONS)

    def handed(self, phase: Phase, *, backward: bool) -> list[int]:
        """Gives the values of a phase that need a row in memory while a step runs."""
        reductions = self.reductions(phase, backward=backward)
        return sorted({*self.crossing(phase, backward=backward), *reductions})

    def trained(self, group: Group) -> tuple[int, ...]:
        """Gives the products of a group whose matrices get a gradient."""
        return tuple(r for r in group.results if r in self.backward.results)

    def about(self, k: int) -> str:
        """Names a value for a comment."""
        node = self.backward.nodes[k]
        return node.label or node.name or f"%{k} {node.op}"

    def size(self, k: int) -> str:
        """Gives the size of a value; in a square program that of the input is H."""
        return self.as_units(self.backward.nodes[k].size)

    def as_units(self, size: str) -> str:
        """Gives a size as the loop has it: in a square program that of the input is H."""
        return _as_units(self.program, size)

    def sizes(self, row: Sequence[int]) -> tuple[str, ...]:
        """Gives the sizes of a row of values."""
        return tuple(self.size(k) for k in row)

    def state_size(self, name: str) -> str:
        """Gives the size of a state."""
        return self.as_units(self.program.state_size(name))

    def shape(self, matrix: str) -> tuple[str, str]:
        """Gives the sizes of a matrix."""
        rows, columns = self.program.matrices[matrix]
        return self.as_units(rows), self.as_units(columns)

    @cached_property
    def declared(self) -> tuple[str, ...]:
        """The sizes besides H and I, in order."""
        sizes = {self.size(k) for k, n in enumerate(self.backward.nodes) if n.op != "constant"}
        sizes |= {self.state_size(s) for s in self.program.states}
        sizes |= {s for name in self.program.matrices for s in self.shape(name)}
        return tuple(sorted(sizes - {*PLAIN}))


def _as_units(program: Program, size: str) -> str:
    """Writes a size of a square program by H."""
    base, factor = parts(size)
    return multiple(UNITS, factor) if program.square and base == INPUTS else size


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
    # gradients of matrices are products of gradient rows with the operands of all steps
    operands = {g.operand for g in groups if nodes[g.operand].op != "previous"}

    mapped = [r for g in groups for r in g.results if r in backward.results]
    slots = list(dict.fromkeys(backward.results[r] for r in mapped))
    stacks = tuple(
        _ordered(stack, backward, slots)
        for stack in _stacks(program, sorted(k for k in read if nodes[k].region == "sequence"))
    )

    def phases(members: set[int], products: set[int], roots: set[int]) -> dict[int, Phase]:
        products = products | {k for k in members if backward.nodes[k].op in ROW_FUNCTIONS}
        level = levels(backward.nodes, members, products, roots)
        return {k: (v, _as_units(program, backward.nodes[k].size)) for k, v in level.items()}

    live = _live(backward)
    seeds = {k for k in live if backward.nodes[k].op in ("later", "output_gradient")}
    return Plan(
        program=program,
        backward=backward,
        stacks=stacks,
        vectors=tuple(sorted(k for k in read if nodes[k].region == "once")),
        groups=groups,
        matrices=tuple(dict.fromkeys(nodes[r].name for g in groups for r in g.results)),
        forward_phase=phases(step, {k for k in step if nodes[k].op == "matmul"}, ends & step),
        backward_phase=phases(live, set(backward.transposes), (backward.sinks & live) | seeds),
        saved=tuple(sorted({*backward.saved, *operands} - set(program.updates))),
        slots=tuple(slots),
        writes_output=writes_output,
    )


def _live(backward: Backward) -> set[int]:
    """Finds the values of the backward step that something needs."""
    nodes, first = backward.nodes, backward.forward
    read = reach(backward.sinks, lambda k: nodes[k].args if k >= first else ())
    return {k for k in read if k >= first and nodes[k].op not in NUMBERS}


def _ordered(stack: Stack, backward: Backward, slots: list[int]) -> Stack:
    """Orders the columns of a stack as their gradients lie, and appends those that have no slot.

    Gradients that lie side by side, as their columns do, make one product instead of several.
    """
    gradients = [backward.leaves.get(leaf, -1) for leaf in stack.leaves]
    place = [slots.index(d) if d in slots else len(slots) for d in gradients]
    order = sorted(range(len(place)), key=lambda n: (place[n], n))
    slots += dict.fromkeys(
        gradients[n] for n in order if gradients[n] >= 0 and gradients[n] not in slots
    )
    return Stack(
        leaves=tuple(stack.leaves[n] for n in order),
        results=tuple(stack.results[n] for n in order if stack.results),
        biases=tuple(stack.biases[n] for n in order if stack.results),
        operand=stack.operand,
    )


def _sink(program: Program) -> Program:
    """Moves pointwise code from before the loop into the step, where its values need no memory.

    Only products and reductions gain from being computed for all steps at a time. What such a one
    reads stays before the loop, as does a bias that is added to a product, and an output that needs
    no state.
    """
    nodes, uses = program.nodes, program.uses()
    apart = {"input", "matmul", *REDUCTIONS}
    stay = {a for n in nodes if n.region == "sequence" and n.op in apart for a in n.args}
    stay |= {k for k in program.roots if nodes[k].region == "sequence"}
    for k in reversed(range(len(nodes))):
        if k in stay:
            stay.update(nodes[k].args)
    moved = [
        replace(node, region="step")
        if node.region == "sequence"
        and node.op not in apart
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
        and _alike(program, node.args)
        and not nodes[products[0]].transposed
    )


def _alike(program: Program, values: Sequence[int]) -> bool:
    """Says whether values have one size."""
    return len({_as_units(program, program.nodes[k].size) for k in values}) == 1


def _stacks(program: Program, sequences: list[int]) -> list[Stack]:
    """Finds products before the loop that only it reads, with their bias; others stand alone."""
    nodes, uses = program.nodes, program.uses()
    outer = {a for n in nodes if n.region != "step" for a in n.args}
    stacks: list[Stack] = []
    taken: set[int] = set()
    roots = set(program.roots) if nodes[program.output].region != "step" else set()
    for group in program.groups:
        if group.region != "sequence":
            continue
        members: list[tuple[int, int, int | None]] = []
        for r in group.results:
            if nodes[r].transposed:
                continue
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
            stacks.append(Stack(leaves, results, biases, group.operand))
            taken.update(leaves)
    return stacks + [Stack((k,)) for k in sequences if k not in taken]
