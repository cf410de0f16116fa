"""The table of optimisers: one rule a row, on the parameters of all members at once.

A rule uses methods of tensors alone, so that reading the table does not bring torch.

Shapes: P members, N parameters of a member (padding included).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey.registry import Registry, of_type

if TYPE_CHECKING:
    from torch import Tensor

    from odyssey.training.optimizers import Optimizer


@dataclass(frozen=True)
class OptimizerRule:
    """One row of the table of optimisers.

    Attributes:
        running: Names of what is kept between updates, (P, N) each.
        step: Gives what is subtracted (P, N), from the optimiser, the gradients (P, N) and the
            learning rates (P, 1); running values are changed in place.
        weight_decay: That of a member that says none.
        corrected: Whether it reads the optimiser's `divisors`.
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


_ROWS = {
    "sgd": OptimizerRule(("velocity",), _sgd),
    "rmsprop": OptimizerRule(("square",), _rmsprop),
    "adam": OptimizerRule(("mean", "square"), _adam, corrected=True),
    "adagrad": OptimizerRule(("square",), _adagrad),
    # decoupled weight decay acts beside any optimizer; this one has some (Loshchilov & Hutter 2019)
    "adamw": OptimizerRule(("mean", "square"), _adam, weight_decay=0.01, corrected=True),
}

OPTIMIZERS: Registry[OptimizerRule] = Registry(
    "optimiser",
    _ROWS,
    problem=of_type(OptimizerRule, "an OptimizerRule (odyssey.training.optimizer_rules)"),
)
