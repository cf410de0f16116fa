"""The character model: recurrent layers and a softmax readout, for a population.

Shapes: P members, T steps, B streams, V symbols, H units of the largest member.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from odyssey.compiler import RNN
from odyssey.compiler.backends.base import State
from odyssey.compiler.backends.eager import gather, product
from odyssey.compiler.lowering import lower
from odyssey.errors import ConfigError
from odyssey.expr import Cell
from odyssey.expr.schemes import InitScheme, draw
from odyssey.hyperparameters import Member
from odyssey.training.seeds import stream
from odyssey.transforms.ablations import ablate


class CharModel(nn.Module):
    """Predicts the next symbol from class indices.

    A cell that reads its input elementwise gets the symbols embedded at hidden size, as in
    Jozefowicz et al. 2015; any other reads them one-hot.

    Args:
        cell: The cell.
        num_symbols: Number of symbols V.
        hidden_sizes: Units of each member.
        num_layers: Layers, the same for all members.
        backend: Compiler backend.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        cell: Cell,
        num_symbols: int,
        hidden_sizes: Sequence[int],
        num_layers: int,
        *,
        backend: str = "auto",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        members, hidden = len(hidden_sizes), max(hidden_sizes)
        square = cell.shapes.square
        self.num_symbols = num_symbols
        self.embedding = (
            nn.Parameter(torch.zeros(members, hidden, num_symbols, dtype=dtype)) if square else None
        )
        self.rnn = RNN(
            cell,
            hidden if square else num_symbols,
            list(hidden_sizes),
            num_layers,
            population=members,
            backend=backend,
            dtype=dtype,
        )
        self.readout = nn.Parameter(torch.zeros(members, num_symbols, hidden, dtype=dtype))
        self.readout_bias = nn.Parameter(torch.zeros(members, num_symbols, dtype=dtype))

    @torch.no_grad()
    def initialise(self, number: int, member: Member, distribution: str) -> None:
        """Draws the parameters of one member from its own streams.

        Args:
            number: Its row in the population.
            member: Its seed, initial scale and forget bias.
            distribution: See `compiler.initial.InitScheme`.
        """
        scheme = InitScheme(distribution, member.init_scale)
        hidden, symbols = self.rnn.hidden_sizes[number], self.num_symbols
        cell = self.rnn.cell
        if member.forget_bias is not None:
            cell = ablate(cell, f"forget_bias={member.forget_bias!r}")
        rng = stream(member.seed, "initial", self.rnn.cell.key)
        self.rnn.reset_member(number, scheme, rng=rng, cell=cell)
        self.readout[number, :, :hidden] = torch.as_tensor(
            draw(scheme, (symbols, hidden), hidden_size=hidden, rng=rng)
        )
        if self.embedding is not None:
            self.embedding[number, :hidden] = torch.as_tensor(
                draw(scheme, (hidden, symbols), hidden_size=hidden, rng=rng)
            )

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Gives logits (P, T, B, V) and the new state.

        Args:
            x: (P, T, B) int64 class indices, or (P, T, B, V) floats (one-hot plus noise).
            state: The state, or None at the start.
        """
        h_PTBH, state = self.hidden(x, state)
        return read_out(h_PTBH, self.readout, self.readout_bias), state

    def hidden(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Gives the outputs of the last layer (P, T, B, H) and the new state; see `forward`."""
        if self.embedding is not None:
            x = product(x, self.embedding) if x.is_floating_point() else gather(x, self.embedding)
        output: tuple[Tensor, State] = self.rnn(x, state)
        return output

    def one_hot(self, x: Tensor) -> Tensor:
        """Writes class indices out as one-hot vectors."""
        return functional.one_hot(x, self.num_symbols).to(self.readout.dtype)


def read_out(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Gives logits (P, T, B, V)."""
    logits = torch.baddbmm(bias.unsqueeze(1), h.flatten(1, 2), weight.mT)
    return logits.view(*h.shape[:3], weight.shape[1])


def count_parameters(cell: Cell, *, num_symbols: int, hidden_size: int, num_layers: int) -> int:
    """Counts the parameters of one member's model, embedding and readout included."""
    shapes = cell.shapes
    live = set(lower(cell).parameters())
    total = num_symbols * (hidden_size + 1) + (num_symbols * hidden_size if shapes.square else 0)
    for layer in range(num_layers):
        first = hidden_size if layer or shapes.square else num_symbols
        sizes = {"I": first, "H": hidden_size}
        total += sum(sizes[a] * sizes[b] for n, (a, b) in shapes.matrices.items() if n in live)
        total += sum(sizes[a] for n, a in shapes.vectors.items() if n in live)
    return total


def hidden_size_for(cell: Cell, parameters: int, *, num_symbols: int, num_layers: int) -> int:
    """Finds the largest hidden size whose model has at most so many parameters.

    Raises:
        ConfigError: Not even one unit fits.
    """

    def count(hidden: int) -> int:
        return count_parameters(
            cell, num_symbols=num_symbols, hidden_size=hidden, num_layers=num_layers
        )

    if count(1) > parameters:
        raise ConfigError(f"{cell.name}: {parameters} parameters are too few for one unit")
    low, high = 1, 2
    while count(high) <= parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= parameters else (low, middle)
    return low
