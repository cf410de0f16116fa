"""Gradients, Jacobians and exponents against closed forms and against retained graphs."""

import numpy as np
import pandas as pd
import pytest
import torch
from support.representatives import REPRESENTATIVES
from torch import nn

import odyssey
from odyssey.diagnostics.gradients import (
    back_propagate,
    gradient_norms,
    gradient_slices,
    horizons,
)
from odyssey.diagnostics.meanfield import predicted_norms
from odyssey.diagnostics.recording import record
from odyssey.diagnostics.recurrence import RecurrentStep, trace
from odyssey.diagnostics.spectra import jacobian, jacobian_spectra, lyapunov_exponents
from odyssey.errors import ConfigError

LINEAR = "cell linear\ninput x\nstate h\nh[t] = U @ h[t-1] + W @ x[t]\noutput h\n"


def built(spec, hidden=6, layers=1, **more):
    cell = odyssey.get_cell(spec)
    size = hidden if odyssey.RNN(cell, 4, 4).program.square else 3
    return odyssey.RNN(cell, size, hidden, layers, dtype=torch.float64, **more)


def linear(u):
    n = len(u)
    rnn = odyssey.RNN(odyssey.parse_cell(LINEAR), 1, n, dtype=torch.float64)
    with torch.no_grad():
        rnn.layers[0]["U"].copy_(torch.as_tensor(u))
    return rnn


def retained(rnn, x, g):
    """dL/ds_t by autograd through one graph, the state copied between the steps."""
    state = tuple(s.requires_grad_() for s in rnn.start_state(x.shape[1]))
    kept = [state]
    for x_t in x:
        output, state = rnn(x_t[None], state)
        state = tuple(s.clone() for s in state)
        kept.append(state)
    loss = (output[0] * g).sum()
    flat = [s for state in kept[:-1] for s in state]
    found = torch.autograd.grad(loss, flat, allow_unused=True)
    found = [torch.zeros_like(s) if f is None else f for s, f in zip(flat, found, strict=True)]
    n = len(rnn.cell.states)
    return [found[k : k + n] for k in range(0, len(found), n)]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("spec", [*REPRESENTATIVES, "lstm_peephole:FGR"])
def test_every_cell_equals_autograd_through_a_retained_graph(spec, layers):
    torch.manual_seed(1)
    rnn = built(spec, layers=layers)
    x = torch.randn(9, 2, rnn.input_size, dtype=torch.float64)
    g = torch.randn(2, 6, dtype=torch.float64)
    frame = gradient_norms(back_propagate(trace(rnn, x), g))
    truth = retained(rnn, x, g)
    for (back, row, state), norm in frame.set_index(["steps_back", "row", "state"]).norm.items():
        if back == 0:
            continue
        grads = truth[9 - back]
        if state == "all":
            expected = torch.cat([v[:, row].flatten() for v in grads]).norm()
        else:
            name, _, layer = state.partition(".")
            expected = grads[rnn.cell.states.index(name)][int(layer or 0), row].norm()
        assert norm == pytest.approx(float(expected), rel=1e-10, abs=1e-300), (back, row, state)
    if rnn.cell.output not in rnn.cell.states:
        return  # the loss reads no state of the last step itself
    assert frame[(frame.steps_back == 0) & (frame.row == 0) & (frame.state == "all")].norm.iloc[
        0
    ] == pytest.approx(float(g[0].norm()), rel=1e-12)


def test_dl_dh_equals_retain_grad_where_nothing_else_reads_h():
    """The other usual way to measure it, on a graph of the whole sequence."""
    torch.manual_seed(2)
    lstm = nn.LSTMCell(3, 5).double()
    x, g = torch.randn(12, 1, 3, dtype=torch.float64), torch.randn(1, 5, dtype=torch.float64)
    h = c = torch.zeros(1, 5, dtype=torch.float64)
    kept = []
    for x_t in x:
        h, c = lstm(x_t, (h, c))
        h.retain_grad()
        kept.append(h)
    (h * g).sum().backward()
    norms = gradient_norms(back_propagate(trace(lstm, x), g))
    mine = norms[norms.state == "h"].set_index("steps_back").norm
    for back in range(12):
        assert mine[back] == pytest.approx(float(kept[11 - back].grad.norm()), rel=1e-10)


