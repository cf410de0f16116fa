"""A layer in training, forward and backward without autograd: two calls into C on kept buffers.

For one layer that reads the inputs of a task and whose gradients go to its parameters alone. It
computes what `NativeLayer` does, and leaves out what costs more than a small cell: the graph, new
tensors, and finding out where everything lies. The steps:

1. for each new number of streams, and more steps than ever before, buffers and both structures are
   made, with all that stays filled in (`_Calls`); parameters are read where they lie;
2. forward and backward: states, inputs and the gradient of the output are put in, and C runs. A
   shorter sequence has the same structures, and uses the beginning of all memory.

Shapes: P members, T steps, B streams, I numbers of an input (of classes, one each), H units of the
largest member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from odyssey.compiler.arguments import require, require_classes
from odyssey.compiler.backends.base import Layer, LayerInput, State
from odyssey.compiler.backends.native.abi.structures import CPU, Int64Array, Structs, dense
from odyssey.compiler.backends.native.call.inputs import loop_inputs
from odyssey.compiler.backends.native.call.kernel import Kernel, Shape
from odyssey.compiler.backends.native.call.layer import NativeLayer
from odyssey.compiler.backends.native.plan import Plan, Stack
from odyssey.expr.program import MAIN_INPUT


def native_recurrence(
    layer: Layer, parameters: Mapping[str, Tensor], read: LayerInput, units: Sequence[int]
) -> NativeRecurrence | None:
    """Gives the layer for training; None where autograd is needed. See `base.TrainingStep`."""
    if not isinstance(layer, NativeLayer) or layer.plan is None:
        return None
    rows = all(p.is_contiguous() for p in parameters.values())
    if not rows or not _reads_parameters_only(layer.plan, _indexed(layer.plan, read)):
        return None
    if not read.dense and len(layer.plan.indexable) < len(layer.plan.stacks):
        return None  # indices are no numbers
    return NativeRecurrence(layer, parameters, read=read, units=units)


def _indexed(plan: Plan, read: LayerInput) -> frozenset[int]:
    return frozenset() if read.dense else plan.indexable


def _reads_parameters_only(plan: Plan, indexed: frozenset[int]) -> bool:
    """Says whether all that a loop reads is inputs themselves and parameters."""
    nodes, sources = plan.program.nodes, loop_inputs(plan, indexed).sources
    return plan.writes_output and all(
        kind in ("parameter", "state") or nodes[int(key)].op == "input" for kind, key in sources
    )


class NativeRecurrence:
    """A layer over a sequence of inputs, and the gradients of its parameters.

    Args:
        layer: A layer of a population with a loop; see `native_recurrence`.
        parameters: (P, ...) each by name; read where they lie.
        read: What it reads.
        units: Units of each member.
    """

    def __init__(
        self,
        layer: NativeLayer,
        parameters: Mapping[str, Tensor],
        *,
        read: LayerInput,
        units: Sequence[int],
    ) -> None:
        self.parameters = dict(parameters)
        self.kernel = layer.kernel(next(iter(parameters.values())).dtype)
        self.read, self.units = read, tuple(units)
        places = read.places.items()
        self.places = {n: torch.tensor(where, dtype=torch.int64) for n, where in places}
        self.calls: _Calls | None = None

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """See `base.LayerRecurrence`."""
        if not self.read.dense:
            require_classes(x, self.read.size)
        steps, batch = x.shape[1], x.shape[2]
        calls = self.calls
        if (
            calls is None
            or steps > calls.shape.steps
            or batch != calls.shape.batch
            or not self.unmoved()
        ):
            indexed = _indexed(self.kernel.plan, self.read)
            shape = Shape(steps, batch, self.read.size, self.units, True, indexed)
            calls = self.calls = _Calls(self.kernel, self.parameters, shape)
        return calls.forward(self._taken_apart(x), state)

    def _taken_apart(self, x: Tensor) -> dict[str, Tensor]:
        """Gives each input of the program by name, x under none."""
        if not self.places:
            return {MAIN_INPUT: x}
        return {name: x.index_select(-1, where) for name, where in self.places.items()}

    def unmoved(self) -> bool:
        """Says whether the parameters lie where they lay at the last call."""
        return self.calls is not None and self.calls.where == _places(self.parameters)

    def backward(self, dy: Tensor) -> dict[str, Tensor]:
        """See `base.LayerRecurrence`."""
        assert self.calls is not None
        return self.calls.backward(dy)


def _field(n: int, stack: Stack, shape: Shape) -> str:
    """Names the field that an input fills, for products with it or as it is."""
    if not stack.results:
        return f"x{n}"
    return f"x{n}_index" if n in shape.indexed else f"a{n}"


def _places(parameters: Mapping[str, Tensor]) -> list[int]:
    return [p.data_ptr() for p in parameters.values()]


class _Calls:
    """The calls of one shape, or with fewer steps: buffers, and structures with all that stays
    filled in."""

    def __init__(self, kernel: Kernel, parameters: Mapping[str, Tensor], shape: Shape) -> None:
        self.kernel, self.shape, self.plan = kernel, shape, kernel.plan
        self.inputs = [_field(n, stack, shape) for n, stack in enumerate(self.plan.stacks)]
        nodes = self.plan.program.nodes
        self.names = [
            nodes[s.operand if s.results else s.leaves[0]].name for s in self.plan.stacks
        ]  # of the inputs that fill them
        self.where = _places(parameters)
        self.shapes = {shape.steps: shape}  # by their steps
        self.known: dict[int, Int64Array] = {}  # structures of sizes, by their steps
        self.steps = shape.steps  # of the last call
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
        self._parameters()
        for name in self.back.form.fields:
            if name in {f"gx{n}" for n, s in enumerate(self.plan.stacks) if not s.results}:
                self.back.put(name, self._zeros("b", name))  # of inputs, which nobody wants
        self.outputs = [tuple(self._zeros("f", f"o{n}") for n in states) for _ in range(2)]
        self.turns = [self.forth, self.forth.copy()]  # they take turns in the states they write
        for structs, finals in zip(self.turns, self.outputs, strict=True):
            for n, final in enumerate(finals):
                structs.put(f"o{n}", final)
        self.turn = 0
        self.views: dict[int, Tensor] = {}  # of the outputs, by steps

    def shorter(self, steps: int) -> Shape:
        """Gives the shape of a call with so many steps, at most those of the memory."""
        shape = self.shapes.get(steps)
        if shape is None:
            shape = self.shapes[steps] = replace(self.shape, steps=steps)
        return shape

    def sizes(self, steps: int) -> Int64Array:
        """Gives the structure of sizes of a call with so many steps, which lives as long as this:
        a kernel forgets what it made for many sizes, and C may have the address."""
        found = self.known.get(steps)
        if found is None:
            found = self.known[steps] = self.kernel.sizes(self.shorter(steps))
        return found

    def anew(self) -> list[Structs]:
        """Gives the structures of the forward calls, once filled, for a state of zeros."""
        both = [structs.copy() for structs in self.turns]
        for structs in both:
            for n, final in enumerate(self.outputs[0]):
                structs.set(f"i{n}", torch.zeros_like(final))
        return both

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

    def _put(self, name: str, tensor: Tensor) -> None:
        """Fills a field in the structures of both calls, where they have it."""
        for structs in (self.forth, self.back):
            if name in structs.form.fields:
                structs.put(name, tensor)

    def _parameters(self) -> None:
        """Places the parameters and their gradients."""
        fields, inputs = self.back.form.fields, loop_inputs(self.plan, self.shape.indexed)
        rows = zip(inputs.names, inputs.gradients, inputs.sources, strict=True)
        for field, parts, (kind, key) in rows:
            if kind != "parameter":
                continue
            name = str(key)
            self._put(field, self.parameters[name])
            for part in parts:
                gradient = self._zeros("b", part)
                self.back.put(part, gradient)
                self.gradients.setdefault(name, []).append(gradient)
                if fields[part].zeros == "always":
                    self.sums.append(gradient)

    def forward(self, read: Mapping[str, Tensor], state: State) -> tuple[Tensor, State]:
        """See `base.LayerRecurrence.forward`; inputs are given by name."""
        read = {name: dense(x) for name, x in read.items()}  # the backward call reads them again
        self.turn = 1 - self.turn
        structs, finals = self.turns[self.turn], self.outputs[self.turn]
        self.steps = read[MAIN_INPUT].shape[1]
        shape = self.shorter(self.steps)
        form = self.kernel.form(shape, "f")
        for name, source in zip(self.inputs, self.names, strict=True):
            structs.set(name, read[source], form)
            self.back.share(name, structs)
        for n, (first, _) in enumerate(zip(state, finals, strict=True)):
            structs.set(f"i{n}", dense(first))
        self.kernel.run(self.sizes(self.steps), "f", structs)
        y = self.views.get(self.steps)
        if y is None:
            y = self.views[self.steps] = self.y[:, : self.steps]
        return y, finals

    def backward(self, dy: Tensor) -> dict[str, Tensor]:
        """See `base.LayerRecurrence.backward`."""
        for tensor in self.sums:
            tensor.zero_()
        shape = self.shorter(self.steps)
        self.back.set("dy", dense(dy), self.kernel.form(shape, "b"))
        self.kernel.run(self.sizes(self.steps), "b", self.back)
        return {n: g[0] if len(g) == 1 else sum(g[1:], g[0]) for n, g in self.gradients.items()}
