"""One-step Jacobians and the growth of their products.

Shapes as in `recurrence.py`: P members, B rows, K covectors, N numbers of a whole state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from odyssey.compiler.backends.base import State
from odyssey.diagnostics.recurrence import Trajectory, join, separate
from odyssey.diagnostics.tidy import tidy
from odyssey.errors import ConfigError

MAX_NUMBERS = 4_096  # of a state whose Jacobian is written out: 128 MiB a row of a batch


def _side_by_side(covectors: Tensor, trajectory: Trajectory) -> State:
    """Writes (P, B, K, N) as a state of K * B rows."""
    flat = covectors.transpose(1, 2).flatten(1, 2)
    return separate(flat, trajectory.recurrence)


def _apart(state: State, rows: int) -> Tensor:
    """Undoes `_side_by_side`."""
    flat = join(state)
    return flat.reshape(flat.shape[0], -1, rows, flat.shape[-1]).transpose(1, 2)


def jacobian(trajectory: Trajectory, step: int) -> Tensor:
    """Gives the one-step Jacobian ds_t / ds_(t-1) of the whole state, (P, B, N, N).

    Args:
        trajectory: Of `trace`.
        step: t from 0: the Jacobian of the step that reads x[t]. N numbers are ordered by state,
            then layer, then unit.
    """
    if not 0 <= step < len(trajectory):
        raise ConfigError(f"step must lie in 0 to {len(trajectory) - 1}, got {step}")
    n, members = trajectory.recurrence.numbers, trajectory.recurrence.members
    if n > MAX_NUMBERS:
        raise ConfigError(
            f"{trajectory.recurrence.name}: a state of {n:,} numbers; Jacobians are taken of up to"
            f" {MAX_NUMBERS:,}: give it fewer units (hidden_size)"
        )
    unit = torch.eye(n, dtype=torch.float64, device=trajectory.recurrence.device)
    unit = unit.expand(members, trajectory.rows, n, n)
    return _apart(trajectory.pull(step, _side_by_side(unit, trajectory)), trajectory.rows)


def jacobian_spectra(trajectory: Trajectory, steps: Sequence[int]) -> pd.DataFrame:
    """Gives singular values and eigenvalues of one-step Jacobians of the whole state.

    Args:
        trajectory: Of `trace`.
        steps: Which steps, from 0. An N x N matrix is factored for each, member and row.

    Returns:
        Columns name, step, member, row, index (from 1), singular_value (descending), real and
        imaginary (the eigenvalues, largest modulus first). The largest singular value bounds
        how much one step can stretch a gradient.

    Raises:
        ConfigError: A step is not of the sequence, or the Jacobian is not finite.
    """
    frames = []
    for step in steps:
        j = jacobian(trajectory, step)
        if not bool(torch.isfinite(j).all().cpu()):
            raise ConfigError(
                f"{trajectory.recurrence.name}: the Jacobian of step {step} is not finite"
            )
        singular, eigen = torch.linalg.svdvals(j), torch.linalg.eigvals(j)
        order = eigen.abs().argsort(dim=-1, descending=True, stable=True)
        eigen = eigen.gather(-1, order)
        members, rows, n = singular.shape
        frame = tidy(
            {"member": range(members), "row": range(rows), "index": range(1, n + 1)},
            singular_value=singular,
            real=eigen.real,
            imaginary=eigen.imag,
        )
        frame.insert(0, "step", step)
        frames.append(frame)
    if not frames:
        raise ConfigError("jacobian_spectra needs at least one step")
    whole = pd.concat(frames, ignore_index=True)
    whole.insert(0, "name", trajectory.recurrence.name)
    return whole


def lyapunov_exponents(
    trajectory: Trajectory, *, count: int, warm_up: int = 0, rng: np.random.Generator
) -> pd.DataFrame:
    """Gives the largest Lyapunov exponents of the product of Jacobians, by QR at every step.

    Benettin et al. 1980, on transposed Jacobians from the last step to the first: the product is
    the one that carries gradients, and its exponents are those of the forward product.

    Args:
        trajectory: Of `trace`.
        count: How many exponents, at most the size N of the state.
        warm_up: Steps at the end of the sequence that turn the random start frame and are not
            counted.
        rng: Draws the start frame.

    Returns:
        Columns name, member, row, index (from 1, largest first), exponent in nats per step: the
        mean growth of the logarithm of the norm; -inf where a direction dies.

    Raises:
        ConfigError: `count` or `warm_up` leave nothing to measure.
    """
    recurrence = trajectory.recurrence
    if not 1 <= count <= recurrence.numbers:
        raise ConfigError(
            f"{recurrence.name}: count must lie in 1 to {recurrence.numbers}, the size of the"
            f" state, got {count}"
        )
    if not 0 <= warm_up < len(trajectory):
        raise ConfigError(
            f"{recurrence.name}: a warm-up of {warm_up} leaves nothing of {len(trajectory)} steps"
        )
    shape = (recurrence.members, trajectory.rows, recurrence.numbers, count)
    start = torch.as_tensor(rng.normal(size=shape)).to(recurrence.device)
    frame_PBNK = torch.linalg.qr(start)[0]
    total = start.new_zeros(shape[0], shape[1], count)
    for back in range(len(trajectory)):
        later = _side_by_side(frame_PBNK.mT, trajectory)
        pulled = trajectory.pull(len(trajectory) - 1 - back, later)
        frame_PBNK, r = torch.linalg.qr(_apart(pulled, trajectory.rows).mT)
        if back >= warm_up:
            total += r.diagonal(dim1=-2, dim2=-1).abs().log()
    # QR follows directions, and not their rates in order: that of the fastest may come second.
    total = total.sort(dim=-1, descending=True).values
    members, rows = total.shape[:2]
    found = tidy(
        {"member": range(members), "row": range(rows), "index": range(1, count + 1)},
        exponent=total / (len(trajectory) - warm_up),
    )
    found.insert(0, "name", recurrence.name)
    return found