@pytest.mark.parametrize(
    "module",
    [nn.RNN(3, 5, 2), nn.LSTM(3, 5, 2, batch_first=True), nn.LSTM(3, 5, proj_size=2), nn.GRU(3, 5)],
    ids=str,
)
def test_torch_modules_equal_autograd_through_their_sequence(module):
    module = module.double()
    length, lead = 7, (4, 7) if module.batch_first else (7, 4)
    x = torch.randn(*lead, 3, dtype=torch.float64)
    trajectory = trace(module, x)
    out = trajectory.outputs[-1][0]
    g = torch.randn(out.shape, dtype=torch.float64)
    slices = gradient_slices(back_propagate(trajectory, g), row=1)
    start = [torch.zeros_like(s[0]).requires_grad_() for s in trajectory.states[0]]
    output, _ = module(x, tuple(start) if isinstance(module, nn.LSTM) else start[0])
    last = output[:, -1] if module.batch_first else output[-1]
    torch.testing.assert_close(last.detach(), out)
    truth = torch.cat([t[:, 1].flatten() for t in torch.autograd.grad((last * g).sum(), start)])
    mine = slices[slices.steps_back == length].gradient.to_numpy()
    np.testing.assert_allclose(mine, truth.numpy(), rtol=1e-10, atol=1e-14)


def test_a_linear_recurrence_has_its_closed_form():
    rng = np.random.default_rng(3)
    u = rng.normal(size=(8, 8)) / 3
    g = rng.normal(size=(1, 8))
    trajectory = trace(linear(u), torch.zeros(40, 1, 1))
    frame = gradient_norms(back_propagate(trajectory, torch.as_tensor(g)))
    norms = frame[frame.state == "h"].set_index("steps_back").norm
    for back in range(41):
        expected = np.linalg.norm(np.linalg.matrix_power(u.T, back) @ g[0])
        assert norms[back] == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(jacobian(trajectory, 5)[0, 0].numpy(), u, rtol=0, atol=1e-15)
    spectra = jacobian_spectra(trajectory, [0, 7])
    for _, part in spectra.groupby("step"):
        np.testing.assert_allclose(part.singular_value, np.linalg.svd(u)[1], atol=1e-10)
        eigen = part.real.to_numpy() + 1j * part.imaginary.to_numpy()
        truth = np.linalg.eigvals(u)
        np.testing.assert_allclose(np.abs(eigen), np.sort(np.abs(truth))[::-1], atol=1e-10)


def test_norms_do_not_underflow():
    trajectory = trace(linear(1e-10 * np.eye(2)), torch.zeros(60, 1, 1))
    frame = gradient_norms(back_propagate(trajectory, torch.ones(1, 2)))
    last = frame[(frame.state == "h") & (frame.steps_back == 60)].iloc[0]
    assert last.norm == 0.0  # 1e-600
    assert last.log10_norm == pytest.approx(-600 + np.log10(2) / 2, rel=1e-12)


