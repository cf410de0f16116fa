"""The parts of a training step around the cell: by the backend of the cell, or in torch.

A step is forward through the recurrent layers, readout and loss with their gradients, backward
through the layers, and the update. A backend may bring code for each part (`base.TrainingStep`);
torch is the reference for all of them, and does what a backend does not.

Shapes: P members, T steps, B streams, I numbers of an input, K of an output, H units, N parameters
of a member.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from odyssey.compiler import RNN
from odyssey.compiler.backends import BACKENDS
from odyssey.compiler.backends.base import (
    Averages,
    LayerInput,
    LayerRecurrence,
    OptimizerState,
    ReadoutInputs,
    ReadoutLoss,
    SeveralSteps,
    State,
    UpdateRules,
    UpdateStep,
)
from odyssey.expr.program import MAIN_INPUT
from odyssey.tasks.signature import BITS, CLASSES, NEAR, REALS, Kind, Values
from odyssey.training.devices import widest
from odyssey.training.model import SequenceModel, read_out
from odyssey.training.optimizers import FlatParameters, Optimizer, clip
from odyssey.training.sizes import CellReading


@dataclass(frozen=True)
class OutputRule:
    """How outputs of one kind are judged.

    Attributes:
        loss: Gives the loss of every position (P, T, B), from the readout's numbers (P, T, B, K)
            and the targets.
        hits: Says what is predicted, alike: a share of 1, or whether it is.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    hits: Callable[[Tensor, Tensor], Tensor]


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    flat = functional.cross_entropy(logits.flatten(0, 2), target.flatten(), reduction="none")
    return flat.view(target.shape)


def _bernoulli(logits: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)


def _frame_accuracy(logits: Tensor, target: Tensor) -> Tensor:
    said, there = logits > 0, target > 0.5
    either = (said | there).sum(-1)
    both = (said & there).sum(-1)
    return torch.where(either == 0, 1.0, both.to(widest(logits.device)) / either.clamp(min=1))


RULES: Mapping[Kind, OutputRule] = {
    CLASSES: OutputRule(_cross_entropy, lambda y, target: y.argmax(-1) == target),
    # accuracy of a frame: what is both said and there, of what is either (Bay et al., 2009)
    BITS: OutputRule(_bernoulli, _frame_accuracy),
    REALS: OutputRule(
        lambda y, target: (y - target).square().sum(-1),
        lambda y, target: ((y - target).abs() < NEAR).all(-1),
    ),
}


