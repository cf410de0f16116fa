"""The tensors that a loop reads, in the order in which torch hands them over.

That order is known here alone: which field of the C structure each tensor fills, where it comes
from, and which fields its gradient comes out of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from odyssey.compiler.backends.native.abi.tables import Field
from odyssey.compiler.backends.native.plan import Plan

Source = tuple[str, str | int]
"""Where an input comes from: `parameter` and its name, `state` and its name, or the number of a
value from before the loop, which is a `value` of its own or the `operand` of products."""


@dataclass(frozen=True)
class Inputs:
    """What the inputs of a loop are.

    Attributes:
        names: The field of each.
        gradients: For each, the fields that add up to its gradient.
        sources: For each, where it comes from.
    """

    names: tuple[str, ...]
    gradients: tuple[tuple[str, ...], ...]
    sources: tuple[Source, ...]

    def unwanted(self, fields: Mapping[str, Field], wanted: Sequence[bool]) -> frozenset[str]:
        """Names the gradients that nobody wants and that can be left out.

        Args:
            fields: Those of a backward call.
            wanted: Whether the gradient of an input is, for each.
        """
        parts = zip(self.gradients, wanted, strict=True)
        alone = (names[0] for names, want in parts if not want and len(names) == 1)
        return frozenset(name for name in alone if name in fields and fields[name].optional)


def loop_inputs(plan: Plan, indexed: frozenset[int]) -> Inputs:
    """Lists the inputs of a loop in their order; `indexed` are the stacks that an index reads.

    For each stack, rows or vectors (none where an index takes rows), its matrices and biases; then
    the vectors, the matrices of the loop, and the states.
    """
    nodes = plan.program.nodes
    rows: list[tuple[str, tuple[str, ...], Source]] = []

    def add(name: str, gradients: Sequence[str], kind: str, key: str | int) -> None:
        if kind == "value" and nodes[int(key)].op == "vector":
            kind, key = "parameter", nodes[int(key)].name
        rows.append((name, tuple(gradients), (kind, key)))

    for n, stack in enumerate(plan.stacks):
        if not stack.results:
            add(f"x{n}", [f"gx{n}"], "value", stack.leaves[0])
        elif n not in indexed:
            add(f"a{n}", [f"ga{n}"], "operand", stack.operand)
        for i, r in enumerate(stack.results):
            add(f"wx{n}_{i}", [f"gw{n}_{i}"], "parameter", nodes[r].name)
        for i, b in enumerate(stack.biases):
            if b is not None:
                add(f"qx{n}_{i}", [f"gq{n}_{i}"], "value", b)
    for k in plan.vectors:
        add(f"p{k}", [f"g{k}"], "value", k)
    parts: dict[str, list[str]] = {name: [] for name in plan.matrices}
    for n, group in enumerate(plan.groups):
        for i, r in enumerate(plan.trained(group)):
            parts[nodes[r].name].append(f"gm{n}_{i}")
    for n, name in enumerate(plan.matrices):
        add(f"m{n}", parts[name], "parameter", name)
    for name, n in plan.state.items():
        add(f"i{n}", [f"di{n}"], "state", name)
    return Inputs(
        tuple(name for name, _, _ in rows),
        tuple(gradients for _, gradients, _ in rows),
        tuple(source for _, _, source in rows),
    )
