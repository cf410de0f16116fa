"""The IR: straight-line code of one step, with every value in the region where it is computed.

A `Program` is in SSA form: `nodes[k]` has the number k and reads only smaller numbers. Regions say
how often a node runs: `once` per call (parameters and constants), `sequence` for all time steps at
a time (what depends on the input but on no state), `step` in the time loop. Linear maps that read
the same operand in the same region are stacked into a `Group`: one matrix product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TypeVar

import sympy as sp

from odyssey.expr.arithmetic import ARITHMETIC
from odyssey.expr.equations import Equation, Equations
from odyssey.expr.properties import stored_shape
from odyssey.expr.reductions import FORMS, OVER_UNITS, size_over_units
from odyssey.expr.shapes import Shapes
from odyssey.expr.sizes import ONE, UNITS, axes, meet, resolve
from odyssey.expr.terms import Current, Named, exact_value, leaves, term

MAIN_INPUT = ""  # the name of its node: it is the same input, whatever a cell calls it
LEAF_OPS = ("input", "previous", "vector", "constant")
Name = TypeVar("Name", bound=Hashable)  # of a value: its number, or what it is called
REGIONS = ("once", "sequence", "step")


@dataclass(frozen=True)
class Node:
    """One value.

    Attributes:
        op: `input`, `previous`, `vector`, `constant`, `matmul`, an arithmetic operation, a
            primitive or a reduction.
        args: Numbers of the nodes that it reads.
        name: Name of the state, vector, matrix or further input; `MAIN_INPUT` otherwise.
        value: Value of a constant; exact until constants are folded.
        size: The size (`sizes.py`); "1" broadcasts.
        transposed: Of a `matmul`, whether by the transposed matrix.
        label: The named equation whose value this is, for reading.
        region: `once`, `sequence` or `step`; empty before regions are assigned.
    """

    op: str
    args: tuple[int, ...] = ()
    name: str = ""
    value: float | Fraction = 0.0
    size: str = "H"
    label: str = ""
    region: str = ""
    transposed: bool = False

    @property
    def is_leaf(self) -> bool:
        """Whether nothing is computed."""
        return self.op in LEAF_OPS


@dataclass(frozen=True)
class Group:
    """Linear maps of one operand, computed as one product with stacked matrices.

    Attributes:
        operand: Number of the node that all of them read.
        results: Numbers of the matmul nodes, in stacking order.
        region: Region of the product.
        level: In the step region, how many products must come before, from 0.
    """

    operand: int
    results: tuple[int, ...]
    region: str
    level: int = 0


@dataclass(frozen=True)
class Program:
    """A lowered cell.

    Attributes:
        name: Name of the cell.
        states: Names of the states, in declared order.
        nodes: The code, in SSA form.
        updates: For each state the number of its new value.
        output: Number of the value that the layer puts out.
        matrices: Name -> (rows, columns); only what the code uses.
        vectors: Name -> size; that of a matrix where one is used number by number.
        state_sizes: Sizes of the states, in their order; empty where all are H.
        inputs: Name of a further input -> size, in the order in which layers take them; only what
            the code uses.
        starts: State -> name of the vector that it starts at, or a number; others start at 0.
        properties: Parameter -> what it is made by (`properties.py`), where it is not as stored.
        square: Whether input size must equal hidden size.
        groups: Stacked products; empty before stacking.
        text: The cell's text, from which another process can lower it again.
    """

    name: str
    states: tuple[str, ...]
    nodes: tuple[Node, ...]
    updates: tuple[int, ...]
    output: int
    matrices: dict[str, tuple[str, str]] = field(default_factory=dict)
    vectors: dict[str, str] = field(default_factory=dict)
    square: bool = False
    groups: tuple[Group, ...] = ()
    text: str = ""
    state_sizes: tuple[str, ...] = ()
    starts: dict[str, str | float] = field(default_factory=dict)
    properties: dict[str, tuple[str, ...]] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    def state_size(self, name: str) -> str:
        """Gives the size of a state."""
        return self.state_sizes[self.states.index(name)] if self.state_sizes else UNITS

    @property
    def biases(self) -> frozenset[str]:
        """Names of the vectors that are only ever added or subtracted."""
        elsewhere = {
            self.nodes[a].name
            for node in self.nodes
            if node.op not in ("add", "sub")
            for a in node.args
            if self.nodes[a].op == "vector"
        }
        return frozenset(self.vectors) - elsewhere

    @property
    def roots(self) -> tuple[int, ...]:
        """Numbers of the values that leave the program."""
        return (*self.updates, self.output)

    def renumbered(self, nodes: Iterable[Node], new: Mapping[int, int] | Sequence[int]) -> Program:
        """Gives the program with other nodes, where `new` has the number that each old one got."""
        updates = tuple(new[u] for u in self.updates)
        return replace(self, nodes=tuple(nodes), updates=updates, output=new[self.output])

    def uses(self) -> Counter[int]:
        """Counts how often each value is read, roots included."""
        return Counter([a for n in self.nodes for a in n.args] + list(self.roots))

    def reached(self, ops: Iterable[str]) -> tuple[bool, ...]:
        """Says of each value whether it depends, in this step, on a leaf of these operations."""
        wanted = frozenset(ops)
        reached: list[bool] = []
        for node in self.nodes:
            reached.append(node.op in wanted or any(reached[a] for a in node.args))
        return tuple(reached)

    def longest(self, cost: Callable[[int, Node], int]) -> tuple[int, ...]:
        """Gives for each value the largest sum of costs along a chain that ends in it."""
        longest: list[int] = []
        for number, node in enumerate(self.nodes):
            below = max((longest[a] for a in node.args), default=0)
            longest.append(below + cost(number, node))
        return tuple(longest)

    def axes_of(self, name: str) -> tuple[str, ...]:
        """Gives the sizes of a parameter along its axes."""
        return self.matrices.get(name) or axes(self.vectors[name])

    def shape(self, name: str, input_size: int, hidden_size: int) -> tuple[int, ...]:
        """Gives the shape of a parameter for given sizes."""
        return tuple(resolve(size, input_size, hidden_size) for size in self.axes_of(name))

    def stored_shape(self, name: str, input_size: int, hidden_size: int) -> tuple[int, ...]:
        """Gives the shape in which a parameter is stored, of which its properties make the other.

        Raises:
            ConfigError: The blocks of `heads` do not fit the sizes.
        """
        shape = self.shape(name, input_size, hidden_size)
        return stored_shape(shape, self.properties.get(name, ()))

    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters in use: the matrices, then the vectors, by first use."""
        return (*self.matrices, *self.vectors)


