"""The contract of a backend: what it is asked, and what it gives.

A backend turns a `Program` into a `Layer`, and may bring its own code for the training step around
it. Its module fills in one `Backend`, whose members are all that the rest of the package knows.

Shapes: P members, T steps, B batch rows, I inputs, H units of the largest member, V symbols, N
parameters of a member (padding included).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.compiler.weights import Weights
from odyssey.expr.program import Program

State = tuple[Tensor, ...]
"""One tensor a state of the cell, in its order."""

LayerSizes = tuple[int, int, tuple[int, ...]]
"""Input size I, hidden size H and the units of each member."""


class Layer(Protocol):
    """Runs one layer over a whole sequence. Shapes lead with P when built for a population."""

    @property
    def source(self) -> str:
        """What was generated, for reading."""
        ...

    def __call__(
        self,
        x: Tensor,
        state: State,
        parameters: Mapping[str, Tensor],
        mask: Tensor | None,
        sizes: LayerSizes,
        further: Sequence[Tensor] = (),
    ) -> tuple[Tensor, State]:
        """Runs the layer.

        Args:
            x: (T, B, I) of the parameters' dtype, or (T, B) int64 class indices; T > 0.
            state: One (B, H) tensor a state.
            parameters: Matrices (rows, columns) and vectors (n,) by name.
            mask: (P, H) bool, which units a member has; only when built with `masked`.
            sizes: Input size I, hidden size H and the units of each member.
            further: The program's further inputs in its order, (T, B, N) each, of the parameters'
                dtype.

        Returns:
            The output (T, B, H) and the state after the last step.
        """
        ...


@runtime_checkable
class DirectLayer(Protocol):
    """A layer that also runs ordinary calls without the checks that `RNN` makes before others."""

    def direct(
        self, x: Tensor, state: State | None, weights: Weights, sizes: LayerSizes
    ) -> tuple[Tensor, State] | None:
        """Runs the layer as a call of `Layer` does, or gives None and has done nothing.

        It gives None for anything out of the ordinary: tensors that are not what they must be,
        hooks, modes, tracing. Whoever called then checks, and calls in the usual way.

        Args:
            x: What was given as the input; anything.
            state: One (B, H) tensor a state, zeros if None.
            weights: The module of the parameters.
            sizes: Input size I, hidden size H and the units of each member.
        """
        ...


class BuildLayer(Protocol):
    """Builds a layer for a program."""

    def __call__(self, program: Program, *, population: bool, masked: bool) -> Layer:
        """Builds it; with `masked`, members may have fewer units than the tensors."""
        ...


@dataclass(frozen=True)
class LayerInput:
    """What a layer reads at a step.

    Attributes:
        size: How many classes, or numbers of x.
        dense: Whether it is a vector of floats, not the index of a class.
        places: Of a program with further inputs, where in such a vector each of its inputs lies, x
            under no name; empty where the vector is x.
    """

    size: int
    dense: bool
    places: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class LayerRecurrence(Protocol):
    """A layer of a population on the inputs of a task, with the gradients of its parameters.

    What it gives is overwritten by the next call of the same kind; of states, by the next but one.
    """

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Runs the sequence.

        Args:
            x: (P, T, B) int64 class indices, or (P, T, B, N) of the parameters' type: I numbers,
                or as `LayerInput.places` says.
            state: One (P, B, H) tensor a state.

        Returns:
            The output (P, T, B, H), each member's row-major, and the state after the last step.

        Raises:
            ConfigError: An index is no symbol, or a tensor is not what it must be.
        """
        ...

    def backward(self, dy: Tensor) -> dict[str, Tensor]:
        """Gives the gradients of the parameters that have one, after `forward`.

        Args:
            dy: Gradient of the output (P, T, B, H).
        """
        ...


ReadoutInputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""h (P, T, B, H), weight (P, V, H) and bias (P, V), target, which count (P, T, B), bool.

Targets are classes (P, T, B), int64, or (P, T, B, V) of the parameters' type: bits, or reals.
"""


class ReadoutLoss(Protocol):
    """A readout and its loss, for the members of a population.

    Losses are nats, of reals squared errors, summed over counted positions.
    """

    def measure(self, inputs: ReadoutInputs) -> tuple[Tensor, Tensor]:
        """Gives nats and right answers of every member, (P,) float64 each.

        Raises:
            ConfigError: A target is no symbol.
        """
        ...

    def differentiate(
        self, inputs: ReadoutInputs, scale_P: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Gives nats (P,) float64, and the gradients of h, weight and bias.

        What is differentiated is a member's nats times its `scale_P`, float64. The gradients may
        be overwritten by the next call.
        """
        ...


@dataclass(frozen=True)
class OptimizerState:
    """An optimiser on flat parameters, as a backend is to run it.

    Attributes:
        name: sgd, rmsprop, adam, adamw or adagrad.
        running: Its running values (P, N) each, in the order in which it names them; changed in
            place.
        momentum_P: Momentum of sgd.
        nesterov: Whether that is Nesterov's.
        decay: Decay of rmsprop's running square.
    """

    name: str
    running: tuple[Tensor, ...]
    momentum_P: Tensor
    nesterov: bool
    decay: float


@dataclass(frozen=True)
class Averages:
    """Running averages of parameters, which move after every update; changed in place.

    Attributes:
        values_PN: The averages.
        share_P: The share of the way to the parameters that each goes; 1 makes it a copy.
    """

    values_PN: Tensor
    share_P: Tensor


