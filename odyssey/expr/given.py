"""Weights that a paper gives: matrices and vectors with a formula, for `init` lines.

Each is a function of the shape, and of a generator where the paper draws it. A recurrence that must
not train them says so itself: `weight A : H, H, frozen`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ORDER = 18  # of the Taylor series of the exponential, whose argument is scaled below 1/2
_TRIES = 100


def exponential(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Computes the exponential of matrices (..., n, n): a Taylor series, scaled and squared."""
    norm = float(np.abs(matrix).sum(axis=-1).max(initial=0.0))
    squarings = max(0, int(np.ceil(np.log2(norm))) + 1) if norm > 0 else 0
    scaled = matrix / 2.0**squarings
    term = total = np.broadcast_to(np.eye(matrix.shape[-1]), matrix.shape)
    for order in range(1, _ORDER + 1):
        term = term @ scaled / order
        total = total + term
    for _ in range(squarings):
        total = total @ total
    return total


def ramp(shape: tuple[int, ...], first: float, step: float) -> NDArray[np.float64]:
    """Gives first, first + step, first + 2 step ... along the last axis."""
    return np.broadcast_to(first + step * np.arange(shape[-1]), shape).copy()


def periods(units: int, groups: float) -> NDArray[np.float64]:
    """Gives the period 1, 2, 4 ... of each unit, in groups of one size (Koutnik et al. 2014)."""
    return 2.0 ** np.floor(np.arange(units) * groups / units)


def signs(units: int, share: float) -> NDArray[np.float64]:
    """Gives 1 for the first share of the units, -1 for the others (Song et al. 2016)."""
    return np.where(np.arange(units) < round(share * units), 1.0, -1.0)


def ring(
    shape: tuple[int, ...], inner: float, outer: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws ln(-ln r) with r^2 uniform in [inner^2, outer^2] (Orvieto et al. 2023, lemma 3.2)."""
    squares = rng.uniform(inner**2, outer**2, shape)
    return np.log(-0.5 * np.log(np.maximum(squares, np.finfo(float).tiny)))


def legs(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Gives A, or for a vector B, of HiPPO-LegS (Gu et al. 2020, theorem 2).

    A[n, k] is sqrt((2n + 1)(2k + 1)) below the diagonal and n + 1 on it, B[n] is sqrt(2n + 1).
    """
    n = np.arange(shape[0])
    b = np.sqrt(2 * n + 1.0)
    return b if len(shape) == 1 else np.tril(np.outer(b, b), -1) + np.diag(n + 1.0)


def legs_frequencies(units: int) -> NDArray[np.float64]:
    """Gives the imaginary parts of the eigenvalues of the normal part of HiPPO-LegS.

    -A + P P^T with P[n] = sqrt(n + 1/2) is -1/2 and an antisymmetric matrix, whose eigenvalues come
    in pairs; of each pair the positive one is given, growing (Gu et al. 2022; Smith et al. 2023).
    """
    low = np.sqrt(np.arange(2 * units) + 0.5)
    normal = np.outer(low, low) - legs((2 * units, 2 * units))
    antisymmetric = (normal - normal.T) / 2
    return np.asarray(np.linalg.eigvalsh(1j * antisymmetric)[units:], np.float64)


def legt(shape: tuple[int, ...], window: float) -> NDArray[np.float64]:
    """Gives A, or for a vector B, of a Legendre memory of a window, held for a step of 1.

    Of theta m' = A m + B u with A[i, j] = (2i + 1) (-1 if i < j, else (-1)^(i - j + 1)) and
    B[i] = (2i + 1) (-1)^i (Voelker et al. 2019, equations 2 and 4), by zero-order hold.
    """
    n = np.arange(shape[0])
    alternating = (-1.0) ** (n[:, None] - n + 1)
    a = (2 * n[:, None] + 1) * np.where(n[:, None] < n, -1.0, alternating) / window
    b = (2 * n + 1) * (-1.0) ** n / window
    joined = np.zeros((len(n) + 1, len(n) + 1))
    joined[:-1, :-1], joined[:-1, -1] = a, b
    held = exponential(joined)  # of [[A, B], [0, 0]] it holds both
    return held[:-1, -1] if len(shape) == 1 else held[:-1, :-1]


def quarter_turns(units: int) -> NDArray[np.float64]:
    """Gives the matrix that takes a pair (a, b) of neighbours to (-b, a): i times a + ib."""
    turn = np.zeros((units, units))
    first = np.arange(0, units - 1, 2)
    turn[first, first + 1], turn[first + 1, first] = -1.0, 1.0
    return turn


def fourier(units: int) -> NDArray[np.complex128]:
    """Gives the unitary matrix of the discrete Fourier transform, e^(-2 pi i j k / n) / sqrt n."""
    return np.asarray(np.fft.fft(np.eye(units), norm="ortho"))


def picking(shape: tuple[int, ...], *, apart: bool) -> NDArray[np.float64]:
    """Gives a matrix that copies units: each as often as it can in a row, or all again and again.

    With R rows and C columns, row i takes column i C // R, or i mod C if `apart`.
    """
    rows, columns = shape
    row = np.arange(rows)
    picked = np.zeros(shape)
    picked[row, row % columns if apart else row * columns // rows] = 1.0
    return picked


def reservoir(
    units: int, density: float, radius: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws a sparse matrix of a spectral radius, its numbers uniform (Jaeger 2001).

    A draw that is nilpotent, as small sparse ones may be, is made again, and stays so at last.
    """
    for _ in range(_TRIES):
        drawn = rng.uniform(-1.0, 1.0, (units, units)) * (rng.random((units, units)) < density)
        largest = float(np.abs(np.linalg.eigvals(drawn)).max())
        if largest > 1e-6:
            return drawn * (radius / largest)
    return drawn
