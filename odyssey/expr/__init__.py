"""The language: what a recurrent cell is.

`functions.py` is the closed table of primitives and the leaves of an expression; `cell.py` the
`Cell`; `text.py` reads and prints cell text; `verify.py` says what a legal cell is and `shapes.py`
how large its parts are; `algebra.py` and `canonical.py` give the normal form and content key,
`fingerprint.py` the numeric second opinion, `identity.py` the answer to "is this the same cell?";
`notation.py` prints LaTeX and HTML. `graph.py` is a cell as operations, `jacobian.py` its one-step
derivative, `bounds.py` interval arithmetic, `precise.py` arithmetic of any precision;
`normal_text.py` prints normal forms, `initial.py` reads `init` lines. May import sympy and numpy
only.

To add a primitive: one row in `functions.PRIMITIVES`; its contract tests come for free.
"""

from odyssey.expr.cell import Cell as Cell
from odyssey.expr.text import parse_cell as parse_cell
