"""The RNN module: shapes, class indices, populations, masks, errors, torch citizenship."""

import copy

import numpy as np
import pytest
import torch
from support.representatives import REPRESENTATIVES

import odyssey
from odyssey.compiler.backends import BACKENDS
from odyssey.errors import CellError, ConfigError
from odyssey.expr.schemes import InitScheme

SPECS = [*REPRESENTATIVES, "lstm_peephole:FGR", "lstm:CIFG"]


def rnn(spec, size, hidden, *args, **more):
    cell = odyssey.get_cell(spec)
    square = odyssey.RNN(cell, 4, 4).program.square
    return odyssey.RNN(cell, max(np.atleast_1d(hidden)) if square else size, hidden, *args, **more)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spec", SPECS)
def test_class_indices_equal_one_hot(spec, backend):
    model = rnn(spec, 6, 5, 2, backend=backend, dtype=torch.float64)
    x = torch.randint(0, model.input_size, (7, 3))
    dense = torch.nn.functional.one_hot(x, model.input_size).double()
    (y, s), (z, r) = model(x), model(dense)
    torch.testing.assert_close(y, z, rtol=0, atol=1e-13)
    for a, b in zip(s, r, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)
    grads = []
    for output in (y, z):
        grads.append(torch.autograd.grad((output**2).sum(), list(model.parameters())))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spec", SPECS)
def test_members_equal_modules_of_their_own(spec, backend):
    sizes = [3, 7, 5]
    people = rnn(spec, 4, sizes, 2, population=3, backend=backend, dtype=torch.float64)
    steps, batch = 6, 2
    square = people.program.square
    x = torch.randn(3, steps, batch, people.input_size, dtype=torch.float64)
    if square:
        x = x * people.mask[:, None, None]
    y, final = people(x)
    total = (y**2).sum() + sum((f**3).sum() for f in final)
    total.backward()
    for m, hidden in enumerate(sizes):
        alone = rnn(spec, 4, hidden, 2, backend=backend, dtype=torch.float64)
        with torch.no_grad():
            for (name, p), q in zip(alone.named_parameters(), people.parameters(), strict=True):
                assert name in dict(people.named_parameters())
                p.copy_(q[m][tuple(slice(n) for n in p.shape)])
        z, last = alone(x[m, ..., : alone.input_size])
        torch.testing.assert_close(y[m, ..., :hidden], z, rtol=0, atol=1e-12)
        assert not y[m, ..., hidden:].any()
        ((z**2).sum() + sum((f**3).sum() for f in last)).backward()
        for p, q in zip(alone.parameters(), people.parameters(), strict=True):
            inside = tuple(slice(n) for n in p.shape)
            torch.testing.assert_close(q.grad[m][inside], p.grad, rtol=0, atol=1e-11)
            rest = q.grad[m].clone()
            rest[inside] = 0
            assert not rest.any(), "padding gets no gradient"


