"""Layers as an update runs them, with dropout inside the recurrence and zoneout.

Variational dropout (Gal & Ghahramani, 2016) is on what recurrent maps read, one mask for each
stream and update. The masks are states of the cell that stay as they are
(`mask_recurrent_maps`), so any backend runs them, and its own way back. DropConnect (Wan et al.,
2013; on recurrent matrices: Merity et al., 2018) is on the matrices of recurrent maps, as they are
used, one mask for each update.

Zoneout (Krueger et al., 2017) lets units of states keep their values, with a mask for each step.
The masks are states too, which hold a step in each binary digit (`schedule_states`): an update is
called in stretches of 23 steps in float32, of 52 in float64. Held-out data are read with the
expectation, whose share of the old value stays as it is (`mask_states`).

Shapes: P members, L layers, T steps, B streams, n units of a state, C stretches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from odyssey.compiler import RNN
from odyssey.compiler.backends.base import State
from odyssey.expr.cell import Cell
from odyssey.expr.sizes import resolve
from odyssey.hyperparameters import Member
from odyssey.training.devices import moved
from odyssey.training.masks import Masks
from odyssey.transforms.recurrent_maps import mask_recurrent_maps, recurrent_matrices
from odyssey.transforms.zoneout import mask_states, schedule_states, scheduled, steps_of


class DroppedLayers:
    """Runs the layers of a model on its own parameters, with what an update drops.

    Args:
        members: The members.
        rnn: Their layers.
    """

    def __init__(self, members: Sequence[Member], rnn: RNN) -> None:
        self.members, self.plain, self.device = members, rnn, rnn.like.device
        zoned = any(m.zoneout for m in members)
        cell = schedule_states(rnn.cell) if zoned else rnn.cell
        self._behind = len(cell.states)  # where masks of what maps read begin
        self._zones_of_step = self._behind - len(rnn.cell.states)
        if any(m.recurrent_dropout for m in members):
            cell = mask_recurrent_maps(cell)
        self.rnn = _twin(rnn, cell)
        self.matrices: list[str] = []
        if any(m.drop_connect for m in members):
            used = self.rnn.program.matrices
            self.matrices = [n for n in recurrent_matrices(rnn.cell) if n in used]
            for number, own in enumerate(self.rnn.parameter_modules()):
                own.register_forward_hook(partial(self._drop_weights, number))
        self._of_states = Masks(members, "recurrent_dropout", rnn.like.dtype)
        self._of_weights = Masks(members, "drop_connect", rnn.like.dtype)
        self._of_zones = Masks(members, "zoneout", rnn.like.dtype)
        self._precision = round(-math.log2(torch.finfo(rnn.like.dtype).eps)) + 1
        self._states: State = ()
        self._zones: State = ()  # of the stretch of steps that is gone through
        self._left = 0  # steps of it
        self._later: list[State] = []  # of the stretches behind it
        self._weights: list[dict[str, Tensor]] = []

    def draw(self, batch: int, steps_P: Sequence[int]) -> list[Tensor]:
        """Draws the masks of an update, and moves them to where they are used.

        Args:
            batch: Its number of streams.
            steps_P: Steps of every member; what is behind them is padding.

        Returns:
            What `use` takes: masks of states, of the zones of every stretch, of matrices by layer.
        """
        shapes = list(zip(self.rnn.state_sizes, self.rnn.state_shapes(batch), strict=True))
        states = [self._state_mask(*shape) for shape in shapes[self._behind :]]
        zones = shapes[self._behind - self._zones_of_step : self._behind]
        by_state = [self._zone_masks(*shape, steps_P) for shape in zones]
        stretches = [zone for stretch in zip(*by_state, strict=True) for zone in stretch]
        layers = range(self.rnn.num_layers)
        weights = [self._weight_mask(name, layer) for layer in layers for name in self.matrices]
        return [moved(mask, self.device) for mask in (*states, *stretches, *weights)]

    def use(self, drawn: Sequence[Tensor]) -> None:
        """Begins an update with the masks that were drawn for it."""
        states, zones = len(self.rnn.cell.states) - self._behind, self._zones_of_step
        count = len(self.matrices)
        end = len(drawn) - self.rnn.num_layers * count
        self._states = tuple(drawn[:states])
        # step 1 where there are none, and so nothing between the two
        self._later = [tuple(drawn[k : k + zones]) for k in range(states, end, max(zones, 1))]
        self._left = 0
        self._weights = [
            dict(zip(self.matrices, drawn[end + k * count :], strict=False))
            for k in range(self.rnn.num_layers)
        ]

    def __call__(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Runs the layers, as the model's own would be; see `RNN.forward`."""
        if state is None:
            state = self.plain.start_state(x.shape[2])
        self.rnn.between_layers = self.plain.between_layers
        own = len(state)
        if own == self._behind:
            y, new = self.rnn(x, (*state, *self._states))
            return y, new[:own]
        outputs, steps = [], 0
        while steps < x.shape[1]:
            if not self._left:
                self._zones, self._left = self._later.pop(0), steps_of(self._precision)
            part = x[:, steps : steps + self._left]
            y, new = self.rnn(part, (*state, *self._zones, *self._states))
            state, self._zones = new[:own], new[own : self._behind]
            self._left -= part.shape[1]
            steps += part.shape[1]
            outputs.append(y)
        return torch.cat(outputs, 1), state

    def _units(self, size: str, member: int, layer: int) -> int:
        """Gives how many numbers a state of a member has, without padding."""
        inputs = self.rnn.member_input_size(member, layer)
        return resolve(size, inputs, self.rnn.hidden_sizes[member])

    def _state_mask(self, size: str, shape: tuple[int, ...]) -> Tensor:
        """Draws a mask of one state for all members, (P, L, B, n)."""
        masks_PLBn = torch.zeros(shape, dtype=self._of_states.dtype)
        for k, member in enumerate(self.members):
            for layer, mask_Bn in enumerate(masks_PLBn[k]):
                units = self._units(size, k, layer)
                own = mask_Bn[:, :units]
                own.copy_(self._of_states.draw(k, tuple(own.shape), member.recurrent_dropout))
        return masks_PLBn

    def _zone_masks(
        self, size: str, shape: tuple[int, ...], steps_P: Sequence[int]
    ) -> Iterator[Tensor]:
        """Says which units of one state keep their values, (P, L, B, n) a stretch of steps."""
        masks_TPLBn = torch.zeros((max(steps_P), *shape), dtype=self._of_zones.dtype)
        for k, (member, steps) in enumerate(zip(self.members, steps_P, strict=True)):
            if not member.zoneout:
                continue
            for layer in range(self.rnn.num_layers):
                units = self._units(size, k, layer)
                own = masks_TPLBn[:steps, k, layer, :, :units]
                own.copy_(self._of_zones.draw(k, tuple(own.shape), member.zoneout) == 0)
        for part in torch.split(masks_TPLBn, steps_of(self._precision)):
            yield torch.from_numpy(scheduled(part.numpy(), self._precision))

    def _weight_mask(self, name: str, layer: int) -> Tensor:
        """Draws a mask of one matrix of a layer for all members, (P, rows, columns)."""
        masks = torch.zeros(self.rnn.shapes[layer][name], dtype=self._of_weights.dtype)
        for k, member in enumerate(self.members):
            inputs, units = self.rnn.member_input_size(k, layer), self.rnn.hidden_sizes[k]
            shape = self.rnn.program.shape(name, inputs, units)
            own = masks[k][tuple(map(slice, shape))]
            own.copy_(self._of_weights.draw(k, shape, member.drop_connect))
        return masks

    def _drop_weights(
        self, layer: int, module: nn.Module, args: Any, made: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        return made | {name: made[name] * mask for name, mask in self._weights[layer].items()}

    def state(self) -> dict[str, Any]:
        """Gives the state of all streams, as arrays."""
        return self._of_states.state() | self._of_weights.state() | self._of_zones.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Sets all streams to what `state` gave."""
        self._of_states.restore(state)
        self._of_weights.restore(state)
        self._of_zones.restore(state)


class ExpectedLayers:
    """Runs the layers of a model on held-out data, with the expectation of zoneout.

    Args:
        members: The members.
        rnn: Their layers.
    """

    def __init__(self, members: Sequence[Member], rnn: RNN) -> None:
        self.plain, self.rnn = rnn, _twin(rnn, mask_states(rnn.cell))
        self.share_P = rnn.like.new_tensor([m.zoneout for m in members])

    def __call__(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Runs the layers; see `RNN.forward`."""
        if state is None:
            state = self.plain.start_state(x.shape[2])
        shapes = self.rnn.state_shapes(x.shape[2])[len(state) :]
        shares = (self.share_P[:, None, None, None].expand(shape).contiguous() for shape in shapes)
        y, new = self.rnn(x, (*state, *shares))
        return y, new[: len(state)]


def _twin(rnn: RNN, cell: Cell) -> RNN:
    """Gives layers of a cell that has the same parameters, and on them."""
    twin = RNN(
        cell,
        rnn.input_size,
        list(rnn.hidden_sizes),
        rnn.num_layers,
        population=rnn.population,
        backend=rnn.asked,
        device=rnn.like.device,
        dtype=rnn.like.dtype,
    )
    twin.reads_classes = rnn.reads_classes
    for layer, own in zip(rnn.parameter_modules(), twin.parameter_modules(), strict=True):
        assert isinstance(layer, nn.ParameterDict)
        assert isinstance(own, nn.ParameterDict)
        own.update(layer)
    return twin