class _Translator:
    """Writes the equations down as SSA code; equal values are computed once."""

    def __init__(self, cell: Equations, shapes: Shapes) -> None:
        self.shapes = shapes
        self.nodes: list[Node] = []
        self.numbers: dict[Node, int] = {}
        self.values: dict[str, int] = {}
        for equation in cell.equations:
            number = self.translate(equation.value)
            self.values[equation.label] = number
            node = self.nodes[number]
            if not node.label and node.op not in ("input", "previous", "vector"):
                self.nodes[number] = replace(node, label=equation.label)

    def emit(self, node: Node) -> int:
        if node not in self.numbers:
            self.numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return self.numbers[node]

    def translate(self, expr: sp.Expr) -> int:
        op, args, name = term(expr)
        match op:
            case "value":
                return self.values[name]
            case "input":
                size = self.shapes.inputs.get(name)
                return self.emit(Node(op, name=name if size else MAIN_INPUT, size=size or "I"))
            case "previous":
                return self.emit(Node(op, name=name, size=self.shapes.states[name]))
            case "vector":
                return self.emit(Node(op, name=name, size=self.shapes.vectors[name]))
            case "constant":
                return self.constant(exact_value(expr))
        numbers = tuple(self.translate(a) for a in args)
        if op == "matmul":
            return self.emit(Node(op, numbers, name, size=self.shapes.matrices[name][0]))
        if op == "transposed":
            size = self.shapes.matrices[name][1]
            return self.emit(Node("matmul", numbers, name, size=size, transposed=True))
        return self.apply(op, *numbers)

    def constant(self, value: Fraction) -> int:
        return self.emit(Node("constant", value=value, size=ONE))

    def apply(self, op: str, *numbers: int) -> int:
        """Applies an operation; a form is written out on values, each of which is there once."""
        if op in FORMS:
            return FORMS[op].expand(*numbers, number=self.constant, apply=self.apply)
        last = self.nodes[numbers[-1]]
        if op == "sub" and last.op == "constant":  # a - 2 -> a + -2, as text is read
            return self.apply("add", numbers[0], self.constant(-Fraction(last.value)))
        sizes = [self.nodes[a].size for a in numbers]
        if op in OVER_UNITS:
            return self.emit(Node(op, numbers, size=size_over_units(op, sizes)))
        return self.emit(Node(op, numbers, size=meet(sizes)))


def translate(cell: Equations, text: str, shapes: Shapes) -> Program:
    """Writes a cell down as a program before any pass.

    Args:
        cell: The cell.
        text: Its text.
        shapes: Its sizes.
    """
    translator = _Translator(cell, shapes)
    return Program(
        name=cell.name,
        states=cell.states,
        nodes=tuple(translator.nodes),
        updates=tuple(translator.values[f"{s}[t]"] for s in cell.states),
        output=translator.values[cell.output_label],
        matrices={n: shapes.matrices[n] for n in cell.matrices},
        vectors={n: shapes.vectors[n] for n in cell.parameters if n in shapes.vectors},
        square=shapes.square,
        text=text,
        state_sizes=_state_sizes(shapes.states[s] for s in cell.states),
        starts={s.state: s.weight or float(s.value) for s in cell.starts},
        properties={w.name: w.properties for w in cell.weights if w.properties},
        inputs=dict(shapes.inputs),
    )


