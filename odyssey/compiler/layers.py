"""The layers of a cell as a torch module: what they hold, how it starts, how it is saved.

How they are called is in `module.py` and `one_step.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from odyssey.compiler.arguments import has_values
from odyssey.compiler.backends import BACKENDS, choose
from odyssey.compiler.backends.base import DirectLayer, Layer, State
from odyssey.compiler.lowering import lower
from odyssey.compiler.torch_cells import TorchCell, recognise
from odyssey.compiler.weights import Making, Weights, is_own, is_plain
from odyssey.errors import CellError, ConfigError
from odyssey.expr.cell import Cell
from odyssey.expr.schemes import InitScheme, initial_parameters
from odyssey.expr.sizes import INPUTS, ONE, axes, parts, resolve

_lowered = lru_cache(maxsize=256)(lower)


@lru_cache(maxsize=256)
def _built(cell: Cell, backend: str, population: bool, masked: bool) -> Layer:
    return BACKENDS[backend].build(_lowered(cell), population=population, masked=masked)


class Layers(nn.Module):
    """Holds the parameters of one or many layers of a cell, and the code that runs one.

    Layers, directions and shapes are as in `RNN`, which is what is to be built.

    Args:
        cell: The cell.
        input_size: Size I of the input.
        hidden_size: Number of units H, or one number a member.
        num_layers: Number of layers.
        population: Number of members P, or None.
        backend: `auto`, or the name of a backend.
        bidirectional: Whether there are parameters for each of two directions.
        device: Where the parameters live.
        dtype: Their type; torch's default if None.
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
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(cell, Cell):
            raise CellError(
                f"{type(self).__name__} takes a Cell, got {type(cell).__name__}: write"
                " odyssey.get_cell(...)"
            )
        self.cell = cell
        self.input_size = _size(input_size, "input_size")
        self.hidden_sizes = _hidden_sizes(hidden_size, population)
        self.hidden_size = max(self.hidden_sizes)
        self.num_layers = _size(num_layers, "num_layers")
        self.population = population
        self.bidirectional = bool(bidirectional)
        self.masked = len(set(self.hidden_sizes)) > 1
        self.program = _lowered(cell)
        if self.program.square and set(self.hidden_sizes) != {self.input_size} and not self.masked:
            raise CellError(
                f"{cell.name} reads x[t] elementwise, so input_size must equal hidden_size"
                f" (got {self.input_size} and {self.hidden_size}): embed the input first"
            )
        if self.program.square and self.masked and self.input_size != self.hidden_size:
            raise CellError(
                f"{cell.name} reads x[t] elementwise: input_size must be the largest hidden_size"
            )
        if self.program.square and self.bidirectional and self.num_layers > 1:
            raise CellError(
                f"{cell.name} reads x[t] elementwise, so a layer must read as many numbers as it"
                " has units: bidirectional goes with num_layers=1; put a Linear between two"
            )
        self.further_sizes = self._further_sizes()
        self.state_sizes = [self.program.state_size(s) for s in cell.states]
        # layers after the first read other inputs, so that a state of size I has two sizes
        self.ragged = self.num_layers > 1 and any(
            parts(axis)[0] == INPUTS for s in self.state_sizes for axis in axes(s)
        )
        self.asked = backend
        self.reads_classes = True  # to check them, for which a call waits for its device
        self._build()
        self.shapes = [
            {name: (*self.lead, *self._shape(name, n)) for name in self.program.parameters()}
            for n in range(self.num_layers)
        ]
        self.layers = self._new_layers(device, dtype)
        if self.bidirectional:
            self.layers_reverse = self._new_layers(device, dtype)
        # a cell may have no parameters that would tell type and device
        self.like: Tensor
        self.register_buffer("like", torch.empty(0, device=device, dtype=dtype), persistent=False)
        self.reset_parameters()

    def _further_sizes(self) -> dict[str, int]:
        """Gives how many numbers each further input of the cell has.

        Raises:
            CellError: One has the size of x, which is not the same in all layers.
        """
        sizes = self.cell.shapes.inputs
        for name, size in sizes.items():
            if self.num_layers > 1 and parts(size)[0] != ONE:
                raise CellError(
                    f"{self.cell.name}: its input {name} has the size of x, which later layers do"
                    " not read: use num_layers=1"
                )
        return {n: resolve(s, self.input_size, self.hidden_size) for n, s in sizes.items()}

    def layer_input_size(self, layer: int) -> int:
        """Gives how many numbers a layer reads, I or D * H."""
        return self.input_size if layer == 0 else self.directions * self.hidden_size

    def member_input_size(self, member: int, layer: int) -> int:
        """Gives how many numbers a layer of one member reads, without padding."""
        hidden = self.hidden_sizes[member]
        if layer:
            return self.directions * hidden
        return hidden if self.program.square else self.input_size

    def _new_layers(
        self, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> nn.ModuleList:
        layers = nn.ModuleList()
        for number, shapes in enumerate(self.shapes):
            layer, first = Weights(), self.layer_input_size(number)
            for name in shapes:
                if hasattr(layer, name):
                    raise CellError(
                        f"{self.cell.name}: torch cannot hold a parameter called {name!r}"
                    )
                own = self.program.stored_shape(name, first, self.hidden_size)
                stored = torch.empty((*self.lead, *own), device=device, dtype=dtype)
                layer[name] = nn.Parameter(stored)
            layer.making = {
                name: Making(words, self._member_shapes(name, number), self._shape(name, number))
                for name, words in self.program.properties.items()
            }
            layers.append(layer)
        return layers

    def _shape(self, name: str, layer: int) -> tuple[int, ...]:
        return self.program.shape(name, self.layer_input_size(layer), self.hidden_size)

    def _member_shapes(self, name: str, layer: int) -> tuple[tuple[int, ...], ...] | None:
        """Gives the shape that a parameter has in each member, where they differ."""
        if not self.masked:
            return None
        if self.bidirectional and layer:
            raise ConfigError(
                f"{self.cell.name}: members of different hidden_size have no layers of two"
                f" directions over each other where a weight, {name}, has properties"
            )
        return tuple(
            self.program.shape(name, self.member_input_size(member, layer), hidden)
            for member, hidden in enumerate(self.hidden_sizes)
        )

    def _build(self) -> None:
        self.backend = choose(self.program, self.asked)
        layer = _built(self.cell, self.backend, self.population is not None, self.masked)
        self.implementation = layer
        self.masks: dict[torch.device, Tensor] = {}
        self.run_direct = None  # properties and further inputs go the usual way
        usual = self.program.properties or self.cell.further_inputs
        if isinstance(layer, DirectLayer) and not usual:
            self.run_direct = layer.direct

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the code, which is built anew where the module is loaded."""
        return {k: v for k, v in self.__dict__.items() if k not in _BUILT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._build()

    @property
    def directions(self) -> int:
        """D: 2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def lead(self) -> tuple[int, ...]:
        """What all shapes begin with: (P,) with a population, else nothing."""
        return () if self.population is None else (self.population,)

    def parameter_modules(self) -> list[nn.Module]:
        """Gives the parameters' modules in torch's order: layer by layer, forward first."""
        if not self.bidirectional:
            return list(self.layers)
        pairs = zip(self.layers, self.layers_reverse, strict=True)
        return [layer for pair in pairs for layer in pair]

    def layer_name(self, number: int) -> str:
        """Names a layer, counted in torch's order, as its parameters are named."""
        layer, reverse = divmod(number, self.directions)
        return f"layers_reverse.{layer}" if reverse else f"layers.{layer}"

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
        for number, layer in enumerate(self.parameter_modules()):
            assert isinstance(layer, Weights)
            first = number < self.directions
            if not is_own(layer):
                raise ConfigError(
                    f"{self.layer_name(number)} is parametrized or pruned: draw its parameters"
                    " before that"
                )
            values = initial_parameters(
                cell or self.cell,
                self.program,
                input_size=self.member_input_size(member, number // self.directions),
                hidden_size=hidden,
                scheme=scheme,
                rng=rng,
            )
            for name, value in values.items():
                target = layer[name] if self.population is None else layer[name][member]
                target.zero_()
                inside = tuple(slice(n) for n in value.shape)
                source = torch.as_tensor(value)
                if not first and self.bidirectional and value.shape[-1] == 2 * hidden:
                    # what comes from the other direction lies behind all units of this one
                    rest = slice(self.hidden_size, self.hidden_size + hidden)
                    target[(*inside[:-1], rest)] = source[..., hidden:]
                    source, inside = source[..., :hidden], (*inside[:-1], slice(hidden))
                target[inside] = source

    def layer_parameters(self) -> list[dict[str, Tensor]]:
        """Gives the parameters of each layer by name, as they are used: parametrized, or pruned.

        With two directions there are two a layer, forward first.
        """
        return [layer() for layer in self.parameter_modules()]

    def torch_layers(self) -> tuple[TorchCell, list[dict[str, Tensor]]]:
        """Gives which of torch's cells this is, and the parameters of each layer by its names."""
        if self.population is not None:
            raise ConfigError(
                "torch.nn has no populations: load a member's parameters into an RNN without one"
            )
        own, names = recognise(self.cell)
        layers = self.layer_parameters()
        return own, [{name: layer[ours] for name, ours in names.items()} for layer in layers]

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer (and direction, forward first), as they are used."""
        return [list(parameters.values()) for parameters in self.layer_parameters()]

    def flatten_parameters(self) -> None:
        """Does nothing; code written for `torch.nn.LSTM` may call it."""

    @property
    def plain(self) -> bool:
        """Whether parameters are used as they are: not parametrized or pruned, without hooks."""
        return all(isinstance(w, Weights) and is_plain(w) for w in self.parameter_modules())

    def like_of(self, weights: Sequence[Mapping[str, Any]]) -> Tensor:
        """Gives a tensor of the type and device that all others must have: that of the parameters,
        also where all were replaced (`functional_call`), but not where a single one was."""
        values = [value for parameters in weights for value in parameters.values()]
        if not values or not isinstance(values[0], Tensor):
            return self.like
        first = values[0]
        own = first.dtype == self.like.dtype and first.device == self.like.device
        if own or all(
            isinstance(v, Tensor) and v.dtype == first.dtype and v.device == first.device
            for v in values
        ):
            return first
        return self.like

    @property
    def mask(self) -> Tensor | None:
        """Which units each member has, (P, H) bool; None where all have all."""
        return self.mask_on(self.like.device)

    def mask_on(self, device: torch.device) -> Tensor | None:
        """Gives the mask on a device."""
        if not self.masked:
            return None
        if not has_values(self.like):
            return self._new_mask(device)
        if device not in self.masks:
            self.masks[device] = self._new_mask(device)
        return self.masks[device]

    def _new_mask(self, device: torch.device) -> Tensor:
        sizes = torch.tensor(self.hidden_sizes, device=device)
        return torch.arange(self.hidden_size, device=device) < sizes[:, None]

    def state_shapes(self, batch: int | None) -> list[tuple[int, ...]]:
        """Gives the shape of each state: (L * D, B, H), without B where `batch` is None.

        A cell may declare another last size. That of a state of the size of the input is the
        largest of all layers; what others have less is not used.
        """
        layers = self.num_layers * self.directions
        rows = () if batch is None else (batch,)
        firsts = {self.layer_input_size(n) for n in range(self.num_layers)}
        return [
            (*self.lead, layers, *rows, max(resolve(s, n, self.hidden_size) for n in firsts))
            for s in self.state_sizes
        ]

    def start_state(self, batch: int) -> State:
        """Gives the state before the first step, (L * D, B, H) each: zeros, or as the cell says.

        Where a state starts at weights, a gradient reaches them.
        """
        weights = self.layer_parameters() if self.program.starts else []
        return self.started(self.state_shapes(batch), weights)

    def started(
        self, shapes: Sequence[tuple[int, ...]], weights: Sequence[Mapping[str, Tensor]]
    ) -> State:
        """Gives states of some shapes as they are before the first step.

        Args:
            shapes: As `state_shapes` gives them.
            weights: As `layer_parameters` gives them, of a cell whose states start at weights.
        """
        like = self.like_of(weights) if weights else next(self.parameters(), self.like)
        states = []
        for name, shape in zip(self.cell.states, shapes, strict=True):
            start = self.program.starts.get(name, 0.0)
            if not isinstance(start, str):
                states.append(like.new_full(shape, start) if start else like.new_zeros(shape))
                continue
            rows = [parameters[start] for parameters in weights]
            rows = [nn.functional.pad(row, (0, shape[-1] - row.shape[-1])) for row in rows]
            stacked = torch.stack(rows, -2)  # (L * D, H)
            if len(shape) > stacked.dim():
                stacked = stacked.unsqueeze(-2).expand(shape)
            states.append(stacked.contiguous())
        return tuple(states)

    def state_of(self, state: State, number: int) -> State:
        """Takes the state of one layer, counted in torch's order, out of those of all."""
        own = [s.select(len(self.lead), number) for s in state]
        if self.ragged:
            first = self.layer_input_size(number // self.directions)
            for k, size in enumerate(self.state_sizes):
                own[k] = own[k][..., : resolve(size, first, self.hidden_size)]
        return tuple(own)

    def stacked(self, states: Sequence[State]) -> State:
        """Puts the states of all layers, in torch's order, into one tensor each."""
        axis = len(self.lead)
        if len(states) == 1:
            return tuple(s.unsqueeze(axis) for s in states[0])
        found = []
        for layers in zip(*states, strict=True):
            if self.ragged:
                most = max(s.shape[-1] for s in layers)
                layers = tuple(nn.functional.pad(s, (0, most - s.shape[-1])) for s in layers)
            found.append(torch.stack(layers, axis))
        return tuple(found)


_BUILT = ("backend", "implementation", "masks", "run_direct")


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
