"""Initial weights, drawn with NumPy so that they depend on the generator alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from odyssey.compiler.program import Program
from odyssey.errors import ConfigError, suggest
from odyssey.expr.cell import Cell
from odyssey.expr.functions import Array
from odyssey.expr.initial import draw_init


@dataclass(frozen=True)
class InitScheme:
    """How matrices and elementwise weights start where the cell has no `init` line.

    Attributes:
        distribution: `uniform_fan` is U(-s/sqrt(H), s/sqrt(H)) with H the number of units
            (Jozefowicz et al. 2015; torch's default with s = 1), `uniform` U(-s, s) (Karpathy et
            al. 2015, s = 0.08), `normal` N(0, s^2) (Greff et al. 2015, s = 0.1), `normal_fan`
            N(0, s^2 / fan_in) with fan_in the number of columns (LeCun et al. 1998, s = 1); H
            for elementwise weights.
        scale: s.
    """

    distribution: str = "uniform_fan"
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise ConfigError(
                suggest(self.distribution, DISTRIBUTIONS, what="initial distribution")
            )
        if not 0 <= self.scale < float("inf"):
            raise ConfigError(f"initial scale must be a number >= 0, got {self.scale}")


DISTRIBUTIONS = ("uniform_fan", "uniform", "normal", "normal_fan")


def draw(
    scheme: InitScheme, shape: tuple[int, ...], *, hidden_size: int, rng: np.random.Generator
) -> Array:
    """Draws one array of weights by the scheme."""
    if scheme.distribution == "normal":
        return rng.normal(0.0, scheme.scale, shape)
    if scheme.distribution == "normal_fan":
        fan_in = shape[1] if len(shape) == 2 else hidden_size
        return rng.normal(0.0, scheme.scale / np.sqrt(fan_in), shape)
    bound = scheme.scale / (np.sqrt(hidden_size) if scheme.distribution == "uniform_fan" else 1.0)
    return rng.uniform(-bound, bound, shape)


def initial_parameters(
    cell: Cell,
    program: Program,
    *,
    input_size: int,
    hidden_size: int,
    scheme: InitScheme,
    rng: np.random.Generator,
) -> Mapping[str, Array]:
    """Draws all parameters of one layer, in the program's order.

    Matrices and elementwise weights follow the scheme and biases (vectors that are only added)
    start at zero, unless the cell has an `init` line.

    Returns:
        Name -> float64 array of the shape that the program gives.
    """
    inits = {i.parameter: i for i in cell.inits}
    biases = _biases(program)
    values: dict[str, Array] = {}
    for name in program.parameters():
        shape = program.shape(name, input_size, hidden_size)
        init = inits.get(name)
        if init is not None and init.kind != "negated":
            values[name] = draw_init(init, shape, rng)
        elif name in biases:
            values[name] = np.zeros(shape)
        else:
            values[name] = draw(scheme, shape, hidden_size=hidden_size, rng=rng)
    for init in inits.values():
        if init.kind == "negated" and init.parameter in values:
            if init.source not in values:  # dead code, but its initial value is wanted
                source, shape = inits.get(init.source), values[init.parameter].shape
                values[init.parameter] = np.zeros(shape) - (
                    draw_init(source, shape, rng) if source else 0
                )
                continue
            values[init.parameter] = -values[init.source]
    return values


def _biases(program: Program) -> set[str]:
    """Names of the vectors that are only ever added or subtracted."""
    biases = set(program.vectors)
    for node in program.nodes:
        if node.op not in ("add", "sub"):
            read = (program.nodes[a] for a in node.args)
            biases -= {n.name for n in read if n.op == "vector"}
    return biases
