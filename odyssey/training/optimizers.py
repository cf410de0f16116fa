"""Optimisers on flat parameters: one row a member, hyperparameters as vectors.

Shapes: P members, N parameters of a member (padding included).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from odyssey.training.config import OPTIMIZER_NAMES
from odyssey.training.devices import moved, widest


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
        name: sgd, rmsprop, adam, adagrad or adamw.
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


@dataclass(frozen=True)
class OptimizerRule:
    """One row of the table of optimisers.

    Attributes:
        running: Names of what is kept between updates, (P, N) each.
        step: Gives what is subtracted (P, N), from the optimiser, the gradients (P, N) and the
            learning rates (P, 1); running values are changed in place.
        weight_decay: That of a member that says none.
        corrected: Whether it reads the optimiser's corrections.
    """

    running: tuple[str, ...]
    step: Callable[[Optimizer, Tensor, Tensor], Tensor]
    weight_decay: float = 0.0
    corrected: bool = False


def _sgd(o: Optimizer, g: Tensor, rate: Tensor) -> Tensor:
    """As in torch.optim."""
    if not o.has_momentum:
        return rate * g
    momentum = o.momentum_P[:, None]
    velocity = o.running("velocity", g)
    velocity.mul_(momentum).add_(g)
    return rate * (g + momentum * velocity if o.nesterov else velocity)


def _rmsprop(o: Optimizer, g: Tensor, rate: Tensor) -> Tensor:
    """As in char-rnn (Karpathy): sq <- a sq + (1 - a) g^2, step g / (sqrt(sq) + 1e-8)."""
    square = o.running("square", g)
    square.mul_(o.decay).addcmul_(g, g, value=1 - o.decay)
    return rate * g / (square.sqrt() + 1e-8)


def _adagrad(o: Optimizer, g: Tensor, rate: Tensor) -> Tensor:
    """As in min-char-rnn (Karpathy): step g / sqrt(sum g^2 + 1e-8)."""
    square = o.running("square", g)
    square.addcmul_(g, g)
    return rate * g / (square + 1e-8).sqrt()


def _adam(o: Optimizer, g: Tensor, rate: Tensor) -> Tensor:
    """As in torch.optim (Kingma & Ba 2015)."""
    mean, square = o.running("mean", g), o.running("square", g)
    mean_correction, square_correction = o.divisors
    mean.mul_(0.9).add_(g, alpha=0.1)
    square.mul_(0.999).addcmul_(g, g, value=0.001)
    root = (square / square_correction).sqrt() + 1e-8
    return rate * (mean / mean_correction) / root


OPTIMIZERS: dict[str, OptimizerRule] = {
    "sgd": OptimizerRule(("velocity",), _sgd),
    "rmsprop": OptimizerRule(("square",), _rmsprop),
    "adam": OptimizerRule(("mean", "square"), _adam, corrected=True),
    "adagrad": OptimizerRule(("square",), _adagrad),
    # decoupled weight decay acts beside any optimizer; this one has some (Loshchilov & Hutter 2019)
    "adamw": OptimizerRule(("mean", "square"), _adam, weight_decay=0.01, corrected=True),
}
assert tuple(OPTIMIZERS) == OPTIMIZER_NAMES


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
