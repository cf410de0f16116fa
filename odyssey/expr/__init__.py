"""The language: what a recurrent cell is.

`arithmetic.py` is the arithmetic of the language, `primitives.py` the closed table of primitives,
`forms.py` that of functions which a formula in others defines, and all elementwise functions by
name; `reductions.py` is the table of functions over units, `properties.py` that of what makes
weights orthogonal and the like, `sizes.py` says how many numbers a value has; `terms.py` is what
expressions are made of and the one walk over them, `equations.py` the frozen fields of a cell: the
ground. `limits.py` says what the language allows, `initial.py` how weights start, `given.py` the
matrices that papers give, `schemes.py` how all others start, `text/` reads and prints cell text,
`shapes.py` infers sizes, `verify/` says what a legal cell is. `program.py` is a cell as
straight-line code, which the compiler lowers, `invariants.py` what holds of it,
`counts.py` how much it is, `running.py` runs
in NumPy and `precise.py` in any precision. `algebra.py`, `normal_text.py` and `canonical.py` give
the normal form and content key, `fingerprint.py` the numeric second opinion, `identity.py` the
answer to "is this the same cell?"; `bounds.py` bounds its values, `jacobian.py` differentiates it,
`notation.py` prints LaTeX and HTML. `cell.py` is the roof: the `Cell`, which knows all of these.
May import sympy and numpy only.

To add a function: one row in `forms.py` where a formula in other functions says what it is, else
one in `primitives.py`; their contract tests come for free.
"""

from odyssey.expr.cell import Cell as Cell
from odyssey.expr.cell import parse_cell as parse_cell
from odyssey.expr.cell import recall_cell as recall_cell
