"""One update of a population: forward, loss, backward, clipping and the optimiser's step.

An update reads nothing of what it computes: what comes of it stays where it was made, for whoever
looks at it later. So a device works on while Python prepares the next.

Shapes: P members, T steps, B streams.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.compiler.backends.base import SeveralSteps, State, UpdateRules
from odyssey.device_names import CPU
from odyssey.training.averages import AveragedWeights
from odyssey.training.batches import JoinedBatch, joined_states
from odyssey.training.captured import CapturedSteps, capturing
from odyssey.training.config import TrainingConfig
from odyssey.training.devices import moved, widest
from odyssey.training.model import SequenceModel
from odyssey.training.noise import Noise
from odyssey.training.optimizers import FlatParameters, Optimizer
from odyssey.training.step import make_readout, make_recurrence, make_several, make_update


class Made(NamedTuple):
    """What came of an update, where it was made.

    Attributes:
        state: After it, one (P, L, B, H) tensor a state.
        nll_P: Summed nats of each member.
        norm_P: Norms of the gradients.
        healthy_P: Whether loss and gradient are finite and the loss within its limit.
    """

    state: State
    nll_P: Tensor
    norm_P: Tensor
    healthy_P: Tensor


class _Part(NamedTuple):
    """What an update reads of its batch, or of some of the streams.

    Attributes:
        x: Inputs.
        target: Targets.
        weight: Which of them count.
        given: What columns are conditioned on, or None.
        goes_on: Which columns go on from the state before, (P, 1, B, 1); None where all do.
        drawn: What is random in the update, as `Noise.use` takes it.
    """

    x: Tensor
    target: Tensor
    weight: Tensor
    given: Tensor | None
    goes_on: Tensor | None
    drawn: tuple[Tensor, ...]


class _Inputs(NamedTuple):
    """All that an update reads besides what stays in memory.

    Attributes:
        part: Of the batch.
        scale_P: What nats are multiplied by in the loss.
        count_P: How many targets count in the whole batch.
        state: The state before it; None at the beginning of all columns.
    """

    part: _Part
    scale_P: Tensor
    count_P: Tensor
    state: State | None

    @property
    def tensors(self) -> list[Tensor | None]:
        """Gives its tensors in one row."""
        p = self.part
        own = [p.x, p.target, p.weight, p.given, p.goes_on, self.scale_P, self.count_P]
        return [*own, *p.drawn, *(self.state or ())]

    def of(self, tensors: Sequence[Tensor | None]) -> _Inputs:
        """Gives the same with other tensors, in the order of `tensors`."""
        x, target, weight, given, goes_on, scale_P, count_P, *rest = tensors
        assert x is not None
        assert target is not None
        assert weight is not None
        assert scale_P is not None
        assert count_P is not None
        others = tuple(tensor for tensor in rest if tensor is not None)
        drawn, before = others[: len(self.part.drawn)], others[len(self.part.drawn) :]
        part = _Part(x, target, weight, given, goes_on, drawn)
        return _Inputs(part, scale_P, count_P, before if self.state else self.state)


class PopulationUpdate:
    """Makes the updates of a population.

    Args:
        model: The model.
        flat: Its parameters.
        optimizer: Their optimiser.
        rules: Rates and clips.
        config: The options.
        average: Averages of the parameters.

    Attributes:
        readout: The readout and its loss.
        noise: What is random in an update.
        recurrence: The layers.
        step: Clips and steps.
    """

    def __init__(
        self,
        model: SequenceModel,
        flat: FlatParameters,
        optimizer: Optimizer,
        rules: UpdateRules,
        config: TrainingConfig,
        *,
        noise: Noise,
        average: AveragedWeights | None,
    ) -> None:
        self.model, self.flat, self.optimizer, self.config = model, flat, optimizer, config
        self.rules, self.noise, self.average = rules, noise, average
        self.dtype, self.device = model.readout.dtype, model.readout.device
        self.on_cpu = self.device.type == CPU
        backend = model.rnn.backend
        self.readout = make_readout(backend, model.rnn.hidden_sizes, model.signature.outputs)
        inside = noise.layers is not None
        self.recurrence = make_recurrence(
            model, dense=noise.dense or model.signature.dense, dropped=inside
        )
        self.step = make_update(backend, flat, optimizer, rules)
        whole = config.accumulate == 1
        self.plain = whole and not noise.draws
        self.captured: CapturedSteps | None = capturing(self.device) if whole else None

    def __call__(
        self, batch: JoinedBatch, state: State | None, count_P: NDArray[np.float64]
    ) -> Made:
        """Makes one update, which the optimiser has counted.

        Args:
            batch: The batch.
            state: The state before it.
            count_P: How many targets count.
        """
        if not self.on_cpu:  # where indices are not looked at
            signature = self.model.signature
            batch.require_classes(signature.inputs.size, signature.outputs.size)
        # what changes from update to update is moved: a captured update reads it anew
        scale_P, counted_P = torch.from_numpy(self.scale(count_P)), torch.from_numpy(count_P)
        if not self.on_cpu:
            wide = widest(self.device)
            scale_P, counted_P = (moved(n.to(wide), self.device) for n in (scale_P, counted_P))
        if self.config.accumulate > 1:
            made = self._finished(*self._accumulate(batch, state, scale_P), counted_P)
        else:
            inputs = _Inputs(self._part(batch), scale_P, counted_P, None if batch.anew else state)
            made = self._compute(inputs) if self.captured is None else self._captured(inputs)
        if self.average:
            self.average.begin()
        return made

    def several(self) -> SeveralSteps | None:
        """Gives several updates in one call, where the backend has them and nothing is drawn."""
        if not self.plain:
            return None
        return make_several(self.model.rnn.backend, self.recurrence, self.readout, self.step)

    def scale(self, count: NDArray[np.float64]) -> NDArray[np.float64]:
        """Gives what nats are multiplied by in the loss, for counts (..., P)."""
        if self.config.loss == "mean":
            return 1 / count
        return np.full(count.shape, 1 / self.config.batch_size)

    def _part(self, batch: JoinedBatch) -> _Part:
        x, target, weight = batch.tensors(self.dtype, self.device)
        given = batch.condition(self.dtype, self.device)
        drawn = tuple(self.noise.draw(x.shape[2], batch.steps_P))
        return _Part(x, target, weight, given, batch.goes_on(self.device), drawn)

    def _captured(self, inputs: _Inputs) -> Made:
        assert self.captured is not None

        def compute(tensors: Sequence[Tensor | None]) -> list[Tensor]:
            made = self._compute(inputs.of(tensors))
            return [made.nll_P, made.norm_P, made.healthy_P, *made.state]

        nll_P, norm_P, healthy_P, *state = self.captured(inputs.tensors, compute)
        return Made(tuple(state), nll_P, norm_P, healthy_P)

    def _compute(self, inputs: _Inputs) -> Made:
        found = self._differentiate(inputs.part, inputs.state, inputs.scale_P)
        return self._finished(*found, inputs.count_P)

    def _finished(
        self, state: State, nll_P: Tensor, gradients: Sequence[Tensor | None], count_P: Tensor
    ) -> Made:
        """Steps the parameters; on a device it also freezes members that are not healthy."""
        norm_P, healthy_P = self.step(gradients, mean_P=nll_P / count_P)
        if not self.on_cpu:
            alive_P = self.rules.alive_P
            alive_P.logical_and_(healthy_P)
            state = without_frozen(state, alive_P)
        return Made(state, nll_P, norm_P, healthy_P)

    def _differentiate(
        self, part: _Part, state: State | None, scale_P: Tensor
    ) -> tuple[State, Tensor, list[Tensor | None]]:
        """Gives the state after a batch, summed nats (P,) and the gradients of the parameters.

        Args:
            part: The batch, or a part of it.
            state: The state before it.
            scale_P: What nats are multiplied by in the loss.
        """
        model, noise = self.model, self.noise
        noise.use(part.drawn)
        x = noise.on_inputs(part.x)
        model.rnn.between_layers = noise.between if noise.drops else None
        model.running = noise.layers
        if state is not None and part.goes_on is not None:
            state = joined_states(part.goes_on, state, model.rnn.start_state)
        h_PTBH, state = self.recurrence.forward(x, state, part.given)
        model.rnn.between_layers, model.running = None, noise.expected
        h_PTBH = noise.before_readout(h_PTBH)
        inputs = (h_PTBH, model.readout, model.readout_bias, part.target, part.weight)
        nll_P, (dh, dw, db) = self.readout.differentiate(inputs, scale_P)
        found = self.recurrence.backward(noise.gradient(dh))
        found |= {model.readout: dw, model.readout_bias: db}
        return state, nll_P, [found.get(p) for p in self.flat.parameters]

    def _accumulate(
        self, batch: JoinedBatch, state: State | None, scale_P: Tensor
    ) -> tuple[State, Tensor, list[Tensor | None]]:
        """Does what `_differentiate` does by parts of the streams, one after the other."""
        nll_P = torch.zeros_like(scale_P)
        total: list[Tensor | None] = [None] * len(self.flat.parameters)
        states = []
        for columns, part in self._parts(batch):
            before = None
            if state is not None and not part.anew:
                before = tuple(s[:, :, columns].contiguous() for s in state)
            after, part_P, gradients = self._differentiate(self._part(part), before, scale_P)
            states.append([s.clone() for s in after])  # the next part may overwrite it
            nll_P += part_P
            for k, gradient in enumerate(gradients):
                if gradient is not None:
                    so_far = total[k]
                    total[k] = gradient.clone() if so_far is None else so_far.add_(gradient)
        return tuple(torch.cat(parts, 2) for parts in zip(*states, strict=True)), nll_P, total

    def _parts(self, batch: JoinedBatch) -> Iterator[tuple[slice, JoinedBatch]]:
        streams = batch.weights.shape[2]
        each = -(-streams // self.config.accumulate)
        for first in range(0, streams, each):
            columns = slice(first, first + each)
            yield columns, batch.part(columns)


def read_all(made: Sequence[Made]) -> list[Made]:
    """Reads on the CPU what came of updates on a device, all at once: it waits for the device."""
    parts = [[m.nll_P, m.norm_P.to(m.nll_P), m.healthy_P.to(m.nll_P)] for m in made]
    numbers = torch.stack([torch.stack(part) for part in parts]).cpu().double()
    return [
        Made(m.state, nll_P, norm_P, healthy_P > 0)
        for m, (nll_P, norm_P, healthy_P) in zip(made, numbers, strict=True)
    ]


def without_frozen(state: State, alive_P: Tensor) -> State:
    """Gives a state with zeros for members that are trained no more."""
    kept = alive_P.view(-1, 1, 1, 1)
    return tuple(torch.where(kept, s, s.new_zeros(())) for s in state)
