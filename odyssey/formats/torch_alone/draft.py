"""What the parts of a file agree on: the cell, its program, and what each thing is called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from odyssey.compiler.lowering import lower
from odyssey.expr.cell import Cell
from odyssey.expr.initial import INITIAL_VALUES
from odyssey.expr.program import Program
from odyssey.expr.properties import Property, read
from odyssey.expr.sizes import source
from odyssey.formats.portable import Portable
from odyssey.formats.torch_alone.equations import imported_names

_TAKEN = frozenset(
    (
        "torch",
        "nn",
        "self",
        "Tensor",
        "load_file",
        "len",
        "range",
        "tuple",
        "zip",
        "super",
        "enumerate",
    )
)
_RUNNING = ("x", "y", "n", "state", "own", "made", "layer", "finals", "inputs", "outputs")
"""What `RNN.forward` and `Model.forward` call something else than a further input."""


@dataclass(frozen=True)
class Draft:
    """A file before its lines are written.

    Attributes:
        portable: What is written.
        program: The lowered cell.
        local: What the step calls the values of equations and new states, by label, and inputs,
            states and constants, by name.
        own: What `Cell` calls that which it has besides its parameters.
        made: Weights that properties make -> what the step calls them.
        frozen: Weights that are not trained.
        properties: Functions that make weights of what is stored, where a call is not enough.
        starts: Functions that give what weights start at.
        further: What a sequence of each further input is called -> its numbers at a step.
    """

    portable: Portable
    program: Program
    local: dict[str, str]
    own: dict[str, str]
    made: dict[str, str]
    frozen: tuple[str, ...]
    properties: tuple[str, ...]
    starts: tuple[str, ...]
    further: dict[str, str]

    @property
    def cell(self) -> Cell:
        """The cell."""
        return self.portable.cell

    @property
    def sizes(self) -> dict[str, str]:
        """How a method of `Cell` reads I and H."""
        names = {"inputs": "input_size", "units": "hidden_size"}
        return {size: f"self.{self.own[name]}" for size, name in names.items()}


def draft(portable: Portable) -> Draft:
    """Gives names that do not meet each other to all that a file has."""
    cell, program = portable.cell, lower(portable.cell)
    local = {e.label: fresh(e.target) for e in cell.equations if not e.updates_state}
    local |= {s: fresh(s) for s in (*cell.states, *cell.inputs, *cell.constants)}
    local |= {f"{s}[t]": fresh(f"{s}_t", cell.names) for s in cell.states}
    own = ("input_size", "hidden_size", "made", "reset_parameters")
    said = {n: [read(p)[0] for p in words] for n, words in program.properties.items()}
    kinds = [i.kind for i in cell.inits if i.kind in INITIAL_VALUES]
    making = [row for rows in said.values() for row in rows if row.trained]
    properties = tuple(dict.fromkeys(row.name for row in making if not is_call(row)))
    starts = tuple(k for k in dict.fromkeys(kinds) if "return " in INITIAL_VALUES[k].torch)
    taken = {*local.values(), *properties, *starts}
    return Draft(
        portable,
        program,
        local=local,
        own={name: fresh(name, program.parameters()) for name in own},
        made={
            n: fresh(n, taken)
            for n in program.parameters()
            if any(row.trained for row in said.get(n, ()))
        },
        frozen=tuple(
            n for n in program.parameters() if not all(r.trained for r in said.get(n, ()))
        ),
        properties=properties,
        starts=starts,
        further={
            fresh(name, _RUNNING): source(size, inputs="input_size")
            for name, size in cell.shapes.inputs.items()
        },
    )


def is_call(row: Property) -> bool:
    """Says whether what a property makes of a weight is one call of it."""
    return row.torch.count("raw") == 1 and "\n" not in row.torch


def fresh(name: str, taken: Iterable[str] = ()) -> str:
    """Gives a name that is neither taken nor means something in every file: with `_` behind it."""
    taken = {*taken, *_TAKEN, *imported_names()}
    while name in taken:
        name += "_"
    return name
