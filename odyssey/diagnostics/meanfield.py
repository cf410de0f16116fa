"""What mean-field theory predicts for the decay of gradients, from the equations alone.

In a wide layer with independent random weights every number in W v is Gaussian with variance
sigma^2 * sum(v^2), whatever the cell does elsewhere (Poole et al. 2016), and two products of the
same W have the covariance sigma^2 * sum(v * w), also across time (Sompolinsky, Crisanti, Sommers
1988): where a state persists, so does what a matrix makes of it, and gates stay open or shut. So a
few thousand single *coordinates*, each with Gaussian numbers in the place of every product, stand
for the layer, and give the distribution of all gates. The gradient then goes back through the
symbolic one-step Jacobian (`expr/jacobian.py`) with those gates, in two theories:

* `fresh`: the weights of the backward pass are drawn anew in every step (Chen, Pennington,
  Schoenholz 2018). Its second moment follows a linear recursion.
* `frozen`: they are drawn once. Products of the same matrices then add up, which matters where
  the Jacobian is near a multiple of the identity: the rate of a I + A is a + |A| instead of the
  root of a^2 + |A|^2.

Left out of both, and so what a measurement may differ by: that gates depend on the weights of the
way back; and weights that training has made anything but random. Refused is what the theory cannot
speak of: weights that are not independent of each other (orthogonal ones, say), and layers that
differ by decades from each other under the same theory, as where units do not mix and the gradient
is that of the few with the largest weights (IndRNN): no number is that of a wide layer then.

Shapes: N coordinates, S states, R replicas of H units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import sympy as sp
import torch

from odyssey.compiler import RNN
from odyssey.diagnostics.recurrence import require_one_direction
from odyssey.diagnostics.tidy import tidy
from odyssey.errors import ConfigError
from odyssey.expr.cell import Cell
from odyssey.expr.forms import computed
from odyssey.expr.jacobian import JacobianTerm, symbolic_jacobian
from odyssey.expr.primitives import Array
from odyssey.expr.program import live_equations
from odyssey.expr.reductions import OVER_UNITS
from odyssey.expr.terms import Const, Input, Leaf, exact_value, matmul, term

COORDINATES = 4096  # at least; the theory's own noise falls with its root
MOST_SPREAD, MOST_SHARE = 2.0, 0.3  # between quartiles of layers: decades, or of the logarithm
MOST_DIRECTIONS = 512  # of which a matrix remembers what it makes
NO_NEW = 1e-12  # share of a vector's power that is rounding

JacobianBlocks = dict[tuple[str, str], tuple[JacobianTerm, ...]]


@dataclass(frozen=True)
class Coordinates:
    """What the coordinates are in one step: N numbers for every name, and for every product."""

    names: dict[str, Array]
    products: dict[sp.Expr, Array]


@dataclass(frozen=True)
class _Matrix:
    """A weight matrix as the theory sees it: scale * I + independent numbers."""

    variance: float
    scale: float
    columns: int


def predicted_norms(
    rnn: RNN, steps: int, *, rng: np.random.Generator, input_power: float = 1.0
) -> pd.DataFrame:
    """Predicts the norm of dL/ds_t over the steps, for a random gradient of length 1 at the output.

    Args:
        rnn: One layer. Of its matrices only the variance is used (and the diagonal of those with an
            `init NAME = identity` line), of its vectors their numbers.
        steps: T.
        rng: Draws coordinates and weights.
        input_power: Mean square of the numbers of the input: 1 for N(0, 1), 1/I for class indices.

    Returns:
        Columns name, weights (fresh or frozen), steps_back, state (with `all`), norm, log10_norm,
        as `gradient_norms`.

    Raises:
        ConfigError: More than one layer, no step, functions over units or declared sizes, a
            matrix on the gradient's way that is not (H, H), one whose mean is far from zero, that
            is transposed or whose numbers depend on each other, or norms that differ between layers
            by decades.
        CellError: The cell has no recurrence.
    """
    require_one_direction(rnn)
    if rnn.num_layers != 1:
        raise ConfigError(f"the theory is of one layer; this module has {rnn.num_layers}")
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, got {steps}")
    _check_units(rnn)
    # of equations that nothing needs a module has no weights
    cell = rnn.cell.replace(equations=live_equations(rnn.cell))
    blocks = symbolic_jacobian(cell)
    _check_matrices(rnn, blocks)
    theory = _Theory(cell, rnn, input_power, rng)
    path = [theory.forward() for _ in range(steps)]
    states = [*cell.states, "all"]
    frames = [
        tidy(
            {"weights": [kind], "steps_back": range(steps + 1), "state": states},
            norm=torch.as_tensor(10.0 ** log[None]),
            log10_norm=torch.as_tensor(log[None]),
        )
        for kind, log in (
            ("fresh", _fresh(theory, path, blocks)),
            ("frozen", _frozen(theory, path, blocks)),
        )
    ]
    frame = pd.concat(frames, ignore_index=True)
    frame.insert(0, "name", rnn.cell.name)
    return frame


def _check_units(rnn: RNN) -> None:
    """Raises `ConfigError` unless units act each by itself."""
    mixing = sorted({n.op for n in rnn.program.nodes if n.op in OVER_UNITS})
    if mixing or not rnn.cell.shapes.plain:
        about = f"functions over units ({', '.join(mixing)})" if mixing else "declared sizes"
        raise ConfigError(
            f"{rnn.cell.name} has {about}; the theory is of units that act each by itself"
        )


def _check_matrices(rnn: RNN, blocks: JacobianBlocks) -> None:
    """Raises `ConfigError` unless matrices are independent of each other, and map states to H."""
    for declared in rnn.cell.weights:
        tied = [p for p in declared.properties if p != "frozen"]
        if tied and declared.name in rnn.program.matrices:
            raise ConfigError(
                f"{rnn.cell.name}: {declared.name} is {', '.join(tied)}; the theory is of weights"
                " that are independent of each other"
            )
    for node in rnn.program.nodes:
        if node.transposed:
            raise ConfigError(
                f"{rnn.cell.name}: {node.name} is transposed; the theory is of weights that are"
                " independent of each other"
            )
    passed = {m for terms in blocks.values() for t in terms for m in t.matrices}
    for name, shape in rnn.program.matrices.items():
        if name in passed and shape != ("H", "H") and not rnn.program.square:
            raise ConfigError(
                f"{rnn.cell.name}: the gradient passes {name}, which is not (H, H); the theory"
                " covers cells whose states are only mapped to H numbers"
            )


def _fresh(theory: _Theory, path: list[Coordinates], blocks: JacobianBlocks) -> Array:
    """Gives log10 norms (T + 1, S + 1) from second moments."""
    states = theory.cell.states
    moments_NSS = np.zeros((theory.n, len(states), len(states)))
    if theory.cell.output in states:
        place = states.index(theory.cell.output)
        moments_NSS[:, place, place] = 1.0
    log, found = 0.0, []
    for back in range(len(path) + 1):
        if back == 1 and theory.cell.output not in states:
            # the loss reads the output equation, and that reads the state before the last step
            one = np.ones((theory.n, 1, 1))
            moments_NSS = theory.pull_moments(one, (theory.cell.output,), blocks, path[-1])
        elif back:
            new = tuple(f"{s}[t]" for s in states)
            moments_NSS = theory.pull_moments(moments_NSS, new, blocks, path[len(path) - back])
        power_S = np.einsum("nss->s", moments_NSS) / theory.n
        found.append(_logarithms(power_S, log))
        if (total := power_S.sum()) > 0:
            moments_NSS, log = moments_NSS / total, log + 0.5 * np.log10(total)
    return np.stack(found)


def _frozen(theory: _Theory, path: list[Coordinates], blocks: JacobianBlocks) -> Array:
    """Gives log10 norms (T + 1, S + 1), the median over replicas with weights of their own."""
    states, shape = theory.cell.states, (theory.replicas, theory.hidden)
    weights = theory.draw_weights()
    g = theory.rng.normal(size=shape)
    g = g / np.linalg.norm(g, axis=1, keepdims=True)
    vectors = {f"{s}[t]": g if s == theory.cell.output else np.zeros(shape) for s in states}
    if theory.cell.output not in states:
        vectors[theory.cell.output] = g
    log_R, found = np.zeros((theory.replicas, 1)), []
    for back in range(len(path) + 1):
        if back:
            step = path[len(path) - back]
            old = {s: theory.pull_vectors(vectors, s, weights, blocks, step) for s in states}
            vectors = {f"{s}[t]": v for s, v in old.items()}
        power_RS = np.stack([np.square(vectors[f"{s}[t]"]).sum(1) for s in states], 1)
        log_RS = _logarithms(power_RS, log_R)
        found.append(np.median(log_RS, axis=0))
        _check_spread(theory.cell.name, back, log_RS[:, -1])
        total_R = power_RS.sum(1, keepdims=True)
        alive = total_R > 0
        log_R = log_R + np.where(alive, 0.5 * np.log10(np.where(alive, total_R, 1.0)), 0.0)
        if back or theory.cell.output in states:
            size = np.where(alive, np.sqrt(total_R), 1.0)
            vectors = {name: v / size for name, v in vectors.items()}
    return np.stack(found)


def _check_spread(name: str, back: int, log_R: Array) -> None:
    """Raises `ConfigError` where replicas of a layer do not have about one norm."""
    low, middle, high = np.quantile(log_R, [0.25, 0.5, 0.75], method="nearest")
    if high == -np.inf or high - low <= max(MOST_SPREAD, MOST_SHARE * abs(middle)):
        return
    apart = "some have none" if low == -np.inf else f"by {high - low:.1f} decades"
    raise ConfigError(
        f"{name}: {back} steps back, gradients of layers with other random weights differ"
        f" ({apart}); few units carry them, and the theory is of many"
    )


def _logarithms(power: Array, log: Array | float) -> Array:
    """Gives log10 of the norms of all states, and of all together, (..., S + 1)."""
    whole = np.concatenate([power, power.sum(-1, keepdims=True)], -1)
    with np.errstate(divide="ignore"):
        return np.asarray(log + 0.5 * np.log10(whole))


class _Theory:
    """Coordinates that go through the equations, and moments that come back."""

    def __init__(self, cell: Cell, rnn: RNN, input_power: float, rng: np.random.Generator) -> None:
        self.cell = cell
        self.hidden, self.rng = rnn.hidden_size, rng
        self.replicas = -(-COORDINATES // self.hidden)
        self.n = self.replicas * self.hidden
        self.input_power = input_power
        parameters = {
            k: v.detach().double().cpu().numpy() for k, v in rnn.layer_parameters()[0].items()
        }
        near_identity = {i.parameter for i in self.cell.inits if i.kind == "identity"}
        self.matrices = {
            name: _as_random(name, value, identity=name in near_identity)
            for name, value in parameters.items()
            if name in rnn.program.matrices
        }
        self.maps = {name: _RandomMap(m, self.n, rng) for name, m in self.matrices.items()}
        self.static: dict[str, Array] = {
            name: np.resize(value.ravel(), self.n)
            for name, value in parameters.items()
            if name in rnn.program.vectors
        }
        self.state: dict[str, Array] = {s: np.zeros(self.n) for s in self.cell.states}

    def forward(self) -> Coordinates:
        """Moves every coordinate by one step; gives the values of all names and products in it."""
        step = Coordinates(dict(self.static), {})
        step.names.update({f"{s}[t-1]": v for s, v in self.state.items()})
        for equation in self.cell.equations:
            found = self._evaluate(equation.value, step)
            step.names[equation.label] = np.broadcast_to(found, (self.n,))
        self.state = {s: step.names[f"{s}[t]"] for s in self.cell.states}
        return step

    def _evaluate(self, expr: sp.Expr, step: Coordinates) -> Array:
        if isinstance(expr, sp.Rational | Const):
            return np.asarray(float(exact_value(expr)))
        if isinstance(expr, Leaf):
            if isinstance(expr, Input) and expr.name not in step.names:
                power = np.sqrt(self.input_power)
                step.names[expr.name] = self.rng.normal(0.0, power, self.n)
            return step.names[expr.name]
        if expr in step.products:
            return step.products[expr]
        if isinstance(expr, matmul):
            matrix, v = self.matrices[expr.args[0].name], self._evaluate(expr.args[1], step)
            v = np.broadcast_to(v, (self.n,))
            step.products[expr] = matrix.scale * v + self.maps[expr.args[0].name](v)
            return step.products[expr]
        op, operands, _ = term(expr)
        args = [self._evaluate(a, step) for a in operands]
        with np.errstate(all="ignore"):
            return np.asarray(computed(op, *args))

    def _diagonals(self, product: JacobianTerm, step: Coordinates) -> list[Array]:
        return [np.broadcast_to(self._evaluate(v, step), (self.n,)) for v in product.diagonals]

    def draw_weights(self) -> dict[str, Array]:
        """Draws matrices (R, H, H) for the frozen theory, where gradients pass through them."""
        return {
            name: np.sqrt(matrix.variance)
            * self.rng.normal(size=(self.replicas, self.hidden, self.hidden))
            + matrix.scale * np.eye(self.hidden)
            for name, matrix in self.matrices.items()
            if matrix.columns == self.hidden
        }

    def pull_vectors(
        self,
        vectors: dict[str, Array],
        old: str,
        weights: dict[str, Array],
        blocks: JacobianBlocks,
        step: Coordinates,
    ) -> Array:
        """Pulls gradients (R, H) with respect to new values back to one state before the step."""
        shape = (self.replicas, self.hidden)
        total = np.zeros(shape)
        for new, vector in vectors.items():
            for product in blocks[new, old]:
                first, *rest = (d.reshape(shape) for d in self._diagonals(product, step))
                v = vector * first
                for name, d in zip(product.matrices, rest, strict=True):
                    v = np.einsum("rh,rhk->rk", v, weights[name], optimize=True) * d
                total += v
        return total

    def pull_moments(
        self, moments: Array, new: tuple[str, ...], blocks: JacobianBlocks, step: Coordinates
    ) -> Array:
        """Pulls second moments back through a step: (N, len(new), len(new)) to (N, S, S)."""
        states = self.cell.states
        split = {
            s: [
                (row, diagonals, word)
                for row, label in enumerate(new)
                for term in blocks[label, s]
                for diagonals, word in self._words(term, step)
            ]
            for s in states
        }
        found = np.zeros((self.n, len(states), len(states)))
        for a, first in enumerate(states):
            for b, second in enumerate(states):
                for i, d, word in split[first]:
                    for j, e, other in split[second]:
                        if word == other:  # products of different matrices do not correlate
                            found[:, a, b] += self._pair(moments[:, i, j], d, e, word)
        return found

    def _words(
        self, product: JacobianTerm, step: Coordinates
    ) -> list[tuple[list[Array], tuple[str, ...]]]:
        """Evaluates a term; a matrix scale * I + R makes two of it, with and without R."""
        first, *rest = self._diagonals(product, step)
        words: list[tuple[list[Array], tuple[str, ...]]] = [([first], ())]
        for name, v in zip(product.matrices, rest, strict=True):
            matrix, longer = self.matrices[name], []
            for ds, word in words:
                if matrix.variance:
                    longer.append(([*ds, v], (*word, name)))
                if matrix.scale:
                    longer.append(([*ds[:-1], ds[-1] * matrix.scale * v], word))
            words = longer
        return words

    def _pair(self, moment: Array, d: list[Array], e: list[Array], word: tuple[str, ...]) -> Array:
        current = moment * d[0] * e[0]
        for name, v, w in zip(word, d[1:], e[1:], strict=True):
            # (M^T v)_j sums over H numbers of v, whatever j
            power = self.matrices[name].variance * self.hidden * float(np.mean(current))
            current = power * v * w
        return current


class _RandomMap:
    """A random matrix, as far as it has been applied: the same one in every step.

    Products W v and W w are Gaussian with the covariance sigma^2 * sum(v * w). An orthonormal basis
    of what W was applied to is kept, and what W makes of each of its vectors: numbers of their own.
    """

    def __init__(self, matrix: _Matrix, count: int, rng: np.random.Generator) -> None:
        self.spread = np.sqrt(matrix.variance * matrix.columns)
        self.rng, self.size = rng, 0
        self.basis_KN, self.made_KN = np.empty((0, count)), np.empty((0, count))

    def __call__(self, v: Array) -> Array:
        """Applies it to coordinates (N,)."""
        basis_KN, made_KN = self.basis_KN[: self.size], self.made_KN[: self.size]
        parts_K = basis_KN @ v / len(v)
        found = parts_K @ made_KN
        rest = v - parts_K @ basis_KN
        length = np.sqrt(np.mean(np.square(rest)))
        if length * length > NO_NEW * np.mean(np.square(v)):
            numbers = self.spread * self.rng.normal(size=len(v))
            found = found + length * numbers
            self._keep(rest / length, numbers)
        return found

    def _keep(self, direction: Array, numbers: Array) -> None:
        if self.size == MOST_DIRECTIONS:
            return  # what is new from here on is new in every step
        if self.size == len(self.basis_KN):
            room = ((0, max(8, self.size)), (0, 0))
            self.basis_KN, self.made_KN = (np.pad(a, room) for a in (self.basis_KN, self.made_KN))
        self.basis_KN[self.size], self.made_KN[self.size] = direction, numbers
        self.size += 1


def _as_random(name: str, value: np.ndarray[Any, Any], *, identity: bool) -> _Matrix:
    """Reads variance and scale off a matrix (..., rows, columns)."""
    scale = 0.0
    if identity:
        scale = float(np.diagonal(value, axis1=-2, axis2=-1).mean())
        value = value - scale * np.eye(*value.shape[-2:])
    variance = float(np.mean(np.square(value)))
    if variance <= 1e-24 * scale * scale:  # the identity itself, up to rounding
        return _Matrix(0.0, scale, value.shape[-1])
    bias = float(value.mean()) ** 2
    # a mean of the matrix acts like one direction of its own, which the theory does not know
    if bias > 0.01 * variance and bias * value.size > 25 * variance:
        raise ConfigError(f"mean-field theory needs weights around zero; {name} has another mean")
    return _Matrix(variance, scale, value.shape[-1])
