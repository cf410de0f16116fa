"""Initial weights that an `init` line asks for."""

from __future__ import annotations

import numpy as np

from odyssey.expr.cell import Init
from odyssey.expr.primitives import Array


def draw_init(init: Init, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draws one array of weights by an `init` line that is no copy of another weight."""
    a = init.args
    match init.kind:
        case "constant":
            return np.full(shape, a[0])
        case "uniform":
            return rng.uniform(a[0], a[1], shape)
        case "normal":
            return rng.normal(a[0], a[1], shape)
        case "identity":
            return a[0] * np.eye(shape[0], shape[1])
        case "orthogonal":
            tall = rng.normal(size=(max(shape), min(shape)))
            q, r = np.linalg.qr(tall)
            q = q * np.sign(np.diag(r))  # uniform over orthogonal matrices (Mezzadri 2007)
            return a[0] * (q if shape[0] >= shape[1] else q.T)
        case "chrono":  # ln U(1, T-1), Tallec & Ollivier 2018
            return np.log(rng.uniform(1.0, a[0] - 1.0, shape))
    raise AssertionError(init.kind)
