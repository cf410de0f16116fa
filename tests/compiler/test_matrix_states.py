"""Cells whose state is a matrix, against loops written by hand in NumPy and torch."""

import pytest
import torch
from support.judge import check

import odyssey
from odyssey.compiler.backends import BACKENDS
from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.expr.jacobian import format_jacobian
from odyssey.expr.notation import to_html
from odyssey.transforms.degenerate import degenerate

I, K, H, T, B = 3, 2, 4, 6, 5  # noqa: E741 - as the language has it

LINEAR = """
cell linear_attention
input x
size K = H / 2
state S : H, K
k : K = W_k @ x[t]
q : K = W_q @ x[t]
S[t]  = S[t-1] + outer(W_v @ x[t], k)
y     = S[t] @ q
output y
"""

MLSTM = """
cell mlstm
input x
size K = H / 2
state C : H, K
state n : K
state m : 1
k : K = W_k @ x[t]
q : K = W_q @ x[t]
i : 1 = w_i @ x[t] + b_i
f : 1 = w_f @ x[t] + b_f
m[t]  = maximum(f + m[t-1], i)
ii    = exp(i - m[t])
ff    = exp(f + m[t-1] - m[t])
C[t]  = ff * C[t-1] + ii * outer(W_v @ x[t], k)
n[t]  = ff * n[t-1] + ii * k
y     = sigmoid(W_o @ x[t]) * (C[t] @ q) / maximum(abs(sum(n[t] * q)), 1)
output y
"""

DELTA = """
cell deltanet
input x
size K = H / 2
state S : H, K
k : K    = W_k @ x[t]
u        = k / sqrt(sum(square(k)) + 0.01)
beta : 1 = sigmoid(w @ x[t] + b)
S[t]     = S[t-1] + beta * outer(W_v @ x[t] - S[t-1] @ u, u)
y        = S[t] @ u + S[t-1].T.T @ u
output y
""".replace("S[t-1].T.T", "S[t-1]")

HEBB = """
cell hebbian
input x
state A : H, H
state h
z    = tanh(W @ x[t] + A[t-1] @ h[t-1] + A[t-1].T @ (b * h[t-1]))
A[t] = 0.9 * A[t-1] * column(sigmoid(g * z)) + 0.5 * outer(z, h[t-1])
h[t] = z + 0.1 * across(A[t]) - 0.1 * down(A[t])
start A = 0.25
output h
"""

DIAGONAL = """
cell diagonal
input x
size K = H / 2
state S : H, K
weight A : H, K
weight B : H, K, frozen
weight M : H, K, upper_blocks(2), frozen
d    = softplus(W_d @ x[t] + b_d)
S[t] = exp(column(d) * -exp(A)) * S[t-1] + M * outer(d * (W @ x[t]), W_k @ x[t]) * B
y    = across(S[t] * A) + d
init A = log_ramp(1, 1)
init B = 0.5
init M = 1
output y
"""


def linear(w, x, s):
    S = s["S"].unflatten(-1, (H, K))
    S = S + torch.einsum("bi,bj->bij", x @ w["W_v"].T, x @ w["W_k"].T)
    y = torch.einsum("bij,bj->bi", S, x @ w["W_q"].T)
    return y, {"S": S.flatten(-2)}


def mlstm(w, x, s):
    C, n, m = s["C"].unflatten(-1, (H, K)), s["n"], s["m"]
    k, q, v = x @ w["W_k"].T, x @ w["W_q"].T, x @ w["W_v"].T
    i, f = x @ w["w_i"].T + w["b_i"], x @ w["w_f"].T + w["b_f"]
    new = torch.maximum(f + m, i)
    ii, ff = torch.exp(i - new), torch.exp(f + m - new)
    C = ff[..., None] * C + ii[..., None] * v[:, :, None] * k[:, None]
    n = ff * n + ii * k
    below = torch.clamp((n * q).sum(-1, keepdim=True).abs(), min=1)
    y = torch.sigmoid(x @ w["W_o"].T) * torch.einsum("bij,bj->bi", C, q) / below
    return y, {"C": C.flatten(-2), "n": n, "m": new}


