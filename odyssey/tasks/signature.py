"""What a model reads and predicts: the sizes and kinds of its inputs, outputs and conditions.

A loss is a sum over the counted steps. What a step adds to it depends on the kind of the outputs:

* `classes`: cross-entropy of a softmax over V classes, nats.
* `bits`: cross-entropy of K independent Bernoulli variables, summed over them, nats.
* `reals`: squared error, summed over K numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["classes", "bits", "reals"]
CLASSES: Kind = "classes"
BITS: Kind = "bits"
REALS: Kind = "reals"
NEAR = 0.04
"""How far off a real may be said to be right (Hochreiter & Schmidhuber, 1997, for adding)."""

_DTYPES: Mapping[Kind, type[np.generic]] = {
    CLASSES: np.int64,
    BITS: np.uint8,
    REALS: np.float32,
}

Way = Literal["first", "every", "attention"]
FIRST: Way = "first"
EVERY: Way = "every"
ATTENTION: Way = "attention"
WAYS: tuple[Way, ...] = (FIRST, EVERY, ATTENTION)


@dataclass(frozen=True)
class Values:
    """What stands at a step of an input or an output.

    Attributes:
        kind: `classes`, `bits` or `reals`.
        size: How many classes, bits or numbers.
    """

    kind: Kind
    size: int

    @property
    def dense(self) -> bool:
        """Whether a step is a vector of numbers, not the index of a class."""
        return self.kind != CLASSES

    @property
    def dtype(self) -> type[np.generic]:
        """The type of its numbers in a batch; bits are bytes, a quarter of the memory of floats."""
        return _DTYPES[self.kind]


@dataclass(frozen=True)
class Condition:
    """What every sequence is conditioned on.

    Attributes:
        shape: A vector (D,), a grid of L places (L, D), or a picture (height, width, channels),
            which convolutional layers of the model turn into a grid.
        way: How it gets in: `first`, as an input before the first step (Show and Tell, Vinyals et
            al., 2015); `every`, beside the input of every step; `attention`, a weighted sum over
            places beside the input of every step, with weights from the output of the step before
            (Show, Attend and Tell, Xu et al., 2015).
    """

    shape: tuple[int, ...]
    way: Way


CONTEXT = "context"
"""The name by which a cell reads what it is conditioned on at a step."""


@dataclass(frozen=True)
class Part:
    """A part of the inputs that a cell may read by name, as one of its further inputs.

    A cell that does not declare it reads it within x.

    Attributes:
        name: Its name.
        size: How many numbers it has.
        about: What it tells, where other parts tell the same in another way: a cell that declares
            one of these does not get the others within x.
    """

    name: str
    size: int
    about: str = ""


@dataclass(frozen=True)
class Signature:
    """What a model reads and predicts.

    Attributes:
        inputs: At every step.
        outputs: At every step.
        condition: What sequences are conditioned on, if anything.
        parts: The parts that have a name, which are the last numbers of dense inputs.
    """

    inputs: Values
    outputs: Values
    condition: Condition | None = None
    parts: tuple[Part, ...] = ()

    @staticmethod
    def symbols(count: int) -> Signature:
        """Gives that of a next-symbol predictor for so many symbols."""
        return Signature(Values(CLASSES, count), Values(CLASSES, count))

    @property
    def dense(self) -> bool:
        """Whether its recurrent layers read floats, not class indices only."""
        return self.inputs.dense or self.condition is not None


def guess_nats(outputs: Values) -> float:
    """Gives what a guess that knows nothing costs at a step; NaN for `reals`: it has no scale."""
    if outputs.kind == REALS:
        return math.nan
    return math.log(outputs.size) if outputs.kind == CLASSES else outputs.size * math.log(2)
