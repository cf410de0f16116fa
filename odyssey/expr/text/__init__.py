"""Cell <-> text, and the difference of two cells.

The text follows Python's grammar line by line and is read with `ast` and a whitelist of nodes:
nothing is ever evaluated. `expressions.py` reads what stands right of `=`, `reading.py` all lines
of a cell; `printing.py` writes them. See docs/language.md for the language with examples.
"""

from odyssey.expr.text.printing import diff as diff
from odyssey.expr.text.printing import format_cell as format_cell
from odyssey.expr.text.printing import format_expression as format_expression
from odyssey.expr.text.printing import format_head as format_head
from odyssey.expr.text.printing import share_that_differs as share_that_differs
from odyssey.expr.text.reading import INIT_KINDS as INIT_KINDS
from odyssey.expr.text.reading import CellSource as CellSource
from odyssey.expr.text.reading import read_equations as read_equations
