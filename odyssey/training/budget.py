"""How long a population is trained: passes over a text, counted in updates. No torch here."""

from __future__ import annotations

import dataclasses

from odyssey.tasks.base import Task
from odyssey.training.config import BEGINNING, TrainingConfig


def in_updates(config: TrainingConfig, task: Task) -> TrainingConfig:
    """Gives the options with passes written as epochs of so many updates.

    Raises:
        TaskError: Passes are asked for, and the task is generated without end.
    """
    if not config.passes:
        return config
    updates = task.updates_per_pass(
        batch_size=config.batch_size, unroll=config.unroll, in_order=config.start == BEGINNING
    )
    return dataclasses.replace(config, passes=0, epochs=config.passes, updates_per_epoch=updates)


def check_training(config: TrainingConfig, task: Task) -> None:
    """Raises TaskError where a task cannot be trained on with these options."""
    task.check_fits(config.batch_size, config.unroll)
    in_updates(config, task)
    if config.start == BEGINNING:
        task.train_in_order(batch_size=config.batch_size, unroll=config.unroll)
