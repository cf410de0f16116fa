"""The torch module: one or many layers of a cell, for one member or a population."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from odyssey.compiler.backends import build_layer
from odyssey.compiler.backends.base import Layer
from odyssey.compiler.initial import InitScheme, initial_parameters
from odyssey.compiler.lowering import lower
from odyssey.errors import CellError, ConfigError
from odyssey.expr.cell import Cell

State = tuple[Tensor, ...]


@lru_cache(maxsize=256)
def _built(text: str, backend: str, population: bool, masked: bool) -> tuple[str, Layer]:
    from odyssey.expr import parse_cell

    return build_layer(lower(parse_cell(text)), backend, population=population, masked=masked)


class RNN(nn.Module):
    """Recurrent layers of any cell, called like `torch.nn.LSTM`.

    Shapes: T steps, B batch rows, I input, H hidden units. With `population=P` every tensor
    leads with P: inputs (P, T, B, I), outputs (P, T, B, H), states (P, L, B, H), parameters
    (P, ...). Members share nothing; a member's numbers do not depend on the others.

    Parameters are `layers.<l>.<name in the cell>`, matrices (rows, columns) such as (H, I), vectors
    (H,). Layers after the first have input size H.

    Args:
        cell: The cell.
        input_size: Size I of the input, or number of classes for index input.
        hidden_size: Number of units H; with a population it may be one number a member. Members
            with fewer units than the largest are padded with zeros and masked.
        num_layers: Number of layers.
        population: Number of members P, or None for a plain module.
        backend: `auto`, or the name of a backend.
        batch_first: Whether inputs and outputs are (B, T, .) rather than (T, B, .).
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
        num_layers: int = 1,
        *,
        population: int | None = None,
        backend: str = "auto",
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(cell, Cell):
            raise CellError(
                f"RNN takes a Cell, got {type(cell).__name__}: write odyssey.get_cell(...)"
            )
        self.cell = cell
        self.input_size = _size(input_size, "input_size")
        self.hidden_sizes = _hidden_sizes(hidden_size, population)
        self.hidden_size = max(self.hidden_sizes)
        self.num_layers = _size(num_layers, "num_layers")
        self.population = population
        self.batch_first = batch_first
        self.masked = len(set(self.hidden_sizes)) > 1
        self.program = lower(cell)
        if self.program.square and set(self.hidden_sizes) != {self.input_size} and not self.masked:
            raise CellError(
                f"{cell.name} reads x[t] elementwise, so input_size must equal hidden_size"
                f" (got {self.input_size} and {self.hidden_size}): embed the input first"
            )
        if self.program.square and self.masked and self.input_size != self.hidden_size:
            raise CellError(
                f"{cell.name} reads x[t] elementwise: input_size must be the largest hidden_size"
            )
        self.backend, self.implementation = _built(
            cell.text, backend, population is not None, self.masked
        )
        self.layers = nn.ModuleList()
        self.mask: Tensor | None
        lead = () if population is None else (population,)
        for number in range(self.num_layers):
            layer = nn.ParameterDict()
            for name in self.program.parameters():
                if hasattr(layer, name):
                    raise CellError(f"{cell.name}: torch cannot hold a parameter called {name!r}")
                shape = self.program.shape(name, self._input_size(number), self.hidden_size)
                layer[name] = nn.Parameter(torch.empty(*lead, *shape, device=device, dtype=dtype))
            self.layers.append(layer)
        mask = None
        if self.masked:
            sizes = torch.tensor(self.hidden_sizes, device=device)
            mask = torch.arange(self.hidden_size, device=device) < sizes[:, None]
        self.register_buffer("mask", mask, persistent=False)
        # a cell may have no parameters that would tell type and device
        self.like: Tensor
        self.register_buffer("like", torch.empty(0, device=device, dtype=dtype), persistent=False)
        self.reset_parameters()

    def _input_size(self, layer: int) -> int:
        return self.input_size if layer == 0 else self.hidden_size

    def reset_parameters(
        self, scheme: InitScheme | None = None, *, rng: np.random.Generator | None = None
    ) -> None:
        """Draws all parameters anew, each member's from its own stream.

        Args:
            scheme: How weights without an `init` line start; U(-1/sqrt(H), 1/sqrt(H)) if None.
            rng: The generator; one seeded from torch's if None.
        """
        if rng is None:
            rng = np.random.default_rng(int(torch.randint(2**62, ())))
        for member, stream in enumerate(rng.spawn(self.population or 1)):
            self.reset_member(member, scheme or InitScheme(), rng=stream)

    @torch.no_grad()
    def reset_member(
        self, member: int, scheme: InitScheme, *, rng: np.random.Generator, cell: Cell | None = None
    ) -> None:
        """Draws the parameters of one member (0 for a plain module); padding is set to zero.

        Args:
            member: Its row in the population.
            scheme: How weights without an `init` line start.
            rng: The generator.
            cell: A cell with the same equations whose `init` lines hold instead.
        """
        hidden = self.hidden_sizes[member]
        for number, layer in enumerate(self.layer_parameters()):
            square = self.program.square and number == 0
            input_size = hidden if number or square else self.input_size
            values = initial_parameters(
                cell or self.cell,
                self.program,
                input_size=input_size,
                hidden_size=hidden,
                scheme=scheme,
                rng=rng,
            )
            for name, value in values.items():
                target = layer[name] if self.population is None else layer[name][member]
                target.zero_()
                target[tuple(slice(n) for n in value.shape)] = torch.as_tensor(value)

    def layer_parameters(self) -> list[dict[str, Tensor]]:
        """Gives the parameters of each layer by name."""
        return [cast(dict[str, Tensor], dict(layer._parameters)) for layer in self.layers]

    def zero_state(self, batch: int) -> State:
        """Gives the state before the first step: zeros (L, B, H), one tensor a state."""
        lead = () if self.population is None else (self.population,)
        shape = (*lead, self.num_layers, batch, self.hidden_size)
        return tuple(self.like.new_zeros(shape) for _ in self.cell.states)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Runs the layers over a sequence.

        Args:
            x: (T, B, I) floats, or (T, B) int64 class indices, which mean one-hot vectors.
            state: One (L, B, H) tensor a state, in the cell's declared order; zeros if None.

        Returns:
            The last layer's output (T, B, H) and the state after the last step.

        Raises:
            ConfigError: Shapes or types do not fit; the message says what was expected.
        """
        x = self._checked(x)
        if self.batch_first:
            x = x.transpose(-2, -3) if x.is_floating_point() else x.transpose(-1, -2)
        if not (x.is_floating_point() or self.program.parameters()):
            x = nn.functional.one_hot(x, self.input_size).to(self.like)
        batch = x.shape[-2] if x.is_floating_point() else x.shape[-1]
        if state is None:
            state = self.zero_state(batch)
        self._check_state(state, batch)
        axis = 0 if self.population is None else 1
        finals: list[State] = []
        for number, layer in enumerate(self.layer_parameters()):
            sizes = (self._input_size(number), self.hidden_size)
            x, final = self.implementation(
                x,
                tuple(s.select(axis, number) for s in state),
                layer,
                self.mask,
                sizes,
            )
            finals.append(final)
        if self.num_layers == 1:
            new = tuple(f.unsqueeze(axis) for f in finals[0])
        else:
            new = tuple(torch.stack([f[k] for f in finals], axis) for k in range(len(state)))
        return (x.transpose(-2, -3) if self.batch_first else x), new

    def _checked(self, x: Tensor) -> Tensor:
        lead = 0 if self.population is None else 1
        axes = ("P, " if lead else "") + ("B, T" if self.batch_first else "T, B")
        dense = x.is_floating_point()
        if x.dim() != lead + (3 if dense else 2) or (lead and x.shape[0] != self.population):
            raise ConfigError(
                f"expected x of shape ({axes}, {self.input_size}) or int64 ({axes}),"
                f" got {tuple(x.shape)}" + (f" with P = {self.population}" if lead else "")
            )
        dtype = self.like.dtype
        if dense and x.shape[-1] != self.input_size:
            raise ConfigError(f"expected inputs of size {self.input_size}, got {x.shape[-1]}")
        if x.dtype != (dtype if dense else torch.int64):
            raise ConfigError(f"expected x of type {dtype} or torch.int64, got {x.dtype}")
        if x.numel() == 0:
            raise ConfigError(f"x is empty: {tuple(x.shape)}")
        if not dense:
            low, high = (int(bound) for bound in torch.aminmax(x))
            if not 0 <= low <= high < self.input_size:
                raise ConfigError(
                    f"class indices must be 0 to {self.input_size - 1}, got {low} to {high}"
                )
        return x

    def _check_state(self, state: State, batch: int) -> None:
        lead = () if self.population is None else (self.population,)
        shape = (*lead, self.num_layers, batch, self.hidden_size)
        if len(state) != len(self.cell.states) or any(tuple(s.shape) != shape for s in state):
            got = ", ".join(str(tuple(s.shape)) for s in state)
            raise ConfigError(
                f"expected {len(self.cell.states)} state tensors"
                f" ({', '.join(self.cell.states) or 'none'}) of shape {shape}, got {got or 'none'}"
            )

    def extra_repr(self) -> str:
        """Shows sizes, backend and the equations."""
        size = self.hidden_sizes[0] if not self.masked else list(self.hidden_sizes)
        people = f", population={self.population}" if self.population is not None else ""
        head = (
            f"{self.cell.name}, {self.input_size}, {size}, num_layers={self.num_layers}{people},"
            f" backend={self.backend}"
        )
        return head + "\n" + self.cell.text.strip()


def _size(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ConfigError(f"{what} must be a positive integer, got {value!r}")
    return int(value)


def _hidden_sizes(hidden_size: int | Sequence[int], population: int | None) -> tuple[int, ...]:
    members = 1 if population is None else _size(population, "population")
    if isinstance(hidden_size, int | np.integer):
        return (_size(hidden_size, "hidden_size"),) * members
    sizes = tuple(_size(h, "hidden_size") for h in hidden_size)
    if population is None or len(sizes) != members:
        raise ConfigError(
            f"hidden_size is a list of {len(sizes)}; give one number, or one a member of"
            f" population={population}"
        )
    return sizes
