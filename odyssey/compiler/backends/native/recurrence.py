"""A layer in training, forward and backward without autograd: two calls into C on kept buffers.

For one layer that reads class indices and whose gradients go to its parameters alone. It computes
what `NativeLayer` does, and leaves out what costs more than a small cell: the graph, new tensors,
and finding out where everything lies.

Shapes: P members, T steps, B streams, V symbols, H units of the largest member.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from odyssey.compiler.backends.native.kernel import Kernel, Shape
from odyssey.compiler.backends.native.layer import NativeLayer
from odyssey.compiler.backends.native.memory import Arena, Fields, address
from odyssey.compiler.backends.native.plan import Stack
from odyssey.errors import ConfigError

State = tuple[Tensor, ...]


def fits(layer: NativeLayer) -> bool:
    """Says whether all that the loop of a layer reads is class indices and parameters."""
    plan = layer.plan
    if plan is None or not plan.writes_output:
        return False
    nodes = plan.program.nodes
    biases = [b for s in plan.stacks for b in s.biases if b is not None]
    return all(s.results and nodes[s.operand].op == "input" for s in plan.stacks) and all(
        nodes[k].op == "vector" for k in (*biases, *plan.vectors)
    )


class Recurrence:
    """A layer over a sequence of class indices, and the gradients of its parameters.

    What it gives is overwritten by the next call of the same kind; of states, by the next but one.

    Args:
        layer: A layer of a population; see `fits`.
        parameters: (P, ...) each by name; read where they lie.
        symbols: V.
        units: Units of each member.
    """

    def __init__(
        self,
        layer: NativeLayer,
        parameters: Mapping[str, Tensor],
        *,
        symbols: int,
        units: Sequence[int],
    ) -> None:
        assert layer.plan is not None
        self.parameters = {n: p.detach() for n, p in parameters.items()}
        like = next(iter(self.parameters.values()))
        self.kernel = layer.kernel(like.dtype)
        self.symbols, self.units = symbols, tuple(units)
        self.calls: _Calls | None = None

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Runs the sequence.

        Args:
            x: (P, T, B) int64 class indices.
            state: One (P, B, H) tensor a state.

        Returns:
            The output (P, T, B, H) and the state after the last step.

        Raises:
            ConfigError: An index is no symbol.
        """
        low, high = torch.aminmax(x)
        if not 0 <= int(low) <= int(high) < self.symbols:
            raise ConfigError(
                f"class indices must be 0 to {self.symbols - 1}, got {int(low)} to {int(high)}"
            )
        size = tuple(x.shape[1:])
        if self.calls is None or self.calls.size != size:
            self.calls = _Calls(self.kernel, self.parameters, self.symbols, self.units, size)
        return self.calls.forward(x, state)

    def backward(self, dy: Tensor) -> dict[str, Tensor]:
        """Gives the gradients of the parameters that have one, after `forward`.

        Args:
            dy: Gradient of the output (P, T, B, H).
        """
        assert self.calls is not None
        return self.calls.backward(dy)


@dataclass
class _Table:
    """A stack's rows of weights and biases, one a symbol, and their gradients.

    Attributes:
        rows: (P, V, columns).
        gradient: Like it.
        pieces: Columns of the rows, the matrix (P, V, H) and the bias (P, 1, H) that they are.
        found: Columns of the gradient, and the tensors that get matrix and bias gradients of them.
    """

    rows: Tensor
    gradient: Tensor
    pieces: list[tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=list)
    found: list[tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=list)


