"""How much work a trial is, from sizes alone: what compares trials before any was run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from odyssey.device_names import CPU
from odyssey.expr import Cell
from odyssey.hyperparameters import HYPERPARAMETERS
from odyssey.pace import Job
from odyssey.studies.trial import Trial
from odyssey.tasks.base import Task
from odyssey.training.budget import in_updates
from odyssey.training.config import training_config
from odyssey.training.sizes import input_size
from odyssey.transforms.constraints import flops, nodes

if TYPE_CHECKING:
    import pandas as pd

_ELEMENT = 30
"""Operations that one operation on one unit weighs: functions, memory, and no products."""

_PASSES = 3  # over the operations of a cell that training takes, of which reading is one


def seconds_taken(rows: pd.DataFrame) -> pd.Series[float]:
    """Gives the seconds that each record took, to tell from them what the like will take.

    On a CPU those that the processor worked, where that is less: a wall clock goes on while a
    trial lies in a sleeping laptop, and says how busy the machine of then was.

    Args:
        rows: Of the records, with the columns seconds, processor_seconds and device.
    """
    worked = rows["processor_seconds"]
    known = (rows["device"] == CPU) & (worked > 0)
    return rows["seconds"].mask(known & (worked < rows["seconds"]), worked)


def trial_job(trial: Trial, cell: Cell, task: Task) -> Job:
    """Gives a trial as a job: operations of its cell times the characters that it reads at most.

    Beside the seconds of trials that were run (`results/odyssey_2015`, `jozefowicz_2015`,
    `ablate_lstm`, on machines that did other things too), the logarithm is off by a standard
    deviation of 0.36, 0.45 and 0.17.

    Args:
        trial: The trial.
        cell: Its cell.
        task: Its task.
    """
    config = in_updates(training_config(trial.training), task)
    trained = config.updates * config.batch_size * (task.steps or config.unroll)
    read = (config.valid_characters or task.enough["valid"]) * config.epochs
    read += config.test_characters or task.enough["test"]
    width, symbols = input_size(task.signature), task.signature.outputs.size
    counts = Counter(_sizes(member) for member in trial.members)
    operations = sum(n * _operations(cell, width, symbols, own) for own, n in counts.items())
    return Job((trial.spec, trial.task), float(operations * (_PASSES * trained + read)))


def _sizes(member: Mapping[str, Any]) -> tuple[int, int, int]:
    """Gives the hidden size, the parameters (0: by the size) and the layers of a member."""
    hidden, layers = (
        int(member.get(name, HYPERPARAMETERS[name].default))
        for name in ("hidden_size", "num_layers")
    )
    return hidden, member.get("parameters") or 0, layers


def _operations(cell: Cell, width: int, symbols: int, sizes: tuple[int, int, int]) -> float:
    """Gives the operations of a character, forward."""
    hidden, parameters, layers = sizes
    if parameters:  # two a weight, and as many units as a square of weights has
        hidden = max(round(math.sqrt(parameters / layers / 4)), 1)
        products = 2 * parameters
    else:
        products = flops(cell, width, hidden) + (layers - 1) * flops(cell, hidden, hidden)
        products += 2 * symbols * hidden
    return float(products + _ELEMENT * nodes(cell) * hidden * layers)
