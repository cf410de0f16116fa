"""Learning rates along training: one row a schedule.

A schedule has two parts, and either may be missing. *Along* the updates it multiplies a member's
rate by a factor that the number of the update gives: warm-up, cosine, one cycle. *After* an epoch
it looks at the validation loss, and changes the rate for good: plateau, decay, early stopping.

Shapes: P members, K updates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.hyperparameters import Member
from odyssey.training.config import SCHEDULES, TrainingConfig

ONE_CYCLE_START = 1 / 25
"""Share of the highest rate with which one cycle begins (Smith & Topin 2019; torch's default)."""


@dataclass(frozen=True)
class Along:
    """Where a member is in its training, and how its rate is to move.

    Attributes:
        update: Number of the update, from 0.
        total: Updates in all.
        warmup: Updates of the warm-up.
        final: Share of the rate that is left at the end.
    """

    update: int
    total: int
    warmup: float
    final: float

    @property
    def risen(self) -> float:
        """Gives the factor of a linear warm-up, which its last update ends."""
        return min(1.0, (self.update + 1) / self.warmup) if self.warmup else 1.0

    @property
    def share(self) -> float:
        """Gives the share of what follows the warm-up that is over."""
        return (self.update - self.warmup) / max(self.total - self.warmup, 1)


@dataclass(frozen=True)
class ScheduleRule:
    """One row of the table of schedules.

    Attributes:
        factor: Gives the factor of an update.
        ends: Whether it looks at the end of training, so that a longer training is another one.
        final: The share of the rate at the end, where the member says none.
        warmup: The share of all updates that warm-up takes, likewise.
    """

    factor: Callable[[Along], float] = lambda at: at.risen
    ends: bool = False
    final: float = 1.0
    warmup: float = 0.0


def _between(start: float, end: float, share: float) -> float:
    """Goes from one value to another along half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def _cosine(at: Along) -> float:
    """As in Loshchilov & Hutter (2017), without restarts."""
    return at.risen if at.update < at.warmup else _between(1.0, at.final, at.share)


def _linear(at: Along) -> float:
    return at.risen if at.update < at.warmup else 1 + (at.final - 1) * at.share


def _one_cycle(at: Along) -> float:
    """As in torch: half a cosine up to the highest rate, another one down to the last update."""
    top, last = max(at.warmup - 1, 0.0), at.total - 1
    if at.update <= top and top > 0:
        return _between(ONE_CYCLE_START, 1.0, at.update / top)
    return _between(1.0, at.final, (at.update - top) / max(last - top, 1e-9))


SCHEDULE_RULES: Mapping[str, ScheduleRule] = {
    "constant": ScheduleRule(),
    "plateau": ScheduleRule(),
    "decay": ScheduleRule(),
    "cosine": ScheduleRule(_cosine, ends=True, final=0.0),
    "linear": ScheduleRule(_linear, ends=True, final=0.0),
    "one_cycle": ScheduleRule(_one_cycle, ends=True, final=ONE_CYCLE_START / 1e4, warmup=0.3),
}
assert tuple(SCHEDULE_RULES) == SCHEDULES


class Rates:
    """The learning rates of the members of a population.

    Args:
        members: The members.
        config: The options, with the budget in updates.
        dtype: The type of the parameters.

    Attributes:
        rate_P: Those of the next update, in memory that stays.
        stale_P: Epochs since the last improvement.
        halvings_P: Halvings of the plateau schedule so far.
    """

    def __init__(
        self, members: Sequence[Member], config: TrainingConfig, dtype: torch.dtype
    ) -> None:
        self.config, self.rule = config, SCHEDULE_RULES[config.schedule]
        self.rate_P = torch.tensor([m.learning_rate for m in members], dtype=dtype)
        if config.scale_by_momentum:
            self.rate_P *= 1 - torch.tensor([m.momentum for m in members], dtype=dtype)
        total = config.updates
        self._along = [
            (
                total,
                self.rule.warmup * total if m.warmup is None else float(m.warmup),
                self.rule.final if m.final_rate is None else float(m.final_rate),
            )
            for m in members
        ]
        moves = self.rule.ends or any(warmup for _, warmup, _ in self._along)
        # what the epochs leave of the rates, before the factors of updates
        self._base_P = self.rate_P.clone() if moves else self.rate_P
        self.stale_P = [0] * len(members)
        self.halvings_P = [0] * len(members)

    def ahead(self, first: int, count: int) -> NDArray[Any]:
        """Gives the rates of updates (K, P) in the type of the parameters, from number `first`."""
        base_P: NDArray[Any] = self._base_P.numpy()
        if self._base_P is self.rate_P:
            return np.tile(base_P, (count, 1))
        factors = [
            [self.rule.factor(Along(update, *own)) for own in self._along]
            for update in range(first, first + count)
        ]
        rates: NDArray[Any] = (base_P * np.array(factors)).astype(base_P.dtype)
        return rates

    def turn_to(self, update: int) -> None:
        """Sets the rates to those of an update."""
        if self._base_P is not self.rate_P:
            self.rate_P.copy_(torch.from_numpy(self.ahead(update, 1)[0]))

    def after_epoch(self, k: int, epoch: int, *, improved: bool) -> bool:
        """Moves the schedule of a member on; says whether it is trained any further.

        Args:
            k: Position of the member.
            epoch: The epoch that is over, from 1.
            improved: Whether its validation loss is the best so far.
        """
        config, base_P = self.config, self._base_P
        self.stale_P[k] = stale = 0 if improved else self.stale_P[k] + 1
        since = epoch - config.decay_after
        if config.schedule == "decay" and since >= 0 and since % config.decay_every == 0:
            base_P[k] *= config.decay
        if config.schedule == "plateau":
            # once halving has begun it goes on, improvement or not, then training stops
            if self.halvings_P[k] and self.halvings_P[k] == config.halvings:
                return False
            if self.halvings_P[k] or stale >= config.patience:
                self.halvings_P[k] += 1
                base_P[k] *= 0.5
            return True
        return not (config.patience and stale > config.patience)

    def state(self) -> Tensor:
        """Gives what the epochs have left of the rates (P,)."""
        return self._base_P

    def restore(self, base_P: Tensor) -> None:
        """Sets what `state` gave."""
        self._base_P.copy_(base_P)
