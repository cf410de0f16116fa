"""The tensors that a loop reads, in the order in which torch hands them over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from odyssey.compiler.backends.native.abi.tables import Field
from odyssey.compiler.backends.native.plan import Plan


@dataclass(frozen=True)
class Inputs:
    """What the inputs of a loop are.

    Attributes:
        names: The field of each.
        gradients: For each, the fields that add up to its gradient.
    """

    names: tuple[str, ...]
    gradients: tuple[tuple[str, ...], ...]

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
    pairs: list[tuple[str, tuple[str, ...]]] = []
    for n, stack in enumerate(plan.stacks):
        if not stack.results:
            pairs.append((f"x{n}", (f"gx{n}",)))
        elif n not in indexed:
            pairs.append((f"a{n}", (f"ga{n}",)))
        maps = range(len(stack.results))
        pairs += [(f"wx{n}_{i}", (f"gw{n}_{i}",)) for i in maps]
        pairs += [(f"qx{n}_{i}", (f"gq{n}_{i}",)) for i in maps if stack.biases[i] is not None]
    pairs += [(f"p{k}", (f"g{k}",)) for k in plan.vectors]
    parts: dict[str, list[str]] = {name: [] for name in plan.matrices}
    for n, group in enumerate(plan.groups):
        for i, r in enumerate(plan.trained(group)):
            parts[plan.program.nodes[r].name].append(f"gm{n}_{i}")
    pairs += [(f"m{n}", tuple(parts[name])) for n, name in enumerate(plan.matrices)]
    pairs += [(f"i{n}", (f"di{n}",)) for n in range(len(plan.program.states))]
    return Inputs(tuple(name for name, _ in pairs), tuple(parts for _, parts in pairs))