class TorchReadout:
    """The readout and its loss in torch; the reference.

    Args:
        kind: Of the outputs.
    """

    def __init__(self, kind: Kind = CLASSES) -> None:
        self.rule = RULES[kind]

    def measure(self, inputs: ReadoutInputs) -> tuple[Tensor, Tensor]:
        """See `ReadoutLoss`."""
        h, weight, bias, target, counted = inputs
        outputs = read_out(h, weight, bias)
        hits = self.rule.hits(outputs, target) * counted
        right_P = hits.sum((1, 2), dtype=widest(h.device))
        return self._nats(outputs, target, counted), right_P

    def hits(self, inputs: ReadoutInputs) -> Tensor:
        """Says which positions (P, T, B) are predicted."""
        h, weight, bias, target, _ = inputs
        return self.rule.hits(read_out(h, weight, bias), target) == 1

    def differentiate(
        self, inputs: ReadoutInputs, scale_P: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """See `ReadoutLoss`."""
        *reals, target, counted = inputs
        leaves = [t.detach().requires_grad_() for t in reals]
        with torch.enable_grad():
            nll_P = self._nats(read_out(*leaves), target, counted)
            dh, dw, db = torch.autograd.grad((nll_P * scale_P).sum(), leaves)
        return nll_P.detach(), (dh, dw, db)

    def _nats(self, outputs: Tensor, target: Tensor, counted: Tensor) -> Tensor:
        losses = self.rule.loss(outputs, target) * counted
        return losses.sum((1, 2), dtype=widest(outputs.device))


class ModelRecurrence(Protocol):
    """The recurrent layers of a model, for the members of a population.

    What it gives may be overwritten by the next call; states by the next but one.
    """

    def forward(
        self, x: Tensor, state: State | None, given: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Gives outputs (P, T, B, H) and the new state, neither with a graph.

        Args:
            x: (P, T, B) int64 class indices, or (P, T, B, I) floats.
            state: The state, or None at the start.
            given: What sequences are conditioned on (P, B, ...).
        """
        ...

    def backward(self, dh: Tensor) -> dict[Tensor, Tensor | None]:
        """Gives the gradient of every parameter that `forward` read, from that of the outputs."""
        ...


class TorchRecurrence:
    """The layers with autograd; for all cells, depths and inputs."""

    def __init__(self, model: SequenceModel) -> None:
        self.model = model
        head = (model.readout, model.readout_bias)
        self.inner = [
            p for p in model.parameters() if p.requires_grad and all(p is not q for q in head)
        ]

    def forward(
        self, x: Tensor, state: State | None, given: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """See `ModelRecurrence`."""
        self.h, new = self.model.hidden(x, state, self.model.encode(given, learning=True))
        return self.h.detach(), tuple(s.detach() for s in new)

    def backward(self, dh: Tensor) -> dict[Tensor, Tensor | None]:
        """See `ModelRecurrence`."""
        if not self.inner or not self.h.requires_grad:
            return {}
        gradients = torch.autograd.grad(self.h, self.inner, dh, allow_unused=True)
        return dict(zip(self.inner, gradients, strict=True))


class BackendRecurrence:
    """One layer on the inputs of a task, by the backend's own code.

    Args:
        model: The model.
        parameters: Those of its layer.
        layer: What runs it.
    """

    def __init__(
        self, model: SequenceModel, parameters: dict[str, Tensor], layer: LayerRecurrence
    ) -> None:
        self.parameters, self.layer = parameters, layer
        self.start = model.rnn.start_state
        self.from_zeros = not model.rnn.program.starts  # as several updates in one call begin

    def forward(
        self, x: Tensor, state: State | None, given: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """See `ModelRecurrence`."""
        assert given is None, "torch runs models with a condition"
        if state is None:
            state = self.start(x.shape[2])
        h, new = self.layer.forward(x, tuple(s.squeeze(1) for s in state))
        return h, tuple(s.unsqueeze(1) for s in new)

    def backward(self, dh: Tensor) -> dict[Tensor, Tensor | None]:
        """See `ModelRecurrence`."""
        return {self.parameters[n]: g for n, g in self.layer.backward(dh).items()}


class Update(Protocol):
    """Clips the gradients of all members and steps their parameters in place."""

    def __call__(
        self, gradients: Sequence[Tensor | None], *, mean_P: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Makes one update, which the optimiser has counted; see `base.UpdateStep`."""
        ...


@dataclass
class TorchUpdate:
    """The update in torch; the reference."""

    flat: FlatParameters
    optimizer: Optimizer
    rules: UpdateRules

    def __post_init__(self) -> None:
        clips = (self.rules.clip_norm_P, self.rules.clip_value_P)
        # looked at once: a value that is read waits for its device
        self._norm_P, self._value_P = (c if bool(c.cpu().isfinite().any()) else None for c in clips)

    @torch.no_grad()
    def __call__(
        self, gradients: Sequence[Tensor | None], *, mean_P: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Update`."""
        rules, flat = self.rules, self.flat
        g = flat.joined(gradients)
        if rules.inside_PN is not None:
            # 0/0 in a unit that a member does not have must not reach its other units
            g = torch.where(rules.inside_PN, g, g.new_zeros(()))
        norm_P = g.norm(dim=1)
        healthy_P = torch.isfinite(mean_P) & torch.isfinite(norm_P) & (mean_P <= rules.limit)
        steps_P1 = (rules.alive_P & healthy_P)[:, None]
        g = torch.where(steps_P1, g, g.new_zeros(()))
        g = clip(g, norm_P=norm_P, clip_norm_P=self._norm_P, clip_value_P=self._value_P)
        values = kept = flat.values_PN
        if rules.weight_decay_P is not None:
            kept = values * (1 - rules.rate_P * rules.weight_decay_P)[:, None]
        new = self.optimizer.step(kept, g, rate_P=rules.rate_P)
        values = torch.where(steps_P1, new, values)
        flat.assign(values)
        if rules.averages is not None:
            self._average(rules.averages, values, steps_P1)
        return norm_P, healthy_P

    def _average(self, averages: Averages, values: Tensor, steps_P1: Tensor) -> None:
        share, before = averages.share_P[:, None], averages.values_PN
        after = torch.where(share == 1, values, before + share * (values - before))
        before.copy_(torch.where(steps_P1, after, before))


@dataclass
class BackendUpdate:
    """The update by the backend's own code."""

    step: UpdateStep
    optimizer: Optimizer

    def __call__(
        self, gradients: Sequence[Tensor | None], *, mean_P: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Update`."""
        return self.step(gradients, mean_P=mean_P, corrections=self.optimizer.corrections)


def make_recurrence(model: SequenceModel, *, dense: bool, dropped: bool = False) -> ModelRecurrence:
    """Gives the recurrence for a model: without autograd where its backend can and it is all.

    Args:
        model: The model.
        dense: Whether its inputs are floats.
        dropped: Whether updates run other layers than the model's own (`DroppedLayers`).
    """
    rnn = model.rnn
    training = BACKENDS[rnn.backend].training()
    # there is nothing before it, and the state it starts from gets no gradient
    learned_start = any(isinstance(start, str) for start in rnn.program.starts.values())
    whole = model.embedding is None and model.conditioner is None and not learned_start
    if training and rnn.num_layers == 1 and rnn.plain and whole and not dropped:
        (parameters,) = rnn.layer_parameters()
        read = LayerInput(rnn.input_size, dense, places_of(rnn, model.reading))
        layer = training.recurrence(rnn.implementation, parameters, read, rnn.hidden_sizes)
        if layer:
            return BackendRecurrence(model, parameters, layer)
    return TorchRecurrence(model)


def places_of(rnn: RNN, read: CellReading) -> dict[str, tuple[int, ...]]:
    """Gives where in a step each input of a program lies, x under no name; see `LayerInput`."""
    sizes = {MAIN_INPUT: rnn.input_size, **rnn.further_sizes}
    if len(sizes) == 1:
        return {}
    order = list(range(sum(sizes.values()))) if read.order is None else list(read.order)
    places = {}
    for name, size in sizes.items():
        places[name], order = tuple(order[:size]), order[size:]
    return {n: where for n, where in places.items() if n == MAIN_INPUT or n in rnn.program.inputs}


def make_readout(backend: str, units: Sequence[int], outputs: Values) -> ReadoutLoss:
    """Gives the readout of a backend, or torch's.

    Args:
        backend: The backend that runs the cell.
        units: Units of each member.
        outputs: What is predicted.
    """
    training = BACKENDS[backend].training()
    own = training.readout(units, outputs.kind, outputs.size) if training else None
    return own or TorchReadout(outputs.kind)


def make_several(
    backend: str, recurrence: ModelRecurrence, readout: ReadoutLoss, update: Update
) -> SeveralSteps | None:
    """Gives several updates in one call, where the backend brings the code of all the parts."""
    training = BACKENDS[backend].training()
    if not isinstance(recurrence, BackendRecurrence) or not recurrence.from_zeros:
        return None
    if training and isinstance(update, BackendUpdate):
        return training.several(recurrence.layer, readout, update.step)
    return None


def make_update(
    backend: str, flat: FlatParameters, optimizer: Optimizer, rules: UpdateRules
) -> Update:
    """Gives the update of a backend, or torch's.

    Args:
        backend: The backend that runs the cell.
        flat: The parameters.
        optimizer: Its name, options and state.
        rules: Rates and clips.
    """
    training = BACKENDS[backend].training()
    if training:
        state = OptimizerState(
            optimizer.name,
            tuple(optimizer.running(n, flat.values_PN) for n in optimizer.running_values),
            optimizer.momentum_P,
            optimizer.nesterov,
            optimizer.decay,
        )
        step = training.update(flat.parameters, state, rules)
        if step:
            return BackendUpdate(step, optimizer)
    return TorchUpdate(flat, optimizer, rules)
