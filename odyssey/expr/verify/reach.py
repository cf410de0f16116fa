"""What depends on what, through this step and the steps before."""

from __future__ import annotations

from collections.abc import Mapping

from odyssey.expr.equations import Equations, IllegalCellError, IllegalEquationError
from odyssey.expr.terms import leaves


def dependencies(cell: Equations) -> dict[str, set[str]]:
    """Gives for each equation's label the labels, input and previous states it reads."""
    return {e.label: {leaf.name for leaf in leaves(e.value)} for e in cell.equations}


def after_past(cell: Equations) -> frozenset[str]:
    """Gives the labels that depend on a state after the previous step, through any others."""
    reads = dependencies(cell)
    return frozenset(
        label for label in reads if any(n.endswith("[t-1]") for n in _reach(reads, label))
    )


def _reach(reads: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        for name in reads.get(todo.pop(), ()):
            earlier = name.endswith("[t-1]")
            for label in (name, name.replace("[t-1]", "[t]") if earlier else name):
                if label not in found:
                    found.add(label)
                    todo.append(label)
    return found


def check_reach(cell: Equations) -> None:
    """Raises `CellError` unless the output reaches the input, and states carry something on."""
    output = cell.output_label
    reads = dependencies(cell)
    reached = _reach(reads, output)
    if f"{cell.input}[t]" not in reached:
        raise IllegalCellError(
            f"the output {output} does not depend on the input {cell.input}[t]", "output"
        )
    previous = {f"{s}[t-1]" for s in cell.states}
    if not cell.recurrent:
        used = sorted(previous & set().union(*reads.values()))
        if used:
            raise IllegalCellError(f"the cell says 'not recurrent' but reads {used[0]}", "not")
        return
    if not previous & reached:
        raise IllegalCellError(
            f"the output {output} does not depend on any previous state;"
            " if that is meant, say 'not recurrent'",
            "output",
        )
    everything = set().union(*reads.values())
    for state in cell.states:
        carried = f"{state}[t-1]" in everything  # a delay line is a memory as well
        if not carried and not previous & _reach(reads, f"{state}[t]"):
            index = [e.label for e in cell.equations].index(f"{state}[t]")
            raise IllegalEquationError(
                cell,
                index,
                f"state {state!r} carries nothing from step to step;"
                f" make it a plain equation: {state} = ...",
            )
