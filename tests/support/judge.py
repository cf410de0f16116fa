"""Judges a backend by the oracle: values, final states and gradients of one layer or more."""

import math
from functools import lru_cache

import numpy as np
import pytest
import torch

import odyssey
from odyssey.compiler.backends import BACKENDS
from odyssey.compiler.lowering import lower
from odyssey.errors import ConfigError
from odyssey.expr.initial import NEGATED, draw_init
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.properties import PROPERTIES, apply_properties
from odyssey.expr.shapes import infer_shapes
from support import oracle


class Truth:
    """What the oracle says of one cell on random weights, inputs and states.

    It is the same for every backend, so it is worked out once: `truth_of` remembers it.
    """

    def __init__(self, cell, seed, layers, sizes):
        self.cell, self.layers = cell, layers
        rng = np.random.default_rng(seed)
        steps, batch, size, hidden = sizes
        self.shapes, program = infer_shapes(cell), lower(cell)
        self.size, self.hidden = hidden if program.square else size, hidden
        # dead code still runs in the oracle
        self.unused = set(cell.parameters) - set(program.parameters())
        scale = min(0.5, hidden**-0.5)  # sums stay as tame with many units as with few
        self.values = {}
        # what is frozen is a paper's own matrix, as it is; copies of others come after these
        given = {i.parameter: i for i in cell.inits if frozen(cell, i.parameter)}
        copies = {name: i.source for name, i in given.items() if i.kind == NEGATED}
        for layer in range(layers):
            below, prefix = hidden if layer else self.size, f"layers.{layer}."
            for name in sorted(program.parameters(), key=lambda name: name in copies):
                shape = program.stored_shape(name, below, hidden)
                if name in copies:
                    self.values[prefix + name] = -self.values[prefix + copies[name]]
                elif name in given:
                    self.values[prefix + name] = draw_init(given[name], shape, rng)
                else:
                    self.values[prefix + name] = rng.normal(0, scale, shape)
        self.values["x"] = rng.normal(0, 0.8, (steps, batch, self.size))
        for s in cell.states:
            sizes = {self.units(program.state_size(s), n) for n in range(layers)}
            self.values[f"state {s}"] = rng.normal(0, 0.5, (layers, batch, max(sizes)))
        for name, size in self.shapes.inputs.items():
            shape = (steps, batch, self.units(size, 0))
            self.values[f"input {name}"] = rng.normal(0, 0.8, shape)
        self.weights = rng.normal(size=(steps, batch, hidden))
        self.program = program
        self.final_weights = {
            s: rng.normal(size=self.values[f"state {s}"].shape) for s in cell.states
        }
        # one random direction for every parameter, the input and each state
        self.directions = {
            name: {
                n: (rng.normal(size=v.shape) if n == name else np.zeros(v.shape))
                for n, v in self.values.items()
            }
            for name in self.values
        }
        self.slopes = {}
        self.output, self.finals = self.run(self.values)
        terms = [self.output * self.weights]
        terms += [self.finals[s] * self.final_weights[s] for s in cell.states]
        self.size_of_loss = sum(float(np.abs(t).sum()) for t in terms)

    def run(self, v):
        y, finals = v["x"], []
        for layer in range(self.layers):
            prefix = f"layers.{layer}."
            parameters = {n.removeprefix(prefix): a for n, a in v.items() if n.startswith(prefix)}
            for name in self.unused:
                dim = self.shapes.matrices.get(name) or self.shapes.vectors[name].split(";")
                parameters[name] = np.ones(tuple(self.units(d, layer) for d in dim))
            state = {}
            for s in self.cell.states:
                axes = [self.units(a, layer) for a in self.program.state_size(s).split(";")]
                flat = v[f"state {s}"][layer][:, : math.prod(axes)]
                state[s] = flat.reshape(len(flat), *axes)
            for declared in self.cell.weights:
                if declared.name in self.unused:
                    continue
                raw = parameters[declared.name]
                parameters[declared.name] = apply_properties(np, raw, declared.properties)
            further = {n: v[f"input {n}"] for n in self.shapes.inputs}
            y, final = oracle.run(self.cell.text, parameters, y, state, further)
            finals.append({s: f.reshape(len(f), -1) for s, f in final.items()})
        return y, {s: self.stacked([f[s] for f in finals]) for s in self.cell.states}

    def units(self, size, layer):
        """What a size comes to, worked out from its text."""
        lengths = {"I": self.hidden if layer else self.size, "H": self.hidden}
        return math.prod(max(1, int(eval(axis, {}, lengths))) for axis in size.split(";"))

    def stacked(self, finals):
        most = max(f.shape[-1] for f in finals)
        return np.stack([np.pad(f, ((0, 0), (0, most - f.shape[-1]))) for f in finals])

    def loss(self, v):
        y, final = self.run(v)
        return (y * self.weights).sum() + sum(
            (final[s] * self.final_weights[s]).sum() for s in self.cell.states
        )

    def slope(self, name, step):
        if (name, step) not in self.slopes:
            found = oracle.slope(self.loss, self.values, self.directions[name], step)
            # of a loss of 1e12, as exploding cells have, no difference shows a slope of 1
            rounding = 4 * np.finfo(float).eps * self.size_of_loss / step
            self.slopes[name, step] = pytest.approx(found, rel=2e-6, abs=max(2e-7, rounding))
        return self.slopes[name, step]


