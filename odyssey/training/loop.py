"""Training of a population on one task: members of like size side by side, others apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from numpy.typing import NDArray

from odyssey.errors import ConfigError
from odyssey.expr import Cell
from odyssey.hyperparameters import Member
from odyssey.tasks.base import Task
from odyssey.tasks.signature import Signature
from odyssey.training.budget import check_training, in_updates
from odyssey.training.config import TrainingConfig
from odyssey.training.group import Group
from odyssey.training.model import SequenceModel, hidden_size_for
from odyssey.training.results import Epoch, MemberResult
from odyssey.training.snapshots import KeptGroups
from odyssey.transforms.settings import with_settings


class Inspect(Protocol):
    """Looks at a model while it is trained."""

    def __call__(self, updates: int, model: SequenceModel, *, positions: tuple[int, ...]) -> None:
        """Looks."""
        ...


@dataclass
class Trained:
    """Results in the order of the members, and the models that hold the best parameters.

    `models` has one model a group, with the positions of its members.
    """

    results: list[MemberResult]
    models: list[tuple[SequenceModel, tuple[int, ...]]]


def train(
    cell: Cell,
    task: Task,
    members: Sequence[Member],
    config: TrainingConfig,
    *,
    progress: Callable[[Epoch], None] | None = None,
    inspect: Inspect | None = None,
    initial: Mapping[str, NDArray[Any]] | None = None,
    checkpoints: KeptGroups | None = None,
) -> Trained:
    """Trains a population of members of one cell on one task.

    A member's numbers do not depend on the others: members of like size are trained side by side
    with padding and masks, others apart, and so are those with other constants or sizes of the
    cell: each trains the cell that a spec would name (`cornn:dt=0.05`). A member whose loss is not
    finite, or grows beyond `diverged_factor` times what guessing costs, is frozen and recorded as
    diverged at that update.

    Args:
        cell: The cell.
        task: The task.
        members: The members; any number, any sizes.
        config: Options, the same for all members.
        progress: Called after every epoch of every group.
        inspect: Called before the first update and after every epoch of every group, with the
            number of updates, the model, which it must leave as it is, and the positions of its
            members. A member that has diverged has only zeros.
        initial: Weights by name to begin with, in the place of drawn ones; for one member.
        checkpoints: Where to go on, and what is told of every update.

    Returns:
        One result a member, in their order; the best parameters are those of the lowest
        validation loss, and the test is measured with them, and the task with longer sequences.

    Raises:
        ConfigError: A member's hyperparameters do not fit the cell, or the weights not the model.
        TaskError: The data are too short for a batch.
    """
    assert len(members) == 1 or initial is None
    check_training(config, task)
    config = in_updates(config, task)
    cells = [with_settings(cell, member.settings) for member in members]
    sized = [_sized(c, m, task.signature) for c, m in zip(cells, members, strict=True)]
    results: dict[int, MemberResult] = {}
    models = []
    groups = group_members(sized, padding=config.padding)
    for number, positions in enumerate(groups):
        group = Group(cells[positions[0]], task, [sized[k] for k in positions], config)
        if initial is not None:
            _begin_with(initial, group.model)
        look = None if inspect is None else partial(inspect, positions=positions)
        kept = checkpoints.group(number, of=len(groups)) if checkpoints else None
        group.run(progress, look, kept)
        results |= dict(zip(positions, group.results, strict=True))
        models.append((group.model, positions))
    return Trained([results[k] for k in range(len(members))], models)


def _begin_with(weights: Mapping[str, NDArray[Any]], model: SequenceModel) -> None:
    """Sets the weights of the only member of a model."""
    own = {name: tuple(p.shape[1:]) for name, p in model.named_parameters()}
    other = {name: value.shape for name, value in weights.items()}
    if own != other:
        name = next(n for n in [*own, *other] if own.get(n) != other.get(n))
        raise ConfigError(
            f"the weights to begin with do not fit: {name} has shape {other.get(name, 'none')}"
            f" there and {own.get(name, 'none')} here; cell, sizes, layers and symbols must be same"
        )
    model.load_state_dict({name: torch.as_tensor(v)[None] for name, v in weights.items()})


def _sized(cell: Cell, member: Member, signature: Signature) -> Member:
    if member.parameters is None:
        return member
    hidden = hidden_size_for(
        cell, member.parameters, signature=signature, num_layers=member.num_layers
    )
    return member.replace(hidden_size=hidden)


def group_members(members: Sequence[Member], *, padding: float) -> list[tuple[int, ...]]:
    """Splits members into groups of one cell and depth, whose hidden sizes differ by a factor."""
    own = [tuple(sorted(member.settings.items())) for member in members]
    first_with = {settings: k for k, settings in reversed(list(enumerate(own)))}

    def alike(k: int) -> tuple[int, int]:
        return first_with[own[k]], members[k].num_layers

    order = sorted(range(len(members)), key=lambda k: (*alike(k), members[k].hidden_size, k))
    groups: list[list[int]] = []
    for k in order:
        first = groups[-1][0] if groups else None
        if (
            first is not None
            and alike(first) == alike(k)
            and members[k].hidden_size <= padding * members[first].hidden_size
        ):
            groups[-1].append(k)
        else:
            groups.append([k])
    return [tuple(sorted(g)) for g in groups]
