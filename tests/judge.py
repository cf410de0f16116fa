"""Judges a backend by the oracle: values, final states and gradients of one layer or more."""

import numpy as np
import oracle
import pytest
import torch

import odyssey
from odyssey.expr.shapes import infer_shapes


def check(cell, backend, *, seed, layers=1, sizes=(5, 2, 3, 4), wild=False):
    """Compares one cell on random weights, inputs and states; gives the gradients compared.

    A wild cell, such as a mutant, may explode or sit on a kink: gradients for which the oracle's
    own differences at two steps disagree are left out.
    """
    rng = np.random.default_rng(seed)
    steps, batch, size, hidden = sizes
    shapes = infer_shapes(cell)
    size = hidden if shapes.square else size
    rnn = odyssey.RNN(cell, size, hidden, layers, backend=backend, dtype=torch.float64)
    scale = min(0.5, hidden**-0.5)  # sums stay as tame with many units as with few
    values = {n: rng.normal(0, scale, tuple(p.shape)) for n, p in rnn.named_parameters()}
    values["x"] = rng.normal(0, 0.8, (steps, batch, size))
    for s in cell.states:
        values[f"state {s}"] = rng.normal(0, 0.5, (layers, batch, hidden))
    # dead code still runs in the oracle
    unused = set(cell.parameters) - set(rnn.program.parameters())
    weights = rng.normal(size=(steps, batch, hidden))
    final_weights = {s: rng.normal(size=(layers, batch, hidden)) for s in cell.states}

    def reference(v):
        y, finals = v["x"], []
        for layer in range(layers):
            prefix = f"layers.{layer}."
            parameters = {n.removeprefix(prefix): a for n, a in v.items() if n.startswith(prefix)}
            for name in unused:
                dim = shapes.matrices.get(name) or (shapes.vectors[name],)
                lengths = {"I": y.shape[-1], "H": hidden}
                parameters[name] = np.ones(tuple(lengths[d] for d in dim))
            y, final = oracle.run(
                cell.text, parameters, y, {s: v[f"state {s}"][layer] for s in cell.states}
            )
            finals.append(final)
        return y, {s: np.stack([f[s] for f in finals]) for s in cell.states}

    def loss(v):
        y, final = reference(v)
        return (y * weights).sum() + sum((final[s] * final_weights[s]).sum() for s in cell.states)

    def slope(direction, step):
        return pytest.approx(oracle.slope(loss, values, direction, step), rel=2e-6, abs=2e-7)

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
        long = slope(direction, 1e-5)
        if wild or got != long:
            # the longer step may reach across a kink; a wrong gradient is wrong with both
            short = slope(direction, 1e-6)
            if wild and long.expected != short:
                continue
            assert got in (long, short), f"gradient of {name} at {sizes}\n{cell.text}"
        compared += 1
    return compared
