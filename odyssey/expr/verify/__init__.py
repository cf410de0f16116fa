"""What a legal cell is, and the reason when it is not.

`legal.py` verifies a whole cell: `declarations.py` checks what it declares, `expressions.py` what
stands right of `=`, `reach.py` what depends on what.
"""

from odyssey.expr.verify.legal import Verified as Verified
from odyssey.expr.verify.legal import verify as verify
from odyssey.expr.verify.legal import verify_renamed as verify_renamed
from odyssey.expr.verify.reach import after_past as after_past
