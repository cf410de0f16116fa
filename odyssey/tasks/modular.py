"""Arithmetic modulo a small number, with or without brackets.

Shapes: S sequences, R runs of factors, N and C as in `trees.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import CERTAIN, guess
from odyssey.tasks.generated import END, GeneratedTask, Sequences
from odyssey.tasks.trees import Level, Shape, draw_levels, evaluate, lay_out

DIGITS = "0123456789"
_PLUS, _MINUS, _TIMES = range(3)
_OPERATORS = "+-*"
_OTHERS = (*_OPERATORS, "(", ")", "=", END)
_NESTED = 0.3


class Modular(GeneratedTask):
    """Evaluates expressions modulo a small number: `3+4*2=1.` for 11 modulo 5.

    Modular arithmetic of Delétang et al. (2023, appendix A): without brackets a regular language,
    with brackets a context-free one. Products go before sums. The number of terms is uniform from
    2 to `length`, also between brackets.

    Args:
        name: The normalised spec.
        modulus: What it is computed by; the digits are those below.
        length: The most terms of an expression, and of what stands between two brackets.
        depth: The most brackets that are open at a time.
    """

    def __init__(self, name: str, *, modulus: int, length: int, depth: int) -> None:
        self._modulus = modulus
        self._shape = Shape(depth + 1, length, nested=_NESTED, digits=modulus, between=1)
        self._other = {symbol: modulus + i for i, symbol in enumerate(_OTHERS)}
        super().__init__(
            name,
            symbols=(*DIGITS[:modulus], *_OTHERS),
            counted="the answer",
            mean_length=self._shape.mean_size + 1,
            prime="1*(0+1)=" if depth else "1*0+1=",
            options={"modulus": modulus, "length": length, "depth": depth},
            mean_counted=1,
        )
        self.chance = guess(_answers(self._shape))
        self.optimum = CERTAIN

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws expressions and evaluates them."""
        levels = draw_levels(rng, count, self._shape)
        operators = [
            rng.integers(len(_OPERATORS), size=level.node_C.size, dtype=np.uint8)
            for level in levels
        ]
        for level, operator_C in zip(levels, operators, strict=True):
            operator_C[level.first_N] = _PLUS  # in front of an expression, and not written
        places, total = lay_out(levels, between=self._shape.between, after=1)
        symbols_N = np.empty(total, dtype=np.uint8)
        for level, operator_C, place in zip(levels, operators, places, strict=True):
            leaf_C = ~level.inner_C
            symbols_N[place.child_C[leaf_C]] = level.digit_C[leaf_C]
            symbols_N[place.child_C - 1] = operator_C + np.uint8(self._modulus)
            symbols_N[place.opens_N] = self._other["("]
            symbols_N[place.closes_N] = self._other[")"]
        # The whole expression has no brackets: '=' stands for its closing one, and what is in
        # place of its opening one is the end of the sequence before.
        equals_S = places[0].closes_N
        symbols_N[equals_S] = self._other["="]
        symbols_N[equals_S + 1] = evaluate(levels, operators, self._combine)
        symbols_N[places[0].opens_N] = self._other[END]
        symbols_N = np.append(symbols_N[1:], symbols_N[:1])
        counted_N = np.zeros(total, dtype=np.bool_)
        counted_N[equals_S] = True
        return Sequences(symbols_N, counted_N, equals_S + 2)

    def _combine(
        self, level: Level, operator_C: NDArray[np.uint8], value_C: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Multiplies the factors of every run, then adds the runs with their signs."""
        begins_C = operator_C != _TIMES
        run_R = np.flatnonzero(begins_C)
        product_R = np.multiply.reduceat(value_C, run_R) % self._modulus
        signed_R = np.where(operator_C[run_R] == _MINUS, -product_R, product_R)
        first_N = np.cumsum(begins_C)[level.first_N] - 1
        return np.add.reduceat(signed_R, first_N) % self._modulus


def _answers(shape: Shape) -> NDArray[np.float64]:
    """Computes the probability of every answer.

    Reading an expression from left to right takes the sum of the runs before and the signed
    product of the run so far: their joint distribution is carried over the terms.
    """
    base = shape.digits
    digits = np.full(base, 1 / base)
    sums, products, factors = np.indices((base,) * 3).reshape(3, -1)
    after = (  # sum and product after one more term, by its operator
        (sums + products, factors),
        (sums + products, -factors),
        (sums, products * factors),
    )
    child = digits
    for _ in range(shape.depth):
        joint = np.zeros((base, base))
        joint[0] = child
        node = np.zeros(base)
        for _ in range(2, shape.most + 1):
            chance = joint[sums, products] * child[factors] / len(after)
            joint = np.zeros((base, base))
            for total, product in after:
                np.add.at(joint, (total % base, product % base), chance)
            total, product = np.indices(joint.shape)
            node += np.bincount(((total + product) % base).ravel(), weights=joint.ravel())
        node /= shape.most - 1
        child = shape.nested * node + (1 - shape.nested) * digits
    return node
