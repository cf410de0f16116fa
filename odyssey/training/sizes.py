"""How many numbers a model reads at a step, and what its encoder of conditions has; no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from odyssey.errors import ConfigError
from odyssey.expr.cell import Cell
from odyssey.expr.sizes import ONE, resolve
from odyssey.expr.sizes import parts as parts_of
from odyssey.tasks.base import Task
from odyssey.tasks.signature import ATTENTION, CONTEXT, FIRST, Condition, Signature

CHANNELS = (16, 32, 64)
"""Of the convolutional layers; the last is the number of features of a place."""
VECTOR = 64
"""Numbers of the vector that a whole condition becomes."""
KEYS = 32
"""Numbers of a key and a query."""
STATISTICS = ("vector_mean", "vector_variance")
"""What is kept of the vectors of training batches; it is not trained by gradients."""


def input_size(signature: Signature) -> int:
    """Gives how many numbers the model reads at a step, the condition's included."""
    extra = 0 if signature.condition is None else condition_size(signature.condition)
    return signature.inputs.size + extra


def named_parts(signature: Signature) -> dict[str, range]:
    """Gives the parts of what the model reads at a step that a cell may read by name.

    Returns:
        Name -> its places among the numbers of a step: those of the inputs, then the condition's.
    """
    parts: dict[str, range] = {}
    start = signature.inputs.size - sum(part.size for part in signature.parts)
    for part in signature.parts:
        parts[part.name] = range(start, start + part.size)
        start += part.size
    if signature.condition is not None and signature.condition.way != FIRST:
        parts[CONTEXT] = range(start, start + condition_size(signature.condition))
    return parts


@dataclass(frozen=True)
class CellReading:
    """How a cell reads what the model reads at a step.

    Attributes:
        main: How many numbers are its main input x.
        order: For each number that a layer reads, x first and then the further inputs in declared
            order, which of a step it is; None where they are a step as it is.
    """

    main: int
    order: tuple[int, ...] | None


def reading(cell: Cell, signature: Signature) -> CellReading:
    """Says how a cell reads the inputs of a task: what it does not read by name is in x.

    Raises:
        ConfigError: The task does not feed an input of the cell, or feeds another size.
    """
    parts, shapes = named_parts(signature), cell.shapes
    for name in shapes.inputs:
        if name not in parts:
            fed = ", ".join(parts) or "none"
            raise ConfigError(
                f"{cell.name} reads an input {name}, which the task does not feed (fed by name:"
                f" {fed})"
            )
    taken = [place for name in shapes.inputs for place in parts[name]]
    told = {p.about for p in signature.parts if p.about and p.name in shapes.inputs}
    gone = {place for p in signature.parts if p.about in told for place in parts[p.name]}
    whole = range(input_size(signature))
    rest = [place for place in whole if place not in {*taken, *gone}]
    if not rest:
        raise ConfigError(
            f"{cell.name} reads all of the task's inputs by name: nothing is left for x"
        )
    for name, size in shapes.inputs.items():
        own = resolve(size, len(rest), 1)
        if own != len(parts[name]):
            hint = _hint(cell, name, len(parts[name]))
            raise ConfigError(
                f"{cell.name}: its input {name} has {own} numbers, the task feeds"
                f" {len(parts[name])}{hint}"
            )
    order = (*rest, *taken)
    return CellReading(len(rest), None if order == tuple(whole) else order)


def check_reading(
    cells: Mapping[str, Cell], tasks: Iterable[Task], members: Sequence[Mapping[str, Any]]
) -> None:
    """Checks that tasks feed what cells read.

    Args:
        cells: The cells by name.
        tasks: The tasks.
        members: Hyperparameters of the members to be trained.

    Raises:
        ConfigError: A task does not feed an input of a cell, or a second layer could not read it.
    """
    deep = any((m.get("num_layers") or 1) > 1 for m in members)
    for cell in cells.values():
        for task in tasks:
            try:
                reading(cell, task.signature)
            except ConfigError as error:
                raise ConfigError(f"{task.name}: {error}") from None
        wide = [name for name, size in cell.shapes.inputs.items() if parts_of(size)[0] != ONE]
        if wide and deep:
            raise ConfigError(
                f"{cell.name}: its input {wide[0]} has the size of x, which later layers do not"
                " read: use num_layers=1"
            )


def _hint(cell: Cell, name: str, size: int) -> str:
    """Says how to give an input another size, where that has a name."""
    written = next(d.sizes[0] for d in cell.further_inputs if d.name == name)
    named = any(d.name == written for d in cell.sizes)
    return f": write {cell.name}:{written}={size}" if named else ""


def grid_shape(condition: Condition) -> tuple[int, int]:
    """Gives the number of places and of the features of a place."""
    if len(condition.shape) == 1:
        return 1, condition.shape[0]
    if len(condition.shape) == 2:
        return condition.shape[0], condition.shape[1]
    height, width = picture_grid(condition)
    return height * width, CHANNELS[-1]


def picture_grid(condition: Condition) -> tuple[int, int]:
    """Gives the height and width of the grid that a picture becomes."""
    height, width, _ = condition.shape
    return math.ceil(height / 4), math.ceil(width / 4)


def condition_size(condition: Condition) -> int:
    """Gives how many numbers the condition adds to an input."""
    return grid_shape(condition)[1] if condition.way == ATTENTION else VECTOR


def condition_shapes(condition: Condition, hidden: int) -> dict[str, tuple[int, ...]]:
    """Gives the parameters of one member: by name, their shapes; "query" alone depends on H."""
    places, features = grid_shape(condition)
    shapes: dict[str, tuple[int, ...]] = {}
    if len(condition.shape) == 3:
        before = condition.shape[2]
        for number, channels in enumerate(CHANNELS):
            shapes[f"kernel_{number}"] = (channels, before, 3, 3)
            shapes[f"kernel_bias_{number}"] = (channels,)
            before = channels
    if condition.way == ATTENTION:
        shapes["key"] = (KEYS, features)
        shapes["place"] = (places, KEYS)
        shapes["query"] = (KEYS, hidden)
        shapes["query_bias"] = (KEYS,)
    else:
        shapes["vector"] = (VECTOR, places * features)
        shapes["vector_bias"] = (VECTOR,)
        shapes |= dict.fromkeys(STATISTICS, (VECTOR,))
    return shapes


def count_condition(condition: Condition, hidden: int) -> int:
    """Counts the trained parameters of one member's encoder."""
    shapes = condition_shapes(condition, hidden)
    return sum(math.prod(shape) for name, shape in shapes.items() if name not in STATISTICS)