def delta(w, x, s):
    S = s["S"].unflatten(-1, (H, K))
    k = x @ w["W_k"].T
    u = k / torch.sqrt((k * k).sum(-1, keepdim=True) + 0.01)
    beta = torch.sigmoid(x @ w["w"].T + w["b"])
    old = torch.einsum("bij,bj->bi", S, u)
    new = S + beta[..., None] * (x @ w["W_v"].T - old)[:, :, None] * u[:, None]
    return torch.einsum("bij,bj->bi", new, u) + old, {"S": new.flatten(-2)}


def hebb(w, x, s):
    A, h = s["A"].unflatten(-1, (H, H)), s["h"]
    z = torch.tanh(
        x @ w["W"].T + torch.einsum("bij,bj->bi", A, h) + torch.einsum("bij,bi->bj", A, w["b"] * h)
    )
    A = 0.9 * A * torch.sigmoid(w["g"] * z)[..., None] + 0.5 * z[:, :, None] * h[:, None]
    return z + 0.1 * A.sum(2) - 0.1 * A.sum(1), {
        "A": A.flatten(-2),
        "h": z + 0.1 * A.sum(2) - 0.1 * A.sum(1),
    }


def diagonal(w, x, s):
    S = s["S"].unflatten(-1, (H, K))
    d = torch.nn.functional.softplus(x @ w["W_d"].T + w["b_d"])[..., None]
    M = torch.tensor([[1, 1], [1, 1], [0, 1], [0, 1]]) * w["M"]
    written = (d * (x @ w["W"].T)[..., None]) * (x @ w["W_k"].T)[:, None]
    S = torch.exp(-d * torch.exp(w["A"])) * S + M * written * w["B"]
    return (S * w["A"]).sum(-1) + d[..., 0], {"S": S.flatten(-2)}


CASES = [(LINEAR, linear), (MLSTM, mlstm), (DELTA, delta), (HEBB, hebb), (DIAGONAL, diagonal)]
each = pytest.mark.parametrize(("text", "step"), CASES, ids=lambda v: getattr(v, "__name__", ""))


@each
def test_values_states_and_gradients(text, step):
    cell = parse_cell(text)
    rnn = odyssey.RNN(cell, I, H, dtype=torch.float64)
    x = torch.randn(T, B, I, dtype=torch.float64)
    y, final = rnn(x)
    state = {n: s[0] for n, s in zip(cell.states, rnn.start_state(B), strict=True)}
    weights = {n: p.detach().clone().requires_grad_() for n, p in rnn.layers[0].items()}
    outputs = []
    for x_t in x:
        output, state = step(weights, x_t, state)
        outputs.append(output)
    expected = torch.stack(outputs)
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-12)
    for name, value in zip(cell.states, final, strict=True):
        torch.testing.assert_close(value[0], state[name], rtol=1e-10, atol=1e-12)
    loss = torch.randn_like(y)
    (y * loss).sum().backward()
    (expected * loss).sum().backward()
    for name, weight in weights.items():
        if name in ("B", "M"):  # frozen
            continue
        torch.testing.assert_close(rnn.layers[0][name].grad, weight.grad, rtol=1e-9, atol=1e-11)


