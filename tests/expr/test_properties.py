"""Properties of weights: each row by what it promises, in cells and in layers."""

import numpy as np
import pytest
import torch
from support import oracle

import odyssey
from odyssey.compiler.backends import BACKENDS
from odyssey.errors import CellError, ConfigError
from odyssey.expr import parse_cell
from odyssey.expr.properties import PROPERTIES, apply_properties, stored_shape

WRITTEN = [f"{name}(3)" if row.counted else name for name, row in PROPERTIES.items()]
CHECKS = {  # of a matrix (6, 6) and what it was made of
    "frozen": lambda m, raw: (m == raw).all(),
    "nonnegative": lambda m, raw: (m >= 0).all() and (m.max() > 0),
    "orthogonal": lambda m, raw: np.abs(m @ m.T - np.eye(6)).max() < 1e-12,
    "rotation": lambda m, raw: (
        np.abs(m @ m.T - np.eye(6)).max() < 1e-12 and np.linalg.det(m) > 0.99
    ),
    "reflections": lambda m, raw: (
        np.abs(m - reflected(raw)).max() < 1e-12 and np.linalg.det(m) < -0.99
    ),
    "unitary": lambda m, raw: (
        np.abs(m @ m.T - np.eye(6)).max() < 1e-12
        and (np.abs(m[:3, :3] - m[3:, 3:]) < 1e-12).all()
        and (np.abs(m[:3, 3:] + m[3:, :3]) < 1e-12).all()
        and np.abs(m[:3, 3:]).max() > 0.01
    ),
    "symmetric": lambda m, raw: (m == m.T).all(),
    "antisymmetric": lambda m, raw: (m == -m.T).all(),
    "lower": lambda m, raw: (np.triu(m, 1) == 0).all() and np.count_nonzero(m) == 21,
    "strictly_lower": lambda m, raw: (np.triu(m) == 0).all() and np.count_nonzero(m) == 15,
    "upper_blocks": lambda m, raw: (
        np.count_nonzero(m) == 36 - 12
        and (m[2:, :2] == 0).all()
        and (m[4:, 2:4] == 0).all()
        and (m[:2] == raw[:2]).all()
    ),
    "heads": lambda m, raw: (
        np.count_nonzero(m) == 12
        and all(
            (m[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] == raw[2 * k : 2 * k + 2]).all()
            for k in range(3)
        )
    ),
}


def reflected(raw):
    """The product of reflections, one after the other; the k-th vector begins with k - 1 zeros."""
    product = np.eye(len(raw))
    for k, column in enumerate(raw.T):
        u = np.where(np.arange(len(raw)) < k, 0, column)
        product = product @ (np.eye(len(raw)) - 2 * np.outer(u, u) / (u @ u))
    return product


def cell(*weights, shape="U @ h[t-1]"):
    lines = "\n".join(f"weight {w}" for w in weights)
    return parse_cell(
        f"cell c\ninput x\nstate h\n{lines}\nh[t] = tanh(W @ x[t] + {shape} + b)\noutput h\n"
    )


@pytest.mark.parametrize("written", WRITTEN)
def test_it_is_what_it_says_in_numpy_and_torch(written):
    raw = np.random.default_rng(1).normal(size=stored_shape((6, 6), [written]))
    made = apply_properties(np, raw, [written])
    assert CHECKS[written.partition("(")[0]](made, raw)
    same = apply_properties(torch, torch.as_tensor(raw), [written])
    np.testing.assert_allclose(same.numpy(), made, rtol=1e-13, atol=1e-15)


def test_every_property_is_checked():
    assert CHECKS.keys() == PROPERTIES.keys()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("written", WRITTEN)
def test_a_layer_uses_it_and_trains_what_is_stored(written, backend):
    made = cell(f"U : {written}")
    rnn = odyssey.RNN(made, 4, 6, 2, backend=backend, dtype=torch.float64)
    x = torch.randn(5, 2, 4, dtype=torch.float64)
    y, _ = rnn(x)
    expected = x.numpy()
    for layer in rnn.layers:
        weights = {n: p.detach().numpy() for n, p in layer.items()}
        weights["U"] = apply_properties(np, weights["U"], [written])
        expected, _ = oracle.run(made.text, weights, expected, {"h": np.zeros((2, 6))})
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    y.square().sum().backward()
    for layer in rnn.layers:
        gradient = layer["U"].grad
        if PROPERTIES[written.partition("(")[0]].trained:
            assert gradient.abs().sum() > 0
        else:
            assert gradient is None


@pytest.mark.parametrize("written", WRITTEN)
def test_members_of_other_sizes_have_their_own(written):
    made = cell(f"U : {written}")
    sizes = [6, 12, 9] if written != "unitary" else [6, 12, 8]
    every = odyssey.RNN(made, 4, sizes, population=3, dtype=torch.float64)
    x = torch.randn(3, 5, 2, 4, dtype=torch.float64)
    y, _ = every(x)
    for member, hidden in enumerate(sizes):
        alone = odyssey.RNN(made, 4, hidden, dtype=torch.float64)
        with torch.no_grad():
            for name, parameter in alone.named_parameters():
                own = every.get_parameter(name)[member]
                parameter.copy_(own[tuple(map(slice, parameter.shape))])
        torch.testing.assert_close(y[member, ..., :hidden], alone(x[member])[0])


@pytest.mark.parametrize("written", WRITTEN)
def test_it_is_part_of_the_cell(written):
    made, plain = cell(f"U : {written}"), cell()
    assert f"weight U : {written}" in made.text
    assert parse_cell(made.text) == made
    own = parse_cell(made.canonical_text)
    assert own.canonical_text == made.canonical_text
    assert made.key != plain.key
    assert made.fingerprint != plain.fingerprint
    assert own.fingerprint == made.fingerprint


def test_they_go_one_after_the_other_with_a_shape():
    made = cell("U : H, H, lower, nonnegative", "b : frozen")
    weights = odyssey.RNN(made, 3, 4).layer_parameters()[0]
    assert (weights["U"] >= 0).all()
    assert not weights["U"].triu(1).any()
    assert not weights["b"].requires_grad


def test_blocks_are_stored_alone():
    rnn = odyssey.RNN(cell("U : heads(4)"), 3, 8)
    assert rnn.layers[0]["U"].shape == (8, 2)
    with pytest.raises(ConfigError, match=r"heads\(4\) does not divide a matrix of shape \(6, 6\)"):
        odyssey.RNN(cell("U : heads(4)"), 3, 6)


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        ("U : orthogonl", "closest: orthogonal"),
        ("U : heads", "is no property"),
        ("U : heads(0)", "a number from 1"),
        ("U : lower(2)", "is no property"),
        ("W : orthogonal", "for square matrices"),
        ("b : lower", "it is a vector"),
        ("U : heads(h)", "is no property"),
        ("U : reflections", "is no property"),
        ("W : unitary", "for square matrices"),
        ("U : orthogonal\nweight U : symmetric", "weight: U"),
        ("U : orthogonal\nweight U : orthogonal", "weight: U"),
    ],
)
def test_refusals(weight, reason):
    with pytest.raises(CellError) as caught:
        cell(weight)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
