"""Recording: every number that a trained network computes while it reads a text.

Shapes: T steps, I input, H units. A recording is of one sequence and one member.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from odyssey.compiler import RNN
from odyssey.compiler.lowering import lower
from odyssey.diagnostics.recurrence import (
    RecurrentStep,
    as_recurrence,
    require_one_direction,
    trace,
)
from odyssey.errors import CellError, ConfigError
from odyssey.expr import Cell
from odyssey.expr.bounds import value_bounds
from odyssey.expr.equations import Equation, IllegalCellError
from odyssey.expr.limits import MAX_NAME
from odyssey.expr.terms import Named, Previous, add
from odyssey.wording import quoted

if TYPE_CHECKING:
    from odyssey.training.model import SequenceModel

LEFT, RIGHT = 0.1, 0.9
"""A gate below or above these counts as shut or open (Karpathy, Johnson, Fei-Fei 2015)."""

_ROWS = 2**13  # steps that are computed side by side
_LONG = 2000  # steps from which on it pays to compile a cell


@dataclass(frozen=True)
class Track:
    """One named value of one layer over time.

    Attributes:
        layer: The layer, from 0.
        name: The state or equation, as in the cell's text without `[t]`; `output` where a module
            of another kind puts out what is no state.
        kind: `state`; `gate`, an equation that lies in [0, 1] whatever the weights; `value`, any
            other equation; `output`.
        values_TH: What it was after each step, float32 (T, H).
    """

    layer: int
    name: str
    kind: str
    values_TH: NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """What a network computed over one sequence.

    Attributes:
        name: The cell's or the module's name.
        tracks: All values, layer by layer: states in declared order, then the other equations.
    """

    name: str
    tracks: tuple[Track, ...]

    def __len__(self) -> int:
        return len(self.tracks[0].values_TH)

    @property
    def num_units(self) -> int:
        """Counts the units of all tracks."""
        return sum(track.values_TH.shape[1] for track in self.tracks)

    def track(self, name: str, layer: int = 0) -> Track:
        """Gives a track by its name.

        Raises:
            ConfigError: There is none.
        """
        for track in self.tracks:
            if (track.name, track.layer) == (name, layer):
                return track
        known = ", ".join(f"{t.name} of layer {t.layer}" for t in self.tracks)
        raise ConfigError(
            f"{self.name} has no track {quoted(name)} in layer {layer}; it has {known}"
        )


def record(
    module: nn.Module | RecurrentStep, x: Tensor, *, member: int = 0, name: str = ""
) -> Recording:
    """Runs a module over one sequence, from a state of zeros, and keeps all that it computes.

    Of an `odyssey.RNN` these are the states and every named equation, in the module's own type;
    of any other module its states, computed in float64.

    Args:
        module: What `as_recurrence` takes: an `odyssey.RNN`, a recurrent module of torch.nn, or a
            `RecurrentStep`.
        x: Floats (T, I), with further inputs of the cell behind them, or class indices (T,) int64
            where the module reads these.
        member: Row of the population, for a module that has one.
        name: What it is called; by default the cell's or the class's name.

    Raises:
        CellError: The cell has no recurrence.
        ConfigError: The module is of no such kind, or x does not fit.
    """
    if x.dim() != (2 if x.is_floating_point() else 1) or x.numel() == 0:
        raise ConfigError(
            "expected one sequence x of shape (T, I), or int64 (T,), with a step or more;"
            f" got {tuple(x.shape)}"
        )
    if isinstance(module, RNN):
        x = x.to(module.like.device)
        _check_recurrent(module.cell)
        require_one_direction(module)
        return Recording(name or module.cell.name, tuple(_of_layers(module, x, member)))
    recurrence = as_recurrence(module, name=name)
    return Recording(recurrence.name, tuple(_of_states(recurrence, x, member)))


def record_model(model: SequenceModel, symbols: NDArray[np.int64], *, member: int = 0) -> Recording:
    """Records the recurrent layers of a character model that reads class indices (T,)."""
    _check_recurrent(model.rnn.cell)
    x = torch.as_tensor(symbols, dtype=torch.int64).to(model.readout.device)
    if model.embedding is not None:
        x = model.embedding[member].detach().T[x]
    return record(model.rnn, x, member=member)


def saturation(recording: Recording) -> pd.DataFrame:
    """Measures how often each unit of each gate is shut and open.

    Returns:
        A row a unit: name, layer, gate, unit, left (fraction of steps below 0.1), right (above
        0.9), mean. No rows for a cell without gates.
    """
    frames = [
        pd.DataFrame(
            {
                "name": recording.name,
                "layer": track.layer,
                "gate": track.name,
                "unit": np.arange(track.values_TH.shape[1]),
                "left": (track.values_TH < LEFT).mean(0),
                "right": (track.values_TH > RIGHT).mean(0),
                "mean": track.values_TH.mean(0, dtype=np.float64),
            }
        )
        for track in recording.tracks
        if track.kind == "gate"
    ]
    columns = ["name", "layer", "gate", "unit", "left", "right", "mean"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def _check_recurrent(cell: Cell) -> None:
    if not cell.states or not cell.recurrent:
        raise CellError(
            f"{cell.name} has no recurrence: no state goes from step to step, so its units know"
            " nothing but the current symbol"
        )


@torch.no_grad()
def _of_layers(rnn: RNN, x: Tensor, member: int) -> list[Track]:
    if not 0 <= member < (rnn.population or 1):
        raise ConfigError(f"member {member} of a population of {rnn.population or 1}")
    hidden = rnn.hidden_sizes[member]
    behind = None  # the further inputs, which every layer reads
    if x.is_floating_point():
        if rnn.further_sizes:
            at = x.shape[-1] - sum(rnn.further_sizes.values())
            x, behind = x[:, :at], x[:, at:]
        if rnn.program.square:
            x = x[:, :hidden]
    tracks: list[Track] = []
    for layer, parameters in enumerate(rnn.layer_parameters()):
        own = {n: p if rnn.population is None else p[member] for n, p in parameters.items()}
        read = x if behind is None else torch.cat([x, behind.to(x)], -1)
        found = _layer(rnn.cell, own, read, rnn.input_size if layer == 0 else hidden, hidden)
        tracks += [Track(layer, n, kind, v.float().cpu().numpy()) for n, kind, v in found]
        x = next(v for n, _, v in found if n == rnn.cell.output)
    return tracks


def _layer(
    cell: Cell, parameters: dict[str, Tensor], x: Tensor, input_size: int, hidden: int
) -> list[tuple[str, str, Tensor]]:
    """Gives (name, kind, (T, H)) of each state and of each named equation with H numbers."""
    if lower(cell).square:
        input_size = hidden
    # parameters are given as they are used: nothing is to be made of them again
    shaped = (w for w in cell.weights if w.sizes)
    cell = cell.replace(weights=tuple(dataclasses.replace(w, properties=()) for w in shaped))

    def build(variant: Cell, backend: str) -> RNN:
        like = next(iter(parameters.values()))
        rnn = RNN(
            variant, input_size, hidden, backend=backend, device=like.device, dtype=like.dtype
        )
        with torch.no_grad():
            for name, target in rnn.layer_parameters()[0].items():
                target.copy_(parameters[name][tuple(slice(n) for n in target.shape)])
        return rnn.requires_grad_(False).eval()

    backend = "auto" if len(x) >= _LONG else "eager"
    states = _values_of_states(cell, x, lambda variant: build(variant, backend))
    found = [(n, "state", v) for n, v in zip(cell.states, states, strict=True)]
    variant, names = _with_equations_as_states(cell)
    if not names:
        return found
    # All states known, the steps of the other equations do not wait for each other.
    starts = build(cell, "eager").start_state(1)
    before = [torch.cat([start[0], s[:-1]]) for start, s in zip(starts, states, strict=True)]
    before += [x.new_zeros(len(x), hidden, dtype=starts[0].dtype)] * len(names)
    rnn = build(variant, "eager")
    parts = [
        rnn(x[at : at + _ROWS].unsqueeze(0), tuple(s[None, at : at + _ROWS] for s in before))[1]
        for at in range(0, len(x), _ROWS)
    ]
    bounds = value_bounds(cell)
    for place, name in enumerate(names, start=len(states)):
        low, high = bounds[name]
        kind = "gate" if low >= 0.0 and high <= 1.0 else "value"
        found.append((name, kind, torch.cat([new[place][0] for new in parts])))
    return found


def _values_of_states(cell: Cell, x: Tensor, build: Callable[[Cell], RNN]) -> list[Tensor]:
    """Gives (T, H) of each state, as the output of a cell that puts it out."""
    try:
        variants = [cell.replace(output=s) for s in cell.states]
    except IllegalCellError:  # one remembers an input only, or has another size than an output
        rnn, state = build(cell), None
        steps: list[tuple[Tensor, ...]] = []
        for step in x:
            _, state = rnn(step[None, None], state)
            steps.append(tuple(s[0, 0] for s in state))
        return [torch.stack(values) for values in zip(*steps, strict=True)]
    return [build(variant)(x.unsqueeze(1))[0][:, 0] for variant in variants]


def _with_equations_as_states(cell: Cell) -> tuple[Cell, list[str]]:
    """Gives a cell that also puts every named equation of H numbers into a state of its own."""
    sizes = cell.shapes.equations
    names = [e.target for e in cell.equations if not e.updates_state and sizes.get(e.target) == "H"]
    taken = set(cell.names)
    copies: list[str] = []
    for name in names:
        copy, number = f"{name[: MAX_NAME - 8]}_seen", 2
        while copy in taken:
            copy, number = f"{name[: MAX_NAME - 8]}_seen{number}", number + 1
        taken.add(copy)
        copies.append(copy)
    seen = tuple(
        # a state must be read; it starts each step at zero
        Equation(copy, add(Named(name), Previous(f"{copy}[t-1]")), updates_state=True)
        for copy, name in zip(copies, names, strict=True)
    )
    draft = cell.replace(states=(*cell.states, *copies), equations=(*cell.equations, *seen))
    return draft, names


def _of_states(recurrence: RecurrentStep, x: Tensor, member: int) -> list[Track]:
    if not 0 <= member < recurrence.members:
        raise ConfigError(f"member {member} of a population of {recurrence.members}")
    x = x.unsqueeze(0 if recurrence.batch_first else 1)
    if recurrence.population is not None:
        x = x.expand(recurrence.population, *x.shape)
    trajectory = trace(recurrence, x)
    tracks = []
    for layer in range(recurrence.num_layers):
        for place, name in enumerate(recurrence.states):
            values = torch.stack([s[place][member, layer, 0] for s in trajectory.states[1:]])
            tracks.append(Track(layer, name, "state", values.float().cpu().numpy()))
    if not recurrence.output:
        values = torch.stack([output[member, 0] for output in trajectory.outputs])
        last = recurrence.num_layers - 1
        tracks.append(Track(last, "output", "output", values.float().cpu().numpy()))
    return tracks
