"""Shares of GPUs, as Ray gives them out: a share below 1 lies on one GPU."""

from __future__ import annotations

import math


def even_share(gpus: int, workers: int) -> float:
    """Divides GPUs among workers: as many on each, and one at most, for a training has one."""
    each = math.ceil(workers / gpus)
    return math.floor(1e4 / each) / 1e4  # Ray counts ten-thousandths


def workers_on(gpus: int, share: float) -> int:
    """Counts the workers that fit: a share lies on one GPU, a whole number is on so many."""
    return gpus // int(share) if share >= 1 else gpus * math.floor(1 / share + 1e-9)
