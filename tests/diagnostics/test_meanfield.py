"""Mean-field predictions against closed forms and against measurement."""

import numpy as np
import pytest
import torch

import odyssey
from odyssey.diagnostics import meanfield
from odyssey.diagnostics.gradients import back_propagate, gradient_norms
from odyssey.diagnostics.meanfield import predicted_norms
from odyssey.diagnostics.recurrence import trace
from odyssey.errors import ConfigError
from odyssey.expr.schemes import InitScheme
from odyssey.specs import CELL_SETS

PAPERS = dict.fromkeys(["gru_torch", *CELL_SETS["jozefowicz10"]])


def built(cell, members=8, hidden=96, scheme=None):
    cell = odyssey.parse_cell(cell) if "\n" in cell else odyssey.get_cell(cell)
    size = hidden if odyssey.RNN(cell, 4, 4).program.square else 30
    rnn = odyssey.RNN(cell, size, hidden, population=members, dtype=torch.float64)
    rnn.reset_parameters(scheme or InitScheme("uniform", 0.09), rng=np.random.default_rng(1))
    return rnn


def predicted(rnn, steps, weights, state="all"):
    frame = predicted_norms(rnn, steps, rng=np.random.default_rng(2))
    part = frame[(frame.weights == weights) & (frame.state == state)]
    return part.set_index("steps_back").log10_norm


def measured(rnn, steps, state="all"):
    rng = np.random.default_rng(3)
    x = torch.as_tensor(rng.normal(size=(rnn.population, steps, 1, rnn.input_size)))
    frame = gradient_norms(back_propagate(trace(rnn, x), rng))
    return frame[frame.state == state].groupby("steps_back").log10_norm.median()


def strength(rnn):
    """By how much U stretches a random vector: the root of H times the variance."""
    return float(rnn.layer_parameters()[0]["U"].detach().square().mean().sqrt()) * np.sqrt(96)


LINEAR = "cell c\ninput x\nstate h\nh[t] = U @ h[t-1] + W @ x[t]\noutput h\n"


def test_a_linear_network_falls_by_sigma_root_h():
    rnn = built(LINEAR)
    rate = np.log10(strength(rnn))
    np.testing.assert_allclose(predicted(rnn, 30, "fresh"), rate * np.arange(31), atol=1e-6)
    np.testing.assert_allclose(predicted(rnn, 30, "frozen"), rate * np.arange(31), atol=0.15)


def test_near_the_identity_frozen_weights_add_up():
    rnn = built("cell c\ninput x\nstate h\nh[t] = 0.5 * h[t-1] + U @ h[t-1] + W @ x[t]\noutput h\n")
    sigma = strength(rnn)
    fresh = predicted(rnn, 60, "fresh")
    np.testing.assert_allclose(fresh, np.arange(61) * np.log10(0.25 + sigma**2) / 2, atol=1e-6)
    frozen = predicted(rnn, 60, "frozen")
    assert (frozen[60] - frozen[40]) / 20 == pytest.approx(np.log10(0.5 + sigma), abs=0.02)


def test_an_identity_start_is_kept_apart_from_chance():
    text = LINEAR.replace("output", "init U = identity(0.9)\noutput")
    rnn = built(text)
    for weights in ("fresh", "frozen"):
        np.testing.assert_allclose(
            predicted(rnn, 20, weights), np.arange(21) * np.log10(0.9), atol=1e-9
        )


@pytest.mark.parametrize(
    "spec",
    [
        *(*PAPERS, "mgu", "ugrnn", "lstm:forget_bias=1", "lstm:chrono=30", "lstm:NOG"),
        *("sgu", "dsgu", "scrn"),
    ],
)
def test_frozen_weights_predict_what_is_measured(spec):
    rnn = built(spec)
    mine, truth = predicted(rnn, 40, "frozen"), measured(rnn, 40)
    assert abs(mine[1] - truth[1]) < 0.06
    assert abs(mine[40] - truth[40]) < 0.05 * abs(truth[40]) + 0.15


def test_fresh_weights_predict_a_network_of_random_signs():
    rnn = built("elman_relu")
    mine, truth = predicted(rnn, 30, "fresh"), measured(rnn, 30)
    np.testing.assert_allclose(mine, truth, atol=0.03 * abs(truth[30]))


def test_an_output_that_is_no_state():
    rnn = built(LINEAR.replace("output h", "y = 2 * h[t]\noutput y"))
    norms = predicted(rnn, 3, "fresh")
    sigma = strength(rnn)
    assert norms[0] == -np.inf
    assert norms[1] == pytest.approx(np.log10(2 * sigma), abs=1e-9)
    assert predicted(rnn, 3, "frozen")[1] == pytest.approx(np.log10(2 * sigma), abs=0.05)


def test_what_a_matrix_makes_of_a_state_that_stays_stays():
    rnn = built(LINEAR, members=1)
    theory = meanfield._Theory(rnn.cell, rnn, 1.0, np.random.default_rng(4))
    v, w = np.random.default_rng(5).normal(size=(2, theory.n))
    apply = theory.maps["U"]
    first, other, again = apply(v), apply(w), apply(v)
    np.testing.assert_allclose(again, first, rtol=1e-9)
    np.testing.assert_allclose(apply(2 * v - w), 2 * first - other, rtol=1e-7, atol=1e-9)
    variance = theory.matrices["U"].variance * 96
    for one, two, mean in ((first, first, v * v), (first, other, v * w)):
        wanted = variance * mean.mean()
        assert (one * two).mean() == pytest.approx(wanted, abs=0.1 * variance)


def test_what_the_theory_does_not_know_it_refuses():
    rng = np.random.default_rng(1)
    with pytest.raises(ConfigError, match="few units carry them"):
        predicted_norms(built("indrnn"), 40, rng=rng)
    with pytest.raises(ConfigError, match="independent of each other"):
        predicted_norms(built("scornn"), 3, rng=rng)
    with pytest.raises(ConfigError, match="is transposed; the theory"):
        predicted_norms(built("lipschitz_rnn"), 3, rng=rng)
    with pytest.raises(ConfigError, match="another mean"):
        predicted_norms(built(LINEAR.replace("output", "init U = 0.5\noutput")), 3, rng=rng)
    two = odyssey.RNN(odyssey.get_cell("gru"), 3, 4, 2)
    with pytest.raises(ConfigError, match="one layer"):
        predicted_norms(two, 3, rng=rng)
    with pytest.raises(ConfigError, match="at least 1"):
        predicted_norms(built(LINEAR), 0, rng=rng)
    narrow = "cell c\ninput x\nstate h\nq = V @ h[t-1] + x[t]\nh[t] = tanh(W @ q)\noutput h\n"
    with pytest.raises(ConfigError, match=r"passes [VW], which is not"):
        predicted_norms(built(narrow), 3, rng=rng)


def test_an_equation_that_nothing_needs_changes_nothing():
    dead = LINEAR.replace("h[t] =", "r = sigmoid(V @ h[t-1])\nh[t] =")
    found = [predicted(built(text), 5, "frozen") for text in (LINEAR, dead)]
    assert found[0].to_numpy() == pytest.approx(found[1].to_numpy(), abs=0.05)
