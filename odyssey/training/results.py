"""What training says and leaves of a member."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from odyssey.hyperparameters import Member
from odyssey.storage.schema import OK


@dataclass
class MemberResult:
    """What training left of one member.

    Losses are of a counted target: nats, or the squared error where outputs are reals.
    """

    member: Member
    num_parameters: int
    operations: int | None = None
    status: str = OK
    reason: str = ""
    diverged_at: int | None = None
    stopped_at: int | None = None
    updates: int = 0
    characters: int = 0
    best_update: int | None = None
    train_nats: float = math.nan
    valid_nats: float = math.nan
    valid_accuracy: float = math.nan
    test_nats: float = math.nan
    test_accuracy: float = math.nan
    test_exact: float = math.nan
    shuffled_nats: float = math.nan
    blank_nats: float = math.nan
    longer_nats: float = math.nan
    longer_accuracy: float = math.nan
    longer_exact: float = math.nan
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[tuple[int, int, str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Epoch:
    """Progress after an epoch of one group of members."""

    epoch: int
    epochs: int
    members: tuple[int, ...]
    updates: int
    train_nats: tuple[float, ...]
    valid_nats: tuple[float, ...]
    smooth_nats: tuple[float, ...]
    seconds: float
