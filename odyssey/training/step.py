"""The parts of a training step around the cell, in torch or in native code.

Shapes: P members, T steps, B streams, V symbols, H units, N parameters of a member.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from odyssey.compiler.backends import native
from odyssey.compiler.backends.base import State
from odyssey.compiler.backends.native.call import training_layer as native_recurrence
from odyssey.compiler.backends.native.call import training_step as native_step
from odyssey.compiler.backends.native.call.layer import NativeLayer
from odyssey.training.optimizers import FlatParameters, Optimizer, clip

if TYPE_CHECKING:
    from odyssey.training.model import CharModel


class ReadoutLoss(Protocol):
    """A softmax readout and its cross-entropy, for the members of a population.

    h is (P, T, B, H), weight (P, V, H), bias (P, V), target (P, T, B) int64 and counted, the
    positions that count, (P, T, B) bool. Losses are nats, summed over counted positions.
    """

    def measure(
        self, h: Tensor, weight: Tensor, bias: Tensor, target: Tensor, counted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gives nats and right answers of every member, (P,) float64 each."""
        ...

    def differentiate(
        self,
        h: Tensor,
        weight: Tensor,
        bias: Tensor,
        target: Tensor,
        counted: Tensor,
        scale_P: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Gives nats (P,) float64, and the gradients of h, weight and bias.

        What is differentiated is a member's nats times its `scale_P`, float64. The gradients may
        be overwritten by the next call.
        """
        ...


class TorchReadout:
    """The readout in torch; the reference."""

    def measure(
        self, h: Tensor, weight: Tensor, bias: Tensor, target: Tensor, counted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `ReadoutLoss`."""
        logits = read_out(h, weight, bias)
        right_P = ((logits.argmax(-1) == target) & counted).sum((1, 2))
        return _nats(logits, target, counted), right_P.double()

    def differentiate(
        self,
        h: Tensor,
        weight: Tensor,
        bias: Tensor,
        target: Tensor,
        counted: Tensor,
        scale_P: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """See `ReadoutLoss`."""
        leaves = [t.detach().requires_grad_() for t in (h, weight, bias)]
        with torch.enable_grad():
            nll_P = _nats(read_out(*leaves), target, counted)
            dh, dw, db = torch.autograd.grad((nll_P * scale_P).sum(), leaves)
        return nll_P.detach(), (dh, dw, db)


def read_out(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Gives logits (P, T, B, V)."""
    logits = torch.baddbmm(bias.unsqueeze(1), h.flatten(1, 2), weight.mT)
    return logits.view(*h.shape[:3], weight.shape[1])


def _nats(logits_PTBV: Tensor, target_PTB: Tensor, counted_PTB: Tensor) -> Tensor:
    flat = functional.cross_entropy(
        logits_PTBV.flatten(0, 2), target_PTB.flatten(), reduction="none"
    )
    return (flat.view(target_PTB.shape) * counted_PTB).sum((1, 2), dtype=torch.float64)


class Recurrence(Protocol):
    """The recurrent layers of a model, for the members of a population.

    What it gives may be overwritten by the next call; states by the next but one.
    """

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Gives outputs (P, T, B, H) and the new state, neither with a graph.

        Args:
            x: (P, T, B) int64 class indices, or (P, T, B, V) floats.
            state: The state, or None at the start.
        """
        ...

    def backward(self, dh: Tensor) -> dict[Tensor, Tensor | None]:
        """Gives the gradient of every parameter that `forward` read, from that of the outputs."""
        ...


class TorchRecurrence:
    """The layers with autograd; for all cells, depths and inputs."""

    def __init__(self, model: CharModel) -> None:
        self.model = model
        head = (model.readout, model.readout_bias)
        self.inner = [p for p in model.parameters() if all(p is not q for q in head)]

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """See `Recurrence`."""
        self.h, new = self.model.hidden(x, state)
        return self.h.detach(), tuple(s.detach() for s in new)

    def backward(self, dh: Tensor) -> dict[Tensor, Tensor | None]:
        """See `Recurrence`."""
        if not self.inner or not self.h.requires_grad:
            return {}
        found = torch.autograd.grad(self.h, self.inner, dh, allow_unused=True)
        return dict(zip(self.inner, found, strict=True))


class NativeRecurrence:
    """One layer on class indices, called without autograd."""

    def __init__(self, model: CharModel, layer: NativeLayer) -> None:
        rnn = model.rnn
        (self.parameters,) = rnn.layer_parameters()
        self.layer = native_recurrence.Recurrence(
            layer, self.parameters, symbols=model.num_symbols, units=rnn.hidden_sizes
        )
        self.start = rnn.zero_state

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """See `Recurrence`."""
        if state is None:
            state = self.start(x.shape[-1])
        h, new = self.layer.forward(x, tuple(s.squeeze(1) for s in state))
        return h, tuple(s.unsqueeze(1) for s in new)

    def backward(self, dh: Tensor) -> dict[Tensor, Tensor | None]:
        """See `Recurrence`."""
        return {self.parameters[n]: g for n, g in self.layer.backward(dh).items()}


@dataclass
class Rules:
    """How members are updated; vectors have one number a member.

    Attributes:
        alive_P: Which members are trained, bool; it and the rates are changed in place.
        rate_P: Learning rates.
        clip_norm_P: Largest norm of a gradient; infinity does not clip.
        clip_value_P: Largest size of an element, after that; infinity does not clip.
        limit: Largest healthy loss, nats a character.
    """

    alive_P: Tensor
    rate_P: Tensor
    clip_norm_P: Tensor
    clip_value_P: Tensor
    limit: float


class Update(Protocol):
    """Clips the gradients of all members and steps their parameters in place."""

    def __call__(
        self, gradients: Sequence[Tensor | None], *, mean_P: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Makes one update of the members that are alive and healthy.

        Args:
            gradients: Of the parameters, in their order; None stands for zeros.
            mean_P: Nats a counted character, float64.

        Returns:
            The norm of each member's gradient, and whether it and its loss are finite and the loss
            within the limit.
        """
        ...


@dataclass
class TorchUpdate:
    """The update in torch; the reference."""

    flat: FlatParameters
    optimizer: Optimizer
    rules: Rules
    inside_PN: Tensor | None

    @torch.no_grad()
    def __call__(
        self, gradients: Sequence[Tensor | None], *, mean_P: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Update`."""
        rules, flat = self.rules, self.flat
        g = flat.joined(gradients)
        if self.inside_PN is not None:
            # 0/0 in a unit that a member does not have must not reach its other units
            g = torch.where(self.inside_PN, g, g.new_zeros(()))
        norm_P = g.norm(dim=1)
        healthy_P = torch.isfinite(mean_P) & torch.isfinite(norm_P) & (mean_P <= rules.limit)
        steps_P1 = (rules.alive_P & healthy_P)[:, None]
        g = torch.where(steps_P1, g, g.new_zeros(()))
        g = clip(g, norm_P=norm_P, clip_norm_P=rules.clip_norm_P, clip_value_P=rules.clip_value_P)
        values = flat.values_PN
        new = self.optimizer.step(values, g, rate_P=rules.rate_P)
        flat.assign(torch.where(steps_P1, new, values))
        return norm_P, healthy_P


class NativeUpdate:
    """The update in native code, in two passes over parameters and gradients.

    Args:
        flat: The parameters.
        optimizer: Its name, options and state.
        rules: Rates and clips.
        inside_PN: What is not padding; None where nothing is.
    """

    def __init__(
        self,
        flat: FlatParameters,
        optimizer: Optimizer,
        rules: Rules,
        inside_PN: Tensor | None,
    ) -> None:
        self.optimizer = optimizer
        self.update = native_step.Update(
            flat.parameters,
            optimizer=optimizer.name,
            state=[optimizer.running(name, flat.values_PN) for name in optimizer.running_values],
            nesterov=optimizer.nesterov,
            decay=optimizer.decay,
            inside_PN=inside_PN,
            alive_P=rules.alive_P,
            limit=rules.limit,
            rate_P=rules.rate_P,
            momentum_P=optimizer.momentum_P,
            clip_norm_P=rules.clip_norm_P,
            clip_value_P=rules.clip_value_P,
        )

    def __call__(
        self, gradients: Sequence[Tensor | None], *, mean_P: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `Update`."""
        self.optimizer.steps += 1
        return self.update(gradients, mean_P=mean_P, corrections=self.optimizer.corrections)


def make_recurrence(model: CharModel, *, dense: bool) -> Recurrence:
    """Gives the recurrence for a model: without autograd where that is known to be all.

    Args:
        model: The model.
        dense: Whether its inputs are floats.
    """
    layer = model.rnn.implementation
    alone = model.rnn.num_layers == 1 and model.embedding is None and not dense
    alone = alone and model.rnn.plain
    if (
        alone
        and _in_rows(model.parameters())
        and isinstance(layer, NativeLayer)
        and native_recurrence.fits(layer)
    ):
        return NativeRecurrence(model, layer)
    return TorchRecurrence(model)


def make_readout(backend: str, units: Sequence[int]) -> ReadoutLoss:
    """Gives the readout for a backend: native where the cell's is and a compiler is there.

    Args:
        backend: The backend that runs the cell.
        units: Units of each member.
    """
    return native_step.Readout(units) if _is_native(backend) else TorchReadout()


def make_update(
    backend: str,
    flat: FlatParameters,
    optimizer: Optimizer,
    rules: Rules,
    inside_PN: Tensor | None,
) -> Update:
    """Gives the update for a backend, as `make_readout` does."""
    make = NativeUpdate if _is_native(backend) and _in_rows(flat.parameters) else TorchUpdate
    return make(flat, optimizer, rules, inside_PN)


def _in_rows(parameters: Iterable[Tensor]) -> bool:
    """Says whether parameters lie as native code reads and steps them: row-major."""
    return all(p.is_contiguous() for p in parameters)


def _is_native(backend: str) -> bool:
    # a cell without a time loop runs on the native backend without a compiler
    return backend == "native" and not native.missing()