@dataclass(frozen=True)
class UpdateRules:
    """How members are updated; vectors have one number a member, of the parameters' type.

    Attributes:
        alive_P: Which members are trained, bool; it and the rates are changed in place, and read
            at every update.
        rate_P: Learning rates.
        clip_norm_P: Largest norm of a gradient; infinity does not clip.
        clip_value_P: Largest size of an element, after that; infinity does not clip.
        limit: Largest healthy loss, nats a character.
        inside_PN: Which numbers are no padding, bool; None where none is.
        weight_decay_P: The share of the parameters, times the rate, that an update takes away
            before its step; None where no member has any.
        averages: Averages of the parameters to keep.
    """

    alive_P: Tensor
    rate_P: Tensor
    clip_norm_P: Tensor
    clip_value_P: Tensor
    limit: float
    inside_PN: Tensor | None = None
    weight_decay_P: Tensor | None = None
    averages: Averages | None = None


class UpdateStep(Protocol):
    """Clips the gradients of all members and steps their parameters in place."""

    def __call__(
        self,
        gradients: Sequence[Tensor | None],
        *,
        mean_P: Tensor,
        corrections: tuple[float, float],
    ) -> tuple[Tensor, Tensor]:
        """Makes one update of the members that are alive and healthy.

        Args:
            gradients: Of the parameters, in their order; None stands for zeros.
            mean_P: Nats a counted character, float64.
            corrections: What adam divides its running mean and square by.

        Returns:
            The norm of each member's gradient, and whether it and its loss are finite and the loss
            within the limit; the next call may overwrite them.
        """
        ...


@dataclass(frozen=True)
class StepsBatch:
    """What several updates, K at most `SeveralSteps.most`, are made of.

    Attributes:
        inputs: Class indices of each update, (P, T, B) int64, or (P, T, B, I) floats or bits
            (uint8), row-major; T may differ.
        targets: Its targets: classes, alike, or floats or bits (P, T, B, V).
        weights: Which of them count, (P, T, B) bool.
        anew: Which begin from a state of zeros; others go on from the state of the one before.
        scale: (K, P) float64, what each member's nats are multiplied by in the loss.
        counted: (K, P) float64, how many targets count.
        corrections: (K, 2), what adam divides its running mean and square by.
        rates: (K, P) of the parameters' type, learning rates.
    """

    inputs: Sequence[NDArray[Any]]
    targets: Sequence[NDArray[Any]]
    weights: Sequence[NDArray[np.bool_]]
    anew: Sequence[bool]
    scale: NDArray[np.float64]
    counted: NDArray[np.float64]
    corrections: NDArray[np.float64]
    rates: NDArray[Any]


@dataclass(frozen=True)
class StepsDone:
    """What several updates gave.

    Attributes:
        updates: How many were made: all of them, or up to the first in which a member that is
            trained was not healthy.
        nll: (updates, P) float64, summed nats.
        norm: (updates, P) float64, norms of the gradients.
        healthy_P: Of the last of them; the next call may overwrite it.
        state: After the last of them, one (P, B, H) tensor a state.
    """

    updates: int
    nll: NDArray[np.float64]
    norm: NDArray[np.float64]
    healthy_P: Tensor
    state: State


class SeveralSteps(Protocol):
    """Several updates in one call, with the parts that make single ones."""

    most: int

    @property
    def longest(self) -> int:
        """The steps that an update may have: those of the longest single one before."""
        ...

    def ready(self, state: State | None) -> bool:
        """Says whether they can go on from a state, which is the one that the last update left, or
        from zeros (None): with as many streams, and nothing moved since."""
        ...

    def run(self, batch: StepsBatch) -> StepsDone:
        """Makes the updates, after `ready`.

        Raises:
            ConfigError: An array is not what it must be, or an input or target is no symbol.
        """
        ...


@dataclass(frozen=True)
class TrainingStep:
    """A backend's own code for training; what gives None is left to torch.

    Attributes:
        recurrence: For a layer, its parameters (P, ...) by name, what it reads and the units of
            each member; it reads the parameters where they lie.
        readout: For the units of each member, the kind of the outputs, classes (softmax and
            cross-entropy), bits (independent Bernoulli variables) or reals (squared error), and
            their number.
        update: For parameters (P, ...), whose memory it steps.
        several: For the three parts, where all are its own.
    """

    recurrence: Callable[
        [Layer, Mapping[str, Tensor], LayerInput, Sequence[int]], LayerRecurrence | None
    ]
    readout: Callable[[Sequence[int], str, int], ReadoutLoss | None]
    update: Callable[[Sequence[Tensor], OptimizerState, UpdateRules], UpdateStep | None]
    several: Callable[[LayerRecurrence, ReadoutLoss, UpdateStep], SeveralSteps | None]


@dataclass(frozen=True)
class Backend:
    """One backend.

    Attributes:
        language: What its sources are written in, python or c; c is a form of `odyssey show --as`.
        supports: Says why it cannot run a program here, or nothing.
        build: Builds a layer for a program that it supports.
        training: Gives its own code for training, or None where torch does that.
        facts: Says, for the record, what its code for a dtype depends on here besides versions.
    """

    language: str
    supports: Callable[[Program], str]
    build: BuildLayer
    training: Callable[[], TrainingStep | None] = lambda: None
    facts: Callable[[torch.dtype], str] = lambda dtype: ""