@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_lyapunov_exponents_are_those_of_the_spectrum(skew):
    rng = np.random.default_rng(4)
    values = np.array([1.3, 0.9, 0.5, 0.2])
    basis = rng.normal(size=(4, 4)) if skew else np.linalg.qr(rng.normal(size=(4, 4)))[0]
    u = basis @ np.diag(values) @ np.linalg.inv(basis)
    trajectory = trace(linear(u), torch.zeros(300, 1, 1))
    found = lyapunov_exponents(trajectory, count=3, warm_up=100, rng=np.random.default_rng(1))
    np.testing.assert_allclose(found.exponent, np.log(values[:3]), atol=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_exponents_stand_largest_first_also_of_few_steps(seed):
    rng = np.random.default_rng(seed)
    trajectory = trace(linear(rng.normal(size=(5, 5))), torch.zeros(3, 2, 1))
    found = lyapunov_exponents(trajectory, count=5, rng=rng)
    for _, part in found.groupby(["member", "row"]):
        assert list(part["index"]) == [1, 2, 3, 4, 5]
        assert part["exponent"].is_monotonic_decreasing


def test_a_population_is_its_members():
    torch.manual_seed(5)
    people = built("gru", population=3)
    x = torch.randn(3, 6, 2, 3)
    g = torch.randn(3, 2, 6)
    whole = gradient_norms(back_propagate(trace(people, x), g))
    for m in range(3):
        alone = built("gru")
        alone.load_state_dict({k: v[m] for k, v in people.state_dict().items()})
        part = gradient_norms(back_propagate(trace(alone, x[m]), g[m]))
        mine = whole[whole.member == m].reset_index(drop=True)
        np.testing.assert_allclose(mine.norm, part.norm, rtol=1e-10)


def test_an_output_that_is_no_state():
    cell = odyssey.parse_cell(
        "cell read\ninput x\nstate h\nh[t] = tanh(W @ x[t] + U @ h[t-1])\n"
        "y = V @ square(h[t])\noutput y\n"
    )
    rnn = odyssey.RNN(cell, 3, 4, dtype=torch.float64)
    x, g = torch.randn(5, 1, 3, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    norms = gradient_norms(back_propagate(trace(rnn, x), g))
    truth = retained(rnn, x, g)
    mine = norms[norms.state == "h"].set_index("steps_back").norm
    assert mine[0] == 0.0
    for back in range(1, 6):
        assert mine[back] == pytest.approx(float(truth[5 - back][0].norm()), rel=1e-10)


def test_class_indices_and_a_start():
    rnn = built("lstm")
    start = tuple(torch.randn(1, 2, 6, dtype=torch.float64) for _ in range(2))
    x = torch.randint(3, (4, 2))
    trajectory = trace(rnn, x, start=start)
    torch.testing.assert_close(trajectory.outputs[-1][0], rnn(x, start)[0][-1])


def test_horizons():
    log = {0: 0.0, 1: -0.5, 2: -1.5, 3: -3.5}
    frame = pd.DataFrame(
        {"name": "a", "steps_back": list(log), "norm": 0.0, "log10_norm": list(log.values())}
    )
    found = horizons(frame, factors={"10x": 10.0, "1000x": 1e3, "1e9": 1e9}).set_index("factor")
    assert found.steps["10x"] == pytest.approx(1.5)
    assert found.steps["1000x"] == pytest.approx(2.75)
    assert found.steps["1e9"] == np.inf
    dead = frame.assign(log10_norm=[0.0, -np.inf, -np.inf, -np.inf])
    assert list(horizons(dead).steps) == [1.0, 1.0, 1.0]
    late = frame.assign(log10_norm=[-np.inf, 0.0, -1.0, -2.0])
    assert horizons(late, factors={"10x": 10.0}).steps[0] == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="greater than 1"):
        horizons(frame, factors={"none": 1.0})


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: trace(nn.Linear(2, 2), torch.zeros(3, 1, 2)), "no recurrent module: Linear"),
        (lambda: trace(nn.GRU(2, 2, bidirectional=True), torch.zeros(3, 1, 2)), "bidirectional"),
        (lambda: trace(built("gru", bidirectional=True), torch.zeros(3, 1, 3)), "bidirectional"),
        (lambda: record(built("gru", bidirectional=True), torch.zeros(3, 3)), "bidirectional"),
        (
            lambda: predicted_norms(
                built("gru", bidirectional=True), 2, rng=np.random.default_rng(1)
            ),
            "bidirectional",
        ),
        (lambda: trace(nn.GRU(2, 2), torch.zeros(3, 2)), r"shape \(T, B, I\)"),
        (lambda: trace(nn.GRU(2, 2), torch.zeros(0, 1, 2)), "zero steps"),
        (
            lambda: trace(nn.GRU(2, 2), torch.zeros(3, 1, 2), start=(torch.zeros(1, 2),)),
            r"start of shape \(1, 1, 2\)",
        ),
        (
            lambda: back_propagate(trace(nn.GRU(2, 2), torch.zeros(3, 1, 2)), torch.zeros(1, 3)),
            r"injected gradient of shape \(1, 2\)",
        ),
        (
            lambda: RecurrentStep("flat", (), (), lambda x, s: (x, s)),
            "flat has no recurrence",
        ),
        (
            lambda: trace(
                odyssey.RNN(
                    odyssey.parse_cell(
                        "cell flat\ninput x\nnot recurrent\ny = tanh(W @ x[t])\noutput y\n"
                    ),
                    2,
                    2,
                ),
                torch.zeros(3, 1, 2),
            ),
            "flat has no recurrence",
        ),
        (
            lambda: lyapunov_exponents(
                trace(nn.GRU(2, 2), torch.zeros(3, 1, 2)), count=3, rng=np.random.default_rng(1)
            ),
            "1 to 2",
        ),
        (
            lambda: lyapunov_exponents(
                trace(nn.GRU(2, 2), torch.zeros(3, 1, 2)),
                count=1,
                warm_up=3,
                rng=np.random.default_rng(1),
            ),
            "warm-up of 3",
        ),
        (
            lambda: jacobian_spectra(trace(nn.GRU(2, 2), torch.zeros(3, 1, 2)), [3]),
            "0 to 2",
        ),
    ],
)
def test_nonsense_gets_one_line(call, says):
    with pytest.raises(ConfigError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
