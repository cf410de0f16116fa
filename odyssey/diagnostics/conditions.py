"""What is measured under which conditions: populations at initialisation, on noise or on a task.

The members of a population are seeds. Inputs and injected gradients depend on the seed alone, so
that cells are compared on the same draws.

Shapes: P members, T steps, B rows, I input, H units, V symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.compiler import RNN
from odyssey.compiler.backends.eager import gather
from odyssey.compiler.lowering import lower
from odyssey.device_names import CPU, check_device_name
from odyssey.diagnostics.recurrence import Trajectory, trace
from odyssey.errors import CellError, ConfigError, TaskError
from odyssey.expr import Cell
from odyssey.expr.schemes import InitScheme
from odyssey.hyperparameters import Member
from odyssey.tasks.base import Task
from odyssey.training.devices import float64_device
from odyssey.training.model import SequenceModel
from odyssey.training.seeds import stream
from odyssey.transforms.ablations import ablate


@dataclass(frozen=True)
class Condition:
    """Sizes and initial weights of what is measured.

    The defaults are the comparison of Stanford's CS231n, lecture 10, in the sizes of char-rnn.

    Attributes:
        hidden_size: Units H.
        num_layers: Layers.
        steps: T.
        rows: Batch rows B of every member.
        inputs: Numbers I of a step's input, each N(0, 1), where there is no task. A cell that reads
            `x[t]` elementwise gets H.
        init: Distribution of initial weights, see `expr.schemes.InitScheme`.
        init_scale: Its scale s.
        forget_bias: Initial bias of the gate f; None leaves the cell's own.
        spectral_radius: Every matrix that maps H units to H units is scaled to this spectral
            radius; None leaves them as drawn.
        device: Where it is measured, in float64.
    """

    hidden_size: int = 128
    num_layers: int = 1
    steps: int = 128
    rows: int = 1
    inputs: int = 65
    init: str = "uniform"
    init_scale: float = 0.08
    forget_bias: float | None = None
    spectral_radius: float | None = None
    device: str = CPU

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "steps", "rows", "inputs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be an integer of at least 1, got {value}")
        for name in ("forget_bias", "spectral_radius"):
            value = getattr(self, name)
            if value is not None and not abs(value) < float("inf"):
                raise ConfigError(f"{name} must be a number, got {value}")
        if self.spectral_radius is not None and self.spectral_radius < 0:
            raise ConfigError(f"spectral_radius must not be negative, got {self.spectral_radius}")
        InitScheme(self.init, self.init_scale)
        check_device_name(self.device)


@dataclass(frozen=True)
class Subject:
    """A population with the sequence it reads and the gradient that is injected at its end.

    Attributes:
        rnn: The recurrent layers, with a population.
        x: What they read, (P, T, B, I) floats or (P, T, B) class indices.
        trajectory: What they do on the sequence.
        injected: dL/d(output of the last step), (P, B, H), of length 1 in each row.
        input_power: Mean square of the numbers of the input.
    """

    rnn: RNN
    x: Tensor
    trajectory: Trajectory
    injected: Tensor
    input_power: float


def check_recurrent(cell: Cell) -> None:
    """Raises `CellError` where there is no gradient through time to measure."""
    if not cell.states or not cell.recurrent:
        raise CellError(
            f"{cell.name} has no recurrence: no state goes from step to step, so there is no"
            " gradient through time"
        )


def on_noise(cell: Cell, condition: Condition, seeds: Sequence[int], *, name: str = "") -> Subject:
    """Sets a cell up at initialisation, on inputs N(0, 1), a random gradient at the last step.

    Args:
        cell: The cell.
        condition: Sizes and initial weights.
        seeds: One a member.
        name: What it is called in frames; the cell's name by default.

    Raises:
        CellError: The cell has no recurrence, or no gate f whose bias could be set.
    """
    check_recurrent(cell)
    square = lower(cell).square
    inputs = condition.hidden_size if square else condition.inputs
    rnn = RNN(
        cell,
        inputs,
        condition.hidden_size,
        condition.num_layers,
        population=len(seeds),
        backend="eager",
        dtype=torch.float64,
    )
    started = cell
    if condition.forget_bias is not None:
        started = ablate(cell, f"forget_bias={condition.forget_bias!r}")
    scheme = InitScheme(condition.init, condition.init_scale)
    for member, seed in enumerate(seeds):
        rng = stream(seed, "initial", cell.key)
        rnn.reset_member(member, scheme, rng=rng, cell=started)
    rescale(rnn, condition.spectral_radius)
    rnn.to(float64_device(condition.device))
    shape = (condition.steps, condition.rows, inputs)
    x = np.stack([stream(s, "diagnostics", "input").normal(size=shape) for s in seeds])
    if rnn.further_sizes:  # behind x, whose numbers do not depend on them
        shape = (condition.steps, condition.rows, sum(rnn.further_sizes.values()))
        more = [stream(s, "diagnostics", "further inputs").normal(size=shape) for s in seeds]
        x = np.concatenate([x, np.stack(more)], -1)
    x_PTBI = torch.as_tensor(x).to(rnn.like.device)
    trajectory = trace(rnn, x_PTBI, name=name)
    return Subject(rnn, x_PTBI, trajectory, _random_gradient(trajectory, seeds), 1.0)


def on_task(
    cell: Cell,
    task: Task,
    condition: Condition,
    seeds: Sequence[int],
    *,
    name: str = "",
) -> Subject:
    """Sets a character model up at initialisation, on held-out data of a task.

    Raises:
        CellError: As `on_noise`.
        TaskError: The task has no counted symbol so far into its held-out data.
    """
    check_recurrent(cell)
    model = SequenceModel(
        cell,
        task.signature,
        [condition.hidden_size] * len(seeds),
        condition.num_layers,
        backend="eager",
        dtype=torch.float64,
    )
    for place, member in enumerate(members_of(condition, seeds)):
        model.initialise(place, member, condition.init)
    rescale(model.rnn, condition.spectral_radius)
    model.to(float64_device(condition.device))
    return of_model(model, task_windows(task, steps=condition.steps, rows=condition.rows), name)


def members_of(
    condition: Condition, seeds: Sequence[int], **hyperparameters: float
) -> list[Member]:
    """Makes a member of each seed, with the condition's sizes and initial weights."""
    return [
        Member(
            place,
            seed,
            hidden_size=condition.hidden_size,
            num_layers=condition.num_layers,
            init_scale=condition.init_scale,
            forget_bias=condition.forget_bias,
            **hyperparameters,
        )
        for place, seed in enumerate(seeds)
    ]


