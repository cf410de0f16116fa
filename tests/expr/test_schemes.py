"""Initial weights: every distribution of the scheme, and what `init` lines do."""

import numpy as np
import pytest

import odyssey
from odyssey.compiler.lowering import lower
from odyssey.errors import ConfigError
from odyssey.expr.schemes import InitScheme, draw, initial_parameters
from odyssey.scheme_names import DISTRIBUTIONS

HIDDEN, COLUMNS = 25, 400


def draws(distribution, scale, shape):
    rng = np.random.default_rng(1)
    return draw(InitScheme(distribution, scale), shape, hidden_size=HIDDEN, rng=rng)


SPREAD = {  # of a matrix (HIDDEN, COLUMNS) with scale 3: standard deviation, and bound or None
    "uniform_fan": (3 / 5 / np.sqrt(3), 3 / 5),
    "uniform": (3 / np.sqrt(3), 3.0),
    "normal": (3.0, None),
    "normal_fan": (3 / 20, None),
}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_spread_of_a_matrix(distribution):
    deviation, bound = SPREAD[distribution]
    values = draws(distribution, 3.0, (HIDDEN, COLUMNS))
    assert values.shape == (HIDDEN, COLUMNS)
    assert abs(values.mean()) < 5 * deviation / 100
    assert values.std() == pytest.approx(deviation, rel=0.03)
    if bound is None:
        assert abs(values).max() > 2.5 * deviation
    else:
        assert 0.98 * bound < abs(values).max() <= bound
    assert not draws(distribution, 0.0, (2, 2)).any()


def test_a_vector_has_the_fan_of_the_units():
    values = np.concatenate([draws("normal_fan", 1.0, (HIDDEN,)) for _ in range(1)])
    same = np.random.default_rng(1).normal(0.0, 1 / 5, HIDDEN)
    np.testing.assert_allclose(values, same)


def test_the_default_is_that_of_torch():
    assert InitScheme() == InitScheme("uniform_fan", 1.0)


@pytest.mark.parametrize("scale", [-0.1, float("inf"), float("nan")])
def test_a_scale_is_a_number_that_is_not_negative(scale):
    with pytest.raises(ConfigError, match="initial scale must be a number >= 0"):
        InitScheme(scale=scale)


def test_a_distribution_is_one_of_them():
    with pytest.raises(ConfigError, match="closest: uniform"):
        InitScheme("unifrom")


TEXT = """cell start
input x
state h
q    = p * h[t-1]
h[t] = tanh(W @ x[t] + U @ h[t-1] + q + b + f - g + c * (V @ x[t]) + d)
init f = normal(0.5)
init g = -f
init d = -e
init e = 2
output h
"""


def parameters(text=TEXT, seed=4):
    cell = odyssey.parse_cell(text)
    return initial_parameters(
        cell,
        lower(cell),
        input_size=3,
        hidden_size=6,
        scheme=InitScheme("normal", 1.0),
        rng=np.random.default_rng(seed),
    )


def test_biases_start_at_zero_and_elementwise_weights_by_the_scheme():
    values = parameters(TEXT.replace("init d = -e\ninit e = 2\n", ""))
    assert values["W"].shape == (6, 3)
    assert values["U"].shape == (6, 6)
    assert not values["b"].any()
    assert not values["d"].any()
    for name in ("p", "c", "f"):
        assert values[name].shape == (6,)
        assert (values[name] != 0).all()
    np.testing.assert_array_equal(values["g"], -values["f"])


def test_only_what_is_added_is_a_bias():
    text = TEXT.replace("+ d)", "+ d) * b").replace("init d = -e\ninit e = 2\n", "")
    assert (parameters(text)["b"] != 0).all()


def test_names_come_in_the_order_of_the_program_and_hang_on_the_generator():
    text = TEXT.replace("init d = -e\ninit e = 2\n", "")
    cell = odyssey.parse_cell(text)
    one, same, other = parameters(text), parameters(text), parameters(text, seed=5)
    assert tuple(one) == lower(cell).parameters()
    for name in one:
        np.testing.assert_array_equal(one[name], same[name])
    assert not np.array_equal(one["W"], other["W"])


@pytest.mark.parametrize(("init", "want"), [("init e = 2\n", -2.0), ("", 0.0)])
def test_the_opposite_of_dead_code(init, want):
    """The source is no parameter of the program, but its initial value counts."""
    text = TEXT.replace("init e = 2\n", init).replace(
        "q    = p * h[t-1]\n", "q    = p * h[t-1]\ndead = e * h[t-1]\n"
    )
    values = parameters(text)
    assert "e" not in values
    np.testing.assert_array_equal(values["d"], np.full(6, want))
