"""The papers' equations, written down once more, by hand, on row vectors.

A method of `Textbook` has the name of a cell. It takes the input and the states, and gives the new
states; where the output is no state, it comes first. `W_` maps the input, `U_` a state, `Q_` a
state to the size of the input; what else a method reads of `self.v` is a vector, of the size of the
input where its name begins with q.

By families: `units.py` units without gates and dynamical systems, `gates.py` gates on the hidden
state, `memories.py` gates around a memory cell, `scans.py` recurrences that are linear in the past,
`searched.py` what searches have found.
"""

from support.textbook.gates import Gates
from support.textbook.memories import Memories
from support.textbook.scans import Scans
from support.textbook.searched import Searched
from support.textbook.units import Units


class Textbook(Units, Gates, Memories, Scans, Searched):
    """All cells."""
