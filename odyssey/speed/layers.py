"""Sections `dense` and `classes`: one layer beside the layer of torch.nn that does the same.

Shapes: T steps, B batch rows, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from odyssey.compiler import RNN
from odyssey.specs import get_cell
from odyssey.speed.measure import Contender, geometric_mean, interleaved
from odyssey.speed.section import Case, Finding, Measurement, Settings, column

CLASSES = 65  # as many as tinyshakespeare has
LAYERS: Mapping[str, tuple[Callable[[int, int], nn.Module], float, int]] = {
    "lstm": (nn.LSTM, 1.0, 4),
    "gru_torch": (nn.GRU, 1.15, 3),
    "elman": (nn.RNN, 1.15, 1),
}
"""Cell -> torch's layer, how many times as fast the goal is on every shape, gates."""


def layer_step(model: nn.Module, x: Tensor, dy_TBH: Tensor) -> Contender:
    """Gives a forward and a backward pass with the gradients of the parameters and of x.

    Args:
        model: A layer that gives its output and a state.
        x: Its input; gets a gradient if it requires one.
        dy_TBH: The gradient of the output.
    """
    parameters = list(model.parameters())

    def run() -> None:
        for p in parameters:
            p.grad = None
        x.grad = None
        torch.autograd.backward(model(x)[0], dy_TBH)

    return run


def effort(gates: float, hidden: int, batch: int, settings: Settings) -> float:
    """Guesses the milliseconds of a case: products, and what every step costs besides."""
    sequence = 2e-5 * gates * batch * hidden * hidden + 0.5 * gates + 0.5
    return 50 + (settings.rounds + 4) * settings.steps / 128 * sequence


def _cases(
    settings: Settings, measure: Callable[[str, int, int, Settings], Measurement]
) -> list[Case]:
    return [
        Case(
            f"{spec} H={hidden} B={batch}",
            effort(gates, hidden, batch, settings),
            partial(measure, spec, hidden, batch, settings),
        )
        for spec, (_, _, gates) in LAYERS.items()
        for hidden in settings.hidden_sizes(64, 128, 256)
        for batch in settings.batch_sizes(16, 32, 64)
    ]


def _row(
    spec: str, hidden: int, batch: int, runs: Mapping[str, Contender], rounds: int
) -> Measurement:
    seconds = interleaved(runs, rounds=rounds)
    return {
        "cell": spec,
        "H": hidden,
        "B": batch,
        "native": 1e3 * seconds["native"],
        "nn": 1e3 * seconds["nn"],
        "nn / native": seconds["nn"] / seconds["native"],
    }


def _dense(spec: str, hidden: int, batch: int, settings: Settings) -> Measurement:
    x_TBI = torch.randn(settings.steps, batch, hidden, requires_grad=True)
    dy_TBH = torch.randn(settings.steps, batch, hidden)
    ours = RNN(get_cell(spec), hidden, hidden, backend="native")
    runs = {
        "native": layer_step(ours, x_TBI, dy_TBH),
        "nn": layer_step(LAYERS[spec][0](hidden, hidden), x_TBI, dy_TBH),
    }
    return _row(spec, hidden, batch, runs, settings.rounds)


def _classes(spec: str, hidden: int, batch: int, settings: Settings) -> Measurement:
    x_TB = torch.randint(CLASSES, (settings.steps, batch))
    x_TBI = functional.one_hot(x_TB, CLASSES).float()
    dy_TBH = torch.randn(settings.steps, batch, hidden)
    ours = RNN(get_cell(spec), CLASSES, hidden, backend="native")
    runs = {
        "native": layer_step(ours, x_TB, dy_TBH),
        "nn": layer_step(LAYERS[spec][0](CLASSES, hidden), x_TBI, dy_TBH),
    }
    return _row(spec, hidden, batch, runs, settings.rounds)


def dense_cases(settings: Settings) -> list[Case]:
    """Lists every cell, hidden size and batch size."""
    return _cases(settings, _dense)


def dense_findings(rows: Sequence[Measurement]) -> list[Finding]:
    """Asks for a ratio on the worst shape of each cell, and for the mean of all."""
    found = []
    for spec, (layer, bound, _) in LAYERS.items():
        worst = min(column([r for r in rows if r["cell"] == spec], "nn / native"))
        found.append(Finding(f"{spec} against nn.{layer.__name__}, worst shape", worst, bound))
    mean = geometric_mean(column(rows, "nn / native"))
    return [*found, Finding("against nn.*, geometric mean", mean, 2.0)]


def classes_cases(settings: Settings) -> list[Case]:
    """Lists every cell, hidden size and batch size."""
    return _cases(settings, _classes)


def classes_findings(rows: Sequence[Measurement]) -> list[Finding]:
    """Asks for the mean."""
    mean = geometric_mean(column(rows, "nn / native"))
    return [Finding("class indices against nn.* on one-hot vectors, geometric mean", mean, 1.8)]
