"""How much memory a trial needs, from sizes alone: what no machine could train is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import ConfigError
from odyssey.expr import Cell
from odyssey.expr.sizes import axes, parts
from odyssey.hyperparameters import HYPERPARAMETERS, Member
from odyssey.tasks.base import Task
from odyssey.training.sizes import reading
from odyssey.transforms.settings import with_settings

MOST_GIB = 64
"""What one trial may need."""

# Of every weight there are the value, its gradient, two running means and the best value so far.
_COPIES = 5


def check_memory(
    cells: Mapping[str, Cell],
    tasks: Mapping[str, Task],
    members: Sequence[Mapping[str, Any]],
    training: Mapping[str, Any],
    *,
    population: int,
) -> None:
    """Refuses a study whose largest trial is beyond `MOST_GIB`.

    Args:
        cells: The cells, by the name to show.
        tasks: The tasks, by spec.
        members: All draws, as plain data.
        training: The training options, in full.
        population: Members of a trial.

    Raises:
        ConfigError: It is; the message names the cell, the task and the sizes to change.
    """
    for name, cell in cells.items():
        for spec, task in tasks.items():
            need = member_bytes(cell, task, members, training)
            starts = np.arange(0, len(members), population)
            gib = float(np.add.reduceat(need, starts).max()) / 2**30
            if gib > MOST_GIB:
                raise ConfigError(
                    f"{name} on {spec}: a trial would need about {gib:,.0f} GiB of memory, "
                    f"more than {MOST_GIB}; make hidden_size, num_layers, batch_size, unroll, "
                    "eval_batch, eval_unroll or population smaller"
                )


def member_bytes(
    cell: Cell, task: Task, members: Sequence[Mapping[str, Any]], training: Mapping[str, Any]
) -> NDArray[np.float64]:
    """Estimates the memory of every member in training, in bytes, to within a factor of two or so.

    Weights with their copies, and what a segment keeps for the way back: every equation's value
    and product at every step, and the distribution over symbols.
    """
    own = [tuple(Member(**m).settings.items()) for m in members]
    need = np.zeros(len(members))
    for settings in dict.fromkeys(own):
        at = [k for k, other in enumerate(own) if other == settings]
        same = [members[k] for k in at]
        need[at] = _bytes_of_one_cell(with_settings(cell, dict(settings)), task, same, training)
    return need


def _bytes_of_one_cell(
    cell: Cell, task: Task, members: Sequence[Mapping[str, Any]], training: Mapping[str, Any]
) -> NDArray[np.float64]:
    def column(name: str) -> NDArray[np.float64]:
        default = HYPERPARAMETERS[name].default or np.nan
        return np.array([float(m.get(name) or default) for m in members])

    shapes, width = cell.shapes, reading(cell, task.signature).main
    outputs = task.signature.outputs.size
    wanted, layers = column("parameters"), column("num_layers")
    squares = sum(pair == ("H", "H") for pair in shapes.matrices.values()) or 1
    hidden = np.where(np.isnan(wanted), column("hidden_size"), np.sqrt(wanted / squares / layers))

    def layer(first: NDArray[np.float64]) -> NDArray[np.float64]:
        def size(text: str) -> NDArray[np.float64]:
            base, factor = parts(text)
            return {"I": first, "H": hidden, "1": np.ones_like(hidden)}[base] * float(factor)

        own = [*shapes.matrices.values(), *map(axes, shapes.vectors.values())]
        counts = [np.prod([size(a) for a in shape], axis=0) for shape in own]
        return sum(counts, start=np.zeros_like(hidden))

    first = hidden if shapes.square else np.full(len(members), float(width))
    weights = layer(first) + (layers - 1) * layer(hidden)
    weights += outputs * (hidden + 1) + (width * hidden if shapes.square else 0)
    weights = np.where(np.isnan(wanted), weights, wanted)
    values = len(cell.equations) + len(shapes.matrices)
    steps = training["batch_size"] * (task.steps or training["unroll"])
    read_steps = training["eval_batch"] * (task.steps or training["eval_unroll"])
    kept = steps * (values * layers * hidden + 2 * outputs)
    read = read_steps * (2 * layers * hidden + 2 * outputs)
    width = 8 if training["dtype"] == "float64" else 4
    need = width * (_COPIES * weights + np.maximum(kept, read))
    return np.asarray(need, dtype=np.float64)
