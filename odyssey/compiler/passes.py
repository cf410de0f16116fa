"""The passes: each a function Program -> Program that keeps the meaning.

In order: constants are computed (`fold_constants`), what nothing needs goes (`drop_dead`), sums are
regrouped so that what the loop does not change is added before it (`order_sums`), every value moves
to the earliest region (`hoist`), and the maps of one operand become one product (`stack_maps`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from odyssey.expr.arithmetic import ARITHMETIC
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.program import REGIONS, Group, Node, Program, drop_dead
from odyssey.expr.sizes import is_matrix


def _rewrite(
    program: Program, visit: Callable[[Node, Callable[[Node], int]], Node | int]
) -> Program:
    """Rebuilds a program node by node, sharing equal ones.

    `visit` gets a node with its new arguments and a function that emits more nodes; it gives the
    node to put in its place, or the number of one that exists already.
    """
    nodes: list[Node] = []
    numbers: dict[Node, int] = {}

    def emit(node: Node) -> int:
        bare = replace(node, label="")
        if bare not in numbers:
            numbers[bare] = len(nodes)
            nodes.append(node)
        elif node.label and not nodes[numbers[bare]].label:
            nodes[numbers[bare]] = node
        return numbers[bare]

    new: list[int] = []
    for node in program.nodes:
        moved = replace(node, args=tuple(new[a] for a in node.args))
        result = visit(moved, emit)
        new.append(result if isinstance(result, int) else emit(result))
    return program.renumbered(nodes, new)


def fold_constants(program: Program) -> Program:
    """Computes what does not depend on inputs, states or parameters; drops `identity` and `1 *`."""
    values: dict[int, float] = {}

    def visit(node: Node, emit: Callable[[Node], int]) -> Node | int:
        if node.op == "identity":
            return node.args[0]
        if node.args and node.op != "matmul" and all(a in values for a in node.args):
            own = ARITHMETIC.get(node.op)
            apply = own.apply if own else PRIMITIVES[node.op].numpy
            with np.errstate(all="ignore"):
                result = float(apply(*(np.float64(values[a]) for a in node.args)))
            node = Node("constant", value=result, size="1", label=node.label)
        if node.op == "mul":
            for one, other in (node.args, node.args[::-1]):
                if values.get(one) == 1:  # 1 * a -> a, as where a named constant is 1
                    return other
        if node.op == "constant":
            value = float(node.value)
            number = emit(replace(node, value=value))
            values[number] = value
            return number
        return node

    return _rewrite(program, visit)


def _region(node: Node, regions: list[str]) -> str:
    own = {"input": "sequence", "previous": "step"}.get(node.op, "once")
    if is_matrix(node.size):  # of all steps they would be large
        own = "step"
    return max([own, *(regions[a] for a in node.args)], key=REGIONS.index)


def order_sums(program: Program) -> Program:
    """Regroups sums so that what is known before the loop is added before the loop.

    `U @ h + W @ x + b` becomes `(b + W @ x) + U @ h`: the first part moves out of the time loop.
    """
    uses = program.uses()
    regions: list[str] = []
    for node in program.nodes:
        regions.append(_region(node, regions))
    inner = {  # sums that only feed another sum dissolve in it
        a
        for node in program.nodes
        if node.op in ("add", "sub", "neg")
        for a in node.args
        if uses[a] == 1 and program.nodes[a].op in ("add", "sub", "neg")
    }

    def terms(k: int, sign: int) -> list[tuple[int, int]]:
        node = program.nodes[k]
        signs = {"add": (1, 1), "sub": (1, -1), "neg": (-1,)}[node.op]
        flat: list[tuple[int, int]] = []
        for a, s in zip(node.args, signs, strict=True):
            flat += terms(a, sign * s) if a in inner else [(a, sign * s)]
        return flat

    nodes: list[Node] = []
    new: dict[int, int] = {}

    def emit(op: str, *args: int, size: str, label: str = "") -> int:
        nodes.append(Node(op, args, size=size, label=label))
        return len(nodes) - 1

    for k, node in enumerate(program.nodes):
        if k in inner:
            continue
        if node.op not in ("add", "sub", "neg"):
            nodes.append(replace(node, args=tuple(new[a] for a in node.args)))
            new[k] = len(nodes) - 1
            continue
        # stable, positive terms first within a region
        ordered = sorted(terms(k, 1), key=lambda t: (REGIONS.index(regions[t[0]]), -t[1]))
        (first, sign), *rest = ordered
        total, size = new[first], program.nodes[first].size
        if sign < 0:
            total = emit("neg", total, size=size)
        for a, s in rest:
            size = size if size != "1" else program.nodes[a].size
            total = emit("add" if s > 0 else "sub", total, new[a], size=size)
        nodes[total] = replace(nodes[total], label=nodes[total].label or node.label)
        new[k] = total
    # constants of one sum, as in elu(a) + 1, have come together
    return drop_dead(fold_constants(program.renumbered(nodes, new)))


def hoist(program: Program) -> Program:
    """Puts every value into the earliest region: once per call, per sequence, or per step."""
    regions: list[str] = []
    for node in program.nodes:
        regions.append(_region(node, regions))
    nodes = tuple(replace(n, region=r) for n, r in zip(program.nodes, regions, strict=True))
    return replace(program, nodes=nodes)


def stack_maps(program: Program) -> Program:
    """Stacks the linear maps of one operand in one region into one product, with its level.

    Within a group, maps that end up in the same activation lie next to each other.
    """
    levels: list[int] = []
    for node in program.nodes:
        below = max((levels[a] for a in node.args), default=0)
        levels.append(below + (node.op == "matmul" and node.region == "step"))
    groups: dict[tuple[str, int], list[int]] = {}
    for k, node in enumerate(program.nodes):
        if node.op == "matmul":
            groups.setdefault((node.region, node.args[0]), []).append(k)

    def activation(k: int) -> tuple[str, int]:
        readers = [j for j, n in enumerate(program.nodes) if k in n.args]
        while len(readers) == 1 and program.nodes[readers[0]].op in ("add", "sub"):
            readers = [j for j, n in enumerate(program.nodes) if readers[0] in n.args]
        op = program.nodes[readers[0]].op if len(readers) == 1 else "~"
        return ("~" if op in ARITHMETIC or op == "matmul" else op, k)

    stacked = [
        Group(
            operand=operand,
            results=tuple(sorted(results, key=activation)),
            region=region,
            level=levels[results[0]] - 1 if region == "step" else 0,
        )
        for (region, operand), results in groups.items()
    ]
    stacked.sort(key=lambda g: (REGIONS.index(g.region), g.level, g.operand))
    return replace(program, groups=tuple(stacked))
