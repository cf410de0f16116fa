"""What is random in an update beside its data: noise on inputs, dropout, and dropped layers.

Dropout (Srivastava et al., 2014) sets numbers to zero with a probability p and divides the others
by 1 - p. `dropout` acts on the outputs of every layer, so between layers and before the readout,
and never on the recurrence (Zaremba et al., 2014; char-rnn); `input_dropout` acts on the inputs,
where a class is one number: it is dropped whole. Every step has a mask of its own. What acts inside
the recurrence is in `dropped_layers.py`. Held-out data are read without.

A member draws from its own streams, in its own sizes, so that its numbers are the same alone and in
a population.

Shapes: P members, T steps, B streams, I numbers of an input, H units of the largest member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from odyssey.hyperparameters import Member
from odyssey.tasks.signature import FIRST
from odyssey.training.devices import moved
from odyssey.training.dropped_layers import DroppedLayers, ExpectedLayers
from odyssey.training.masks import Masks
from odyssey.training.model import SequenceModel


class Noise:
    """The noise and the dropout of the members of a population.

    Args:
        members: The members.
        model: Their model.

    Attributes:
        dense: Whether inputs must be floats for it.
        drops: Whether outputs of layers are dropped.
        layers: The layers as updates run them, where something is dropped inside the recurrence.
        expected: The layers as held-out data are read, where states are zoned out in updates.
    """

    def __init__(self, members: Sequence[Member], model: SequenceModel) -> None:
        self.members, self.model = members, model
        self.dtype, self.device = model.readout.dtype, model.readout.device
        self.dense = any(m.input_noise or m.input_dropout for m in members)
        self.drops = any(m.dropout for m in members)
        self._noise = [torch.Generator().manual_seed(m.seed) for m in members]
        self._dropout = Masks(members, "dropout", self.dtype)
        zoned = any(m.zoneout for m in members)
        inside = zoned or any(m.recurrent_dropout or m.drop_connect for m in members)
        self.layers = DroppedLayers(members, model.rnn) if inside else None
        self.expected = ExpectedLayers(members, model.rnn) if zoned else None
        condition = model.signature.condition
        self._before = condition is not None and condition.way == FIRST  # a step before the first
        self._steps: Sequence[int] = ()
        self._masks: dict[int, tuple[Tensor, int]] = {}  # by layer: its mask, and steps gone by
        self._before_readout: Tensor | None = None

    def begin(self, x: Tensor, steps_P: Sequence[int]) -> Tensor:
        """Begins an update: gives its inputs with noise and dropout, as floats where there is any.

        Args:
            x: (P, T, B) classes or (P, T, B, I) floats.
            steps_P: Steps of every member; what is behind them is padding.
        """
        self._steps, self._masks = steps_P, {}
        if self.layers is not None:
            self.layers.begin(x.shape[2], [steps + self._before for steps in steps_P])
        if not self.dense:
            return x
        whole = not x.is_floating_point()  # a class is dropped whole
        x_PTBI = self.model.dense(x).clone()
        for k, (member, steps) in enumerate(zip(self.members, steps_P, strict=True)):
            own = x_PTBI[k, :steps]
            if member.input_noise:
                noise = torch.randn(own.shape, generator=self._noise[k], dtype=self.dtype)
                own += member.input_noise * moved(noise, self.device)
            if member.input_dropout:
                shape = (*own.shape[:-1], 1) if whole else own.shape
                own *= moved(self._dropout.draw(k, shape, member.input_dropout), self.device)
        return x_PTBI

    def between(self, h_PTBH: Tensor, layer: int) -> Tensor:
        """Drops outputs of a layer on their way to the next: of all steps, or of the next ones."""
        steps = h_PTBH.shape[1]
        if layer not in self._masks:
            steps_P = [own + self._before for own in self._steps]
            shape = (len(h_PTBH), max(steps_P), *h_PTBH.shape[2:])
            self._masks[layer] = self._draw(shape, steps_P), 0
        masks, gone = self._masks[layer]
        self._masks[layer] = masks, gone + steps
        return h_PTBH * masks[:, gone : gone + steps]

    def before_readout(self, h_PTBH: Tensor) -> Tensor:
        """Drops outputs of the last layer."""
        if not self.drops:
            return h_PTBH
        self._before_readout = self._draw(h_PTBH.shape, self._steps)
        return h_PTBH * self._before_readout

    def gradient(self, dh_PTBH: Tensor) -> Tensor:
        """Gives the gradient of what went into `before_readout` from that of what came out."""
        return dh_PTBH if self._before_readout is None else dh_PTBH * self._before_readout

    def _draw(self, shape: Sequence[int], steps_P: Sequence[int]) -> Tensor:
        """Draws the masks (P, T, B, H) of all members, of so many steps each."""
        masks = torch.zeros(*shape, dtype=self.dtype)
        batch = shape[2]
        for k, (member, steps) in enumerate(zip(self.members, steps_P, strict=True)):
            units = member.hidden_size
            own = masks[k, :steps, :, :units]
            if member.dropout:
                own.copy_(self._dropout.draw(k, (steps, batch, units), member.dropout))
            else:
                own.fill_(1.0)
        return moved(masks, self.device)

    def state(self) -> dict[str, Any]:
        """Gives the state of all streams, as arrays."""
        inside = {} if self.layers is None else self.layers.state()
        noise = {f"noise_{k}": g.get_state().numpy() for k, g in enumerate(self._noise)}
        return {**noise, **self._dropout.state(), **inside}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Sets all streams to what `state` gave."""
        for k, generator in enumerate(self._noise):
            generator.set_state(torch.from_numpy(state[f"noise_{k}"].copy()))
        self._dropout.restore(state)
        if self.layers is not None:
            self.layers.restore(state)
