"""Weights that papers give: each against what defines it, computed in another way."""

import numpy as np
import pytest
from numpy.polynomial import legendre
from scipy import linalg, signal

import odyssey
from odyssey.errors import CellError
from odyssey.expr import given
from odyssey.expr.equations import Init
from odyssey.expr.initial import INITIAL_VALUES, draw_init
from odyssey.expr.text import INIT_KINDS

N = 6


def draw(kind, *numbers, shape=(N, N), seed=1):
    numbers = INITIAL_VALUES[kind].complete(tuple(map(float, numbers)))
    return draw_init(Init("U", kind, numbers), shape, np.random.default_rng(seed))


@pytest.mark.parametrize("scale", [0.0, 0.1, 3.0, 40.0])
def test_the_exponential(scale):
    matrix = scale * np.random.default_rng(2).normal(size=(2, 5, 5))
    matrix = matrix - np.swapaxes(matrix, 1, 2)  # so that the result stays small
    np.testing.assert_allclose(given.exponential(matrix), linalg.expm(matrix), atol=1e-10)


def test_legs_follows_a_scaled_legendre_basis():
    # c of a function f on [0, t] solves t c' = -A c + B f(t); of f = s^2, c(t) = t^2 c(1)
    a, b = draw("legs"), draw("legs", shape=(N,))
    nodes, weights = legendre.leggauss(20)
    scaled = np.sqrt(2 * np.arange(N) + 1)[:, None] * legendre.legvander(nodes, N - 1).T
    c = (scaled * ((nodes + 1) / 2) ** 2 * weights / 2).sum(axis=1)
    np.testing.assert_allclose(2 * c, -a @ c + b, atol=1e-12)


def test_legs_frequencies_are_eigenvalues():
    frequencies = draw("legs_frequencies", shape=(N,))
    low = np.sqrt(np.arange(2 * N) + 0.5)
    whole = -given.legs((2 * N, 2 * N)) + np.outer(low, low)
    found = np.linalg.eigvals(whole)
    np.testing.assert_allclose(found.real, -0.5, atol=1e-9)
    np.testing.assert_allclose(np.sort(found.imag)[N:], frequencies, atol=1e-9)


def test_legt_holds_a_window():
    theta = 40.0
    a, b = draw("legt", theta), draw("legt", theta, shape=(N,))
    i = np.arange(N)
    q = (2 * i + 1) / theta
    n, k = np.meshgrid(i, i, indexing="ij")
    slow = np.where(n < k, -1.0, (-1.0) ** (n - k + 1)) * q[:, None]
    into = (-1.0) ** i * q
    exact = signal.cont2discrete((slow, into[:, None], np.eye(N), np.zeros((N, 1))), 1.0)
    np.testing.assert_allclose(a, exact[0], atol=1e-12)
    np.testing.assert_allclose(b, exact[1][:, 0], atol=1e-12)
    memory = np.zeros(N)
    for t in range(200):  # a slow sine, read where the window ends, theta steps ago
        memory = a @ memory + b * np.sin(0.02 * t)
    shifted = legendre.legvander(np.array([1.0]), N - 1)[0]  # P_i(2 r - 1) at r = 1
    assert shifted @ memory == pytest.approx(np.sin(0.02 * (200 - theta)), abs=0.02)


def test_permutations_and_turns():
    v = np.arange(N) + 1.0
    assert (draw("shift") @ v == np.roll(v, 1)).all()
    assert sorted(draw("permutation") @ v) == list(v)
    assert not (draw("permutation") == draw("permutation", seed=2)).all()
    np.testing.assert_array_equal(draw("quarter_turns") @ v, [-2, 1, -4, 3, -6, 5])
    np.testing.assert_array_equal(draw("repeated", shape=(6, 3)) @ v[:3], [1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(draw("tiled", shape=(6, 3)) @ v[:3], [1, 2, 3, 1, 2, 3])
    np.testing.assert_allclose(draw("averages", shape=(2, N)) @ v, [3.5, 3.5])


def test_the_fourier_transform():
    v = np.random.default_rng(3).normal(size=N)
    both = draw("dft_real") @ v + 1j * (draw("dft_imaginary") @ v)
    np.testing.assert_allclose(both, np.fft.fft(v) / np.sqrt(N), atol=1e-14)


def test_vectors():
    np.testing.assert_array_equal(draw("ramp", 1, 2, shape=(2, 3)), [[1, 3, 5]] * 2)
    np.testing.assert_allclose(np.exp(draw("log_ramp", 1, 1, shape=(3,))), [1, 2, 3])
    np.testing.assert_array_equal(draw("periods", 3, shape=(7,)), [1, 1, 1, 2, 2, 4, 4])
    np.testing.assert_array_equal(draw("signs", 0.8, shape=(5,)), [1, 1, 1, 1, -1])


def test_a_ring_is_uniform_in_its_area():
    radius = np.exp(-np.exp(draw("ring", 0.4, 0.9, shape=(4000,))))
    assert ((radius >= 0.4 - 1e-9) & (radius <= 0.9 + 1e-9)).all()
    assert (radius**2).mean() == pytest.approx((0.16 + 0.81) / 2, abs=0.01)


def test_a_reservoir_has_its_density_and_radius():
    drawn = draw("reservoir", 0.2, 0.95, shape=(80, 80))
    assert np.abs(np.linalg.eigvals(drawn)).max() == pytest.approx(0.95)
    assert (drawn != 0).mean() == pytest.approx(0.2, abs=0.02)


GIVEN = set(INIT_KINDS) - {"uniform", "normal", "identity", "orthogonal", "chrono"}


@pytest.mark.parametrize("kind", sorted(GIVEN))
@pytest.mark.parametrize("units", [1, 2, 5])
def test_every_one_is_finite_and_drawn_by_its_generator_alone(kind, units):
    row = INITIAL_VALUES[kind]
    numbers = (0.5, 0.9)[: max(row.counts)] if kind not in ("legt", "periods") else (3.0,)
    shape = (units,) if row.only_vectors else (units, units)
    values = draw(kind, *numbers, shape=shape)
    assert values.shape == shape
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(values, draw(kind, *numbers, shape=shape))


TEXT = """cell c
input x
state h
weight A : frozen
h[t] = tanh(W @ x[t] + A @ h[t-1] + b)
init {}
output h
"""


def test_a_frozen_matrix_is_given_to_every_layer():
    cell = odyssey.parse_cell(TEXT.format("A = shift"))
    rnn = odyssey.RNN(cell, 3, N, 2)
    for layer in rnn.layers:
        np.testing.assert_array_equal(layer["A"].detach().numpy(), draw("shift"))


@pytest.mark.parametrize(
    ("init", "reason"),
    [
        ("W = shift", "square matrices"),
        ("b = shift", "for matrices; b is a vector"),
        ("A = ring(0.4, 0.9)", "for vectors; A is a matrix"),
        ("b = ring(0.9, 0.4)", "radii grow"),
        ("b = log_ramp(0, 1)", "no logarithm"),
        ("b = periods(2.5)", "a whole number"),
        ("b = signs(2)", "a share"),
        ("A = legt(0.5)", "at least one step"),
        ("A = reservoir(0, 1)", "a share in 0 to 1"),
        ("A = legs(3)", "legs takes 0 numbers"),
    ],
)
def test_refusals(init, reason):
    with pytest.raises(CellError) as caught:
        odyssey.parse_cell(TEXT.format(init))
    assert reason in str(caught.value)
