"""How weights start where a cell has no `init` line: the schemes of the papers.

Drawn with NumPy, so that weights depend on the generator alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from odyssey.errors import ConfigError, suggest
from odyssey.expr.equations import Equations
from odyssey.expr.initial import draw_weights
from odyssey.expr.primitives import Array
from odyssey.expr.program import Program
from odyssey.scheme_names import DISTRIBUTIONS


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
    cell: Equations,
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

    def default(name: str, shape: tuple[int, ...]) -> Array:
        if name in program.biases:
            return np.zeros(shape)
        return draw(scheme, shape, hidden_size=hidden_size, rng=rng)

    shapes = {n: program.stored_shape(n, input_size, hidden_size) for n in program.parameters()}
    return draw_weights(cell.inits, shapes, default=default, rng=rng)
