"""Which tiling of matrix products is fastest for a size: what `odyssey tune` measures.

A size is measured in rounds. In each, every tiling runs a whole layer forward and backward, of
both cells of `CELLS`; the matrix products of the same layers alone are computed by our code and by
torch's, to compare. A tiling takes the place of the built-in one only where it is faster by
`LEAST_GAIN` in the middle one of the rounds, and faster at all in more of them than a fair coin
would give: half, and two standard deviations. One of several candidates is always ahead by chance.

Shapes: T steps, B batch rows, I = H input and hidden units, G stacked maps of H rows each.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from odyssey.compiler import RNN
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.call.kernel import DTYPES, Kernel, code_of
from odyssey.compiler.backends.native.call.products import products
from odyssey.compiler.backends.native.targets import TARGETS, Tiling
from odyssey.specs import get_cell
from odyssey.speed.layers import LAYERS, layer_step
from odyssey.speed.matrix_products import LayerProducts
from odyssey.speed.measure import (
    geometric_mean,
    one_torch_thread,
    repeats_for,
    sample_seconds,
    without_collection,
)

CELLS = ("lstm", "elman")
STEPS = 32
LEAST_GAIN = 1.02
LEAST_ROUNDS, MOST_ROUNDS = 8, 40
PRODUCTS, TORCH = "products", "torch"  # among the names of tilings
TYPES = {name: dtype for dtype, name in DTYPES.items()}


@dataclass(frozen=True)
class Size:
    """What is measured: H hidden units and B batch rows of a type."""

    dtype: str
    hidden: int
    batch: int


@dataclass(frozen=True)
class Tuned:
    """What was measured of a size; rates in GFLOP/s.

    Attributes:
        size: The size.
        tiling: The tiling to use.
        rate: Its rate: of whole layers, whose other work is not counted.
        built_in: That of the tiling that is used without measurements.
        products: That of the layers' matrix products alone, with that tiling.
        torch: That of the same products by torch.
        rounds: In how many rounds it was measured.
    """

    size: Size
    tiling: Tiling
    rate: float
    built_in: float
    products: float
    torch: float
    rounds: int


@dataclass(frozen=True)
class Progress:
    """How far the measuring is."""

    size: Size
    done: int
    sizes: int
    seconds_left: float


Round = Callable[[], Mapping[str, float]]
"""Measures once: name of a tiling, `PRODUCTS` or `TORCH` -> GFLOP/s."""


def tune_sizes(
    sizes: Sequence[Size],
    *,
    seconds: float,
    progress: Callable[[Progress], None],
    prepare: Callable[[Size], Round] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Tuned]:
    """Measures sizes one after the other, small ones first, with one thread.

    Args:
        sizes: The sizes.
        seconds: About how long it may take; what a size leaves goes to those that follow.
        progress: Called before every size.
        prepare: Gives what measures a size once.
        clock: Gives seconds.
    """
    prepare = prepare or prepare_layers
    tilings = TARGETS[toolchain.target()].tilings
    work = sorted(sizes, key=lambda s: s.hidden**2 * s.batch)
    start = clock()
    with one_torch_thread():
        for done, size in enumerate(work):
            left = max(0.0, start + seconds - clock())
            progress(Progress(size, done, len(work), left))
            end = clock() + left / (len(work) - done)
            measure = prepare(size)
            rounds: list[Mapping[str, float]] = []
            with without_collection():
                while len(rounds) < LEAST_ROUNDS or (len(rounds) < MOST_ROUNDS and clock() < end):
                    rounds.append(measure())
            best = choose(rounds, tilings)
            yield Tuned(
                size,
                best,
                rate=_rate(rounds, best.name),
                built_in=_rate(rounds, tilings[0].name),
                products=_rate(rounds, PRODUCTS),
                torch=_rate(rounds, TORCH),
                rounds=len(rounds),
            )


def choose(rounds: Sequence[Mapping[str, float]], tilings: Sequence[Tiling]) -> Tiling:
    """Gives the fastest tiling; the first where none is surely faster.

    Args:
        rounds: The rates of each round.
        tilings: The tilings.
    """

    def gains(tiling: Tiling) -> list[float]:
        return [r[tiling.name] / r[tilings[0].name] for r in rounds]

    best = max(tilings, key=lambda t: statistics.median(gains(t)))
    wins, count = sum(g > 1 for g in gains(best)), len(rounds)
    sure = wins >= count / 2 + math.sqrt(count)
    return best if sure and statistics.median(gains(best)) >= LEAST_GAIN else tilings[0]


def _rate(rounds: Sequence[Mapping[str, float]], name: str) -> float:
    return statistics.median(r[name] for r in rounds)


def prepare_layers(size: Size) -> Round:
    """Gives what measures whole layers of a size; compiles what they need."""
    target = toolchain.target()
    tilings = TARGETS[target].tilings
    for tiling in tilings:
        products(size.dtype, target, tiling)
    layers = [_Layer(spec, size) for spec in CELLS]
    number = 0

    def measure() -> dict[str, float]:
        nonlocal number
        turn = number % len(tilings)  # who comes first after other products finds a cold cache
        number += 1
        rates = {
            tiling.name: geometric_mean([layer.rate(tiling) for layer in layers])
            for tiling in (*tilings[turn:], *tilings[:turn])
        }
        for name in (PRODUCTS, TORCH):
            rates[name] = geometric_mean([layer.alone_rate(name) for layer in layers])
        return rates

    return measure


class _Layer:
    """A layer of a cell, and the products that it is made of."""

    def __init__(self, spec: str, size: Size) -> None:
        dtype, gates = TYPES[size.dtype], LAYERS[spec][2]
        # an operation is a product or a sum; a matrix is used forward, and for both gradients
        self.operations = 12 * gates * size.hidden**2 * STEPS * size.batch
        x_TBI = torch.randn(STEPS, size.batch, size.hidden, dtype=dtype, requires_grad=True)
        model = RNN(get_cell(spec), size.hidden, size.hidden, backend="native", dtype=dtype)
        self.kernel: Kernel = code_of(model.program).kernel(dtype)
        self.step = layer_step(model, x_TBI, torch.randn(x_TBI.shape, dtype=dtype))
        self.repeats = repeats_for(self.step)
        tilings = TARGETS[toolchain.target()].tilings
        alone = LayerProducts(dtype, STEPS, size.batch, size.hidden, gates)
        self.alone = {TORCH: alone.torch(), PRODUCTS: alone.ours(tilings[0])}
        self.alone_repeats = {name: repeats_for(run) for name, run in self.alone.items()}
        for tiling in tilings:  # structures and pages of each
            self.rate(tiling)

    def rate(self, tiling: Tiling) -> float:
        """Measures the layer with a tiling, in GFLOP/s."""
        self.kernel.use(tiling)
        try:
            return self.operations / sample_seconds(self.step, self.repeats) / 1e9
        finally:
            self.kernel.use(None)

    def alone_rate(self, name: str) -> float:
        """Measures the layer's products alone, in GFLOP/s."""
        return self.operations / sample_seconds(self.alone[name], self.alone_repeats[name]) / 1e9
