"""Random cells from scratch: of a wanted size, recurrent in every state, with plain names.

Half of the state updates follow a pattern of the literature (a squashed sum, a blend with the
previous value, a gated sum); the rest is drawn operation by operation. The tests have a generator
of their own (`tests/support/random_cells.py`), which covers the corners of the language instead:
dead code, tied weights, delay lines, bare inputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.algebra import normalise
from odyssey.expr.cell import Cell
from odyssey.expr.equations import Equation
from odyssey.expr.forms import LANGUAGE, NAMED_FORMS
from odyssey.expr.primitives import PRIMITIVES, sigmoid
from odyssey.expr.terms import Current, Input, Leaf, Matrix, Named, Vector, add, matmul, mul, sub
from odyssey.registry import View
from odyssey.transforms.sites import previous

SLACK = 2  # nodes that a cell may have more or less than asked for
LEAST = 4  # nodes of the smallest state: tanh(W @ x[t] + U @ h[t-1])
STATES = ("h", "c", "m")
_STATE_SHARES = (0.6, 0.3, 0.1)
_SHARES: View[str, float] = View(
    lambda: {name: row.share for name, row in LANGUAGE.items() if row.share}, PRIMITIVES
)
_FUNCTION_NODES = {name: form.nodes for name, form in NAMED_FORMS.items()}  # of others 1
_TRIES = 500


class _TooSmallError(Exception):
    """The nodes that are left do not hold what must be in them."""


class _Draft:
    """Writes the equations of one random cell; it need not be legal."""

    def __init__(self, rng: np.random.Generator, states: Sequence[str]) -> None:
        self.rng = rng
        self.states = states
        self.counts: Counter[str] = Counter()
        self.rows: list[Equation] = []
        self.readable: list[Leaf] = [previous(s) for s in states]
        self.x = Input("x[t]")

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence[Leaf]) -> Leaf:
        return options[int(self.rng.integers(len(options)))]

    def fresh(self, letter: str) -> str:
        self.counts[letter] += 1
        return f"{letter}{self.counts[letter]}"

    def split(self, total: int, parts: int, least: int) -> list[int]:
        """Splits nodes into so many parts, none below the least."""
        spare = total - parts * least
        if spare < 0:
            raise _TooSmallError
        cuts = np.sort(self.rng.integers(0, spare + 1, parts - 1))
        edges = [0, *(int(c) for c in cuts), spare]
        return [least + b - a for a, b in pairwise(edges)]

    def function(self) -> str:
        shares = np.array(list(_SHARES.values()))
        number = self.rng.choice(len(shares), p=shares / shares.sum())
        return list(_SHARES)[int(number)]

    def leaf(self, nodes: int, must: list[Leaf]) -> sp.Expr:
        """A value of no node or, as a linear map, of one."""
        if must:
            return matmul(Matrix(self.fresh("U")), must[0]) if nodes else must[0]
        if nodes:
            if self.chance(0.5):
                return matmul(Matrix(self.fresh("W")), self.x)
            return matmul(Matrix(self.fresh("U")), self.pick(self.readable))
        return Vector(self.fresh("b")) if self.chance(0.15) else self.pick(self.readable)

    def value(self, nodes: int, must: list[Leaf], *, inside: bool = False) -> sp.Expr:
        """A value of so many nodes that reads what it must; inside a function, none itself."""
        if nodes < max(0, len(must) - 1):
            raise _TooSmallError
        if nodes == 0 or (nodes == 1 and len(must) < 2 and self.chance(0.8)):
            return self.leaf(nodes, must)
        kind = self.rng.random()
        if len(must) <= nodes and kind < 0.25 and not inside:
            name = self.function()
            left = nodes - _FUNCTION_NODES.get(name, 1)
            return LANGUAGE[name].function(self.value(left, must, inside=True))
        if len(must) <= nodes and kind < 0.3:
            return matmul(Matrix(self.fresh("U")), self.value(nodes - 1, must))
        if nodes >= 3 and kind < 0.45:
            left, right = self.two(nodes - 2, must, inside=True)
            return mul(sigmoid(left), right)
        left, right = self.two(nodes - 1, must)
        if kind < 0.8:
            return add(left, right)
        return sub(left, right) if kind < 0.87 else mul(left, right)

    def two(self, nodes: int, must: list[Leaf], *, inside: bool = False) -> tuple[sp.Expr, sp.Expr]:
        first: list[Leaf] = []
        second: list[Leaf] = []
        for leaf in must:
            (first if self.chance(0.5) else second).append(leaf)
        low, high = max(0, len(first) - 1), nodes - max(0, len(second) - 1)
        if low > high:
            raise _TooSmallError
        left = int(self.rng.integers(low, high + 1))
        return self.value(left, first, inside=inside), self.value(nodes - left, second)

    def squashed(self, nodes: int, must: list[Leaf], function: str = "") -> sp.Expr:
        """A function of a sum with a linear map of the input."""
        name = function or self.function()
        left = nodes - _FUNCTION_NODES.get(name, 1)
        if left < 2 + len(must):
            inner = self.value(left, must, inside=True)
        else:
            inner = add(matmul(Matrix(self.fresh("W")), self.x), self.value(left - 2, must))
        return LANGUAGE[name].function(inner)

    def named(self, letter: str, value: sp.Expr) -> Leaf:
        equation = Equation(self.fresh(letter), value)
        self.rows.append(equation)
        self.readable.append(Named(equation.target))
        return Named(equation.target)

    def blend(self, state: str, nodes: int, must: list[Leaf]) -> sp.Expr:
        first, second = self.split(nodes - 4, 2, LEAST)
        keep = self.named("z", self.squashed(first, [previous(state)], "sigmoid"))
        new = self.named("n", self.squashed(second, must, "tanh"))
        return add(mul(keep, previous(state)), mul(sub(sp.Integer(1), keep), new))

    def gated_sum(self, state: str, nodes: int, must: list[Leaf]) -> sp.Expr:
        sizes = self.split(nodes - 3, 3, LEAST)
        keep = self.named("f", self.squashed(sizes[0], [previous(state)], "sigmoid"))
        take = self.named("i", self.squashed(sizes[1], [], "sigmoid"))
        new = self.named("g", self.squashed(sizes[2], must, "tanh"))
        return add(mul(keep, previous(state)), mul(take, new))

    def update(self, state: str, nodes: int, must: list[Leaf]) -> sp.Expr:
        if self.chance(0.5):
            patterns = [self.squash]
            if nodes >= 4 + 2 * LEAST:
                patterns.append(self.blend)
            if nodes >= 3 + 3 * LEAST:
                patterns.append(self.gated_sum)
            return patterns[int(self.rng.integers(len(patterns)))](state, nodes, must)
        while nodes > 2 * LEAST + 3 and self.chance(0.5):
            part = int(self.rng.integers(2, nodes - LEAST - 1))
            self.named("k", self.value(part, []))
            must = [*must, self.readable[-1]]
            nodes -= part
        return self.value(nodes, [previous(state), *must])

    def squash(self, state: str, nodes: int, must: list[Leaf]) -> sp.Expr:
        return self.squashed(nodes, [previous(state), *must])

    def cell(self, nodes: int) -> Cell:
        order = list(reversed(self.states))
        sizes = self.split(nodes, len(order), LEAST)
        must: list[Leaf] = []
        for state, size in zip(order, sizes, strict=True):
            value = self.update(state, size, must)
            self.rows.append(Equation(state, value, updates_state=True))
            must = [Current(f"{state}[t]")]
            self.readable += must
        return Cell(
            name="random",
            input="x",
            states=tuple(self.states),
            equations=tuple(self.rows),
            output=self.states[0],
        )


def random_cell(rng: np.random.Generator, *, nodes: int, states: int | None = None) -> Cell:
    """Draws a legal cell from scratch.

    Args:
        rng: The only source of chance.
        nodes: Operations that the output depends on, equal ones once (`constraints.nodes`); the
            cell has at most 2 more or less.
        states: Number of states, 1 to 3; None draws it (mostly 1).

    Returns:
        A cell named `r-` and the first 8 digits of its key. Every state reaches the output and its
        update reads its previous value, also after algebra.

    Raises:
        CellError: A size that no cell has was asked for.
    """
    if states is not None and not 1 <= states <= len(STATES):
        raise CellError(f"a random cell has 1 to {len(STATES)} states, not {states}")
    least = LEAST * (states or 1)
    if nodes < least:
        raise CellError(f"a random cell needs at least {least} nodes for its states, not {nodes}")
    shares = np.array(_STATE_SHARES) * [nodes >= LEAST * (k + 1) for k in range(len(STATES))]
    for _ in range(_TRIES):
        count = states or int(rng.choice(len(STATES), p=shares / shares.sum())) + 1
        try:
            cell = _Draft(rng, STATES[:count]).cell(nodes)
        except (CellError, _TooSmallError):
            continue
        if _is_as_asked(cell, nodes):
            return cell.renamed(f"r-{cell.key[:8]}", lineage=("random",))
    raise CellError(f"no cell of {nodes} nodes and {states} states in {_TRIES} draws")


def _is_as_asked(cell: Cell, nodes: int) -> bool:
    if abs(sum(not n.is_leaf for n in cell.live.nodes) - nodes) > SLACK:
        return False
    normal = normalise(cell, cell.shapes)
    if set(normal.updates) != set(cell.states):
        return False
    return all(state in normal.states_in(update) for state, update in normal.updates.items())
