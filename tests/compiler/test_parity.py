"""Parity with torch.nn: outputs, states and all gradients, in float64, one and two layers."""

import pytest
import torch
from torch import nn

import odyssey
from odyssey.compiler.backends import BACKENDS

CASES = {
    "elman": (lambda i, h, n: nn.RNN(i, h, n), "h"),
    "elman_relu": (lambda i, h, n: nn.RNN(i, h, n, nonlinearity="relu"), "h"),
    "lstm": (lambda i, h, n: nn.LSTM(i, h, n), "ifgo"),
    "gru_torch": (lambda i, h, n: nn.GRU(i, h, n), "rzn"),
}


def copied(spec, layers, backend, *, size=5, hidden=7):
    make, gates = CASES[spec]
    torch.manual_seed(layers)
    ours = odyssey.RNN(
        odyssey.get_cell(spec), size, hidden, layers, backend=backend, dtype=torch.float64
    )
    theirs = make(size, hidden, layers).double()
    pairs = []
    with torch.no_grad():
        for p in ours.parameters():
            p.normal_(0, 0.5)
        for n in range(layers):
            own = dict(ours.layers[n].items())
            rows = {
                f"weight_ih_l{n}": [own[f"W_{g}"] for g in gates],
                f"weight_hh_l{n}": [own[f"U_{g}"] for g in gates],
                f"bias_ih_l{n}": [own[f"b_{g}"] for g in gates],
            }
            for name, parts in rows.items():
                getattr(theirs, name).copy_(torch.cat(parts))
                pairs.append((getattr(theirs, name), parts))
            bias = getattr(theirs, f"bias_hh_l{n}")
            bias.zero_()
            if spec == "gru_torch":
                bias[2 * hidden :].copy_(own["d_n"])
    return ours, theirs, pairs


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("spec", CASES)
def test_equals_torch(spec, layers, backend, shipped):
    ours, theirs, pairs = copied(spec, layers, backend)
    x = torch.randn(9, 3, 5, dtype=torch.float64)
    xs = [x.clone().requires_grad_() for _ in range(2)]
    start = [torch.randn(layers, 3, 7, dtype=torch.float64) for _ in ours.cell.states]
    states = [[s.clone().requires_grad_() for s in start] for _ in range(2)]
    y, final = ours(xs[0], tuple(states[0]))
    want, last = theirs(xs[1], tuple(states[1]) if len(start) > 1 else states[1][0])
    last = last if isinstance(last, tuple) else (last,)
    torch.testing.assert_close(y, want, rtol=1e-12, atol=1e-12)
    for a, b in zip(final, last, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    weight = torch.randn_like(y)
    for output, finals in ((y, final), (want, last)):
        ((output * weight).sum() + sum((f**2).sum() for f in finals)).backward()
    for parameter, parts in pairs:
        got = torch.cat([p.grad for p in parts])
        torch.testing.assert_close(got, parameter.grad, rtol=1e-12, atol=1e-12)
    if spec == "gru_torch":
        for n in range(layers):
            want_d = getattr(theirs, f"bias_hh_l{n}").grad[14:]
            torch.testing.assert_close(ours.layers[n]["d_n"].grad, want_d, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(xs[0].grad, xs[1].grad, rtol=1e-12, atol=1e-12)
    for a, b in zip(*states, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-12)


def test_the_reset_before_gru_is_another_function():
    ours, theirs, _ = copied("gru_torch", 1, "auto")
    before = odyssey.RNN(odyssey.get_cell("gru"), 5, 7, dtype=torch.float64)
    with torch.no_grad():
        for name, p in before.layers[0].items():
            p.copy_(ours.layers[0][name])
    x = torch.randn(9, 3, 5, dtype=torch.float64)
    assert (before(x)[0] - theirs(x)[0]).abs().max() > 1e-3


class Spike(torch.autograd.Function):
    """The step with the triangle of Bellec et al. 2018 for a gradient."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return (a > 0).to(a.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (a,) = ctx.saved_tensors
        return gradient * (1 - a.abs()).clamp(min=0)


SPIKING = """cell spiking
input x
state h, z

h[t] = 0.9 * h[t-1] + W @ x[t] + U @ z[t-1] - 0.5 * z[t-1]
z[t] = step(h[t] - 0.5)

output z
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_has_the_gradient_of_a_spiking_network(backend):
    torch.manual_seed(3)
    model = odyssey.RNN(odyssey.parse_cell(SPIKING), 5, 17, backend=backend, dtype=torch.float64)
    own = dict(model.layers[0].items())
    x = torch.randn(12, 3, 5, dtype=torch.float64)
    y, _ = model(x)
    h = z = torch.zeros(3, 17, dtype=torch.float64)
    spikes = []
    for row in x:
        h = 0.9 * h + row @ own["W"].mT + z @ own["U"].mT - 0.5 * z
        z = Spike.apply(h - 0.5)
        spikes.append(z)
    want = torch.stack(spikes)
    assert 0 < want.mean() < 1
    assert torch.equal(y, want)
    weight = torch.randn_like(y)
    found = torch.autograd.grad((y * weight).sum(), [own["W"], own["U"]])
    truth = torch.autograd.grad((want * weight).sum(), [own["W"], own["U"]])
    assert truth[1].abs().max() > 0
    for a, b in zip(found, truth, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