@dataclass(frozen=True)
class Windows:
    """Stretches of held-out data that end where the loss is counted.

    Attributes:
        inputs_TB: Class indices.
        targets_B: The symbol after the last input.
    """

    inputs_TB: NDArray[np.int64]
    targets_B: NDArray[np.int64]


def task_windows(task: Task, *, steps: int, rows: int) -> Windows:
    """Cuts windows of T symbols from the validation data, each up to a target that counts.

    Raises:
        TaskError: A row has no counted target with T symbols before it.
    """
    length = 4 * steps + 64
    batch = next(iter(task.held_out("valid", batch_size=rows, unroll=length)))
    windows, targets = [], []
    for row in range(rows):
        counted = np.flatnonzero(batch.weights_TB[:, row])
        late = counted[counted >= steps - 1]
        if not len(late):
            raise TaskError(
                f"{task.name}: no counted symbol after {steps} steps in row {row} of the"
                " validation data; take fewer steps or rows"
            )
        end = int(late[-1])
        windows.append(batch.inputs_TB[end - steps + 1 : end + 1, row])
        targets.append(batch.targets_TB[end, row])
    return Windows(np.stack(windows, 1), np.array(targets))


def of_model(model: SequenceModel, windows: Windows, name: str = "") -> Subject:
    """Sets a character model up on a task's windows.

    The injected gradient has the direction of the cross-entropy of the window's target, and length
    1, so that norms of models with different losses can be compared.
    """
    members = len(model.rnn.hidden_sizes)
    device = model.readout.device
    x = torch.as_tensor(windows.inputs_TB).to(device).expand(members, -1, -1)
    power = 1.0 / model.signature.inputs.size
    if model.embedding is not None:
        x = gather(x, model.embedding.detach().double())
        power = float(x.square().mean().cpu())
    trajectory = trace(model.rnn, x, name=name)
    with torch.no_grad():
        h_PBH, readout = trajectory.outputs[-1], model.readout.double()
        logits = h_PBH @ readout.mT + model.readout_bias.double().unsqueeze(1)
        error = torch.softmax(logits, -1)
        target_B = torch.as_tensor(windows.targets_B).to(device)
        error[:, torch.arange(len(target_B), device=device), target_B] -= 1
        g = error @ readout
        size = g.norm(dim=-1, keepdim=True)
        g = torch.where(size > 0, g / size, 0.0)  # a member that has diverged has only zeros
    return Subject(model.rnn, x, trajectory, g, power)


def rescale(rnn: RNN, radius: float | None) -> None:
    """Scales every (H, H) matrix of every layer and member to a spectral radius; None leaves all.

    Matrices of radius 0 stay as they are.
    """
    if radius is None:
        return
    with torch.no_grad():
        for layer in rnn.layer_parameters():
            for name, value in layer.items():
                if rnn.program.matrices.get(name) == ("H", "H"):
                    largest = torch.linalg.eigvals(value).abs().amax(-1)[..., None, None]
                    value *= torch.where(largest > 0, radius / largest, 1.0)


def _random_gradient(trajectory: Trajectory, seeds: Sequence[int]) -> Tensor:
    rows, units = trajectory.outputs[-1].shape[1:]
    drawn = [stream(s, "diagnostics", "gradient").normal(size=(rows, units)) for s in seeds]
    g = torch.as_tensor(np.stack(drawn)).to(trajectory.recurrence.device)
    return torch.as_tensor(g / g.norm(dim=-1, keepdim=True))
