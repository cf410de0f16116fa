"""Calls into the compiled code, from torch.

`kernel.py` is a program's compiled code with its structures and lengths, `products.py` the compiled
functions that all cells share, `memory.py` the pool that calls borrow from, `inputs.py` what a loop
reads, in which order, and `prepared.py` the calls of one shape. `operator.py` is the time loop as
an operator of torch, `layer.py` a layer that uses it. `training_layer.py` and `training_step.py`
are the parts of a training step on kept buffers, without autograd; `training_steps.py` makes
several of them in one call.
"""
