"""What the graph of a cell looks like, in numbers: how much it holds, and how a state returns.

A *way* leads from a state after the previous step to the new value of a state, along the operations
of one step; a *return* joins ways until the state that it began with is reached again, one step
later or several. Gradients through time travel along returns. On a *linear* way the state passes
sums, signs, products and quotients (above the line) only: the gradient is multiplied unit by unit,
and by neither matrices nor the slopes of functions.

All is read off the program (`Cell.live`): forms are their formulas, so that `silu(v)` is a product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from odyssey.expr.cell import Cell
from odyssey.expr.primitives import ANYTHING, PRIMITIVES
from odyssey.expr.program import Node, Program
from odyssey.transforms.constraints import depth, nodes

_SUMS = ("add", "sub")
_LINEAR = (*_SUMS, "neg", "mul", "div")
_Way = tuple[str, bool]  # where it has come to, and whether it has passed a sum


@dataclass(frozen=True)
class Feature:
    """One row of the table of features.

    Attributes:
        name: Its name.
        about: What it is, in a line.
        of: Gives the number of a cell; inf where there is none.
    """

    name: str
    about: str
    of: Callable[[Cell], float]


def count_maps(cell: Cell) -> int:
    """Counts the linear maps of one step; a matrix that is applied twice counts twice."""
    return sum(node.op == "matmul" for node in cell.live.nodes)


def count_products(cell: Cell) -> int:
    """Counts the products both of whose factors change from step to step."""
    program = cell.live
    moves = program.reached(["input", "previous"])
    return sum(node.op == "mul" and all(moves[a] for a in node.args) for node in program.nodes)


def count_states(cell: Cell) -> int:
    """Counts the states that the output depends on."""
    return len(cell.live.states)


def has_additive_path(cell: Cell) -> bool:
    """Says whether a state is a term of a sum that becomes it, times numbers or values at most.

    `c[t] = f * c[t-1] + i * g` is such a sum, also where its parts are equations of their own;
    `tanh(U @ h[t-1] + ...)` is none. Through several states a state may return as well.
    """
    return _least_return(cell.live, _is_crooked, summed=True) == 0


def maps_on_return(cell: Cell) -> float:
    """Counts the linear maps on the return of a state that has fewest; inf if none returns."""
    return _least_return(cell.live, lambda program, k, _: program.nodes[k].op == "matmul")


def saturations_on_return(cell: Cell) -> float:
    """Counts the bounded functions on the return of a state that has fewest; inf if none returns.

    A bounded function, such as tanh or sigmoid, has no slope far out.
    """
    return _least_return(cell.live, lambda program, k, _: _is_bounded(program.nodes[k]))


def gates_on_path(cell: Cell) -> int:
    """Counts the gates that multiply states on linear ways; `z` and `1 - z` are one gate.

    A gate changes from step to step and lies in [0, 1] whatever the weights: a function with that
    range.
    """
    program = cell.live
    moves = program.reached(["input", "previous"])
    from_state = [node.op == "previous" for node in program.nodes]
    for k, node in enumerate(program.nodes):
        from_state[k] |= any(from_state[a] for a in node.args) and _is_linear(program, k)
    to_state = [False] * len(program.nodes)
    for k in program.updates:
        to_state[k] = True
    for k in reversed(range(len(program.nodes))):
        if to_state[k] and program.nodes[k].op in _LINEAR:
            for a in program.nodes[k].args:
                to_state[a] = True
    found = set()
    for k, node in enumerate(program.nodes):
        if node.op == "mul" and to_state[k]:
            one, other = node.args
            for factor, operand in ((one, other), (other, one)):
                gate = _gate(program, factor)
                if from_state[operand] and gate is not None and moves[gate]:
                    found.add(gate)
    return len(found)


def _gate(program: Program, k: int) -> int | None:
    """Gives the number of the gate that a value is, or is one minus; None if it is no gate."""
    node = program.nodes[k]
    if node.op == "sub" and program.nodes[node.args[0]].op == "constant":
        return _gate(program, node.args[1]) if program.nodes[node.args[0]].value == 1 else None
    if node.op not in PRIMITIVES:
        return None
    low, high = PRIMITIVES[node.op].interval(*[ANYTHING] * len(node.args))
    return k if low >= 0 and high <= 1 else None


def _is_bounded(node: Node) -> bool:
    if node.op not in PRIMITIVES:
        return False
    return all(map(math.isfinite, PRIMITIVES[node.op].interval(*[ANYTHING] * len(node.args))))


def _is_linear(program: Program, k: int) -> bool:
    """Says whether a value is linear in all of its operands that come from a state."""
    return program.nodes[k].op in _LINEAR and not _is_crooked(program, k, program.nodes[k].args[-1])


def _is_crooked(program: Program, k: int, operand: int) -> bool:
    """Says whether an operation is no sum, sign or product, with the operand above the line."""
    node = program.nodes[k]
    return node.op not in _LINEAR or (node.op == "div" and operand == node.args[1])


def _least_return(
    program: Program, costs: Callable[[Program, int, int], bool], *, summed: bool = False
) -> float:
    """Gives how many operations that cost the cheapest return passes; inf if there is no return.

    Args:
        program: The cell.
        costs: Whether the operation with the first number costs, for its operand, the second.
        summed: Whether the return must pass a sum.
    """
    ways = {s: dict(_ways(program, s, costs)) for s in program.states}
    least = math.inf
    for start in program.states:
        best: dict[_Way, float] = {(start, False): 0.0}
        for _ in range(2 * len(program.states)):  # Bellman, Ford: no shortest way is longer
            for (state, added), cost in list(best.items()):
                for (new, adds), more in ways[state].items():
                    place, total = (new, added or adds), cost + more
                    if new == start and (place[1] or not summed):
                        least = min(least, total)
                    best[place] = min(best.get(place, math.inf), total)
    return least


def _ways(
    program: Program, state: str, costs: Callable[[Program, int, int], bool]
) -> Iterator[tuple[_Way, float]]:
    """Gives the costs of the cheapest ways from a state to new values, with and without a sum."""
    best: list[dict[bool, float]] = []
    for k, node in enumerate(program.nodes):
        mine: dict[bool, float] = {}
        if node.op == "previous" and node.name == state:
            mine[False] = 0.0
        for a in node.args:
            for added, cost in best[a].items():
                passed = added or node.op in _SUMS
                mine[passed] = min(mine.get(passed, math.inf), cost + costs(program, k, a))
        best.append(mine)
    for new, k in zip(program.states, program.updates, strict=True):
        for added, cost in best[k].items():
            yield (new, added), cost


_ROWS = (
    Feature("nodes", "operations of one step", nodes),
    Feature("depth", "operations in the longest chain of one step", depth),
    Feature("maps", "linear maps", count_maps),
    Feature("states", "states", count_states),
    Feature("products", "products of two values that change", count_products),
    Feature("additive_path", "whether a state returns as a term of a sum", has_additive_path),
    Feature("maps_on_return", "fewest linear maps on a state's return", maps_on_return),
    Feature(
        "saturations_on_return",
        "fewest bounded functions on a state's return",
        saturations_on_return,
    ),
    Feature("gates_on_path", "gates that multiply a state on a linear way", gates_on_path),
)

FEATURES: Mapping[str, Feature] = {row.name: row for row in _ROWS}
"""What is read off a cell's graph, by name."""
