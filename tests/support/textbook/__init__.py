"""The papers' equations, written down once more, by hand, on row vectors.

A method of `Textbook` has the name of a cell. It takes the input, the states and by name the
further inputs, and gives the new states; where the output is no state, it comes first. `W_` maps
the input, `U_` a state, `Q_` a state to the size of the input; what else a method reads of `self.v`
is a vector, of the size of the input where its name begins with q. `SIZES` has what is of another
size than that.

By families: `units.py` units without gates and dynamical systems, `gates.py` gates on the hidden
state, `memories.py` gates around a memory cell, `scans.py` recurrences that are linear in the past,
`searched.py` what searches have found, `matrices.py` states that are matrices,
`rotations.py` maps of the past that keep lengths, `sized.py` cells with sizes of their own,
`spaces.py` state spaces and memories in heads.
"""

from support.textbook.gates import Gates
from support.textbook.matrices import Matrices
from support.textbook.memories import Memories
from support.textbook.rotations import Rotations
from support.textbook.scans import Scans
from support.textbook.searched import Searched
from support.textbook.sized import Sized
from support.textbook.spaces import Spaces
from support.textbook.units import Units


class Textbook(Units, Gates, Memories, Scans, Searched, Matrices, Rotations, Sized, Spaces):
    """All cells."""


SIZES = {
    "fastrnn": {"alpha": "1", "beta": "1"},
    "fastgrnn": {"zeta": "1", "nu": "1"},
    "fastgrnn_lowrank": {
        "zeta": "1",
        "nu": "1",
        "W_1": "n * (n // 4)",
        "W_2": "n // 4 * m",
        "U_1": "n * (n // 4)",
        "U_2": "n // 4 * n",
    },
    "lstmp": {
        **{f"W_{k}": "4 * n * m" for k in "gifo"},
        **{f"U_{k}": "4 * n * n" for k in "gifoh"},
        **{f"b_{k}": "4 * n" for k in "gifo"},
        **{f"p_{k}": "4 * n" for k in "ifo"},
    },
    "group_lstm": {f"V_{k}": "n * n" for k in "ifog"},
    "gru_d": {"V_d": "n * m", "V_r": "n * m", "V_z": "n * m", "V_n": "n * m"},
    "context_gru": {f"V_{k}": "n * 64" for k in "rzn"},
    "context_lstm": {f"V_{k}": "n * 64" for k in "ifog"},
    "grid_lstm": {f"V_{k}{n}": "n * n" for k in "ifogpqrs" for n in (1, 2)},
    "deltanet": {"W_b": "m"},
    "gated_deltanet": {"W_a": "m", "W_b": "m", "s": "1", "b_a": "1"},
    "mlstm_xlstm": {"W_i": "m", "W_f": "m", "b_i": "1", "b_f": "1"},
}
"""How many numbers a weight has, by m inputs and n units, where its name does not say it.

Of cells that declare sizes and are not listed, it is only asked that the textbook reads every
weight; that their shapes fit is said by its products.
"""
