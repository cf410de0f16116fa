"""Random parameters, inputs and states of a cell, for the oracle."""

import numpy as np

from odyssey.expr.sizes import axes, resolve

INPUTS, UNITS, ROWS, STEPS = 3, 4, 2, 5


def drawn(cell, seed=0):
    """Parameters, an input and a state of a cell."""
    rng = np.random.default_rng(seed)
    inputs = UNITS if cell.shapes.square else INPUTS
    shapes = {**cell.shapes.matrices, **{n: (s,) for n, s in cell.shapes.vectors.items()}}
    parameters = {
        name: 0.5 * rng.normal(size=[resolve(s, inputs, UNITS) for s in sizes])
        for name, sizes in shapes.items()
    }
    state = {
        name: rng.normal(size=(ROWS, *(resolve(axis, inputs, UNITS) for axis in axes(size))))
        for name, size in cell.shapes.states.items()
    }
    return parameters, rng.normal(size=(STEPS, ROWS, inputs)), state
