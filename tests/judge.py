"""Judges a backend by the oracle: values, final states and gradients of one layer or more."""

import numpy as np
import oracle
import pytest
import torch

import odyssey
from odyssey.expr.shapes import infer_shapes


def check(cell, backend, *, seed, layers=1, wild=False):
    """Compares one cell on random weights, inputs and states; gives the gradients compared.

    A wild cell, such as a mutant, may explode or sit on a kink: gradients for which the oracle's
    own differences at two steps disagree are left out.
    """
    rng = np.random.default_rng(seed)
    steps, batch, size, hidden = 5, 2, 3, 4
    probe = odyssey.RNN(cell, hidden, hidden, backend=backend)
    size = hidden if probe.program.square else size
    rnn = odyssey.RNN(cell, size, hidden, layers, backend=backend, dtype=torch.float64)
    values = {n: rng.normal(0, 0.5, tuple(p.shape)) for n, p in rnn.named_parameters()}
    values["x"] = rng.normal(0, 0.8, (steps, batch, size))
    for s in cell.states:
        values[f"state {s}"] = rng.normal(0, 0.5, (layers, batch, hidden))
    weights = rng.normal(size=(steps, batch, hidden))
    final_weights = {s: rng.normal(size=(layers, batch, hidden)) for s in cell.states}

    def reference(v):
        y, finals = v["x"], []
        for layer in range(layers):
            prefix = f"layers.{layer}."
            parameters = {n.removeprefix(prefix): a for n, a in v.items() if n.startswith(prefix)}
            shapes = rnn.program
            unused = set(cell.parameters) - set(parameters)
            for name in unused:  # dead code still runs in the oracle
                sizes = {"I": y.shape[-1], "H": hidden}
                dims = infer_shapes(cell)
                dim = dims.matrices.get(name) or (dims.vectors[name],)
                parameters[name] = np.ones(tuple(sizes[d] for d in dim))
            assert shapes is rnn.program
            y, final = oracle.run(
                cell.text, parameters, y, {s: v[f"state {s}"][layer] for s in cell.states}
            )
            finals.append(final)
        return y, {s: np.stack([f[s] for f in finals]) for s in cell.states}

    def loss(v):
        y, final = reference(v)
        return (y * weights).sum() + sum((final[s] * final_weights[s]).sum() for s in cell.states)

    with torch.no_grad():
        for name, parameter in rnn.named_parameters():
            parameter.copy_(torch.as_tensor(values[name]))
    x = torch.tensor(values["x"], requires_grad=True)
    state = tuple(torch.tensor(values[f"state {s}"], requires_grad=True) for s in cell.states)
    y, final = rnn(x, state)
    expected, expected_final = reference(values)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-10, atol=1e-11)
    for s, value in zip(cell.states, final, strict=True):
        np.testing.assert_allclose(
            value.detach().numpy(), expected_final[s], rtol=1e-10, atol=1e-11
        )
    total = (y * torch.as_tensor(weights)).sum()
    for s, value in zip(cell.states, final, strict=True):
        total = total + (value * torch.as_tensor(final_weights[s])).sum()
    total.backward()
    gradients = {n: p.grad for n, p in rnn.named_parameters()} | {"x": x.grad}
    gradients |= {f"state {s}": v.grad for s, v in zip(cell.states, state, strict=True)}
    compared = 0
    for name in values:  # one random direction for every parameter, the input and each state
        direction = {
            n: (rng.normal(size=v.shape) if n == name else np.zeros(v.shape))
            for n, v in values.items()
        }
        grad = gradients[name]
        got = 0.0 if grad is None else float((grad.numpy() * direction[name]).sum())
        want = oracle.slope(loss, values, direction)
        if wild and want != pytest.approx(
            oracle.slope(loss, values, direction, step=3e-6), rel=1e-6, abs=1e-7
        ):
            continue
        assert got == pytest.approx(want, rel=2e-6, abs=2e-7), f"gradient of {name}\n{cell.text}"
        compared += 1
    return compared
