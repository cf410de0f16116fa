"""The numeric fingerprint: a second opinion on whether two cells are the same function.

A few steps in float64 on fixed inputs, at three units. Names must not matter, so no parameter may
have weights of its own at first: every matrix is the same fixed matrix A and every vector the same
fixed vector a, except for one parameter at a time, which is B or b. How the output reacts to each
parameter alone tells where that parameter is used. In a last run every parameter gets weights that
are drawn from this reaction, so that they act together. All states start at one fixed vector, since
many a cell stays at zero when it starts there. The outputs of all these runs, rounded and sorted,
make the fingerprint.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from odyssey.expr.cell import Cell
from odyssey.expr.functions import Array
from odyssey.expr.graph import Graph, build_graph, run_graph

UNITS = 3  # input size and hidden size
STEPS = 4
SCALE = 0.6  # of all weights and states
# float64 rounding differs between rewrites near the 14th digit, and after cancellation earlier
DIGITS = 7  # significant digits kept
DECIMALS = 9  # decimals kept


def _fixed() -> tuple[Array, ...]:
    rng = np.random.default_rng(20150319)
    a, b = rng.normal(0.0, SCALE, (2, UNITS, UNITS))
    u, v, start = rng.normal(0.0, SCALE, (3, UNITS))
    return a, b, u, v, start, rng.normal(0.0, 1.0, (STEPS, UNITS))


_A, _B, _U, _V, _START, _X_TI = _fixed()


@dataclass(frozen=True)
class Reactions:
    """What the runs gave, rounded.

    Attributes:
        base: All parameters at A or a.
        alone: For each parameter that the output sees, the run in which it alone is B or b.
        together: All parameters at weights drawn from `alone`.
    """

    base: str
    alone: dict[str, str]
    together: str

    def digest(self, *more: str) -> str:
        """Gives 16 hex digits of all of it, and of more lines."""
        lines = [self.base, *sorted(self.alone.values()), self.together, *more]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def react(cell: Cell) -> Reactions:
    """Runs a cell on the fixed weights and inputs."""
    graph = build_graph(cell)
    matrices = {o.name for o in graph.operations if o.kind == "map"}
    weights: dict[str, Array] = {}
    for number, name in enumerate(graph.parameters, start=1):
        base, other = (_A, _B) if name in matrices else (_U, _V)
        weights[name] = np.repeat(base[None], len(graph.parameters) + 1, axis=0)
        weights[name][number] = other
    rows = _run(graph, weights)
    # a parameter that the output does not see says nothing: dead equations do not count
    alone = {n: r for n, r in zip(graph.parameters, rows[1:], strict=True) if r != rows[0]}
    drawn = {
        name: _drawn(alone.get(name, ""), weights[name].shape[1:])[None]
        for name in graph.parameters
    }
    return Reactions(rows[0], alone, _run(graph, drawn)[0])


def _drawn(row: str, shape: tuple[int, ...]) -> Array:
    seed = int.from_bytes(hashlib.sha256(row.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(0.0, SCALE, shape)


def _run(graph: Graph, weights: dict[str, Array]) -> list[str]:
    """Runs a cell; gives the outputs of each member, rounded."""
    members = max((len(w) for w in weights.values()), default=1)
    x_TPBI = np.broadcast_to(_X_TI[:, None, None], (STEPS, members, 1, UNITS))
    start = {s: np.broadcast_to(_START, (members, 1, UNITS)) for s in graph.updates}
    with np.errstate(all="ignore"):
        y_TPBH, _ = run_graph(graph, weights, x_TPBI, start)
    y_PN = np.moveaxis(y_TPBH, 1, 0).reshape(members, -1)
    return [" ".join(map(_round, row)) for row in y_PN.tolist()]


def _round(value: float) -> str:
    # + 0.0: no minus zero; infinities and NaN print by name
    return f"{round(value, DECIMALS) + 0.0:.{DIGITS - 1}e}"


def fingerprint(cell: Cell) -> str:
    """Gives the fingerprint, 16 hex digits; equal functions have equal ones.

    Initial values are not part of it; cells that differ in `init` lines only share it.
    """
    return react(cell).digest()
