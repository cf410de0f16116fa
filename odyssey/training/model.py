"""The model: recurrent layers and a linear readout, for a population.

Shapes: P members, T steps, B streams, I numbers of an input, K of an output (of classes, one each),
H units of the largest member.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from odyssey.compiler import RNN
from odyssey.compiler.backends.base import State
from odyssey.compiler.backends.eager import gather, product
from odyssey.compiler.lowering import lower
from odyssey.errors import ConfigError
from odyssey.expr import Cell
from odyssey.expr.counts import model_counts, model_parameters
from odyssey.expr.schemes import InitScheme, draw
from odyssey.hyperparameters import Member
from odyssey.tasks.signature import EVERY, Signature
from odyssey.training.condition import Conditioner, Memory
from odyssey.training.seeds import stream
from odyssey.training.sizes import count_condition, reading
from odyssey.transforms.ablations import ablate

_LARGEST_STEP = 256  # units, of which one must be a size that a cell admits


class SequenceModel(nn.Module):
    """Predicts the outputs of a task at every step of its inputs.

    Classes are read one-hot; a cell that reads its input elementwise gets the inputs mapped to
    hidden size, as in Jozefowicz et al. 2015. Parts of the inputs that a cell declares as further
    inputs it reads by name (`sizes.reading`). What sequences are conditioned on is encoded by a
    `Conditioner`, and stands behind the input in one vector.

    Args:
        cell: The cell.
        signature: What is read and predicted.
        hidden_sizes: Units of each member.
        num_layers: Layers, the same for all members.
        backend: Compiler backend.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        cell: Cell,
        signature: Signature,
        hidden_sizes: Sequence[int],
        num_layers: int,
        *,
        backend: str = "auto",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        members, hidden = len(hidden_sizes), max(hidden_sizes)
        square = cell.shapes.square
        self.signature = signature
        read, outputs = reading(cell, signature), signature.outputs.size
        width, self.reading = read.main, read
        self.embedding = (
            nn.Parameter(torch.zeros(members, hidden, width, dtype=dtype)) if square else None
        )
        self.rnn = RNN(
            cell,
            hidden if square else width,
            list(hidden_sizes),
            num_layers,
            population=members,
            backend=backend,
            dtype=dtype,
        )
        self.readout = nn.Parameter(torch.zeros(members, outputs, hidden, dtype=dtype))
        self.readout_bias = nn.Parameter(torch.zeros(members, outputs, dtype=dtype))
        order = None if read.order is None else torch.tensor(read.order)
        self.order: Tensor | None
        self.register_buffer("order", order, persistent=False)
        condition = signature.condition
        self.conditioner = (
            None if condition is None else Conditioner(condition, members, hidden, dtype)
        )
        # what runs the layers in the place of `rnn`: `DroppedLayers` in updates, `ExpectedLayers`
        self.running: Callable[[Tensor, State | None], tuple[Tensor, State]] | None = None

    @torch.no_grad()
    def initialise(self, number: int, member: Member, distribution: str) -> None:
        """Draws the parameters of one member from its own streams.

        Args:
            number: Its row in the population.
            member: Its seed, initial scale and forget bias.
            distribution: See `expr.schemes.InitScheme`.
        """
        scheme = InitScheme(distribution, member.init_scale)
        hidden, outputs = self.rnn.hidden_sizes[number], self.signature.outputs.size
        cell = self.rnn.cell
        if member.forget_bias is not None:
            cell = ablate(cell, f"forget_bias={member.forget_bias!r}")
        rng = stream(member.seed, "initial", self.rnn.cell.key)
        self.rnn.reset_member(number, scheme, rng=rng, cell=cell)
        self.readout[number, :, :hidden] = torch.as_tensor(
            draw(scheme, (outputs, hidden), hidden_size=hidden, rng=rng)
        )
        if self.embedding is not None:
            width = self.embedding.shape[-1]
            self.embedding[number, :hidden] = torch.as_tensor(
                draw(scheme, (hidden, width), hidden_size=hidden, rng=rng)
            )
        if self.conditioner is not None:
            own = stream(member.seed, "initial", "condition")
            self.conditioner.initialise(number, hidden, own)

    def forward(
        self, x: Tensor, state: State | None, memory: Memory | None = None
    ) -> tuple[Tensor, State]:
        """Gives logits, of reals the numbers themselves, (P, T, B, K), and the new state.

        Args:
            x: (P, T, B) int64 class indices, or (P, T, B, I) floats.
            state: The state, or None at the start.
            memory: What `encode` made of the condition, where there is one.
        """
        h_PTBH, state = self.hidden(x, state, memory)
        return read_out(h_PTBH, self.readout, self.readout_bias), state

    def encode(self, given: Tensor | None, *, learning: bool = False) -> Memory | None:
        """Encodes what sequences are conditioned on (P, B, ...), for all their steps."""
        if self.conditioner is None:
            return None
        assert given is not None, "the task has a condition"
        memory: Memory = self.conditioner(given, learning=learning)
        return memory

    def hidden(
        self, x: Tensor, state: State | None, memory: Memory | None = None
    ) -> tuple[Tensor, State]:
        """Gives the outputs of the last layer (P, T, B, H) and the new state; see `forward`.

        With attention, the state has one part more: the last output.
        """
        if self.conditioner is None:
            return self._layers(x, state)
        assert memory is not None, "encode() the condition first"
        if memory.vector_PBD is None:
            h, state, _ = self.attend(x, state, memory)
            return h, state
        vector = memory.vector_PBD.unsqueeze(1)
        if self.signature.condition is not None and self.signature.condition.way == EVERY:
            x = self.dense(x)
            return self._layers(torch.cat([x, vector.expand(-1, x.shape[1], -1, -1)], -1), state)
        if state is None:  # an input of its own before the first step
            nothing = vector.new_zeros(*vector.shape[:3], self.signature.inputs.size)
            _, state = self._layers(torch.cat([nothing, vector], -1), None)
        if x.is_floating_point():
            x = functional.pad(x, (0, vector.shape[-1]))
        return self._layers(x, state)  # classes are columns of the same matrices

    def attend(
        self, x: Tensor, state: State | None, memory: Memory
    ) -> tuple[Tensor, State, Tensor]:
        """Gives outputs and state as `hidden`, and the weights of places (P, T, B, L)."""
        assert self.conditioner is not None
        x = self.dense(x)
        members, steps, batch, _ = x.shape
        inner = None if state is None else state[:-1]
        h = (
            x.new_zeros(members, batch, self.rnn.hidden_size)
            if state is None
            else state[-1].squeeze(1)
        )
        outputs, weights = [], []
        for t in range(steps):
            context, weight = self.conditioner.attend(h, memory)
            read = torch.cat([x[:, t], context], -1).unsqueeze(1)
            y, inner = self._layers(read, inner)
            h = y.squeeze(1)
            outputs.append(h)
            weights.append(weight)
        assert inner is not None
        return torch.stack(outputs, 1), (*inner, h.unsqueeze(1)), torch.stack(weights, 1)

    def _layers(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        if self.order is not None:
            x = x.index_select(-1, self.order)  # x, then the further inputs of the cell
        if self.embedding is not None:
            x = self._embedded(x, self.embedding)
        run = self.running or self.rnn
        output: tuple[Tensor, State] = run(x, state)
        return output

    def _embedded(self, x: Tensor, embedding: Tensor) -> Tensor:
        if not x.is_floating_point():
            return gather(x, embedding)
        main, further = x[..., : embedding.shape[-1]], x[..., embedding.shape[-1] :]
        mapped = product(main, embedding)
        return torch.cat([mapped, further], -1) if further.shape[-1] else mapped

    def dense(self, x: Tensor, *, onto: Tensor | None = None) -> Tensor:
        """Writes class indices out as one-hot vectors; floats stay as they are.

        Args:
            x: (P, T, B) classes or (P, T, B, I) floats.
            onto: (P, T, B, I) floats to which they are added, in place.
        """
        if x.is_floating_point():
            return x if onto is None else onto.add_(x)
        if onto is None:
            shape = (*x.shape, self.signature.inputs.size)
            onto = torch.zeros(shape, dtype=self.readout.dtype, device=x.device)
        return onto.scatter_add_(-1, x.unsqueeze(-1), onto.new_ones(1).expand(*x.shape, 1))

    def member_shape(self, name: str, member: int) -> tuple[int, ...]:
        """Gives the shape of a parameter that a member has, without the padding of others' units.

        Args:
            name: Name of the parameter.
            member: Number of the member.
        """
        whole = self.get_parameter(name).shape[1:]
        units = self.rnn.hidden_sizes[member]
        if name == "embedding":
            return units, *whole[1:]
        if name in ("readout", "conditioner.query"):
            return *whole[:-1], units
        if not name.startswith("rnn."):
            return tuple(whole)
        _, _, layer, own = name.split(".")  # rnn.layers.<l>.<name>
        first = self.rnn.member_input_size(member, int(layer))
        return self.rnn.program.stored_shape(own, first, units)

    def inside(self) -> Tensor:
        """Marks what is not padding, (P, N) bools: what a member of its size has."""
        kept = []
        for member in range(len(self.rnn.hidden_sizes)):
            parts = []
            for name, parameter in self.named_parameters():
                own = torch.zeros(parameter.shape[1:], dtype=torch.bool)
                own[tuple(map(slice, self.member_shape(name, member)))] = True
                parts.append(own.flatten())
            kept.append(torch.cat(parts))
        return torch.stack(kept)


def read_out(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Gives logits (P, T, B, V)."""
    logits = torch.baddbmm(bias.unsqueeze(1), h.flatten(1, 2), weight.mT)
    return logits.view(*h.shape[:3], weight.shape[1])


def count_parameters(cell: Cell, *, signature: Signature, hidden_size: int, num_layers: int) -> int:
    """Counts the parameters of one member's model, with embedding, readout and encoder."""
    total = model_parameters(
        lower(cell),
        cell.shapes,
        inputs=reading(cell, signature).main,
        outputs=signature.outputs.size,
        units=hidden_size,
        layers=num_layers,
    )
    if signature.condition is not None:
        total += count_condition(signature.condition, hidden_size)
    return total


def count_model(
    cell: Cell, *, signature: Signature, hidden_size: int, num_layers: int
) -> tuple[int, int | None]:
    """Counts the parameters of one member's model, and the operations of a step, forward.

    `odyssey.expr.counts` says what operations count how much. There is None where an encoder of
    conditions has its part in them, which is not counted.
    """
    parameters = count_parameters(
        cell, signature=signature, hidden_size=hidden_size, num_layers=num_layers
    )
    if signature.condition is not None:
        return parameters, None
    _, operations = model_counts(
        cell.live,
        cell.shapes,
        inputs=reading(cell, signature).main,
        outputs=signature.outputs.size,
        units=hidden_size,
        layers=num_layers,
    )
    return parameters, operations


def hidden_size_for(cell: Cell, parameters: int, *, signature: Signature, num_layers: int) -> int:
    """Finds the largest hidden size whose model has at most so many parameters.

    Where what is made of matrices, such as heads, wants sizes that can be divided, these are the
    multiples of the smallest one that the cell admits.

    Raises:
        ConfigError: Not even the smallest size fits, or the cell admits none.
    """

    def count(hidden: int) -> int:
        return count_parameters(
            cell, signature=signature, hidden_size=hidden, num_layers=num_layers
        )

    step = _smallest_size(count)
    if count(step) > parameters:
        needed = "one unit" if step == 1 else f"{step} units, the fewest it can have"
        raise ConfigError(f"{cell.name}: {parameters} parameters are too few for {needed}")
    low, high = 1, 2  # in steps
    while count(high * step) <= parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle * step) <= parameters else (low, middle)
    return low * step


def _smallest_size(count: Callable[[int], int]) -> int:
    """Gives the smallest hidden size of which parameters can be counted.

    Raises:
        ConfigError: There is none; why the size 1 is not.
    """
    first: ConfigError | None = None
    for hidden in range(1, _LARGEST_STEP + 1):
        try:
            count(hidden)
        except ConfigError as error:
            first = first or error
        else:
            return hidden
    assert first is not None
    raise first