def _state_sizes(sizes: Iterable[str]) -> tuple[str, ...]:
    given = tuple(sizes)
    return given if set(given) - {UNITS} else ()


def reach(roots: Iterable[Name], reads: Callable[[Name], Iterable[Name]]) -> set[Name]:
    """Collects values and all that they read, in any number of steps.

    Args:
        roots: Where to begin.
        reads: Gives what a value reads; nothing where the walk ends.
    """
    reached: set[Name] = set()
    todo = list(roots)
    while todo:
        k = todo.pop()
        if k not in reached:
            reached.add(k)
            todo.extend(reads(k))
    return reached


def live_equations(cell: Equations) -> tuple[Equation, ...]:
    """Gives the equations that the output or a state needs, in their order."""
    by_label = {e.label: e for e in cell.equations}

    def reads(label: str) -> list[str]:
        found = leaves(by_label[label].value)
        return [leaf.name for leaf in found if isinstance(leaf, Named | Current)]

    needed = reach([cell.output_label, *(f"{s}[t]" for s in cell.states)], reads)
    return tuple(e for e in cell.equations if e.label in needed)


def drop_dead(program: Program) -> Program:
    """Drops values that neither the output nor any state needs, and their parameters."""
    order = sorted(reach(program.roots, lambda k: program.nodes[k].args))
    number = {old: new for new, old in enumerate(order)}
    nodes = tuple(
        replace(program.nodes[k], args=tuple(number[a] for a in program.nodes[k].args))
        for k in order
    )
    alive = {n.name for n in nodes if n.op in ("matmul", "vector")} | {*program.starts.values()}
    read = {n.name for n in nodes if n.op == "input"}
    return replace(
        program.renumbered(nodes, number),
        matrices={n: s for n, s in program.matrices.items() if n in alive},
        vectors={n: s for n, s in program.vectors.items() if n in alive},
        properties={n: p for n, p in program.properties.items() if n in alive},
        inputs={n: s for n, s in program.inputs.items() if n in read},
    )


def prune(program: Program) -> Program:
    """Drops states that never reach the output, however many steps later, and what is dead then."""
    updates = dict(zip(program.states, program.updates, strict=True))

    def reads(k: int) -> tuple[int, ...]:
        node = program.nodes[k]
        return (updates[node.name],) if node.op == "previous" else node.args

    read = (program.nodes[k] for k in reach([program.output], reads))
    states = {node.name for node in read if node.op == "previous"}
    alive = {s: k for s, k in updates.items() if s in states}
    pruned = replace(
        program,
        states=tuple(alive),
        updates=tuple(alive.values()),
        state_sizes=_state_sizes(map(program.state_size, alive)),
        starts={s: start for s, start in program.starts.items() if s in states},
    )
    return drop_dead(pruned)


def format_program(program: Program) -> str:
    """Prints a program for reading, one value a line, regions apart."""
    names = {k: f"%{k}" for k in range(len(program.nodes))}
    stacked = {r: g for g in program.groups for r in g.results}
    lines = [f"program {program.name}: states {', '.join(program.states) or 'none'}"]
    regions = REGIONS if any(n.region for n in program.nodes) else ("",)
    titles = {
        "once": "once per call",
        "sequence": "for the whole sequence",
        "step": "in every step",
    }
    for region in regions:
        lines.append(f"{titles.get(region, 'code')}:")
        for k, node in enumerate(program.nodes):
            if node.region != region:
                continue
            if k in stacked:
                group = stacked[k]
                if k == group.results[0]:
                    maps = ", ".join(
                        program.nodes[r].name + ".T" * program.nodes[r].transposed
                        for r in group.results
                    )
                    outs = ", ".join(names[r] for r in group.results)
                    level = f"    # level {group.level}" if group.region == "step" else ""
                    lines.append(f"  {outs} = stack[{maps}] @ {names[group.operand]}{level}")
                continue
            lines.append(f"  {names[k]} = {_format_node(node, names)}")
    ends = ", ".join(f"{s}[t] = %{u}" for s, u in zip(program.states, program.updates, strict=True))
    lines.append(
        "after the step: " + "; ".join(p for p in (ends, f"output %{program.output}") if p)
    )
    return "\n".join(lines) + "\n"


def _format_node(node: Node, names: dict[int, str]) -> str:
    args = [names[a] for a in node.args]
    note = f"    # {node.label}" if node.label else ""
    match node.op:
        case "input":
            text = f"{node.name or 'x'}[t]"
        case "previous":
            text = f"{node.name}[t-1]"
        case "vector":
            text = node.name
        case "constant":
            text = f"{float(node.value):g}"
        case "matmul":
            text = f"{node.name}{'.T' if node.transposed else ''} @ {args[0]}"
        case "neg":
            text = f"-{args[0]}"
        case op if op in ARITHMETIC:
            text = f"{args[0]} {ARITHMETIC[op].symbol} {args[1]}"
        case _:
            text = f"{node.op}({', '.join(args)})"
    return text + note
