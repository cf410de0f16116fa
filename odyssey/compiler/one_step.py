"""The torch module of one step: for loops of your own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from odyssey.compiler.arguments import require_input, require_state, tracing
from odyssey.compiler.backends.base import State
from odyssey.compiler.module import RNN, FurtherInputs
from odyssey.errors import ConfigError
from odyssey.expr.cell import Cell


class RNNCell(RNN):
    """One step of any cell: an `RNN` of one layer without the axes of time and layers.

    Its parameters are those of an `RNN` of one layer, by the same names, so that `state_dict` goes
    from one to the other.

    Shapes: B batch rows, I input, H hidden units; `population=P` leads with P everywhere.

    Args:
        cell: The cell.
        input_size: Size I of the input, or number of classes for index input.
        hidden_size: Number of units H; with a population it may be one number a member.
        bias: True; see `RNN`.
        population: Number of members P, or None for a plain module.
        backend: `auto`, or the name of a backend.
        device: Where the parameters live.
        dtype: Their type; torch's default if None.

    Raises:
        CellError: The cell needs input size = hidden size (a bare `x[t]`), and they differ.
        ConfigError: A size is not a positive integer, or the backend cannot run the cell.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int | Sequence[int],
        *,
        bias: bool = True,
        population: int | None = None,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            cell,
            input_size,
            hidden_size,
            bias=bias,
            population=population,
            backend=backend,
            device=device,
            dtype=dtype,
        )

    def forward(
        self, x: Any, state: State | None = None, inputs: FurtherInputs | None = None
    ) -> tuple[Tensor, State]:
        """Runs one step.

        Args:
            x: (B, I) floats, or (B,) int64 class indices; (I,) or () without a batch. Floats may
                hold the further inputs behind the I numbers, as for an `RNN`.
            state: One (B, H) tensor a state, in the cell's declared order, (H,) without a batch;
                zeros if None.
            inputs: The further inputs of the cell by name, (B, N) floats; (N,) without a batch.

        Returns:
            The output (B, H), and the state after the step; (H,) without a batch.

        Raises:
            ConfigError: Shapes or types do not fit; the message says what was expected.
        """
        return super().forward(x, state, inputs)  # type: ignore[return-value]

    def to_torch(self) -> nn.RNNCellBase:  # type: ignore[override]
        """Writes the module as the cell of `torch.nn` that computes the same; see `RNN`.

        Raises:
            CellError: The cell is none of torch's, up to names and initial values.
            ConfigError: It is a population.
        """
        own, layers = self.torch_layers()
        found = own.step(
            self.input_size, self.hidden_size, device=self.like.device, dtype=self.like.dtype
        )
        own.write(found, layers)
        return found.train(self.training)

    def step_shapes(self, batch: int | None) -> list[tuple[int, ...]]:
        """Gives the shape of each state: (B, H), without B where `batch` is None."""
        axis = len(self.lead)
        return [(*s[:axis], *s[axis + 1 :]) for s in self.state_shapes(batch)]

    def start_state(self, batch: int) -> State:
        """Gives the state before the step: zeros (B, H), one tensor a state."""
        return tuple(s.squeeze(len(self.lead)) for s in super().start_state(batch))

    def call_at_once(self, x: Any, state: State | None) -> tuple[Tensor, State] | None:
        """Runs an ordinary call at once; see `RNN`."""
        axis = len(self.lead)
        if type(x) is not Tensor or x.dim() < axis:
            return None
        if state is not None:
            if type(state) is not tuple or any(type(s) is not Tensor for s in state):
                return None
            if any(s.dim() < axis for s in state):
                return None
            state = tuple(s.unsqueeze(axis) for s in state)
        found = super().call_at_once(x.unsqueeze(axis), state)
        return None if found is None else self._without_time(*found)

    def call_with_checks(
        self, x: Any, state: State | None, inputs: FurtherInputs | None = None
    ) -> tuple[Tensor, State]:
        """Runs a call of any kind, with all checks."""
        axis = len(self.lead)
        if isinstance(x, PackedSequence):
            raise ConfigError("a PackedSequence has many steps, an RNNCell runs one; use an RNN")
        x, inputs = self.taken_apart(x, inputs)
        if not tracing():
            like = self.like_of(self.layer_parameters())
            form = self.input_form(("B",), ())
            x = require_input(x, form, like)
            if state is not None:
                shapes = self.step_shapes(x.shape[axis] if form.axes(x) else None)
                state = require_state(state, self.cell.states, shapes, like)
            steps = x.shape[:-1] if x.is_floating_point() else x.shape
            inputs = self.checked_further(inputs, steps, like)
        if inputs:
            inputs = {name: value.unsqueeze(axis) for name, value in inputs.items()}
        if state is not None:
            state = tuple(s.unsqueeze(axis) for s in state)
        output, new = super().call_with_checks(x.unsqueeze(axis), state, inputs)
        assert isinstance(output, Tensor)
        return self._without_time(output, new)

    def _without_time(self, output: Tensor, state: State) -> tuple[Tensor, State]:
        axis = len(self.lead)
        return output.squeeze(axis), tuple(s.squeeze(axis) for s in state)
