"""Optimisers on flat parameters: one row a member, hyperparameters as vectors.

Shapes: P members, N parameters of a member (padding included).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from odyssey.training.devices import moved, widest
from odyssey.training.optimizer_rules import OPTIMIZERS


class FlatParameters:
    """All parameters of a population as one (P, N) tensor, read from and written to the module's.

    A row is what a member has, parameter after parameter in the module's order.
    """

    def __init__(self, module: nn.Module, members: int) -> None:
        self.parameters = list(module.parameters())
        self.members = members
        self.columns = [p[0].numel() for p in self.parameters]

    @property
    def values_PN(self) -> Tensor:
        """Gives a copy of all parameters."""
        return self.joined([p.detach() for p in self.parameters])

    def row(self, member: int) -> Tensor:
        """Gives a copy of the parameters of one member (N,)."""
        return torch.cat([p.detach()[member].flatten() for p in self.parameters])

    def joined(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """Joins tensors like the parameters into (P, N); None stands for zeros."""
        pairs = zip(tensors, self.parameters, strict=True)
        given = [torch.zeros_like(p) if t is None else t for t, p in pairs]
        return torch.cat([t.reshape(self.members, -1) for t in given], 1)

    @torch.no_grad()
    def assign(self, values_PN: Tensor) -> None:
        """Sets all parameters."""
        parts = torch.split(values_PN, self.columns, 1)
        for parameter, part in zip(self.parameters, parts, strict=True):
            parameter.copy_(part.reshape(parameter.shape))

    @torch.no_grad()
    def clear(self, member: int) -> None:
        """Sets the parameters of one member to zero."""
        for parameter in self.parameters:
            parameter[member].zero_()


@dataclass
class Optimizer:
    """Updates the rows of flat parameters.

    Attributes:
        name: A row of `OPTIMIZERS`.
        momentum_P: Momentum of each member (sgd).
        nesterov: Whether the momentum is Nesterov's.
        decay: Decay of the running square (rmsprop).
        has_momentum: Whether any member has momentum.
        lasting: Whether the corrections lie in a tensor, which a captured update reads anew.
    """

    name: str
    momentum_P: Tensor
    nesterov: bool = False
    decay: float = 0.95
    state: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    lasting: bool = False

    def __post_init__(self) -> None:
        self.has_momentum = bool((self.momentum_P.cpu() > 0).any())
        device = self.momentum_P.device
        self._corrections_2 = torch.ones(2, dtype=widest(device), device=device)

    def count(self) -> None:
        """Counts an update, before its step."""
        self.steps += 1
        if self.lasting and OPTIMIZERS[self.name].corrected:
            own = self._corrections_2
            own.copy_(moved(torch.tensor(self.corrections, dtype=own.dtype), own.device))

    @property
    def divisors(self) -> Sequence[float | Tensor]:
        """Gives the corrections, as tensors where they last."""
        return self._corrections_2.unbind() if self.lasting else self.corrections

    def step(self, values_PN: Tensor, gradients_PN: Tensor, *, rate_P: Tensor) -> Tensor:
        """Gives the new values (P, N) of an update that was counted."""
        return values_PN - OPTIMIZERS[self.name].step(self, gradients_PN, rate_P[:, None])

    @property
    def corrections(self) -> tuple[float, float]:
        """Gives what adam divides its running mean and square by."""
        return 1 - 0.9**self.steps, 1 - 0.999**self.steps

    @property
    def running_values(self) -> tuple[str, ...]:
        """Names what is kept between updates."""
        return OPTIMIZERS[self.name].running if self.name != "sgd" or self.has_momentum else ()

    def running(self, name: str, like: Tensor) -> Tensor:
        """Gives a running value (P, N); zeros at first."""
        if name not in self.state:
            self.state[name] = torch.zeros_like(like)
        return self.state[name]


def clip(
    gradients_PN: Tensor, *, norm_P: Tensor, clip_norm_P: Tensor | None, clip_value_P: Tensor | None
) -> Tensor:
    """Clips each member's gradient by norm, then by value; infinity does not clip, nor None.

    Args:
        gradients_PN: The gradients.
        norm_P: Their norms.
        clip_norm_P: Largest norm.
        clip_value_P: Largest size of an element.
    """
    if clip_norm_P is not None:
        scale_P = (clip_norm_P / (norm_P + 1e-12)).clamp(max=1.0)
        gradients_PN = gradients_PN * scale_P[:, None]
    if clip_value_P is not None:
        bound = clip_value_P[:, None]
        gradients_PN = torch.minimum(torch.maximum(gradients_PN, -bound), bound)
    return gradients_PN
