"""Every backend against the NumPy oracle: values and gradients, one layer and two."""

import numpy as np
import oracle
import pytest
import torch
from random_cells import random_cell

import odyssey
from odyssey.cells import LIBRARY
from odyssey.compiler.backends import BACKENDS
from odyssey.errors import CellError
from odyssey.specs import CELL_SETS
from odyssey.transforms.ablations import ABLATIONS

ARGUMENTS = {
    "drop_gate": ["i", "r"],
    "drop_activation": ["g", "n"],
    "activation": ["g:relu", "n:sin"],
    "couple": ["f:i", "z:r"],
    "no_recurrent": ["i", "z"],
    "bias": ["f:2", "z:-1"],
    "forget_bias": ["1"],
    "chrono": ["50"],
    "no_bias": ["", "f"],
    "no_peepholes": ["", "o"],
    "peepholes": ["", "h"],
}


def every_ablation():
    found = []
    for cell in LIBRARY:
        for name in ABLATIONS:
            for argument in ARGUMENTS.get(name, [""]):
                spec = f"{cell}:{name}" + (f"={argument}" if argument else "")
                try:
                    odyssey.get_cell(spec)
                except CellError:
                    continue
                found.append(spec)
    return found


SPECS = sorted({*LIBRARY, *CELL_SETS["odyssey9"], *CELL_SETS["jozefowicz10"], *every_ablation()})


def check(cell, backend, *, seed, layers=1, sizes=(5, 2, 3, 4)):
    rng = np.random.default_rng(seed)
    steps, batch, size, hidden = sizes
    probe = odyssey.RNN(cell, hidden, hidden, backend=backend)
    size = hidden if probe.program.square else size
    rnn = odyssey.RNN(cell, size, hidden, layers, backend=backend, dtype=torch.float64)
    scale = min(0.5, hidden**-0.5)  # sums stay as tame with many units as with few
    values = {n: rng.normal(0, scale, tuple(p.shape)) for n, p in rnn.named_parameters()}
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
                from odyssey.expr.verify import infer_shapes

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
    for name in values:  # one random direction for every parameter, the input and each state
        direction = {
            n: (rng.normal(size=v.shape) if n == name else np.zeros(v.shape))
            for n, v in values.items()
        }
        grad = gradients[name]
        got = 0.0 if grad is None else float((grad.numpy() * direction[name]).sum())
        # the longer step may reach across a kink; a wrong gradient is wrong with both
        for step in (1e-5, 1e-6):
            want = pytest.approx(oracle.slope(loss, values, direction, step), rel=2e-6, abs=2e-7)
            if got == want:
                break
        assert got == want, f"gradient of {name} at {sizes}\n{cell.text}"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spec", SPECS)
def test_values_and_gradients_of_named_cells(spec, backend):
    check(odyssey.get_cell(spec), backend, seed=7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spec", ["lstm", "gru", "mut1", "lstm_peephole:FGR"])
def test_two_layers(spec, backend):
    check(odyssey.get_cell(spec), backend, seed=8, layers=2)


HIDDEN = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 31, 33)
"""Hidden sizes: one, whole vectors of every processor, and one more and one less than those."""


def random_sizes(rng):
    """Draws T, B, I and H; with many units there are fewer steps."""
    hidden, batch = int(rng.choice(HIDDEN)), int(rng.integers(1, 12))
    steps = int(rng.integers(1, 1 + max(1, min(8, 400 // (batch * hidden)))))
    return steps, batch, int(rng.integers(1, 10)), hidden


BLOCKS = [("native", block) for block in range(20)] + [("eager", block) for block in range(12)]


@pytest.mark.parametrize(("backend", "block"), BLOCKS)
def test_random_cells(block, backend):
    for seed in range(25 * block, 25 * (block + 1)):
        rng = np.random.default_rng(seed)
        cell = random_cell(rng, size=int(rng.integers(3, 26)))
        check(cell, backend, seed=seed, sizes=random_sizes(rng))


def test_random_sizes_reach_the_edges():
    drawn = [random_sizes(np.random.default_rng(seed)) for seed in range(500)]
    for axis in range(4):
        assert 1 in {sizes[axis] for sizes in drawn}
    assert {sizes[3] for sizes in drawn} == set(HIDDEN)
    assert {sizes[1] for sizes in drawn} >= set(range(1, 12))  # a tile has at most 8 rows
