"""The contract of optimisers: members are independent, state is named, and a loss goes down."""

from __future__ import annotations

import torch
from torch import Tensor

from odyssey.contracts.finding import Checks, expect
from odyssey.training.optimizer_rules import OptimizerRule
from odyssey.training.optimizers import Optimizer

_STEPS = 200
_RATES = (0.05, 0.01, 0.002)


def _descend(name: str, start_PN: Tensor, rate_P: Tensor, steps: int) -> tuple[Tensor, Optimizer]:
    """Makes updates on the loss |v|^2 / 2, whose gradient is v."""
    optimizer = Optimizer(name, torch.zeros(len(rate_P), dtype=torch.float64))
    values = start_PN.clone()
    for _ in range(steps):
        optimizer.count()
        values = optimizer.step(values, values.clone(), rate_P=rate_P)
    return values, optimizer


def _start() -> tuple[Tensor, Tensor]:
    values = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.2, -0.7], [2.0, 1.0, 1.5]])
    return values.double(), torch.tensor(_RATES, dtype=torch.float64)


def check_state(name: str, row: OptimizerRule) -> None:
    """Checks the shape of a step, and that its running values are those that it names."""
    start, rate = _start()
    values, optimizer = _descend(name, start, rate, 3)
    expect(values.shape == start.shape, f"a step has the shape {tuple(values.shape)}, not (P, N)")
    expect(values.dtype == start.dtype, f"a step of float64 is {values.dtype}")
    if name != "sgd":  # its velocity is there with momentum
        kept = sorted(optimizer.state)
        expect(kept == sorted(row.running), f"running is {row.running}, and it keeps {kept}")


def check_independent(name: str, row: OptimizerRule) -> None:
    """Checks that a member alone gets the numbers that it gets beside others."""
    start, rate = _start()
    together, _ = _descend(name, start, rate, 20)
    for p in range(len(rate)):
        alone, _ = _descend(name, start[p : p + 1], rate[p : p + 1], 20)
        same = torch.allclose(alone[0], together[p], rtol=1e-12, atol=1e-14)
        expect(same, f"member {p} has other numbers alone than beside others")


def check_descends(name: str, row: OptimizerRule) -> None:
    """Checks that the loss of a quadratic goes down, with some learning rate of three."""
    start, rate = _start()
    values, _ = _descend(name, start, rate, _STEPS)
    before, after = start.square().sum(1), values.square().sum(1)
    expect(bool(values.isfinite().all()), f"is not finite after {_STEPS} updates")
    expect(bool((after < 0.9 * before).any()), f"|v|^2 does not go down in {_STEPS} updates")


CHECKS: Checks = {
    "shape and state": check_state,
    "members are independent": check_independent,
    "descends a quadratic": check_descends,
}
