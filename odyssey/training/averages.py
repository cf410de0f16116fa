"""Running averages of weights, with which members are measured (Polyak & Juditsky 1992).

After every update a member's average a moves towards its weights w: a <- d a + (1 - d) w, with its
own decay d. As in `torch.optim.swa_utils`, the first update gives the average its first value.

Shapes: P members, N parameters of a member (padding included).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from odyssey.compiler.backends.base import Averages
from odyssey.hyperparameters import Member
from odyssey.training.optimizers import FlatParameters


class AveragedWeights:
    """The averages of the members of a population; those of a member with decay 0 are its weights.

    Args:
        members: The members.
        flat: Their weights.
    """

    def __init__(self, members: Sequence[Member], flat: FlatParameters) -> None:
        self.flat = flat
        values_PN = flat.values_PN
        decay_P = values_PN.new_tensor([m.ema_decay for m in members])
        self._share_P = 1 - decay_P
        self.moved = Averages(values_PN, torch.ones_like(decay_P))

    def begin(self) -> None:
        """Ends the time in which an average is a copy, after the first update."""
        self.moved.share_P.copy_(self._share_P)

    def restore(self, values_PN: Tensor, *, updates: int) -> None:
        """Goes back to averages of before."""
        self.moved.values_PN.copy_(values_PN)
        if updates:
            self.begin()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Puts the averages in the place of the weights for a while."""
        weights_PN = self.flat.values_PN
        self.flat.assign(self.moved.values_PN)
        try:
            yield
        finally:
            self.flat.assign(weights_PN)


def averaged_weights(members: Sequence[Member], flat: FlatParameters) -> AveragedWeights | None:
    """Gives the averages, where any member asks for one."""
    return AveragedWeights(members, flat) if any(m.ema_decay for m in members) else None
