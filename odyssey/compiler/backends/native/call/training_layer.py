"""A layer in training, forward and backward without autograd: two calls into C on kept buffers.

For one layer that reads class indices and whose gradients go to its parameters alone. It computes
what `NativeLayer` does, and leaves out what costs more than a small cell: the graph, new tensors,
and finding out where everything lies. The steps:

1. for each new shape, buffers and both structures are made, with all that stays filled in
   (`_Calls`); a matrix of the loop is read where it lies;
2. forward: the rows of the index tables are made of input matrices and biases, then C runs;
3. backward: C adds up, in buffers of the same layout, and the gradients of the tables are taken
   apart into those of matrices and biases.

Shapes: P members, T steps, B streams, V symbols, H units of the largest member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from odyssey.compiler.arguments import require, require_classes
from odyssey.compiler.backends.base import Layer, State
from odyssey.compiler.backends.native.abi.structures import CPU, dense
from odyssey.compiler.backends.native.call.kernel import Kernel, Shape
from odyssey.compiler.backends.native.call.layer import NativeLayer
from odyssey.compiler.backends.native.plan import Plan, Stack


def native_recurrence(
    layer: Layer, parameters: Mapping[str, Tensor], symbols: int, units: Sequence[int]
) -> NativeRecurrence | None:
    """Gives the layer for training; None where autograd is needed. See `base.TrainingStep`."""
    plan = layer.plan if isinstance(layer, NativeLayer) else None
    rows = all(p.is_contiguous() for p in parameters.values())
    if plan is None or not rows or not _reads_parameters_only(plan):
        return None
    assert isinstance(layer, NativeLayer)
    return NativeRecurrence(layer, parameters, symbols=symbols, units=units)


def _reads_parameters_only(plan: Plan) -> bool:
    """Says whether all that a loop reads is class indices and parameters."""
    nodes = plan.program.nodes
    read = [*plan.vectors, *(b for s in plan.stacks for b in s.biases if b is not None)]
    return (
        plan.writes_output
        and len(plan.indexable) == len(plan.stacks)
        and all(nodes[k].op == "vector" for k in read)
    )


class NativeRecurrence:
    """A layer over a sequence of class indices, and the gradients of its parameters.

    Args:
        layer: A layer of a population with a loop; see `native_recurrence`.
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
        self.parameters = dict(parameters)
        self.kernel = layer.kernel(next(iter(parameters.values())).dtype)
        self.symbols, self.units = symbols, tuple(units)
        self.calls: _Calls | None = None

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """See `base.LayerRecurrence`."""
        require_classes(x, self.symbols)
        size = x.shape[1], x.shape[2]
        where = [p.data_ptr() for p in self.parameters.values()]
        if self.calls is None or self.calls.size != size or self.calls.where != where:
            shape = Shape(*size, self.symbols, self.units, True, self.kernel.plan.indexable)
            self.calls = _Calls(self.kernel, self.parameters, shape)
            self.calls.where = where
        return self.calls.forward(x, state)

    def backward(self, dy: Tensor) -> dict[str, Tensor]:
        """See `base.LayerRecurrence`."""
        assert self.calls is not None
        return self.calls.backward(dy)


@dataclass
class _Table:
    """A stack's rows of weights and biases, one a symbol, and their gradients.

    Attributes:
        rows: (P, V, columns).
        gradient: Like it.
        pieces: Columns of the rows, the matrix (P, V, H) and the bias (P, 1, H) that they are.
        parts: Columns of the gradient, and the tensors that get matrix and bias gradients of them.
    """

    rows: Tensor
    gradient: Tensor
    pieces: list[tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=list)
    parts: list[tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=list)


