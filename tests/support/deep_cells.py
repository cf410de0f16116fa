"""Deep cells of published searches and highway networks, in which one chain of blends runs far.

Each node blends the value of an earlier node with a function of it. Expanded into sums of products
their equations would fill books.
"""

import numpy as np

from odyssey.expr import parse_cell


def _cell(name, *lines, output="h"):
    return parse_cell("\n".join([f"cell {name}", "input x", "state h", *lines, f"output {output}"]))


def recurrent_highway(depth):
    """RHN of a depth, with coupled gates (Zilly et al. 2017, equations 6 to 9)."""
    lines, below = [], "h[t-1]"
    for k in range(1, depth + 1):
        extra = f"{{}} @ x[t] + {{}} @ {below} + {{}}" if k == 1 else f"{{1}} @ {below} + {{2}}"
        lines += [
            f"n{k} = tanh({extra.format('W_n', f'R_n{k}', f'b_n{k}')})",
            f"c{k} = sigmoid({extra.format('W_c', f'R_c{k}', f'b_c{k}')})",
            f"s{k} = n{k} * c{k} + {below} * (1 - c{k})",
        ]
        below = f"s{k}"
    return _cell(f"rhn{depth}", *lines, f"h[t] = {below}")


def searched(name, first, nodes, outputs=None):
    """A cell of the space of ENAS: (earlier node, function) a node; the mean of some is put out."""
    lines = [
        "c0 = sigmoid(W_c @ x[t] + U_c @ h[t-1])",
        f"n0 = c0 * {first}(W_n @ x[t] + U_n @ h[t-1]) + (1 - c0) * h[t-1]",
    ]
    for k, (before, function) in enumerate(nodes, start=1):
        lines += [
            f"c{k} = sigmoid(V_c{k} @ n{before})",
            f"n{k} = n{before} + c{k} * ({function}(V_n{k} @ n{before}) - n{before})",
        ]
    loose = outputs or sorted({*range(len(nodes) + 1)} - {before for before, _ in nodes})
    mean = " + ".join(f"n{k}" for k in loose)
    return _cell(name, *lines, f"h[t] = ({mean}) / {len(loose)}")


_ENAS = [(0, 0), (1, 1), (2, 1), (2, 0), (2, 0), (5, 1), (1, 0), (6, 1), (8, 1), (8, 1), (8, 1)]
_DARTS1 = "1relu 2tanh 3relu 4relu 1identity 5relu 1relu"
_DARTS2 = "1relu 1relu 1identity 2tanh 5sigmoid 3tanh 5relu"


def _nodes(text):
    return [(int(part[0]) - 1, part[1:]) for part in text.split()]


# Zilly et al. 2017; Pham et al. 2018; Liu et al. 2019; of the kind of Luo et al. 2018
DEEP = {
    "rhn3": recurrent_highway(3),
    "rhn5": recurrent_highway(5),
    "rhn10": recurrent_highway(10),
    "rhn40": recurrent_highway(40),
    "enas": searched("enas", "tanh", [(b, ("tanh", "relu")[f]) for b, f in _ENAS]),
    "darts_v1": searched("darts_v1", "relu", _nodes(_DARTS1), range(8)),
    "darts_v2": searched("darts_v2", "sigmoid", _nodes(_DARTS2), range(8)),
    "nao": searched(
        "nao", "tanh", [(k if k % 3 else max(k - 1, 0), ("relu", "tanh")[k % 2]) for k in range(14)]
    ),
}


def chain(rng, nodes):
    """A random legal cell of about so many nodes: gated blends along a chain with side branches."""
    functions = ["sigmoid", "tanh", "relu", "sin", "leaky_relu", "softplus", "identity"]
    lines, values, count = ["v0 = tanh(W0 @ x[t] + U0 @ h[t-1] + b0)"], ["v0", "h[t-1]"], 4
    while count < nodes:
        k = len(lines)
        one = values[-1] if rng.random() < 0.8 else str(rng.choice(values))
        other = str(rng.choice(values))
        f = str(rng.choice(functions))
        kind = rng.random()
        if kind < 0.5:
            lines.append(f"g{k} = sigmoid(U{k} @ {one} + b{k})")
            lines.append(f"v{k} = g{k} * {f}({other}) + (1 - g{k}) * {one}")
            count += 8
        elif kind < 0.7:
            lines.append(f"v{k} = {one} + {f}(U{k} @ {other})")
            count += 3
        elif kind < 0.85:
            lines.append(f"v{k} = {f}({one}) * ({other} - p{k})")
            count += 3
        else:
            lines.append(f"v{k} = {one} * {other} / (1 + abs({one}))")
            count += 4
        values.append(f"v{k}")
    return _cell("chain", *lines, f"h[t] = tanh({values[-1]} + v0)")


def chains(count, *, seed, nodes=(40, 200)):
    """So many cells of `chain`."""
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        yield chain(rng, int(rng.integers(nodes[0], nodes[1] + 1)))