def refused(cell, backend):
    """Says whether a backend does not run a cell; then it must say so where it is asked for."""
    lacking = BACKENDS[backend].supports(lower(cell))
    if lacking:
        with pytest.raises(ConfigError, match=f"backend '{backend}' cannot run") as caught:
            odyssey.RNN(cell, 4, 4, backend=backend)
        assert lacking in str(caught.value)
    return bool(lacking)


def frozen(cell, name):
    """Says whether a parameter of a module is a weight that its cell does not train."""
    own = name.rpartition(".")[2]
    properties = [p for w in cell.weights if w.name == own for p in w.properties]
    return not all(PROPERTIES[p.partition("(")[0]].trained for p in properties)


SURROGATES = {name for name, row in PRIMITIVES.items() if row.surrogate}
truth_of = lru_cache(maxsize=64)(Truth)


def check(cell, backend, *, seed, layers=1, sizes=(5, 2, 3, 4), wild=False):
    """Compares one cell on random weights, inputs and states; gives the gradients compared.

    A wild cell, such as a mutant, may explode or sit on a kink: gradients for which the oracle's
    own differences at two steps disagree are left out. So are all of a cell with a surrogate
    gradient, which no difference shows.
    """
    truth = truth_of(cell, seed, layers, sizes)
    values = truth.values
    rnn = odyssey.RNN(cell, truth.size, truth.hidden, layers, backend=backend, dtype=torch.float64)
    assert {n: tuple(p.shape) for n, p in rnn.named_parameters()} == {
        n: v.shape for n, v in values.items() if n.startswith("layers.")
    }
    with torch.no_grad():
        for name, parameter in rnn.named_parameters():
            parameter.copy_(torch.as_tensor(values[name]))
    x = torch.tensor(values["x"], requires_grad=True)
    state = tuple(torch.tensor(values[f"state {s}"], requires_grad=True) for s in cell.states)
    further = {
        d.name: torch.tensor(values[f"input {d.name}"], requires_grad=True)
        for d in cell.further_inputs
    }
    y, final = rnn(x, state, further or None)
    np.testing.assert_allclose(y.detach().numpy(), truth.output, rtol=1e-10, atol=1e-11)
    for s, value in zip(cell.states, final, strict=True):
        np.testing.assert_allclose(value.detach().numpy(), truth.finals[s], rtol=1e-10, atol=1e-11)
    if any(node.op in SURROGATES for node in cell.program.nodes):
        return len(values)
    total = (y * torch.as_tensor(truth.weights)).sum()
    for s, value in zip(cell.states, final, strict=True):
        total = total + (value * torch.as_tensor(truth.final_weights[s])).sum()
    total.backward()
    gradients = {n: p.grad for n, p in rnn.named_parameters()} | {"x": x.grad}
    gradients |= {f"state {s}": v.grad for s, v in zip(cell.states, state, strict=True)}
    gradients |= {f"input {n}": v.grad for n, v in further.items()}
    compared = 0
    for name in values:
        grad = gradients[name]
        if frozen(cell, name):
            assert grad is None
            continue
        got = 0.0 if grad is None else float((grad.numpy() * truth.directions[name][name]).sum())
        long = truth.slope(name, 1e-5)
        if wild or got != long:
            # the longer step may reach across a kink; a wrong gradient is wrong with both
            short = truth.slope(name, 1e-6)
            if wild and long.expected != short:
                continue
            assert got in (long, short), f"gradient of {name} at {sizes}\n{cell.text}"
        compared += 1
    return compared
