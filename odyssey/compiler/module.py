"""The torch module: one or many layers of a cell, for one member or a population."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from odyssey.compiler.arguments import (
    has_values,
    require_classes,
    require_input,
    require_memory,
    require_state,
    require_weights,
    tracing,
)
from odyssey.compiler.backends import build_layer
from odyssey.compiler.backends.base import DirectLayer, Layer, State
from odyssey.compiler.lowering import lower
from odyssey.compiler.weights import Making, Weights, is_own, is_plain
from odyssey.errors import CellError, ConfigError
from odyssey.expr.cell import Cell
from odyssey.expr.schemes import InitScheme, initial_parameters
from odyssey.expr.sizes import INPUTS, parts, resolve

_lowered = lru_cache(maxsize=256)(lower)


@lru_cache(maxsize=256)
def _built(cell: Cell, backend: str, population: bool, masked: bool) -> tuple[str, Layer]:
    return build_layer(_lowered(cell), backend, population=population, masked=masked)


class RNN(nn.Module):
    """Recurrent layers of any cell, called like `torch.nn.LSTM`.

    Shapes: T steps, B batch rows, I input, H hidden units. With `population=P` every tensor
    leads with P: inputs (P, T, B, I), outputs (P, T, B, H), states (P, L, B, H), parameters
    (P, ...). Members share nothing; a member's numbers do not depend on the others.

    Parameters are `layers.<l>.<name in the cell>`, matrices (rows, columns) such as (H, I), vectors
    (H,). Layers after the first have input size H. `layers[l]` is a module: parametrizations and
    pruning of `torch.nn.utils` go there. Where `between_layers` is set, the outputs of every layer
    but the last go through it with the layer's number, as through dropout.

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
        self._state_sizes = {s: self.program.state_size(s) for s in cell.states}
        # layers after the first read H inputs, so that a state of size I has two sizes
        bases = {parts(size)[0] for size in self._state_sizes.values()}
        self._ragged = self.num_layers > 1 and INPUTS in bases
        self.asked = backend
        self.between_layers: Callable[[Tensor, int], Tensor] | None = None
        self._build()
        self.layers = nn.ModuleList()
        self.shapes = [
            {name: (*self._lead, *self._shape(name, n)) for name in self.program.parameters()}
            for n in range(self.num_layers)
        ]
        for number, shapes in enumerate(self.shapes):
            layer = Weights()
            for name in shapes:
                if hasattr(layer, name):
                    raise CellError(f"{cell.name}: torch cannot hold a parameter called {name!r}")
                own = self.program.stored_shape(name, self._input_size(number), self.hidden_size)
                stored = torch.empty((*self._lead, *own), device=device, dtype=dtype)
                layer[name] = nn.Parameter(stored)
            layer.making = {
                name: Making(words, self._member_shapes(name, number), self._shape(name, number))
                for name, words in self.program.properties.items()
            }
            self.layers.append(layer)
        # a cell may have no parameters that would tell type and device
        self.like: Tensor
        self.register_buffer("like", torch.empty(0, device=device, dtype=dtype), persistent=False)
        self.reset_parameters()

    def _build(self) -> None:
        self.backend: str
        self.implementation: Layer
        self.backend, self.implementation = _built(
            self.cell, self.asked, self.population is not None, self.masked
        )
        layer = self.implementation
        made = bool(self.program.properties)  # then parameters are not what is stored
        self.run_direct = layer.direct if isinstance(layer, DirectLayer) and not made else None

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the code, which is built anew where the module is loaded."""
        return {k: v for k, v in self.__dict__.items() if k not in _BUILT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._build()

    def _shape(self, name: str, layer: int) -> tuple[int, ...]:
        return self.program.shape(name, self._input_size(layer), self.hidden_size)

    def _member_shapes(self, name: str, layer: int) -> tuple[tuple[int, ...], ...] | None:
        """Gives the shape that a parameter has in each member, where they differ."""
        if not self.masked:
            return None
        square = self.program.square and layer == 0
        return tuple(
            self.program.shape(name, hidden if layer or square else self.input_size, hidden)
            for hidden in self.hidden_sizes
        )

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
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, Weights)
            if not is_own(layer):
                raise ConfigError(
                    f"layers.{number} is parametrized or pruned: draw its parameters before that"
                )
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
        """Gives the parameters of each layer by name, as they are used: parametrized, or pruned."""
        return [layer() for layer in self.layers]

    @property
    def plain(self) -> bool:
        """Whether parameters are used as they are: not parametrized or pruned, without hooks."""
        return all(isinstance(w, Weights) and is_plain(w) for w in self.layers)

    @property
    def mask(self) -> Tensor | None:
        """Which units each member has, (P, H) bool; None where all have all."""
        return self._mask(self.like.device)

    def _mask(self, device: torch.device) -> Tensor | None:
        if not self.masked:
            return None
        sizes = torch.tensor(self.hidden_sizes, device=device)
        return torch.arange(self.hidden_size, device=device) < sizes[:, None]

    @property
    def _lead(self) -> tuple[int, ...]:
        return () if self.population is None else (self.population,)

    def state_shape(self, name: str, batch: int) -> tuple[int, ...]:
        """Gives the shape of a state: (L, B, H), or another last size if the cell declares it.

        A state of the size of the input, of which layers have several, has the largest; the rest
        of the others is not used.
        """
        size = self._state_sizes[name]
        units = max(
            resolve(size, self._input_size(n), self.hidden_size) for n in range(self.num_layers)
        )
        return (*self._lead, self.num_layers, batch, units)

    def start_state(self, batch: int) -> State:
        """Gives the state before the first step, one tensor a state: zeros, or as the cell says.

        Where a state starts at weights, a gradient reaches them.
        """
        return self._start(batch, self.layer_parameters() if self.program.starts else [])

    def _start(self, batch: int, weights: Sequence[Mapping[str, Tensor]]) -> State:
        like = next(self.parameters(), self.like)
        states = []
        for name in self.cell.states:
            shape = self.state_shape(name, batch)
            start = self.program.starts.get(name, 0.0)
            if isinstance(start, str):
                rows = [parameters[start] for parameters in weights]
                padded = [nn.functional.pad(row, (0, shape[-1] - row.shape[-1])) for row in rows]
                stacked = torch.stack(padded, -2).unsqueeze(-2)
                states.append(stacked.expand(shape).contiguous())
            else:
                states.append(like.new_full(shape, start) if start else like.new_zeros(shape))
        return tuple(states)

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
        found = self._direct(x, state)
        if found is not None:
            return found
        weights = self.layer_parameters()
        like = self._like(weights)
        if not tracing():  # where sizes are tensors
            x = self._checked(x, weights, like)
        if self.batch_first:
            x = x.transpose(-2, -3) if x.is_floating_point() else x.transpose(-1, -2)
        if not (x.is_floating_point() or self.program.parameters()):
            x = nn.functional.one_hot(x, self.input_size).to(like)
        batch = x.shape[-2] if x.is_floating_point() else x.shape[-1]
        if state is None:
            state = self._start(batch, weights)
        elif not tracing():
            shapes = {name: self.state_shape(name, batch) for name in self.cell.states}
            state = require_state(state, shapes, like)
            if has_values(x):
                require_memory(state)
        mask = self._mask(like.device)
        axis = len(self._lead)
        finals: list[State] = []
        for number, parameters in enumerate(weights):
            x, final = self.implementation(
                x,
                self._of_layer(state, number),
                parameters,
                mask,
                (self._input_size(number), self.hidden_size, self.hidden_sizes),
            )
            finals.append(final)
            x = self._passed_on(x, number)
        if self.num_layers == 1:
            new = tuple(f.unsqueeze(axis) for f in finals[0])
        else:
            new = tuple(self._stacked([f[k] for f in finals]) for k in range(len(state)))
        return (x.transpose(-2, -3) if self.batch_first else x), new

    def _direct(self, x: Tensor, state: State | None) -> tuple[Tensor, State] | None:
        """Runs an ordinary call at once where the backend can: a small cell costs less than all
        the checks. None: it is for the usual way, which also says what is wrong."""
        run = self.run_direct
        if run is None or self.batch_first or type(x) is not Tensor:
            return None
        axis, names = len(self._lead), self.cell.states
        if state is None:
            if self.program.starts:
                return None
        else:
            shape = (*self._lead, self.num_layers)
            if type(state) is not tuple or len(state) != len(names):
                return None
            if any(type(s) is not Tensor or s.shape[: axis + 1] != shape for s in state):
                return None
        finals: list[State] = []
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, Weights)
            first = None if state is None else tuple(s.select(axis, number) for s in state)
            sizes = self._input_size(number), self.hidden_size, self.hidden_sizes
            found = run(x, first, layer, sizes)
            if found is None:
                return None
            x, final = found
            finals.append(final)
            x = self._passed_on(x, number)
        if len(finals) == 1:
            return x, tuple(f.unsqueeze(axis) for f in finals[0])
        return x, tuple(map(self._stacked, zip(*finals, strict=True)))

    def _of_layer(self, state: State, number: int) -> State:
        """Takes what belongs to a layer out of the states of all layers."""
        axis = len(self._lead)
        parts = [s.select(axis, number) for s in state]
        if self._ragged:
            first = self._input_size(number)
            for k, name in enumerate(self.cell.states):
                parts[k] = parts[k][
                    ..., : resolve(self._state_sizes[name], first, self.hidden_size)
                ]
        return tuple(parts)

    def _stacked(self, parts: Sequence[Tensor]) -> Tensor:
        """Puts the states of all layers into one tensor."""
        if self._ragged:
            most = max(p.shape[-1] for p in parts)
            parts = [nn.functional.pad(p, (0, most - p.shape[-1])) for p in parts]
        return torch.stack(list(parts), len(self._lead))

    def _passed_on(self, output: Tensor, layer: int) -> Tensor:
        """Gives what the next layer reads."""
        if self.between_layers is None or layer == self.num_layers - 1:
            return output
        return self.between_layers(output, layer)

    def _checked(self, x: Tensor, weights: Sequence[Mapping[str, Tensor]], like: Tensor) -> Tensor:
        """Checks input and parameters, on every backend with the same words."""
        axes = "B, T" if self.batch_first else "T, B"
        for number, parameters in enumerate(weights):
            require_weights(parameters, self.shapes[number], like, layer=number)
        x = require_input(x, axes=axes, lead=self._lead, input_size=self.input_size, like=like)
        if has_values(x):
            require_memory((x, *(p for parameters in weights for p in parameters.values())))
            if not x.is_floating_point():
                require_classes(x, self.input_size)
        return x

    def _like(self, weights: Sequence[Mapping[str, Any]]) -> Tensor:
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

    def extra_repr(self) -> str:
        """Shows sizes, backend and the equations."""
        size = self.hidden_sizes[0] if not self.masked else list(self.hidden_sizes)
        people = f", population={self.population}" if self.population is not None else ""
        head = (
            f"{self.cell.name}, {self.input_size}, {size}, num_layers={self.num_layers}{people},"
            f" backend={self.backend}"
        )
        return head + "\n" + self.cell.text.strip()


_BUILT = ("backend", "implementation", "run_direct")


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
