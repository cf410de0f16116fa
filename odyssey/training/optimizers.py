"""Optimisers on flat parameters: one row a member, hyperparameters as vectors.

Shapes: P members, N parameters of a member (padding included).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


class FlatParameters:
    """Holds all parameters of a population as one (P, N) tensor beside the module's own.

    An optimiser step is then a handful of operations, whatever the number of parameters.
    """

    def __init__(self, module: nn.Module, members: int) -> None:
        self.parameters = list(module.parameters())
        self.members = members
        self.columns = [p[0].numel() for p in self.parameters]
        self.values_PN = self._joined([p.detach() for p in self.parameters])

    def _joined(self, tensors: list[Tensor]) -> Tensor:
        return torch.cat([t.reshape(self.members, -1) for t in tensors], 1)

    @torch.no_grad()
    def assign(self, values_PN: Tensor) -> None:
        """Sets all parameters."""
        self.values_PN = values_PN
        parts = torch.split(values_PN, self.columns, 1)
        views = [v.reshape(p.shape) for v, p in zip(parts, self.parameters, strict=True)]
        for parameter, view in zip(self.parameters, views, strict=True):
            parameter.copy_(view)

    def take_gradients(self) -> Tensor:
        """Gives the gradients (P, N) and forgets them; a parameter that got none has zeros."""
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        for parameter in self.parameters:
            parameter.grad = None
        return self._joined(found)


@dataclass
class Optimizer:
    """Updates the rows of flat parameters.

    Attributes:
        name: sgd, rmsprop, adam or adagrad.
        momentum_P: Momentum of each member (sgd).
        nesterov: Whether the momentum is Nesterov's.
        decay: Decay of the running square (rmsprop).
    """

    name: str
    momentum_P: Tensor
    nesterov: bool = False
    decay: float = 0.95
    state: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0

    def step(self, values_PN: Tensor, gradients_PN: Tensor, *, rate_P: Tensor) -> Tensor:
        """Gives the new values (P, N).

        sgd and adam are as in torch.optim; rmsprop as in char-rnn (Karpathy), sq <- a sq +
        (1 - a) g^2, step g / (sqrt(sq) + 1e-8); adagrad as in min-char-rnn, step g / sqrt(sum g^2
        + 1e-8).
        """
        self.steps += 1
        rate, g = rate_P[:, None], gradients_PN
        if self.name == "sgd":
            return values_PN - rate * self._with_momentum(g)
        if self.name == "rmsprop":
            square = self._running("square", g)
            square.mul_(self.decay).addcmul_(g, g, value=1 - self.decay)
            return values_PN - rate * g / (square.sqrt() + 1e-8)
        if self.name == "adagrad":
            square = self._running("square", g)
            square.addcmul_(g, g)
            return values_PN - rate * g / (square + 1e-8).sqrt()
        assert self.name == "adam", self.name
        mean, square = self._running("mean", g), self._running("square", g)
        mean.mul_(0.9).add_(g, alpha=0.1)
        square.mul_(0.999).addcmul_(g, g, value=0.001)
        root = (square / (1 - 0.999**self.steps)).sqrt() + 1e-8
        return values_PN - rate * (mean / (1 - 0.9**self.steps)) / root

    def _with_momentum(self, g: Tensor) -> Tensor:
        if not bool((self.momentum_P > 0).any()):
            return g
        momentum = self.momentum_P[:, None]
        velocity = self._running("velocity", g)
        velocity.mul_(momentum).add_(g)
        return g + momentum * velocity if self.nesterov else velocity

    def _running(self, name: str, like: Tensor) -> Tensor:
        if name not in self.state:
            self.state[name] = torch.zeros_like(like)
        return self.state[name]


def clip(
    gradients_PN: Tensor, *, norm_P: Tensor, clip_norm_P: Tensor, clip_value_P: Tensor
) -> Tensor:
    """Clips each member's gradient by norm, then by value; infinity does not clip.

    Args:
        gradients_PN: The gradients.
        norm_P: Their norms.
        clip_norm_P: Largest norm.
        clip_value_P: Largest size of an element.
    """
    if bool(torch.isfinite(clip_norm_P).any()):
        scale_P = (clip_norm_P / (norm_P + 1e-12)).clamp(max=1.0)
        gradients_PN = gradients_PN * scale_P[:, None]
    if bool(torch.isfinite(clip_value_P).any()):
        bound = clip_value_P[:, None]
        gradients_PN = torch.minimum(torch.maximum(gradients_PN, -bound), bound)
    return gradients_PN