class _Calls:
    """The calls of one shape: buffers, and tables of addresses with all that stays filled in."""

    def __init__(
        self,
        kernel: Kernel,
        parameters: Mapping[str, Tensor],
        symbols: int,
        units: tuple[int, ...],
        size: tuple[int, ...],
    ) -> None:
        self.kernel, self.size = kernel, size
        (T, B), P, H = size, len(units), max(units)
        self.shape = Shape(P, T, B, symbols, H, units)
        self.plan, dtype = kernel.plan, kernel.dtype
        self.gradients: dict[str, list[Tensor]] = {}
        self.sums: list[Tensor] = []  # gradients that C adds to
        # padding is never written and stays zero
        self.y = torch.zeros(P, T, B, H, dtype=dtype)
        states = self.plan.program.states
        self.outputs = [[torch.zeros(P, B, H, dtype=dtype) for _ in states] for _ in range(2)]
        self.turn = 0
        fields: Fields = {}
        back: Fields = {}
        self.tables = [
            self._table(n, stack, parameters, fields, back)
            for n, stack in enumerate(self.plan.stacks)
        ]
        self._leaves(parameters, fields, back)
        self._arenas(fields, back)
        names = kernel.writer.fields[1:]
        self.places = {name: 1 + k for k, name in enumerate(names)}
        self.columns = 1 + len(names)
        self.arguments = {False: self._fill(fields), True: self._fill(fields | back)}
        s = self.shape
        block = kernel.block(s)
        self.sizes = (ctypes.c_int64 * 7)(P, T, B, H, s.input_size, 1, block)
        self.indices = [self.places[f"x{n}_index"] for n in range(len(self.tables))]
        self.first = [self.places[f"i{n}"] for n in range(len(states))]
        self.last = [self.places[f"o{n}"] for n in range(len(states))]

    def _gradient(self, name: str, tensor: Tensor) -> Tensor:
        self.gradients.setdefault(name, []).append(tensor)
        return tensor

    def _table(
        self,
        n: int,
        stack: Stack,
        parameters: Mapping[str, Tensor],
        fields: Fields,
        back: Fields,
    ) -> _Table:
        """Makes the rows of a stack."""
        kernel, shape, nodes = self.kernel, self.shape, self.plan.program.nodes
        P, total = shape.members, kernel.total(stack.leaves, shape)
        table = _Table(*torch.zeros(2, P, shape.input_size, total, dtype=kernel.dtype))
        start = 0
        for leaf, r, b in zip(stack.leaves, stack.results, stack.biases, strict=True):
            end = start + kernel.total([leaf], shape)
            weight = parameters[nodes[r].name]
            bias = None if b is None else parameters[nodes[b].name]
            table.pieces.append(
                (
                    table.rows[..., start:end],
                    weight.mT,
                    None if bias is None else bias.unsqueeze(-2),
                )
            )
            into = self._gradient(nodes[r].name, torch.zeros_like(weight))
            also = None
            if b is not None and bias is not None:
                also = self._gradient(nodes[b].name, torch.zeros_like(bias))
            table.found.append((table.gradient[..., start:end], into.mT, also))
            start = end
        fields[f"x{n}_row"] = total, 0
        fields[f"x{n}"] = address(table.rows, P)
        back[f"gx{n}"] = address(table.gradient, P)
        self.sums.append(table.gradient)
        return table

    def _leaves(self, parameters: Mapping[str, Tensor], fields: Fields, back: Fields) -> None:
        """Places vectors and matrices of the loop, and their gradients."""
        kernel, shape, plan = self.kernel, self.shape, self.plan
        P, nodes = shape.members, plan.program.nodes
        for k in plan.vectors:
            vector = parameters[nodes[k].name]
            gradient = self._gradient(nodes[k].name, torch.zeros_like(vector))
            self.sums.append(gradient)
            fields[f"p{k}"], back[f"g{k}"] = address(vector, P), address(gradient, P)
        for n, name in enumerate(plan.matrices):
            fields[f"m{n}"] = address(parameters[name], P)
        for n, group in enumerate(plan.groups):
            maps = kernel.writer.maps(group)
            if maps:
                sizes = [kernel.total([r], shape) for r in maps]
                columns = kernel.total([group.operand], shape)
                whole = torch.zeros(P, sum(sizes), columns, dtype=kernel.dtype)
                for r, piece in zip(maps, torch.split(whole, sizes, -2), strict=True):
                    self._gradient(nodes[r].name, piece)
                back[f"gm{n}"] = address(whole, P)

    def _arenas(self, fields: Fields, back: Fields) -> None:
        """Places what a call works on."""
        kernel, shape = self.kernel, self.shape
        P, B, H = shape.members, shape.batch, shape.hidden
        states = range(len(self.plan.program.states))
        self.arenas = [
            Arena(kernel.kept(shape, keep=True), kernel.dtype),
            kernel.scratch(shape, [], backward=False),
            kernel.scratch(shape, [], backward=True),
        ]
        fields.update(self.arenas[0].fields)
        back.update(self.arenas[2].fields)
        fields["y"] = address(self.y, P)
        none = torch.zeros(P, B, H, dtype=kernel.dtype)  # the loss does not read the final state
        self.ends = [none, *(torch.zeros_like(none) for _ in states)]
        for n in states:
            back[f"do{n}"], back[f"di{n}"] = address(none, P), address(self.ends[1 + n], P)
        self.forward_only = self.arenas[1].fields

    def _fill(self, fields: Fields) -> ctypes.Array[ctypes.c_int64]:
        """Writes the structs of all members one after the other."""
        fields = self.forward_only | fields
        found = [fields.get(f, (0, 0)) for f in self.places]
        table: list[int] = []
        for p, units in enumerate(self.shape.units):
            table += [units, *(base + p * stride for base, stride in found)]
        return (ctypes.c_int64 * len(table))(*table)

    def _set(self, place: int, tensor: Tensor) -> None:
        """Writes where a tensor lies into all structs of both calls."""
        base, stride = address(tensor, self.shape.members)
        for arguments in self.arguments.values():
            for p in range(self.shape.members):
                arguments[p * self.columns + place] = base + p * stride

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Recurrence.forward`."""
        for table in self.tables:
            for into, weight, bias in table.pieces:
                if bias is None:
                    into.copy_(weight)
                else:
                    torch.add(weight, bias, out=into)
        self.x = x if x.is_contiguous() else x.contiguous()  # the backward call reads them again
        self.state = tuple(s if s.is_contiguous() else s.contiguous() for s in state)
        self.turn = 1 - self.turn
        finals = self.outputs[self.turn]
        for place in self.indices:
            self._set(place, self.x)
        for place, tensor in zip((*self.first, *self.last), (*self.state, *finals), strict=True):
            self._set(place, tensor)
        self.kernel.entries[False](self.sizes, self.arguments[False])
        return self.y, tuple(finals)

    def backward(self, dy: Tensor) -> dict[str, Tensor]:
        """See `Recurrence.backward`."""
        dy = dy.contiguous()
        for tensor in self.sums:
            tensor.zero_()
        self._set(self.places["dy"], dy)
        self.kernel.entries[True](self.sizes, self.arguments[True])
        for table in self.tables:
            for gradient, into, bias in table.found:
                into.copy_(gradient)
                if bias is not None:
                    torch.sum(gradient, -2, out=bias)
        return {n: g[0] if len(g) == 1 else sum(g[1:], g[0]) for n, g in self.gradients.items()}
