"""Section `sgemm`: the rate of a whole LSTM step beside that of matrix products alone.

Shapes: T steps, B batch rows, H hidden units; products are (rows, inner) times (inner, columns).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from scipy.linalg import blas

from odyssey.compiler import RNN
from odyssey.specs import get_cell
from odyssey.speed.layers import effort, layer_step
from odyssey.speed.measure import Contender, interleaved
from odyssey.speed.section import Case, Finding, Measurement, Settings

# Operations of a step and row over H^2 with I = H: 8 for the product of all gates with x and 8 for
# that with h; as many for the gradients of x and of h, and again for those of the two matrices.
LSTM_OPERATIONS = 48
GOALS = {256: 0.8, 128: 0.7, 64: 0.55}
"""Hidden size -> the share of the rate of the faster BLAS that the goal is."""


@dataclass(frozen=True)
class Product:
    """A plain matrix product, and how many multiplications and additions it takes."""

    run: Contender
    operations: float


def plain_products(hidden: int, batch: int, settings: Settings) -> dict[str, Product]:
    """Gives products in the shape of all gates of all steps, and square ones.

    Their names begin with the library's, torch or scipy.
    """
    shapes = [(settings.steps * batch, hidden, 4 * hidden), (1024, 1024, 1024)]
    if settings.quick:
        shapes.pop()
    return {
        f"{library} {shape[1]}": Product(run, 2.0 * math.prod(shape))
        for shape in shapes
        for library, run in _products(*shape).items()
    }


@cache
def best_product(hidden: int, batch: int, settings: Settings) -> Product:
    """Gives the product of `plain_products` that has the highest rate here."""
    products = plain_products(hidden, batch, settings)
    runs = {name: product.run for name, product in products.items()}
    seconds = interleaved(runs, rounds=min(3, settings.rounds))
    return products[max(products, key=lambda name: products[name].operations / seconds[name])]


def _products(rows: int, inner: int, columns: int) -> dict[str, Contender]:
    """The same product by torch's BLAS and by scipy's."""
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    tall = np.asfortranarray(a.numpy())
    wide = np.asfortranarray(b.numpy())
    return {
        "torch": lambda: torch.mm(a, b),
        "scipy": lambda: blas.sgemm(1.0, tall, wide),
    }


def _measure(hidden: int, batch: int, settings: Settings) -> Measurement:
    steps = settings.steps
    plain = plain_products(hidden, batch, settings)
    runs = {name: product.run for name, product in plain.items()}
    operations = {name: product.operations for name, product in plain.items()}
    x_TBI = torch.randn(steps, batch, hidden, requires_grad=True)
    ours = RNN(get_cell("lstm"), hidden, hidden, backend="native")
    runs["lstm"] = layer_step(ours, x_TBI, torch.randn(steps, batch, hidden))
    operations["lstm"] = float(LSTM_OPERATIONS * hidden * hidden * steps * batch)
    seconds = interleaved(runs, rounds=settings.rounds)
    rates = {name: operations[name] / s / 1e9 for name, s in seconds.items()}
    best = {
        name: max(rate for key, rate in rates.items() if key.split()[0] == name)
        for name in ("torch", "scipy")
    }
    return {
        "H": hidden,
        "B": batch,
        "lstm GFLOP/s": rates["lstm"],
        **{f"{name} GFLOP/s": rate for name, rate in best.items()},
        "lstm / BLAS": rates["lstm"] / max(best["torch"], best["scipy"]),
    }


def rate_cases(settings: Settings) -> list[Case]:
    """Lists the shapes."""
    return [
        Case(
            f"lstm H={hidden} B={batch}",
            2 * effort(4, hidden, batch, settings),
            partial(_measure, hidden, batch, settings),
        )
        for hidden in settings.hidden_sizes(*GOALS)
        for batch in settings.batch_sizes(32)
    ]


def rate_findings(rows: Sequence[Measurement]) -> list[Finding]:
    """Asks for the share of the rate of the faster BLAS."""
    found = []
    for row in rows:
        shape = f"H = {row['H']}, B = {row['B']}"
        share, bound = float(row["lstm / BLAS"]), GOALS.get(int(row["H"]))
        found.append(Finding(f"lstm's share of the sgemm rate, {shape}", share, bound))
    return found
