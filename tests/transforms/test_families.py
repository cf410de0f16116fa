"""Ablations that make families: against the library's own cells, and on the language's new forms.

The library's cells are judged by equations written down a second time, so a key that agrees with
one of theirs is an answer from elsewhere.
"""

import numpy as np
import pytest
import torch
from support.judge import check
from support.representatives import REPRESENTATIVES

import odyssey
from odyssey.cells import library_cell
from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.expr.shapes import infer_shapes
from odyssey.specs import get_cell
from odyssey.transforms.ablations import ablate
from odyssey.transforms.families import layer_norm, mixed_sums, state_maps


def cell_of(*lines, states="h", header=()):
    top = ["cell c", "input x", *header, f"state {states}"]
    return parse_cell("\n".join([*top, *lines, "output h", ""]))


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("lstm:independent", "indylstm"),
        ("lstm:multiplicative", "multiplicative_lstm"),
        ("elman:multiplicative+no_bias", "mrnn"),
        ("elman:multiplicative_integration", "mi_rnn"),
        ("lstm:multiplicative_integration", "mi_lstm"),
        ("gru:multiplicative_integration", "mi_gru"),
    ],
)
def test_what_the_library_has_under_a_name_of_its_own(spec, name):
    assert get_cell(spec).key == library_cell(name).key


def test_indrnn_differs_by_how_it_starts_alone():
    made, published = get_cell("elman_relu:independent"), library_cell("indrnn")
    assert made.key == published.replace(inits=()).key
    assert made.key != published.key


def test_one_equation_after_the_other_is_all_at_once():
    cell = library_cell("lstm")
    for operator in ("independent", "multiplicative_integration", "layer_norm"):
        stepwise = cell
        for equation in "gofi":
            stepwise = ablate(stepwise, f"{operator}={equation}")
        assert stepwise.key == ablate(cell, operator).key, operator


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_applied_once_nothing_is_left_to_change(name):
    cell = library_cell(name)
    for operator in ("independent", "multiplicative_integration", "product_integration"):
        try:
            changed = ablate(cell, operator)
        except CellError:
            continue
        places = state_maps if operator == "independent" else mixed_sums
        assert not places(changed)
        with pytest.raises(CellError, match=r"has no"):
            ablate(changed, operator)


NORMALISED_LSTM = """
cell ba
input x
state h, c

i = sigmoid(a1 * layer_norm(W1 @ x[t]) + c1 * layer_norm(U1 @ h[t-1]) + b1)
f = sigmoid(a2 * layer_norm(W2 @ x[t]) + c2 * layer_norm(U2 @ h[t-1]) + b2)
o = sigmoid(a3 * layer_norm(W3 @ x[t]) + c3 * layer_norm(U3 @ h[t-1]) + b3)
g = tanh(a4 * layer_norm(W4 @ x[t]) + c4 * layer_norm(U4 @ h[t-1]) + b4)
c[t] = f * c[t-1] + i * g
h[t] = o * tanh(a5 * layer_norm(c[t]) + b5)

{inits}
output h
"""


def test_the_lstm_of_ba_et_al():
    gains = [*(f"{letter}{k}" for k in range(1, 5) for letter in "ac"), "a5"]
    inits = "\n".join(f"init {gain} = 1" for gain in gains)
    expected = parse_cell(NORMALISED_LSTM.format(inits=inits))
    assert get_cell("lstm:layer_norm+layer_norm=h").key == expected.key


def test_a_normalised_map_does_not_see_how_large_its_matrix_is():
    """Values, not text: with matrices 1,000 times as large the outputs are the same."""
    rnn = odyssey.RNN(get_cell("lstm:layer_norm"), 3, 5, backend="eager", dtype=torch.float64)
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(6, 2, 3)))
    for weight in rnn.parameters():
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
        if weight.dim() > 1:
            weight.data *= 10.0
    before = rnn(x)[0]
    for weight in rnn.parameters():
        if weight.dim() > 1:
            weight.data *= 1000.0
    assert torch.allclose(rnn(x)[0], before, atol=1e-3)
    assert before.abs().max() > 0.01


@pytest.mark.parametrize(
    ("name", "operator", "lines"),
    [
        ("gru", "independent", ["n = tanh(W_n @ x[t] + u_n * (r * h[t-1]) + b_n)"]),
        ("irnn", "independent", ["init u_h = 1", "init W_h = normal(0, 0.001)"]),
        ("gru", "multiplicative", ["n = tanh(W_n @ x[t] + U_n @ (r * m) + b_n)"]),
        ("lstm", "product_integration=i", ["i = sigmoid((W_i @ x[t]) * (U_i @ h[t-1]) + b_i)"]),
        (
            "lstm_peephole",
            "multiplicative_integration=i",
            ["i = sigmoid(alpha_i * p_i2 * q_i + beta_i * q_i + gamma_i * p_i2"
             " + p_i * c[t-1] + b_i)"],
        ),
        (
            "slstm",
            "layer_norm=u",
            ["u = s_u * layer_norm(W_i @ x[t]) + v_u * layer_norm(U_i @ h[t-1]) + b_i"],
        ),
        ("lstm", "residual", ["y = h[t] + x[t]", "output y", "h[t] = o * tanh(c[t])"]),
    ],
)  # fmt: skip
def test_equations(name, operator, lines):
    text = [" ".join(line.split()) for line in get_cell(f"{name}:{operator}").text.splitlines()]
    assert set(lines) <= set(text)