class _Calls:
    """The calls of one shape: buffers, and structures with all that stays filled in."""

    def __init__(self, kernel: Kernel, parameters: Mapping[str, Tensor], shape: Shape) -> None:
        self.kernel, self.shape, self.plan = kernel, shape, kernel.plan
        self.size = shape.steps, shape.batch
        self.where: list[int] = []
        self.sizes = kernel.sizes(shape)
        self.parameters = self._checked(parameters)
        self.gradients: dict[str, list[Tensor]] = {}
        self.sums: list[Tensor] = []  # gradients that C adds to
        kept = kernel.workspace(shape, "f", "kept")
        self.forth, self.back = (
            kernel.structs(shape, call, kept, kernel.workspace(shape, call, "work"))
            for call in "fb"
        )
        states = range(len(self.plan.state))
        # padding is never written and stays zero
        self.y = self._zeros("f", "y")
        self.forth.put("y", self.y)
        self.tables = [self._table(n, stack) for n, stack in enumerate(self.plan.stacks)]
        self._leaves()
        for n in states:  # the loss does not read the final state
            self.back.put(f"do{n}", self._zeros("b", f"do{n}"))
            self.back.put(f"di{n}", self._zeros("b", f"di{n}"))
        self.outputs = [tuple(self._zeros("f", f"o{n}") for n in states) for _ in range(2)]
        self.turns = [self.forth, self.forth.copy()]  # they take turns in the states they write
        for structs, finals in zip(self.turns, self.outputs, strict=True):
            for n, final in enumerate(finals):
                structs.put(f"o{n}", final)
        self.turn = 0

    def _checked(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        shape, checked = self.shape, {}
        for name, tensor in parameters.items():
            own = self.plan.program.shape(name, shape.input_size, shape.hidden)
            expected = (shape.members, *own)
            what = f"parameter {name}"
            require(tensor, what, dtype=self.kernel.dtype, device=CPU, shape=expected)
            checked[name] = tensor.detach()
        return checked

    def _zeros(self, call: str, name: str) -> Tensor:
        dtype, shape, _ = self.kernel.form(self.shape, call).rows[name]
        return torch.zeros(shape, dtype=dtype, device=CPU)

    def _gradient(self, name: str, tensor: Tensor) -> Tensor:
        self.gradients.setdefault(name, []).append(tensor)
        return tensor

    def _put(self, name: str, tensor: Tensor) -> None:
        """Fills a field in the structures of both calls, where they have it."""
        for structs in (self.forth, self.back):
            if name in structs.form.fields:
                structs.put(name, tensor)

    def _table(self, n: int, stack: Stack) -> _Table:
        """Makes the rows of a stack."""
        kernel, shape, nodes = self.kernel, self.shape, self.plan.program.nodes
        table = _Table(self._zeros("f", f"x{n}"), self._zeros("b", f"gx{n}"))
        end = 0
        for leaf, r, b in zip(stack.leaves, stack.results, stack.biases, strict=True):
            start, end = end, end + kernel.total([leaf], shape)
            weight = self.parameters[nodes[r].name]
            into = self._gradient(nodes[r].name, torch.zeros_like(weight))
            bias = summed = None
            if b is not None:
                bias = self.parameters[nodes[b].name]
                summed = self._gradient(nodes[b].name, torch.zeros_like(bias))
                bias = bias.unsqueeze(-2)
            table.pieces.append((table.rows[..., start:end], weight.mT, bias))
            table.parts.append((table.gradient[..., start:end], into.mT, summed))
        self._put(f"x{n}", table.rows)
        self.back.put(f"gx{n}", table.gradient)
        self.sums.append(table.gradient)
        return table

    def _leaves(self) -> None:
        """Places vectors and matrices of the loop, and their gradients."""
        kernel, shape, plan, nodes = self.kernel, self.shape, self.plan, self.plan.program.nodes
        for k in plan.vectors:
            gradient = self._gradient(nodes[k].name, self._zeros("b", f"g{k}"))
            self.sums.append(gradient)
            self._put(f"p{k}", self.parameters[nodes[k].name])
            self.back.put(f"g{k}", gradient)
        for n, name in enumerate(plan.matrices):
            self._put(f"m{n}", self.parameters[name])
        for n, group in enumerate(plan.groups):
            maps = plan.trained(group)
            if maps:
                sizes = [kernel.total([r], shape) for r in maps]
                whole = self._zeros("b", f"gm{n}")
                for r, piece in zip(maps, torch.split(whole, sizes, -2), strict=True):
                    self._gradient(nodes[r].name, piece)
                self.back.put(f"gm{n}", whole)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """See `base.LayerRecurrence.forward`."""
        for table in self.tables:
            for into, weight, bias in table.pieces:
                if bias is None:
                    into.copy_(weight)
                else:
                    torch.add(weight, bias, out=into)
        x = dense(x)  # the backward call reads them again
        self.turn = 1 - self.turn
        structs, finals = self.turns[self.turn], self.outputs[self.turn]
        for n in range(len(self.tables)):
            structs.set(f"x{n}_index", x)
            self.back.share(f"x{n}_index", structs)
        for n, (first, _) in enumerate(zip(state, finals, strict=True)):
            structs.set(f"i{n}", dense(first))
        self.kernel.run(self.sizes, "f", structs)
        return self.y, finals

    def backward(self, dy: Tensor) -> dict[str, Tensor]:
        """See `base.LayerRecurrence.backward`."""
        for tensor in self.sums:
            tensor.zero_()
        self.back.set("dy", dense(dy))
        self.kernel.run(self.sizes, "b", self.back)
        for table in self.tables:
            for gradient, into, bias in table.parts:
                into.copy_(gradient)
                if bias is not None:
                    torch.sum(gradient, -2, out=bias)
        return {n: g[0] if len(g) == 1 else sum(g[1:], g[0]) for n, g in self.gradients.items()}
