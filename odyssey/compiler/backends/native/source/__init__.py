"""Writes C: what a call computes, as text.

`writer.py` writes the file of a cell, out of `blocks.py` (products of a block of steps),
`pointwise.py` (elementwise code), `addresses.py` (where values lie), `functions.py` (activations)
and `frame.py` (what no cell changes); `training_step.py` writes the rest of a training step.
"""