def test_a_tied_matrix_becomes_a_tied_vector_and_stays_where_it_maps_something_else():
    cell = cell_of(
        "a = tanh(W @ x[t] + U @ h[t-1])", "k = tanh(U @ h[t-1])", "h[t] = tanh(U @ a + k)"
    )
    changed = ablate(cell, "independent")
    assert changed.text.count("u * h[t-1]") == 2
    assert "U @ a" in changed.text


def test_places_inside_each_other():
    cell = cell_of("h[t] = tanh(W @ x[t] + U @ tanh(V @ x[t] - R @ h[t-1] + b) + a)")
    product = ablate(cell, "product_integration")
    inner = "tanh((V @ x[t]) * (-(R @ h[t-1])) + b)"
    assert f"tanh((W @ x[t]) * (U @ {inner}) + a)" in product.text
    assert len(ablate(cell, "multiplicative_integration").vectors) == 8
    assert check(ablate(cell, "layer_norm"), "eager", seed=2)


SIZED = cell_of(
    "z : 1 = sigmoid(w @ x[t] + u @ h[t-1] + alpha)",
    "k : H/2 = sigmoid(A @ x[t] + B @ d[t-1])",
    "d[t] = k * d[t-1] + (1 - k) * (C @ x[t])",
    "h[t] = z * h[t-1] + (1 - z) * tanh(W @ x[t] + U @ h[t-1] - U.T @ h[t-1] + D @ d[t])",
    states="h\nstate d : H/2",
    header=["weight alpha : 1"],
)


def test_cells_of_several_sizes():
    """Maps of size H and H/2 change; one number for all units cannot."""
    shapes = infer_shapes(ablate(SIZED, "independent"))
    assert (shapes.vectors["u2"], shapes.vectors["b"]) == ("H", "H/2")
    assert shapes.matrices["u"] == ("1", "H")
    multiplied = ablate(SIZED, "multiplicative")
    assert {multiplied.shapes.equations[m] for m in ("m", "m2")} == {"H", "H/2"}
    integrated = ablate(SIZED, "multiplicative_integration=k")
    assert integrated.shapes.vectors["alpha_k"] == "H/2"
    with pytest.raises(CellError, match=r"c: z has no sum"):
        ablate(SIZED, "multiplicative_integration=z")
    with pytest.raises(CellError, match=r"c: z has no sum in a function to normalise"):
        ablate(SIZED, "layer_norm=z")


def test_older_ablations_on_gates_of_other_sizes_and_transposed_maps():
    gates = ablate(SIZED, "full_gate_recurrence")
    assert gates.shapes.states == {"h": "H", "d": "H/2", "z": "1", "k": "H/2"}
    assert gates.shapes.matrices["U_zk"] == ("H/2", "1")
    assert check(gates, "eager", seed=4)
    assert "h[t-1])" not in ablate(SIZED, "no_recurrent=h").text.split("tanh")[1]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("indrnn:independent", "indrnn: the cell has no square linear map of a previous state"),
        ("lstm:independent=c", "lstm: c has no square linear map of a previous state"),
        ("lstm:independent=q", "lstm: no equation called 'q'"),
        ("indrnn:multiplicative_integration", "no sum of a linear map of this step and one of"),
        ("lstm:multiplicative=q", "lstm: no state 'q' to multiply; states: h, c"),
        ("lstm:multiplicative=c", "lstm: there is no linear map of c[t-1]"),
        ("lstm:layer_norm=c", "lstm: c has no sum in a function to normalise"),
        ("lstm:layer_norm+layer_norm=i", "i has no sum in a function to normalise"),
        ("sru:residual", "sru: h has a skip from the input already"),
        ("lstm:residual+residual", "y has a skip from the input already"),
    ],
)
def test_messages(spec, message):
    with pytest.raises(CellError) as error:
        get_cell(spec)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_no_ablation_of_a_family_changes_a_matrix_state():
    cell = parse_cell(
        "cell c\ninput x\nstate S : H, H\nq = Q @ x[t]\nk = K @ x[t]\n"
        "S[t] = S[t-1] + outer(k, q)\nh = tanh(S[t] @ q)\noutput h\n"
    )
    for operator in ("independent", "multiplicative", "multiplicative_integration"):
        with pytest.raises(CellError, match=r"^c: "):
            ablate(cell, operator)
    assert "layer_norm(read" in layer_norm(cell, "h").text.replace("S[t] @ q", "read")
