"""What the parts of a file agree on: the cell, its program, and what each thing is called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from odyssey.compiler.lowering import lower
from odyssey.expr.cell import Cell
from odyssey.expr.initial import INITIAL_VALUES
from odyssey.expr.program import Program
from odyssey.expr.properties import read
from odyssey.expr.sizes import source
from odyssey.formats.portable import Portable

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
        properties: Functions that make weights of what is stored.
        starts: Functions that give what weights start at.
        further: What a sequence of each further input is called -> its numbers at a step.
    """

    portable: Portable
    program: Program
    local: dict[str, str]
    own: dict[str, str]
    made: dict[str, str]
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
    local = {e.label: _fresh(e.target) for e in cell.equations if not e.updates_state}
    local |= {s: _fresh(s) for s in (*cell.states, *cell.inputs, *cell.constants)}
    local |= {f"{s}[t]": _fresh(f"{s}_t", cell.names) for s in cell.states}
    own = ("input_size", "hidden_size", "made", "reset_parameters")
    said = [read(p)[0].name for words in program.properties.values() for p in words]
    kinds = [i.kind for i in cell.inits if i.kind in INITIAL_VALUES]
    properties = tuple(dict.fromkeys(said))
    starts = tuple(k for k in dict.fromkeys(kinds) if "\n" in INITIAL_VALUES[k].torch)
    taken = {*local.values(), *properties, *starts}
    return Draft(
        portable,
        program,
        local=local,
        own={name: _fresh(name, program.parameters()) for name in own},
        made={n: _fresh(n, taken) for n in program.parameters() if n in program.properties},
        properties=properties,
        starts=starts,
        further={
            _fresh(name, _RUNNING): source(size, inputs="input_size")
            for name, size in cell.shapes.inputs.items()
        },
    )


def _fresh(name: str, taken: Iterable[str] = ()) -> str:
    """Gives a name that is not taken: with an underscore behind it, or more."""
    taken = {*taken, *_TAKEN}
    while name in taken:
        name += "_"
    return name