def test_padding_never_leaks_through_a_division():
    text = """cell d
input x
state h
q    = W @ x[t] + U @ h[t-1]
r    = 1 / (q + 0 * b)
h[t] = tanh(V @ r + q)
output h
"""
    model = odyssey.RNN(odyssey.parse_cell(text), 3, [2, 5], population=2, dtype=torch.float64)
    y, _ = model(torch.randn(2, 4, 3, 3, dtype=torch.float64))
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_state_is_carried_and_layouts_agree():
    model = rnn("lstm", 4, 5, 2, dtype=torch.float64)
    x = torch.randn(10, 3, 4, dtype=torch.float64)
    whole, end = model(x)
    first, state = model(x[:6])
    second, last = model(x[6:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(last, end)
    other = rnn("lstm", 4, 5, 2, dtype=torch.float64, batch_first=True)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(x.transpose(0, 1))[0].transpose(0, 1), whole)
    assert [tuple(s.shape) for s in end] == [(2, 3, 5), (2, 3, 5)]


def test_names_and_shapes_of_parameters():
    shapes = {n: tuple(p.shape) for n, p in rnn("lstm", 4, 5, 2).named_parameters()}
    assert shapes["layers.0.W_i"] == (5, 4)
    assert shapes["layers.1.W_i"] == (5, 5)
    assert shapes["layers.0.U_f"] == (5, 5)
    assert shapes["layers.0.b_i"] == (5,)
    people = dict(rnn("lstm", 4, 5, population=3).named_parameters())
    assert tuple(people["layers.0.W_i"].shape) == (3, 5, 4)


def test_a_cell_without_recurrence_and_a_delay_line():
    text = "cell f\ninput x\nnot recurrent\ny = tanh(W @ x[t] + b)\noutput y\n"
    model = odyssey.RNN(odyssey.parse_cell(text), 3, 4)
    y, state = model(torch.randn(5, 2, 3))
    assert y.shape == (5, 2, 4)
    assert state == ()
    text = """cell delay
input x
state m, h
m[t] = W @ x[t]
h[t] = tanh(U @ h[t-1] + m[t-1])
output h
"""
    model = odyssey.RNN(odyssey.parse_cell(text), 3, 4)
    y, (m, h) = model(torch.randn(5, 2, 3))
    assert not y[0].any()
    assert m.shape == h.shape == (1, 2, 4)


def test_copies_and_seeds():
    torch.manual_seed(3)
    a = rnn("gru", 4, 5)
    torch.manual_seed(3)
    b = rnn("gru", 4, 5)
    x = torch.randn(6, 2, 4)
    assert torch.equal(a(x)[0], b(x)[0])
    c = copy.deepcopy(a)
    assert torch.equal(c(x)[0], a(x)[0])
    with torch.no_grad():
        c.layers[0]["b_z"].fill_(9.0)
    assert not torch.equal(c(x)[0], a(x)[0])
    with torch.no_grad():
        assert not a(x)[0].requires_grad
    assert "h[t] = z * h[t-1] + (1 - z) * n" in repr(a)


def test_initial_values():
    text = """cell start
input x
state h
h[t] = tanh(W @ x[t] + U @ h[t-1] + O @ h[t-1] + p * h[t-1] + b + f + g)
init U = identity(0.5)
init O = orthogonal
init f = chrono(50)
init g = -f
init b = 2
output h
"""
    model = odyssey.RNN(odyssey.parse_cell(text), 3, 40, dtype=torch.float64)
    p = model.layers[0]
    eye = torch.eye(40, dtype=torch.float64)
    assert torch.equal(p["U"], 0.5 * eye)
    torch.testing.assert_close(p["O"] @ p["O"].T, eye, rtol=0, atol=1e-12)
    assert (p["b"] == 2).all()
    assert torch.equal(p["g"], -p["f"])
    assert ((p["f"] >= 0) & (p["f"] <= np.log(49))).all()
    assert p["f"].detach().std() > 0.3
    assert p["p"].abs().max() <= 40**-0.5
    assert p["p"].abs().max() > 0
    model.reset_parameters(InitScheme("normal", 0.1), rng=np.random.default_rng(0))
    assert abs(float(p["W"].detach().std()) - 0.1) < 0.02


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: odyssey.RNN("lstm", 3, 4), "get_cell"),
        (lambda: rnn("lstm", 3, 0), "positive integer"),
        (lambda: rnn("lstm", 3, 4, backend="fast"), "no backend"),
        (lambda: rnn("lstm", 3, [4, 5]), "list"),
        (lambda: odyssey.RNN(odyssey.get_cell("mut1"), 3, 4), "embed the input"),
        (lambda: rnn("lstm", 3, 4)(torch.zeros(5, 2)), "size 3, got 2: floats .* read as .T, I"),
        (
            lambda: rnn("lstm", 3, 4)(torch.zeros(5)),
            r"\(T, 3\), or int64 \(T, B\) or \(T\), got \(5,\)",
        ),
        (lambda: rnn("lstm", 3, 4)(torch.zeros(5, 2, 7)), "size 3, got 7"),
        (lambda: rnn("lstm", 3, 4)(torch.zeros(5, 2, 3).double()), "float32"),
        (lambda: rnn("lstm", 3, 4)(torch.zeros(0, 2, 3)), "empty"),
        (lambda: rnn("lstm", 3, 4)(torch.full((5, 2), 3)), "0 to 2"),
        (lambda: rnn("lstm", 3, 4)(torch.zeros(5, 2, 3), (torch.zeros(1, 2, 4),)), "2 state"),
        (lambda: rnn("lstm", 3, 4, population=2)(torch.zeros(5, 2, 3)), "P = 2"),
    ],
)
def test_errors_say_what_was_expected(call, message):
    with pytest.raises((CellError, ConfigError), match=message):
        call()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("population", [None, 2])
def test_a_cell_without_parameters(backend, population):
    cell = odyssey.parse_cell(
        "cell bare\ninput x\nstate h\nh[t] = tanh(x[t] + 0.5 * h[t-1])\noutput h\n"
    )
    rnn = odyssey.RNN(cell, 4, 4, population=population, backend=backend).double()
    lead = () if population is None else (population,)
    index = torch.randint(4, (*lead, 3, 2))
    x = torch.nn.functional.one_hot(index, 4).double()
    y, (h,) = rnn(x)
    assert not list(rnn.parameters())
    expected = torch.zeros(*lead, 2, 4, dtype=torch.float64)
    for t in range(3):
        expected = torch.tanh(x.select(len(lead), t) + 0.5 * expected)
        torch.testing.assert_close(y.select(len(lead), t), expected)
    torch.testing.assert_close(h.squeeze(len(lead)), expected)
    torch.testing.assert_close(rnn(index)[0], y)
    if population:
        padded = odyssey.RNN(cell, 4, [4, 2], population=2, backend=backend).double()
        torch.testing.assert_close(padded(x)[0], y * padded.mask[:, None, None])
