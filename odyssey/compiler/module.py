"""The torch module: one or many layers of a cell, for one member or a population."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from odyssey.compiler.arguments import (
    InputForm,
    autocasting,
    cast,
    has_values,
    require_classes,
    require_further_inputs,
    require_input,
    require_memory,
    require_options,
    require_state,
    require_weights,
    tracing,
)
from odyssey.compiler.backends.base import Layer, State
from odyssey.compiler.layers import Layers
from odyssey.compiler.sequences import (
    Piece,
    Read,
    packed_alike,
    pieces_of,
    run_packed,
    run_sequence,
)
from odyssey.compiler.weights import Weights
from odyssey.errors import ConfigError
from odyssey.expr.cell import Cell

FurtherInputs = Mapping[str, Any]
"""The inputs of a cell besides x, by name."""


def _run_layer(layer: Layer, read: Read, state: State, **how: Any) -> tuple[Tensor, State]:
    """Runs a layer on what it reads."""
    return layer(read[0], state, further=read[1:], **how)


class RNN(Layers):
    """Recurrent layers of any cell, called like `torch.nn.LSTM`.

    Shapes: T steps, B batch rows, I input, H hidden units, D directions (1 or 2), L layers. With
    `population=P` every tensor leads with P: inputs (P, T, B, I), outputs (P, T, B, D * H), states
    (P, L * D, B, H), parameters (P, ...). Members share nothing; a member's numbers do not depend
    on the others.

    Parameters are `layers.<l>.<name in the cell>`, and `layers_reverse.<l>.<name>` of the reverse
    direction; matrices (rows, columns) such as (H, I), vectors (H,). Layers after the first have
    input size D * H. `layers[l]` is a module: parametrizations and pruning of `torch.nn.utils` go
    there. Where `between_layers` is set, the outputs of every layer but the last go through it with
    the layer's number, as through dropout.

    States and parameters of two directions are in torch's order: layer by layer, forward first.
    Under `torch.autocast` a call runs in the type of the parameters, whatever float type its input
    has: rounding adds up over steps.

    Args:
        cell: The cell.
        input_size: Size I of the input, or number of classes for index input.
        hidden_size: Number of units H; with a population it may be one number a member. Members
            with fewer units than the largest are padded with zeros and masked.
        num_layers: Number of layers.
        population: Number of members P, or None for a plain module.
        backend: `auto`, or the name of a backend.
        bias: True; a cell without biases is another cell (`lstm:no_bias`).
        batch_first: Whether inputs and outputs are (B, T, .) rather than (T, B, .).
        dropout: Probability with which numbers of the output of each layer but the last are zero,
            in training mode; not with a population.
        bidirectional: Whether each layer reads the sequence in both directions, with parameters for
            each, and puts out what both put out, forward first.
        proj_size: 0; a projection is part of a cell.
        device: Where the parameters live.
        dtype: Their type; torch's default if None.

    Raises:
        CellError: The cell needs input size = hidden size (a bare `x[t]`), and they differ; or
            an option asks for what only equations can have.
        ConfigError: A size is not a positive integer, dropout no probability, or the backend
            cannot run the cell.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        *,
        population: int | None = None,
        backend: str = "auto",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            cell,
            input_size,
            hidden_size,
            num_layers,
            population=population,
            backend=backend,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )
        self.batch_first = batch_first
        self.dropout = require_options(
            dropout=dropout,
            num_layers=self.num_layers,
            population=population,
            bias=bias,
            proj_size=proj_size,
        )
        self.between_layers: Callable[[Tensor, int], Tensor] | None = None

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: State | None = None,
        inputs: FurtherInputs | None = None,
    ) -> tuple[Tensor | PackedSequence, State]:
        """Runs the layers over a sequence.

        Args:
            x: (T, B, I) floats, or (T, B) int64 class indices, which mean one-hot vectors; (T, I)
                or (T,) without a batch. Or a `PackedSequence` of either, without a population.
                Floats may hold the further inputs of the cell, too, behind the I numbers and in
                the order in which the cell declares them; `inputs` are then left out.
            state: One (L * D, B, H) tensor a state, in the cell's declared order, (L * D, H)
                without a batch; zeros if None. Rows are in the order of the sequences before they
                were packed.
            inputs: The further inputs of the cell by name, (T, B, N) floats with the steps and rows
                of x, packed as x is; all layers and directions read them.

        Returns:
            The last layer's output (T, B, D * H), (T, D * H) without a batch, packed if x is; and
            the state after the last step, which in the reverse direction is step 0, and of packed
            sequences the last of each.

        Raises:
            ConfigError: Shapes or types do not fit; the message says what was expected.
        """
        if inputs is None:
            found = self.call_at_once(x, state)
            if found is not None:
                return found
        if autocasting(self.like.device):
            x, state, inputs = (cast(value, self.like.dtype) for value in (x, state, inputs))
            with torch.autocast(self.like.device.type, enabled=False):
                found = self.call_at_once(x, state) if inputs is None else None
                return found or self.call_with_checks(x, state, inputs)
        return self.call_with_checks(x, state, inputs)

    def call_with_checks(
        self,
        x: Tensor | PackedSequence,
        state: State | None,
        inputs: FurtherInputs | None = None,
    ) -> tuple[Tensor | PackedSequence, State]:
        """Runs a call of any kind, with all checks."""
        if isinstance(x, PackedSequence):
            return self._packed(x, state, inputs)
        x, inputs = self.taken_apart(x, inputs)
        weights = self.layer_parameters()
        like, time = self.like_of(weights), len(self.lead)
        form = self.input_form(("B", "T") if self.batch_first else ("T", "B"), ("T",))
        rowless = form.axes(x) == ("T",)
        if not tracing():  # where sizes are tensors
            x = self._checked(x, weights, like, form)
            steps = x.shape[:-1] if x.is_floating_point() else x.shape
            inputs = self.checked_further(inputs, steps, like)
        read = (x, *self._further(inputs))
        if rowless:
            read = tuple(each.unsqueeze(time + 1) for each in read)
        elif self.batch_first:
            read = tuple(each.transpose(time, time + 1) for each in read)
        x = read[0]
        start = self._start(state, None if rowless else x.shape[time + 1], x, weights)
        if rowless:
            start = tuple(s.unsqueeze(time + 1) for s in start)
        run = partial(run_sequence, time=time)
        y, new = self._through(run, read, start, weights, like)
        if rowless:
            return y.squeeze(time + 1), tuple(s.squeeze(time + 1) for s in new)
        return (y.transpose(time, time + 1) if self.batch_first else y), new

    def _packed(
        self, x: PackedSequence, state: State | None, inputs: FurtherInputs | None
    ) -> tuple[PackedSequence, State]:
        """Runs packed sequences; states are in the order of the sequences before packing."""
        if self.population is not None:
            raise ConfigError(
                "a PackedSequence has no axis for the members of a population: call"
                " torch.nn.utils.rnn.pad_packed_sequence(x) and leave out what is padding"
            )
        weights = self.layer_parameters()
        like = self.like_of(weights)
        bare = packed_alike(inputs, x) if isinstance(inputs, Mapping) else inputs
        data, further = self.taken_apart(x.data, bare)
        data = self._checked(data, weights, like, self.input_form(("N",)))
        pieces: list[Piece] = pieces_of(x)
        inputs = self.checked_further(further, data.shape[:1], like)
        start = self._start(state, pieces[0].rows, data, weights)
        if x.sorted_indices is not None:
            start = tuple(s.index_select(1, x.sorted_indices) for s in start)
        run = partial(run_packed, pieces=pieces)
        y, new = self._through(run, (data, *self._further(inputs)), start, weights, like)
        if x.unsorted_indices is not None:
            new = tuple(s.index_select(1, x.unsorted_indices) for s in new)
        return PackedSequence(y, x.batch_sizes, x.sorted_indices, x.unsorted_indices), new

    def _start(
        self,
        state: State | None,
        batch: int | None,
        x: Tensor,
        weights: Sequence[Mapping[str, Tensor]],
    ) -> State:
        """Gives the checked state before the first step, without B where `batch` is None."""
        shapes = self.state_shapes(batch)
        if state is None:
            return self.started(shapes, weights)
        if not tracing():
            state = require_state(state, self.cell.states, shapes, self.like_of(weights))
            if has_values(x):
                require_memory(state)
        return state

    def _through(
        self,
        run: Callable[..., tuple[Tensor, State]],
        read: Read,
        state: State,
        weights: Sequence[Mapping[str, Tensor]],
        like: Tensor,
    ) -> tuple[Tensor, State]:
        """Takes sequences through all layers; `run` leads one layer over them in a direction."""
        x, *further = read
        if not (x.is_floating_point() or self.program.parameters()):
            x = nn.functional.one_hot(x, self.input_size).to(like)
        mask = self.mask_on(like.device)
        finals: list[State] = []
        for number in range(self.num_layers):
            outputs: list[Tensor] = []
            for reverse in range(self.directions):
                place = len(finals)
                layer = partial(
                    _run_layer,
                    self.implementation,
                    parameters=weights[place],
                    mask=mask,
                    sizes=(self.layer_input_size(number), self.hidden_size, self.hidden_sizes),
                )
                start = self.state_of(state, place)
                y, final = run(layer, (x, *further), start, backwards=bool(reverse))
                outputs.append(y)
                finals.append(final)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            x = self._passed_on(x, number)
        return x, self.stacked(finals)

    def call_at_once(self, x: Any, state: State | None) -> tuple[Tensor, State] | None:
        """Runs an ordinary call at once where the backend can: a small cell costs less than all
        the checks. None: it is for `call_with_checks`, which also says what is wrong."""
        run = self.run_direct
        if run is None or self.batch_first or self.bidirectional or type(x) is not Tensor:
            return None
        axis, names = len(self.lead), self.cell.states
        if state is None:
            if self.program.starts:
                return None
        else:
            shape = (*self.lead, self.num_layers)
            if type(state) is not tuple or len(state) != len(names):
                return None
            if any(
                type(s) is not Tensor or s.is_nested or s.shape[: axis + 1] != shape for s in state
            ):
                return None
        finals: list[State] = []
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, Weights)
            try:
                first = None if state is None else self.state_of(state, number)
            except RuntimeError:  # a storage that was cut: the checks say so in their words
                return None
            sizes = self.layer_input_size(number), self.hidden_size, self.hidden_sizes
            found = run(x, first, layer, sizes)
            if found is None:
                return None
            x, final = found
            finals.append(final)
            x = self._passed_on(x, number)
        return x, self.stacked(finals)

    def _passed_on(self, output: Tensor, layer: int) -> Tensor:
        """Gives what the next layer reads."""
        if layer == self.num_layers - 1:
            return output
        if self.dropout and self.training:
            output = nn.functional.dropout(output, self.dropout)
        return output if self.between_layers is None else self.between_layers(output, layer)

    def input_form(self, *choices: tuple[str, ...]) -> InputForm:
        """Gives what inputs may look like: axes between those of members and of features."""
        return InputForm(choices, self.lead, self.input_size)

    def _checked(
        self, x: Tensor, weights: Sequence[Mapping[str, Tensor]], like: Tensor, form: InputForm
    ) -> Tensor:
        """Checks input and parameters, on every backend with the same words."""
        for number, parameters in enumerate(weights):
            shapes = self.shapes[number // self.directions]
            require_weights(parameters, shapes, like, layer=self.layer_name(number))
        x = require_input(x, form, like)
        if has_values(x):
            require_memory((x, *(p for parameters in weights for p in parameters.values())))
            if self.reads_classes and not x.is_floating_point():
                require_classes(x, self.input_size)
        return x

    def taken_apart(
        self, x: Tensor, inputs: FurtherInputs | None
    ) -> tuple[Tensor, FurtherInputs | None]:
        """Takes the further inputs out of rows that hold them behind x."""
        sizes = [self.input_size, *self.further_sizes.values()]
        whole = isinstance(x, Tensor) and not x.is_nested and x.is_floating_point() and x.dim()
        if inputs is not None or not self.further_sizes or not whole or x.shape[-1] != sum(sizes):
            return x, inputs
        x, *further = torch.split(x, sizes, -1)
        return x, dict(zip(self.further_sizes, further, strict=True))

    def checked_further(
        self, inputs: FurtherInputs | None, steps: Sequence[int], like: Tensor
    ) -> FurtherInputs:
        """Checks the further inputs, which have the axes of x before the last."""
        found = require_further_inputs(inputs, self.further_sizes, steps, like, cell=self.cell.name)
        if found and has_values(like):
            require_memory(found.values())
        return found

    def _further(self, inputs: FurtherInputs | None) -> Read:
        """Gives the further inputs that the program reads, in its order."""
        return tuple((inputs or {})[name] for name in self.program.inputs)

    def to_torch(self) -> nn.RNNBase:
        """Writes the module as the `torch.nn` module that computes the same.

        Weights are copied as they are used; the second of torch's two biases is zero. States are
        in torch's order, so (h, c) of an LSTM.

        Raises:
            CellError: The cell is none of torch's, up to names and initial values.
            ConfigError: It is a population, or has `between_layers`.
        """
        if self.between_layers is not None:
            raise ConfigError("torch.nn has no between_layers: set it to None first")
        own, layers = self.torch_layers()
        found = own.module(
            self.input_size,
            self.hidden_size,
            num_layers=self.num_layers,
            batch_first=self.batch_first,
            dropout=self.dropout if self.num_layers > 1 else 0.0,
            bidirectional=self.bidirectional,
            device=self.like.device,
            dtype=self.like.dtype,
        )
        own.write(found, layers)
        return found.train(self.training)

    def extra_repr(self) -> str:
        """Shows sizes, backend and the equations."""
        size = self.hidden_sizes[0] if not self.masked else list(self.hidden_sizes)
        people = f", population={self.population}" if self.population is not None else ""
        more = "".join(
            f", {name}={getattr(self, name)}"
            for name in ("batch_first", "dropout", "bidirectional")
            if getattr(self, name)
        )
        head = (
            f"{self.cell.name}, {self.input_size}, {size}, num_layers={self.num_layers}{more}"
            f"{people}, backend={self.backend}"
        )
        return head + "\n" + self.cell.text.strip()
