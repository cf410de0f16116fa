"""A plug-in with a row in every table; docs/plugins.md walks through it.

odyssey check my.py         puts each row to the contract of its table
odyssey search study.toml   uses a primitive, a cell, an ablation, a task and a strategy of it
odyssey units RUN           scores the units of a model of that run against the probe, too
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.primitives import Primitive
from odyssey.expr.terms import Named, replace
from odyssey.strategies.proposal import Outcome
from odyssey.tasks.base import CERTAIN, guess
from odyssey.tasks.generated import ALPHABET, CUE, END, GeneratedTask, from_rows
from odyssey.tasks.options import whole
from odyssey.tasks.registry import TaskRow
from odyssey.training.metrics import Metric
from odyssey.training.optimizer_rules import OptimizerRule
from odyssey.transforms.ablations import Ablation, gates
from odyssey.transforms.mutations import Mutation, NotApplicable
from odyssey.transforms.named import with_equations


def bell(low: float, high: float) -> tuple[float, float]:
    """Bounds exp(-a^2) where a is between two numbers."""
    ends = [math.exp(-(min(abs(low), 30) ** 2)), math.exp(-(min(abs(high), 30) ** 2))]
    return min(ends), 1.0 if low <= 0 <= high else max(ends)


PRIMITIVES = {
    "gauss": Primitive(
        name="gauss",
        numpy=lambda a: np.exp(-a * a),
        mpmath=lambda m, a: m.exp(-a * a),
        torch="torch.exp(-{0} * {0})",
        c="vexp(-(x * x))",
        onnx="Exp(-(a * a))",
        interval=lambda a: (0.0, bell(*a)[1]),
        exact=lambda v: Fraction(1) if v == 0 else None,
        derivative=("-2 * a * y",),
        latex=r"\operatorname{{gauss}}({0})",
        parity=1,
        share=0.05,
    )
}

CELLS = {"radial": "radial.cell"}


def half_gate(cell, gate):
    """Sets a gate to 1/2, so that it neither opens nor closes."""
    if gate not in gates(cell):
        raise CellError(f"{cell.name}: {gate!r} is no gate; gates: {', '.join(gates(cell))}")
    half = sp.Rational(1, 2)
    changed = {
        e.target: e.with_value(replace(e.value, lambda node: half if node == Named(gate) else None))
        for e in cell.equations
    }
    return with_equations(cell, changed | {gate: None})


ABLATIONS = {
    "half_gate": Ablation(half_gate, ("gate",), "set a gate to 1/2", examples=("f", "z", "i")),
}


def halve(cell, rng):
    """Sets a gate to 1/2, by chance."""
    if not gates(cell):
        raise NotApplicable("no gate")
    try:
        return half_gate(cell, str(rng.choice(gates(cell))))
    except CellError as error:
        raise NotApplicable(str(error)) from None


MUTATIONS = {"halve": Mutation("halve", "set a gate to 1/2", halve, 0.5, "docs/plugins.md")}


class Majority(GeneratedTask):
    """Reads letters a and b and says which there are more of: `abaab>a.`"""

    def __init__(self, name, *, length):
        self._length = length
        super().__init__(
            name,
            symbols=(*ALPHABET[:2], CUE, END),
            counted="the letter that is more frequent",
            mean_length=length + 3,
            prime="aab"[:length] + CUE,
            options={"length": length},
            mean_counted=1,
        )
        self.chance = guess([1.0, 1.0])
        self.optimum = CERTAIN

    def draw(self, rng, count):
        """Draws an odd number of letters and counts them."""
        rows = np.empty((count, self._length + 3), dtype=np.uint8)
        letters = rng.integers(2, size=(count, self._length), dtype=np.uint8)
        rows[:, :-3], rows[:, -3], rows[:, -1] = letters, 2, 3
        rows[:, -2] = letters.sum(1) * 2 > self._length
        return from_rows(rows, np.arange(rows.shape[1]) == self._length + 1)


TASKS = {
    "majority": TaskRow(
        "say which of two letters is more frequent",
        (whole("pairs", 3, least=1, most=500),),
        lambda name, values: Majority(name, length=2 * values["pairs"] + 1),
        longer="pairs",
    )
}


class HillClimbing:
    """Mutates the best cell so far; the oldest of equals."""

    def __init__(self, breeder, *, mutations=2):
        self._breeder, self._mutations = breeder, mutations
        self._best: Outcome | None = None

    def ask(self, rng):
        """Proposes a mutant of the best."""
        times = int(rng.integers(1, self._mutations + 1))
        return self._breeder.mutant(self._best, rng, times=times)

    def tell(self, outcome):
        """Keeps the better one."""
        if self._best is None or outcome.rank > self._best.rank:
            self._best = outcome


STRATEGIES = {"hill": HillClimbing}


def vowels(text):
    """How many vowels there were since the last symbol that is no letter."""
    counts, since = np.zeros(len(text)), 0
    for at, symbol in enumerate(text):
        since = since + (symbol.lower() in "aeiou") if symbol.isalpha() else 0
        counts[at] = since
    return counts


PROBES = {"vowels": vowels}


def sign_step(optimizer, gradients, rate):
    """Steps by the sign of a running mean of the gradients (Bernstein et al., 2018)."""
    mean = optimizer.running("mean", gradients)
    mean.mul_(0.9).add_(gradients, alpha=0.1)
    return rate * mean.sign()


OPTIMIZERS = {"signum": OptimizerRule(("mean",), sign_step)}

METRICS = {
    "top2": Metric(
        about="share of targets among the two likeliest symbols",
        measure=lambda predictions: float((predictions.rank < 2).mean()),
        better="high",
        chance=lambda size: min(1.0, 2 / size),
    )
}
