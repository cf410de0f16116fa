"""The reference backend: plain torch and autograd, any dtype and device.

Each program becomes one Python function, written out as source (`odyssey show SPEC --as eager`):
input products for all steps at once (a row gather for class indices), then a loop with one
stacked product per level. What is added to a product before the loop is added inside it
(`addmm`), and neighbouring results with the same activation are squashed together.

`source.py` writes the function, `operations.py` holds what it calls besides torch, and `layer.py`
runs it.
"""

from odyssey.compiler.backends.eager.layer import EAGER as EAGER
from odyssey.compiler.backends.eager.layer import build_before_loop as build_before_loop
from odyssey.compiler.backends.eager.operations import gather as gather
from odyssey.compiler.backends.eager.operations import product as product
