"""The oracle: reads a cell's text as NumPy, in float64, and differentiates numerically.

It shares no code with the compiler: the equations of the text are valid Python, so each line is
executed on arrays with one column a batch row. `W @ v` is NumPy's own product. What is not spelled
out here is the `numpy` of its row, which is judged beside torch and mpmath by itself.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from odyssey.expr.primitives import LANGUAGE
from odyssey.expr.reductions import REDUCTIONS

FUNCTIONS = {name: row.numpy for name, row in LANGUAGE.items()} | {
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
}
# over the units of a column; `max` of one argument is not Python's
FUNCTIONS |= {n: (lambda a, f=row.numpy: f(a.T).T) for n, row in REDUCTIONS.items()} | {
    "sum": lambda a: a.sum(0, keepdims=True),
    "mean": lambda a: a.sum(0, keepdims=True) / len(a),
    "max": lambda a: a.max(0, keepdims=True),
    "cumsum": lambda a: np.tril(np.ones((len(a), len(a)))) @ a,
}


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


def run(text, parameters, x, state):
    """Runs one layer.

    Args:
        text: The cell's text.
        parameters: Name -> array; matrices (rows, columns), vectors (n,).
        x: (T, B, I).
        state: Name -> (B, H), or another last size.

    Returns:
        The output (T, B, H) and the final state by name.
    """
    word, code = read(text)
    states = [s.strip() for s in word.get("state", "").split(",") if s.strip()]
    env = dict(FUNCTIONS)
    env |= {n: (v if v.ndim == 2 else v[:, None]) for n, v in parameters.items()}
    env |= {s: {-1: state[s].T} for s in states}
    env[word["input"]] = {k: step.T for k, step in enumerate(x)}
    output = []
    for t in range(len(x)):
        env["t"] = t
        for line in code:
            exec(line, env)
        value = env[word["output"]]
        value = value[t] if isinstance(value, dict) else value
        output.append(np.broadcast_to(value, (np.shape(value)[0], x.shape[1])).T)
    last = len(x) - 1
    final = {s: np.broadcast_to(env[s][last], state[s].T.shape).T for s in states}
    return np.stack(output), final


def slope(loss, values, direction, step=1e-5):
    """The derivative of a loss along a direction, by central differences of fourth order."""

    def at(k):
        return loss({n: v + k * step * direction[n] for n, v in values.items()})

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