@each
def test_two_chunks_are_the_whole(text, step):
    rnn = odyssey.RNN(parse_cell(text), I, H, 2, dtype=torch.float64)
    x = torch.randn(T, B, I, dtype=torch.float64)
    whole, last = rnn(x)
    first, state = rnn(x[:2])
    second, final = rnn(x[2:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(final, last)


@each
def test_members_are_alone(text, step):
    cell, sizes = parse_cell(text), [4, 8, 6]
    every = odyssey.RNN(cell, I, sizes, population=3, dtype=torch.float64)
    x = torch.randn(3, T, B, I, dtype=torch.float64)
    y, _ = every(x)
    for member, hidden in enumerate(sizes):
        alone = odyssey.RNN(cell, I, hidden, dtype=torch.float64)
        with torch.no_grad():
            for name, parameter in alone.named_parameters():
                whole = every.get_parameter(name)[member]
                parameter.copy_(whole[tuple(map(slice, parameter.shape))])
        torch.testing.assert_close(y[member, ..., :hidden], alone(x[member])[0])


@each
def test_it_is_a_cell_like_any_other(text, step):
    cell = parse_cell(text)
    assert parse_cell(cell.text) == cell
    own = parse_cell(cell.canonical_text)
    assert own.canonical_text == cell.canonical_text
    assert own.fingerprint == cell.fingerprint
    assert r"\times" in cell.latex()
    assert "⊤" in to_html(cell)
    assert degenerate(cell) is None
    with pytest.raises(CellError, match="a matrix"):
        format_jacobian(cell)


def test_what_is_the_same_has_one_key():
    written = LINEAR.replace("S[t] @ q", "across(S[t] * row(q))").replace(
        "outer(W_v @ x[t], k)", "column(W_v @ x[t]) * row(k)"
    )
    turned = written.replace("state S : H, K", "state S : K, H").replace(
        "column(W_v @ x[t]) * row(k)", "outer(k, W_v @ x[t])"
    )
    turned = turned.replace("across(S[t] * row(q))", "S[t].T @ q")
    assert parse_cell(written).key == parse_cell(LINEAR).key
    assert parse_cell(turned).key != parse_cell(LINEAR).key
    one, other = (odyssey.RNN(parse_cell(t), I, H) for t in (LINEAR, turned))
    other.load_state_dict(one.state_dict())
    x = torch.randn(T, B, I)
    torch.testing.assert_close(one(x)[0], other(x)[0])


def test_a_matrix_that_acts_number_by_number_starts_as_it_says():
    rnn = odyssey.RNN(parse_cell(DIAGONAL), I, H, 2)
    for layer in rnn.layers:
        torch.testing.assert_close(layer["A"].exp(), torch.tensor([[1.0, 2.0]] * H))
        assert layer()["M"][2, 0] == 0
    with pytest.raises(CellError, match="used both with @ and without"):
        parse_cell(DIAGONAL.replace("+ d\n", "+ d + A @ (W_k @ x[t])\n"))
    with pytest.raises(CellError, match="or declare the size of a weight, as"):
        parse_cell(DIAGONAL.replace("weight A : H, K\n", ""))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_matrix_that_only_dead_equations_use(backend):
    cell = parse_cell(
        "cell dead\ninput x\nstate h\nweight A : H, 3\n"
        "h[t] = tanh(W @ x[t] + U @ h[t-1] + b)\nd = across(2 * A) + h[t]\noutput h\n"
    )
    assert "A" not in odyssey.RNN(cell, I, H).layers[0]
    check(cell, backend, seed=1)


@pytest.mark.parametrize(
    ("equations", "reason"),
    [
        ("S[t] = S[t-1] + W @ x[t]\ny = S[t] @ (V @ x[t])", "a matrix meets matrices and single"),
        ("S[t] = W @ x[t]\ny = S[t-1] @ (V @ x[t])", "write outer(a, b)"),
        (
            "S[t] = outer(W @ x[t], V @ x[t])\ny = W_y @ (S[t] + S[t-1])",
            "the right of @ must be a vector",
        ),
        ("S[t] = S[t-1] + outer(W @ x[t], V @ x[t])\ny = tanh(S[t])", "sizes H, H and H"),
        (
            "S[t] = S[t-1] + outer(W @ x[t], V @ x[t])\ny = across(W @ x[t]) + across(S[t-1])",
            "across takes a matrix",
        ),
        ("S[t] = S[t-1] + column(S[t-1])\ny = S[t] @ (W @ x[t])", "column takes a vector"),
        (
            "S[t] = S[t-1] + outer(W @ x[t], V @ x[t])\ny = sum(S[t]) * (W @ x[t])",
            "sum takes a vector",
        ),
        ("S[t] = S[t-1] + outer(W @ x[t], 1)\ny = S[t] @ (V @ x[t])", "outer of a constant"),
    ],
)
def test_refusals(equations, reason):
    with pytest.raises(CellError) as caught:
        parse_cell(f"cell c\ninput x\nstate S : H, H\n{equations}\noutput y\n")
    assert reason in str(caught.value), caught.value
    assert str(caught.value).startswith("line ")
