"""Gradients through time: dL/ds_t of every state for a loss injected at the last step.

Shapes as in `recurrence.py`: P members, B rows, T steps, N numbers of a whole state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from odyssey.diagnostics.recurrence import RecurrentStep, Trajectory, join, separate
from odyssey.diagnostics.tidy import tidy
from odyssey.errors import ConfigError
from odyssey.wording import quoted

LN10 = math.log(10.0)
FACTORS: Mapping[str, float] = {"1/e": math.e, "10x": 10.0, "1000x": 1000.0}
"""By how much a norm has to fall, by the name of the horizon."""


@dataclass(frozen=True)
class Adjoints:
    """Gradients of one loss with respect to the state after every step, as length and direction.

    Kept apart, neither underflows: a gradient of 1e-400 has a direction as good as any.

    Attributes:
        trajectory: What they were measured on.
        injected: dL/d(output of the last step), (P, B, H).
        direction: (T + 1, P, B, N), of length 1, or 0 where the gradient is exactly zero; entry k
            is k steps before the last.
        log_norm: (T + 1, P, B), natural logarithm of the length.
    """

    trajectory: Trajectory
    injected: Tensor
    direction: Tensor
    log_norm: Tensor


def back_propagate(trajectory: Trajectory, injected: Tensor | np.random.Generator) -> Adjoints:
    """Propagates a gradient that is injected at the last step back to the state before the first.

    dL/ds_t is taken with respect to the state that step t + 1 reads: s_t is changed between the
    two steps. Where the output is a state, as in most cells, dL/dh at the last step is the
    injected gradient itself.

    Args:
        trajectory: Of `trace`.
        injected: dL/d(output) at the last step, as the module puts it out: (B, H), with a
            population (P, B, H). Or a generator, for a random direction of length 1 in each row.

    Raises:
        ConfigError: The injected gradient has another shape.
    """
    recurrence = trajectory.recurrence
    shape = tuple(trajectory.outputs[-1].shape)
    if isinstance(injected, np.random.Generator):
        g = torch.as_tensor(injected.normal(size=shape)).to(recurrence.device)
        g = g / g.norm(dim=-1, keepdim=True)
    else:
        g = injected.to(recurrence.device).double()
        g = g if recurrence.population is not None else g[None]
        if tuple(g.shape) != shape:
            expected = shape if recurrence.population is not None else shape[1:]
            raise ConfigError(
                f"{recurrence.name}: expected an injected gradient of shape {expected},"
                f" got {tuple(injected.shape)}"
            )
    vector = join(_at_the_end(recurrence, g, trajectory.rows))
    log = vector.new_zeros(vector.shape[:2])
    directions: list[Tensor] = []
    logs: list[Tensor] = []
    for back in range(len(trajectory) + 1):
        if back:
            at_output = back == 1 and not recurrence.output
            before = trajectory.pull(
                len(trajectory) - back,
                separate(directions[-1], recurrence),
                g if at_output else None,
            )
            vector = join(before)
            if at_output:
                log = torch.zeros_like(log)
        size = vector.norm(dim=-1)
        directions.append(torch.where(size[..., None] > 0, vector / size[..., None], 0.0))
        log = log + size.log()
        logs.append(log)
    return Adjoints(trajectory, g, torch.stack(directions), torch.stack(logs))


def _at_the_end(recurrence: RecurrentStep, g: Tensor, rows: int) -> tuple[Tensor, ...]:
    state = recurrence.start_state(rows)
    if recurrence.output:
        state[recurrence.states.index(recurrence.output)][:, -1] = g
    return state


def gradient_norms(adjoints: Adjoints) -> pd.DataFrame:
    """Gives the norm of dL/ds_t of every state, and of all states as one vector, over the steps.

    Returns:
        Columns name, steps_back (0 is after the last step), member, row, state (`h`, or `h.0`,
        `h.1` with layers; `all`: the whole state), norm, log10_norm (-inf for a gradient that is
        exactly zero; finite where `norm` underflows).
    """
    recurrence = adjoints.trajectory.recurrence
    layers = recurrence.num_layers
    sizes = [h for h in recurrence.sizes for _ in range(layers)]
    norms = [p.norm(dim=-1) for p in torch.split(adjoints.direction, sizes, -1)]
    norms.append(adjoints.direction.norm(dim=-1))
    log = torch.stack([n.log() for n in norms], -1) + adjoints.log_norm[..., None]
    members, rows = log.shape[1:3]
    frame = tidy(
        {
            "steps_back": range(len(log)),
            "member": range(members),
            "row": range(rows),
            "state": [*recurrence.parts(), "all"],
        },
        norm=log.exp(),
        log10_norm=log / LN10,
    )
    frame.insert(0, "name", recurrence.name)
    return frame


def gradient_slices(adjoints: Adjoints, *, member: int = 0, row: int = 0) -> pd.DataFrame:
    """Gives dL/ds_t itself, unit by unit, for one member and row.

    Returns:
        Columns name, steps_back, state, unit, gradient.
    """
    recurrence = adjoints.trajectory.recurrence
    values = adjoints.direction[:, member, row] * adjoints.log_norm[:, member, row, None].exp()
    values = torch.nan_to_num(values)  # 0 * exp(-inf) of a gradient that is exactly zero
    sizes = [h for h in recurrence.sizes for _ in range(recurrence.num_layers)]
    frames = []
    for part, value in zip(recurrence.parts(), torch.split(values, sizes, -1), strict=True):
        frame = tidy(
            {"steps_back": range(len(value)), "unit": range(value.shape[1])}, gradient=value
        )
        frame.insert(1, "state", part)
        frames.append(frame)
    whole = pd.concat(frames, ignore_index=True)
    whole.insert(0, "name", recurrence.name)
    return whole


def horizons(norms: pd.DataFrame, *, factors: Mapping[str, float] = FACTORS) -> pd.DataFrame:
    """Gives how many steps back a gradient's norm has fallen by a factor for the first time.

    Between steps the logarithm of the norm is interpolated, so that horizons below one step can
    be told apart. A norm that does not fall so far within the sequence has horizon inf.

    Args:
        norms: Of `gradient_norms`; columns beyond its own, such as `update`, tell series apart.
        factors: Name -> factor greater than 1.

    Returns:
        The columns that tell series apart, then factor (its name) and steps. Steps count from the
        first step back at which the norm is not zero: 1 for the c of an LSTM, else 0.

    Raises:
        ConfigError: A factor is not greater than 1.
    """
    for name, factor in factors.items():
        if not factor > 1:
            raise ConfigError(
                f"horizon {quoted(name)}: the factor must be greater than 1, got {factor}"
            )
    keys = [c for c in norms.columns if c not in ("steps_back", "norm", "log10_norm")]
    rows = []
    for key, part in norms.sort_values("steps_back", kind="stable").groupby(keys, sort=False):
        log = part["log10_norm"].to_numpy(dtype=float)
        for name, factor in factors.items():
            steps = _first_below(log, math.log10(factor))
            rows.append((*key, name, steps))
    return pd.DataFrame(rows, columns=[*keys, "factor", "steps"])


def _first_below(log: np.ndarray[tuple[int, ...], np.dtype[np.float64]], fall: float) -> float:
    started = np.flatnonzero(np.isfinite(log))
    if not len(started):
        return 0.0
    log = log[started[0] :]
    level = log[0] - fall
    below = np.flatnonzero(log <= level)
    if not len(below):
        return math.inf
    k = int(below[0])
    if not np.isfinite(log[k]):
        return float(k)
    return k - 1 + float((log[k - 1] - level) / (log[k - 1] - log[k]))
