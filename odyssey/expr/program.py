"""The IR: straight-line code of one step, with every value in the region where it is computed.

A `Program` is in SSA form: `nodes[k]` has the number k and reads only smaller numbers. Regions say
how often a node runs: `once` per call (parameters and constants), `sequence` for all time steps at
a time (what depends on the input but on no state), `step` in the time loop. Linear maps that read
the same operand in the same region are stacked into a `Group`: one matrix product.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

LEAF_OPS = ("input", "previous", "vector", "constant")
ARITHMETIC = {"add": 2, "sub": 2, "mul": 2, "div": 2, "neg": 1}
REGIONS = ("once", "sequence", "step")


@dataclass(frozen=True)
class Node:
    """One value.

    Attributes:
        op: `input`, `previous`, `vector`, `constant`, `matmul`, an arithmetic operation or a
            primitive.
        args: Numbers of the nodes that it reads.
        name: Name of the state, vector or matrix.
        value: Value of a constant.
        size: "I", "H", or "1" for a number that broadcasts.
        label: The named equation whose value this is, for reading.
        region: `once`, `sequence` or `step`; empty before regions are assigned.
    """

    op: str
    args: tuple[int, ...] = ()
    name: str = ""
    value: float = 0.0
    size: str = "H"
    label: str = ""
    region: str = ""


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
        matrices: Name -> (rows, columns), each "I" or "H"; only what the code uses.
        vectors: Name -> "I" or "H".
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

    @property
    def roots(self) -> tuple[int, ...]:
        """Numbers of the values that leave the program."""
        return (*self.updates, self.output)

    def uses(self) -> Counter[int]:
        """Counts how often each value is read, roots included."""
        return Counter([a for n in self.nodes for a in n.args] + list(self.roots))

    def shape(self, name: str, input_size: int, hidden_size: int) -> tuple[int, ...]:
        """Gives the shape of a parameter for given sizes."""
        sizes = {"I": input_size, "H": hidden_size}
        if name in self.matrices:
            rows, columns = self.matrices[name]
            return sizes[rows], sizes[columns]
        return (sizes[self.vectors[name]],)

    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters in use, in order of first use in the cell."""
        return (*self.matrices, *self.vectors)


_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


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
                    maps = ", ".join(program.nodes[r].name for r in group.results)
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
            text = "x[t]"
        case "previous":
            text = f"{node.name}[t-1]"
        case "vector":
            text = node.name
        case "constant":
            text = f"{node.value:g}"
        case "matmul":
            text = f"{node.name} @ {args[0]}"
        case op if op in _INFIX:
            text = f"{args[0]} {_INFIX[op]} {args[1]}"
        case "neg":
            text = f"-{args[0]}"
        case _:
            text = f"{node.op}({', '.join(args)})"
    return text + note
