"""Routes sum to the whole, and the pure cell path is the product of the forget gates."""

import numpy as np
import pytest
import torch
from support.representatives import REPRESENTATIVES
from torch import nn

import odyssey
from odyssey.diagnostics.gradients import back_propagate, gradient_norms
from odyssey.diagnostics.paths import MIXED, path_shares
from odyssey.diagnostics.recurrence import trace
from odyssey.errors import CellError, ConfigError
from odyssey.specs import CELL_SETS, get_cell
from odyssey.transforms.readings import split_readings

LSTM = "f * c[t-1]"


def measured(spec_or_cell, steps=8, layers=1, population=None, x=None):
    cell = get_cell(spec_or_cell) if isinstance(spec_or_cell, str) else spec_or_cell
    torch.manual_seed(1)
    size = 5 if odyssey.RNN(cell, 4, 4).program.square else 3
    rnn = odyssey.RNN(cell, size, 5, layers, population=population, dtype=torch.float64)
    lead = () if population is None else (population,)
    x = torch.randn(*lead, steps, 2, size, dtype=torch.float64) if x is None else x
    return rnn, x, back_propagate(trace(rnn, x), np.random.default_rng(1))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("spec", [*REPRESENTATIVES, *CELL_SETS["odyssey9"]])
def test_shares_sum_to_the_whole(spec, layers):
    _, _, adjoints = measured(spec, layers=layers, population=2)
    frame = path_shares(adjoints)
    total = frame.groupby(["split", "steps_back", "member", "row"]).share.sum(min_count=1)
    assert len(total) == 2 * 8 * 2 * 2
    if "relu(" in get_cell(spec).text:  # all units of a row may be off, the gradient exactly zero
        total = total.dropna()
        assert len(total) > 20
    np.testing.assert_allclose(total, 1.0, rtol=0, atol=1e-10)


def test_the_cell_path_is_the_product_of_the_forget_gates():
    rnn, x, adjoints = measured("lstm")
    weight = {n: p.detach() for n, p in rnn.layer_parameters()[0].items()}
    h = torch.zeros(2, 5, dtype=torch.float64)
    c, product, shares = h, None, path_shares(adjoints)
    forgets, outputs = [], []
    for x_t in x:
        i, f, o = (
            torch.sigmoid(x_t @ weight[f"W_{g}"].T + h @ weight[f"U_{g}"].T + weight[f"b_{g}"])
            for g in "ifo"
        )
        g = torch.tanh(x_t @ weight["W_g"].T + h @ weight["U_g"].T + weight["b_g"])
        c = f * c + i * g
        h = o * torch.tanh(c)
        forgets.append(f)
        outputs.append(o * (1 - torch.tanh(c) ** 2))
    norms = gradient_norms(adjoints).set_index(["state", "steps_back", "row"]).norm
    pure = shares[(shares.split == "unbroken") & (shares.route == LSTM)]
    pure = pure.set_index(["steps_back", "row"])["size"]
    product = adjoints.injected[0] * outputs[-1]
    for back in range(1, 9):
        product = product * forgets[-back]
        for row in range(2):
            expected = float(product[row].norm()) / norms["all", back, row]
            assert pure[back, row] == pytest.approx(expected, rel=1e-10)


def test_a_plain_network_has_one_way_and_it_never_changes():
    frame = path_shares(measured("elman")[2])
    assert set(frame.route) == {"h[t]", MIXED}
    unbroken = frame[frame.split == "unbroken"].set_index("route").share
    np.testing.assert_allclose(unbroken["h[t]"], 1.0, atol=1e-12)
    np.testing.assert_allclose(unbroken[MIXED], 0.0, atol=1e-12)


def test_direct_routes_are_told_from_the_others():
    frame = path_shares(measured("lstm")[2])
    assert set(frame[frame.direct].route) == {LSTM}
    assert set(frame[frame.split == "step"].route) == {"i", "f", "o", "g", LSTM}
    assert set(frame[frame.split == "step"].origin) == {"h", "c"}


def test_an_output_that_is_no_state_begins_at_the_loss():
    cell = odyssey.parse_cell(
        "cell read\ninput x\nstate h\nh[t] = 0.5 * h[t-1] + tanh(W @ x[t] + U @ h[t-1])\n"
        "y = V @ square(h[t])\noutput y\n"
    )
    frame = path_shares(measured(cell)[2])
    step = frame[frame.split == "step"]
    total = frame.groupby(["split", "steps_back", "member", "row"]).share.sum()
    np.testing.assert_allclose(total, 1.0, rtol=0, atol=1e-10)
    first = step[step.steps_back == 1].groupby("origin").share.sum()
    later = step[step.steps_back == 2].groupby("origin").share.sum()
    assert first["loss"] == pytest.approx(2.0)  # two rows
    assert later["loss"] == 0.0


def test_a_dead_gradient_has_no_shares():
    rnn, x, _ = measured("elman_relu")
    with torch.no_grad():
        rnn.layers[0]["b_h"].fill_(-100.0)
    adjoints = back_propagate(trace(rnn, x), np.random.default_rng(1))
    frame = path_shares(adjoints)
    assert frame.share.isna().all()


@pytest.mark.parametrize("spec", [*REPRESENTATIVES, *CELL_SETS["odyssey9"]])
def test_the_split_cell_computes_the_same(spec):
    cell = get_cell(spec)
    split = split_readings(cell)
    assert split.cell.states[: len(cell.states)] == cell.states
    size = 4 if odyssey.RNN(cell, 4, 4).program.square else 3
    rnn = odyssey.RNN(cell, size, 4, backend="eager", dtype=torch.float64)
    twin = odyssey.RNN(split.cell, size, 4, backend="eager", dtype=torch.float64)
    twin.load_state_dict(rnn.state_dict())
    x = torch.randn(6, 2, size, dtype=torch.float64)
    torch.testing.assert_close(twin(x)[0], rnn(x)[0], rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("equation", "routes"),
    [
        ("h[t] = W @ x[t] - z * h[t-1]", [("-(z * h[t-1])", True)]),
        ("h[t] = W @ x[t] - (h[t-1] - tanh(U @ h[t-1]))", [("-h[t-1]", True), ("h[t]", False)]),
        ("h[t] = h[t-1] / (1 + square(h[t-1])) + W @ x[t]", None),
        ("h[t] = z * (h[t-1] + W @ x[t])", [("z * (h[t-1] + W @ x[t])", True)]),
    ],
)
def test_routes_are_the_terms_of_the_sum(equation, routes):
    text = f"cell c\ninput x\nstate h\nz = sigmoid(V @ x[t])\n{equation}\noutput h\n"
    found = [(r.route, r.direct) for r in split_readings(odyssey.parse_cell(text)).readings]
    if routes is None:
        routes = [("h[t-1] / (1 + square(h[t-1]))", True), ("h[t]", False)]
    assert found == routes


def test_nonsense_gets_one_line():
    with pytest.raises(ConfigError, match=r"give an odyssey\.RNN"):
        path_shares(
            back_propagate(trace(nn.GRU(2, 2), torch.zeros(3, 1, 2)), np.random.default_rng(1))
        )
    flat = odyssey.parse_cell("cell f\ninput x\nnot recurrent\ny = W @ x[t]\noutput y\n")
    with pytest.raises(CellError, match="no recurrence"):
        split_readings(flat)
