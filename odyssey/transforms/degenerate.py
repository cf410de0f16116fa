"""Degenerate cells: what is not worth training, seen by running the untrained cell.

The cell runs in float64 with weights as training starts them: its `init` lines, biases at zero and
the rest uniform in [-1/sqrt(H), 1/sqrt(H)] (Jozefowicz et al. 2015 with scale 1). A few networks
run side by side on three sequences: one, the same from another state, and another one. A verdict
needs all networks, so that a cell is not condemned by one draw.
"""

from __future__ import annotations

import numpy as np

from odyssey.expr.cell import Cell
from odyssey.expr.initial import draw_weights
from odyssey.expr.primitives import Array
from odyssey.expr.program import MAIN_INPUT, Program
from odyssey.expr.properties import apply_properties
from odyssey.expr.running import run_program
from odyssey.expr.sizes import axes, resolve
from odyssey.transforms.constraints import Rejection

DRAWS = 3  # networks
EXPLODED = 1e6  # an output or state of this size after so few steps
SAME = 1e-9  # outputs that differ by less, relative to their size, are the same


def degenerate(
    cell: Cell, *, hidden_size: int = 16, input_size: int = 8, steps: int = 50, seed: int = 0
) -> Rejection | None:
    """Gives the reason why a cell is not worth training, or None.

    Args:
        cell: The cell.
        hidden_size: H.
        input_size: I; a square cell reads H inputs instead.
        steps: T, the steps of one run.
        seed: Of the weights and inputs; same seed, same verdict.

    Returns:
        A rejection with one of these codes, the first that is found:
        `non_finite` (NaN or infinity in an output or state), `exploding` (one beyond 1e6),
        `constant` (the output is the same at all steps after the first few, for all inputs),
        `no_input` (the input does not change the output),
        `no_state` (the state at the start does not change the output of any step).
    """
    program = cell.live
    rng = np.random.default_rng(seed)
    size = hidden_size if cell.shapes.square else input_size
    weights = _initial(cell, program, size, hidden_size, rng)
    widths = {MAIN_INPUT: size} | {
        name: resolve(own, size, hidden_size) for name, own in program.inputs.items()
    }
    inputs = {}
    for name, width in widths.items():
        inputs[name] = rng.normal(size=(steps, DRAWS, 3, width))
        inputs[name][:, :, 1] = inputs[name][:, :, 0]
    start = {}
    for state in program.states:
        units = [resolve(axis, size, hidden_size) for axis in axes(program.state_size(state))]
        start[state] = np.zeros((DRAWS, 3, *units)) + _first(program, state, weights)
        start[state][:, 1] += rng.normal(0.0, 0.5, (DRAWS, *units))
    with np.errstate(all="ignore"):
        y_TPBH, states = run_program(program, weights, inputs, start)
        every = (values.reshape(*values.shape[:2], -1) for values in (y_TPBH, *states.values()))
        sizes = [np.abs(values).max(axis=2) for values in every]
    size_TP = np.stack(sizes).max(axis=0)  # NaN where there is one
    tame_TP = np.logical_and.accumulate(size_TP <= EXPLODED)
    if not tame_TP[-1].any():
        step = int(tame_TP.any(axis=1).argmin())  # at which the last network goes
        if np.isfinite(size_TP[step]).any():
            text = f"an output or state passes {EXPLODED:g} at step {step + 1}"
            return Rejection("exploding", text)
        return Rejection("non_finite", f"an output or state is not finite at step {step + 1}")
    y = y_TPBH[:, tame_TP[-1]]
    scale = SAME * np.maximum(1.0, np.abs(y).max())
    moves = np.abs(y[1:, :, 0] - y[:-1, :, 0]).max()
    by_input = np.abs(y[:, :, 2] - y[:, :, 0]).max()
    by_state = np.abs(y[:, :, 1] - y[:, :, 0]).max()
    if moves <= scale and by_input <= scale:
        return Rejection("constant", "the output is constant")
    if by_input <= scale:
        return Rejection("no_input", "the output does not depend on the input")
    if cell.recurrent and by_state <= scale:
        return Rejection("no_state", "the output does not depend on the previous state")
    return None


def _initial(
    cell: Cell, program: Program, input_size: int, hidden_size: int, rng: np.random.Generator
) -> dict[str, Array]:
    """Draws the weights of all networks, (P, N, N) or (P, N) each."""
    bound = 1.0 / np.sqrt(hidden_size)

    def default(name: str, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape) if name in program.biases else rng.uniform(-bound, bound, shape)

    read = dict.fromkeys(n.name for n in program.nodes if n.op in ("matmul", "vector"))
    read |= dict.fromkeys(s for s in program.starts.values() if isinstance(s, str))
    drawn = draw_weights(
        cell.inits,
        {name: program.stored_shape(name, input_size, hidden_size) for name in read},
        default=default,
        rng=rng,
        networks=DRAWS,
    )
    return {
        name: apply_properties(np, w, program.properties.get(name, ())) for name, w in drawn.items()
    }


def _first(program: Program, state: str, weights: dict[str, Array]) -> Array | float:
    start = program.starts.get(state, 0.0)
    return weights[start][:, None] if isinstance(start, str) else start
