"""Calls C: tensors in, tensors out.

`kernel.py` holds the compiled code of a cell and `memory.py` lays out what a call needs;
`operator.py` makes the loop an operator of torch, `layer.py` runs what comes before the loop in
torch and then calls it; `training_layer.py` runs a layer in training without autograd,
`training_step.py` the readout, the loss and the update.
"""
