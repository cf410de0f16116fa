"""How long a trial will take, from a few timed updates."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from odyssey.evaluation.trial import Trial
from odyssey.tasks.registry import get_task


def estimate_trial_seconds(trial: Trial, *, updates: int = 3) -> float:
    """Estimates the seconds of a trial on one thread of this machine.

    Two short trainings differ only in their number of updates, so that what happens once per
    training cancels.
    """
    from odyssey.evaluation.work import trained_trial

    task = get_task(trial.task)

    def seconds(count: int) -> float:
        short: Mapping[str, Any] = {
            **trial.training,
            "epochs": 1,
            "updates_per_epoch": count,
        }
        start = time.perf_counter()
        trained_trial(replace(trial, training=short), task=task)
        return time.perf_counter() - start

    once = seconds(1)
    more = seconds(1 + updates)
    per_update = max(more - once, 0.0) / updates
    epochs, per_epoch = trial.training["epochs"], trial.training["updates_per_epoch"]
    # `once` holds one validation and one test, which is about what an epoch adds to its updates
    return float(epochs * (per_epoch * per_update + once / 2) + once)
