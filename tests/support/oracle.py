"""The oracle: reads a cell's text as NumPy, in float64, and differentiates numerically.

It shares no code with the compiler: the equations of the text are valid Python, so each line is
executed on arrays with one column a batch row. `W @ v` is NumPy's own product. What is not spelled
out here is what its row says, which is judged beside torch and mpmath by itself.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache, partial

import numpy as np

from odyssey.expr.forms import LANGUAGE, computed
from odyssey.expr.reductions import OVER_UNITS

FUNCTIONS = {name: partial(computed, name) for name in LANGUAGE} | {
    "sigmoid": lambda a: 0.5 * (1.0 + np.tanh(0.5 * a)),
    "tanh": np.tanh,
    "relu": lambda a: a * (a > 0),
    "identity": lambda a: a,
    "exp": np.exp,
    "softplus": lambda a: np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a))),
    "sin": np.sin,
    "abs": np.abs,
    "square": lambda a: a * a,
    "leaky_relu": lambda a: np.where(a > 0, a, 0.01 * a),
    "minimum": np.minimum,
    "maximum": np.maximum,
    "cos": np.cos,
    "sqrt": np.sqrt,
    "log": np.log,
    "erf": np.vectorize(math.erf),
    "sign": np.sign,
    "step": lambda a: 1.0 * (a > 0),
    "silu": lambda a: a / (1.0 + np.exp(-a)),
    "gelu": lambda a: 0.5 * a * np.vectorize(math.erfc)(-a * math.sqrt(0.5)),
    "elu": lambda a: np.where(a > 0, a, np.expm1(np.minimum(a, 0))),
    "softsign": lambda a: np.sign(a) - np.sign(a) / (1.0 + np.abs(a)),
    "hard_sigmoid": lambda a: np.clip((a + 3.0) / 6.0, 0.0, 1.0),
    "hard_tanh": lambda a: np.clip(a, -1.0, 1.0),
    "modrelu": lambda a, b: np.where(np.abs(a) + b > 0, a + b * np.sign(a), 0.0),
}
# over the units of a column; `max` of one argument is not Python's
OVER_COLUMNS = {
    "sum": lambda a: a.sum(0, keepdims=True),
    "mean": lambda a: a.sum(0, keepdims=True) / len(a),
    "max": lambda a: a.max(0, keepdims=True),
    "cumsum": lambda a: np.tril(np.ones((len(a), len(a)))) @ a,
    "softmax": lambda a: np.exp(a - np.logaddexp.reduce(a, axis=0)),
    "cumax": lambda a: np.cumsum(np.exp(a - np.logaddexp.reduce(a, axis=0)), 0),
    "layer_norm": lambda a: (a - a.mean(0)) / np.sqrt(a.var(0) + 1e-5),
    "rms_norm": lambda a: a / np.sqrt((a * a).mean(0) + 1e-5),
}
OF_MATRICES = {
    "column": lambda a: a[:, None].view(Matrices),
    "row": lambda a: a[None].view(Matrices),
    "across": lambda a: np.asarray(a).sum(1),
    "down": lambda a: np.asarray(a).sum(0),
    "outer": lambda a, b: among_columns(a, b),
    "read": lambda a, b: a @ b,
    "read_transposed": lambda a, b: a.T @ b,
}
OVER_COLUMNS |= OF_MATRICES
assert OVER_COLUMNS.keys() == OVER_UNITS.keys()
FUNCTIONS |= OVER_COLUMNS


class Matrices(np.ndarray):
    """A matrix a column of the batch, (rows, columns, B): what `@` and `.T` mean for a state."""

    def __matmul__(self, v):
        return np.einsum("ijb,jb->ib", np.asarray(self), np.asarray(v))

    @property
    def T(self):
        return np.swapaxes(self, 0, 1)


def among_columns(a, b):
    return np.einsum("ib,jb->ijb", a, b).view(Matrices)


@lru_cache(maxsize=64)
def read(text):
    """Gives the words of a cell's head and the compiled equations."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    word = {}
    for line in lines:
        if re.match(r"(input|output|state) ", line):
            head, rest = line.split(maxsplit=1)
            rest = rest.partition(":")[0].strip()
            word[head] = f"{word[head]}, {rest}" if head in word else rest
    skip = re.compile(r"(cell|cite|input|size|state|weight|start|init|output|not) (?![=\[:])")
    # a constant is an assignment of its own; the size of an equation does not matter here
    code = [re.sub(r"^const |(?<=\w) *: [^=]*(?= = )", "", line) for line in lines]
    return word, [compile(line, "<cell>", "exec") for line in code if line and not skip.match(line)]


def run(text, parameters, x, state, further=None):
    """Runs one layer.

    Args:
        text: The cell's text.
        parameters: Name -> array; matrices (rows, columns), vectors (n,).
        x: (T, B, I).
        state: Name -> (B, H), or another last size; of a matrix (B, rows, columns).
        further: Name of a further input -> (T, B, N).

    Returns:
        The output (T, B, H) and the final state by name.
    """
    word, code = read(text)
    states = [s.strip() for s in word.get("state", "").split(",") if s.strip()]
    env = dict(FUNCTIONS)
    env |= {n: weight(text, n, v) for n, v in parameters.items()}
    env |= {s: {-1: state[s].T if state[s].ndim == 2 else columns(state[s])} for s in states}
    main, *others = (name.strip() for name in word["input"].split(","))
    for name, steps in ((main, x), *((name, further[name]) for name in others)):
        env[name] = {k: step.T for k, step in enumerate(steps)}
    output = []
    for t in range(len(x)):
        env["t"] = t
        for line in code:
            exec(line, env)
        value = env[word["output"]]
        value = value[t] if isinstance(value, dict) else value
        output.append(np.broadcast_to(value, (np.shape(value)[0], x.shape[1])).T)
    last = len(x) - 1
    final = {s: rows(np.broadcast_to(env[s][last], shape_of(state[s]))) for s in states}
    return np.stack(output), final


def weight(text, name, value):
    """A vector as a column; a matrix that stands left of no @ is the same for every column."""
    if value.ndim == 1:
        return value[:, None]
    return value if maps(text, name) else value[:, :, None].view(Matrices)


@lru_cache(maxsize=1024)
def maps(text, name):
    """Whether a matrix stands left of an @."""
    return bool(re.search(rf"(?<![\w]){name}(\.T)? @", text))


def columns(state):
    """Turns (B, rows, columns) into (rows, columns, B)."""
    return np.moveaxis(state, 0, 2).view(Matrices)


def shape_of(state):
    return (*state.shape[1:], state.shape[0])


def rows(value):
    return np.moveaxis(np.asarray(value), -1, 0)


def slope(loss, values, direction, step=1e-5):
    """The derivative of a loss along a direction, by central differences of fourth order."""

    along = {n: d for n, d in direction.items() if np.any(d)}

    def at(k):
        return loss(values | {n: values[n] + k * step * d for n, d in along.items()})

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
