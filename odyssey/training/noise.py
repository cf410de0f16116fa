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

from odyssey.device_names import CPU
from odyssey.hyperparameters import Member
from odyssey.tasks.signature import CLASSES, FIRST
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
        self._noisy = any(m.input_noise for m in members)
        self._holes = any(m.input_dropout for m in members)
        self.dense = self._noisy or self._holes
        self.drops = any(m.dropout for m in members)
        self._noise = [torch.Generator().manual_seed(m.seed) for m in members]
        self._dropout = Masks(members, "dropout", self.dtype)
        zoned = any(m.zoneout for m in members)
        inside = zoned or any(m.recurrent_dropout or m.drop_connect for m in members)
        self.layers = DroppedLayers(members, model.rnn) if inside else None
        self.expected = ExpectedLayers(members, model.rnn) if zoned else None
        condition = model.signature.condition
        self._before = condition is not None and condition.way == FIRST  # a step before the first
        self._units = max(m.hidden_size for m in members)
        self._between = (model.rnn.num_layers - 1) * self.drops  # masks between layers
        self._whole = model.signature.inputs.kind == CLASSES  # a class is dropped whole
        self._added: Tensor | None = None
        self._kept: Tensor | None = None
        self._masks: list[Tensor] = []  # between layers
        self._gone: dict[int, int] = {}  # steps of them that have gone by, by layer
        self._before_readout: Tensor | None = None

    @property
    def draws(self) -> bool:
        """Says whether anything is random."""
        return self.dense or self.drops or self.layers is not None

    def draw(self, batch: int, steps_P: Sequence[int]) -> list[Tensor]:
        """Draws all that is random in an update, and moves it to where it is used.

        An update that is recorded and replayed reads it from where it lay then, so nothing is
        drawn in its midst.

        Args:
            batch: Its number of streams.
            steps_P: Steps of every member; what is behind them is padding.

        Returns:
            What `use` takes: as many tensors, of the same shapes, for equal arguments.
        """
        drawn: list[Tensor] = []
        steps, inputs = max(steps_P), self.model.signature.inputs.size
        if self._noisy:
            noise = torch.empty(len(steps_P), steps, batch, inputs, dtype=self.dtype)
            for k, (member, own) in enumerate(zip(self.members, steps_P, strict=True)):
                noise[k, own if member.input_noise else 0 :].zero_()
                if member.input_noise:
                    torch.randn(
                        own, batch, inputs, generator=self._noise[k], out=noise[k, :own]
                    ).mul_(member.input_noise)
            drawn.append(noise)
        if self._holes:
            kept = torch.ones(
                len(steps_P), steps, batch, 1 if self._whole else inputs, dtype=self.dtype
            )
            for k, (member, own) in enumerate(zip(self.members, steps_P, strict=True)):
                if member.input_dropout:
                    place = kept[k, :own]
                    place.copy_(self._dropout.draw(k, tuple(place.shape), member.input_dropout))
            drawn.append(kept)
        if self.drops:
            longer = [own + self._before for own in steps_P]
            drawn += [self._mask(batch, longer) for _ in range(self._between)]
            drawn.append(self._mask(batch, steps_P))
        drawn = [moved(tensor, self.device) for tensor in drawn]
        if self.layers is not None:
            drawn += self.layers.draw(batch, [own + self._before for own in steps_P])
        return drawn

    def use(self, drawn: Sequence[Tensor]) -> None:
        """Begins an update with what was drawn for it."""
        rest = list(drawn)
        self._added = rest.pop(0) if self._noisy else None
        self._kept = rest.pop(0) if self._holes else None
        self._masks, self._gone = [rest.pop(0) for _ in range(self._between)], {}
        self._before_readout = rest.pop(0) if self.drops else None
        if self.layers is not None:
            self.layers.use(rest)

    def on_inputs(self, x: Tensor) -> Tensor:
        """Gives inputs with noise and dropout, as floats where there is any.

        Args:
            x: (P, T, B) classes or (P, T, B, I) floats.
        """
        if not self.dense:
            return x
        added = self._added
        if added is not None and self.device.type != CPU:
            added = added.clone()  # a recorded update reads it again
        x_PTBI = self.model.dense(x, onto=added)
        return x_PTBI if self._kept is None else x_PTBI * self._kept

    def between(self, h_PTBH: Tensor, layer: int) -> Tensor:
        """Drops outputs of a layer on their way to the next: of all steps, or of the next ones."""
        gone = self._gone.get(layer, 0)
        self._gone[layer] = after = gone + h_PTBH.shape[1]
        return h_PTBH * self._masks[layer][:, gone:after]

    def before_readout(self, h_PTBH: Tensor) -> Tensor:
        """Drops outputs of the last layer."""
        return h_PTBH if self._before_readout is None else h_PTBH * self._before_readout

    def gradient(self, dh_PTBH: Tensor) -> Tensor:
        """Gives the gradient of what went into `before_readout` from that of what came out."""
        return dh_PTBH if self._before_readout is None else dh_PTBH * self._before_readout

    def _mask(self, batch: int, steps_P: Sequence[int]) -> Tensor:
        """Draws a mask (P, T, B, H) of what layers give, of so many steps each."""
        mask = torch.zeros(len(steps_P), max(steps_P), batch, self._units, dtype=self.dtype)
        for k, (member, steps) in enumerate(zip(self.members, steps_P, strict=True)):
            units = member.hidden_size
            own = mask[k, :steps, :, :units]
            if member.dropout:
                own.copy_(self._dropout.draw(k, (steps, batch, units), member.dropout))
            else:
                own.fill_(1.0)
        return mask

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
