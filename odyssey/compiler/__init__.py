"""Cell -> torch: lowering to a `Program`, and backends that run it.

The IR is `odyssey.expr.program`; `passes.py` are the passes over it, `lowering.py` runs them in
order, `autodiff.py` is the reverse mode, and `backends/` has one file per backend. `layers.py`
holds the layers of a cell, `weights.py` the parameters of one; `module.py` is the `RNN`, which
calls them, `one_step.py` one step of it, `arguments.py` what they take, `sequences.py` how a layer
reads it. `conversion.py` makes our modules of torch's, whose cells `torch_cells.py` knows. May
import expr and torch.

To add a backend, see `backends/__init__.py`; the oracle, parity and gradient tests then cover it.
"""

from odyssey.compiler.conversion import from_torch as from_torch
from odyssey.compiler.lowering import lower as lower
from odyssey.compiler.module import RNN as RNN
from odyssey.compiler.one_step import RNNCell as RNNCell
