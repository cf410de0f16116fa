"""Cell -> torch: lowering to a `Program`, and backends that run it.

The IR is `odyssey.expr.program`; `passes.py` are the passes over it, `lowering.py` runs them in
order, `module.py` is the `RNN` module, `weights.py` its parameters and `arguments.py` what it
takes, `autodiff.py` the reverse mode, and `backends/` has one file per backend. May import expr and
torch.

To add a backend, see `backends/__init__.py`; the oracle, parity and gradient tests then cover it.
"""

from odyssey.compiler.lowering import lower as lower
from odyssey.compiler.module import RNN as RNN
