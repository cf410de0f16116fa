"""The time loop as an autograd function: tensors in, the call into C, gradients out.

Shapes: P members, T steps, B batch rows, I input, H hidden units of the largest member. A plain
module is a population of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odyssey.compiler.backends.native.kernel import Kernel, Shape
from odyssey.compiler.backends.native.memory import Arena, Fields, address
from odyssey.errors import ConfigError

NO_SECOND = "backend 'native' has no second derivatives; build the RNN with backend='eager'"


def refuse_second_derivatives() -> None:
    """Raises within a backward pass that is itself to be differentiated.

    Raises:
        ConfigError: `create_graph=True`; what follows would silently be taken for a constant.
    """
    if torch.is_grad_enabled():
        raise ConfigError(NO_SECOND)


@dataclass
class Call:
    """One call of the loop: everything but the tensors that autograd knows."""

    kernel: Kernel
    shape: Shape
    index: list[Tensor | None]
    keep: bool

    def parts(self, tensors: Sequence[Tensor | None]) -> tuple[list[Part], list[Tensor]]:
        """Sorts the inputs: what belongs to each stack; then vectors, matrices and states."""
        found, start = [], 0
        for stack in self.kernel.plan.stacks:
            maps = len(stack.results)
            end = start + 1 + 2 * maps
            found.append(
                Part(
                    start,
                    tensors[start],
                    tensors[start + 1 : start + 1 + maps],
                    tensors[end - maps : end],
                )
            )
            start = end
        return found, [t for t in tensors[start:] if t is not None]


@dataclass(frozen=True)
class Part:
    """The tensors of a stack: rows or vectors, matrices and biases, and their first position."""

    first: int
    values: Tensor | None
    weights: Sequence[Tensor | None]
    biases: Sequence[Tensor | None]

    def weight(self) -> Tensor:
        """Gives the matrices, stacked."""
        found = [w for w in self.weights if w is not None]
        return found[0] if len(found) == 1 else torch.cat(found, -2)

    def bias(self) -> Tensor | None:
        """Gives the biases side by side, zeros where there is none; None if there are none."""
        if all(b is None for b in self.biases):
            return None
        pairs = zip(self.weights, self.biases, strict=True)
        found = [w.new_zeros(w.shape[:-1]) if b is None else b for w, b in pairs if w is not None]
        return found[0] if len(found) == 1 else torch.cat(found, -1)


class Loop(torch.autograd.Function):
    """The time loop. Its outputs: y if it is a value of the loop, and the final states.

    Its inputs, all (P, ...): for each stack rows or vectors, matrices and biases (see `Rows`), then
    vectors, matrices and states.
    """

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """Runs the sequence; gives y (P, T, B, H) and final states (P, B, H)."""
        plan, shape, kernel = call.kernel.plan, call.shape, call.kernel
        P, T, B, H = shape.members, shape.steps, shape.batch, shape.hidden
        new = torch.zeros if shape.ragged else torch.empty
        parts, rest = call.parts(tensors)
        outputs = [new(P, B, H, dtype=kernel.dtype) for _ in plan.program.states]
        made = [_make(part, index) for part, index in zip(parts, call.index, strict=True)]
        fields = _inputs(call, parts, made, rest)
        fields.update({f"o{n}": address(f, P) for n, f in enumerate(outputs)})
        if plan.writes_output:
            outputs.insert(0, new(P, T, B, H, dtype=kernel.dtype))
            fields["y"] = address(outputs[0], P)
        kept = Arena(kernel.kept(shape, keep=call.keep), kernel.dtype)
        scratch = kernel.scratch(shape, _dense(made), backward=False)
        fields.update(kept.fields)
        fields.update(scratch.fields)
        kernel.run(shape, fields, backward=False, keep=call.keep)
        ctx.call = call
        if call.keep:
            ctx.save_for_backward(*tensors)
            ctx.kept, ctx.made = kept, made
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gives the gradient of every input, None where it has none."""
        refuse_second_derivatives()
        call: Call = ctx.call
        plan, shape, kernel = call.kernel.plan, call.shape, call.kernel
        P, B, H = shape.members, shape.batch, shape.hidden
        kept, made = ctx.kept, ctx.made
        parts, rest = call.parts(ctx.saved_tensors)
        fields = _inputs(call, parts, made, rest)
        scratch = kernel.scratch(shape, _dense(made), backward=True)
        fields.update(kept.fields)
        fields.update(scratch.fields)
        arriving = [g.contiguous() for g in gradients]
        fields.update(
            {f"do{n}": address(g, P) for n, g in enumerate(arriving[plan.writes_output :])}
        )
        if plan.writes_output:
            fields["dy"] = address(arriving[0], P)
        new = torch.zeros if shape.ragged else torch.empty
        found: list[Tensor | None] = []
        whole: list[Made] = []
        for n, stack in enumerate(plan.stacks):
            complete = all(leaf in plan.backward.leaves for leaf in stack.leaves)
            make = torch.empty_like if complete and not shape.ragged else torch.zeros_like
            rows, weight, bias = made[n]
            if weight is None:
                assert rows is not None
                whole.append((torch.zeros_like(rows) if stack.results else make(rows), None, None))
                names: tuple[str, ...] = ("gx",)
            else:
                values = parts[n].values
                assert values is not None
                into = None
                if ctx.needs_input_grad[1 + parts[n].first]:
                    into = torch.empty_like(values) if complete else torch.zeros_like(values)
                whole.append((into, make(weight), None if bias is None else torch.zeros_like(bias)))
                names = ("ga", "gw", "gq")
            for name, gradient in zip(names, whole[-1], strict=False):
                if gradient is not None:
                    fields[f"{name}{n}"] = address(gradient, P)
        vectors = [
            torch.zeros(P, kernel.total([k], shape), dtype=kernel.dtype) for k in plan.vectors
        ]
        fields.update({f"g{k}": address(v, P) for k, v in zip(plan.vectors, vectors, strict=True)})
        groups = []
        for n, group in enumerate(plan.groups):
            maps = kernel.writer.maps(group)
            if maps:
                rows_, columns = kernel.total(maps, shape), kernel.total([group.operand], shape)
                groups.append((maps, new(P, rows_, columns, dtype=kernel.dtype)))
                fields[f"gm{n}"] = address(groups[-1][1], P)
        first = [new(P, B, H, dtype=kernel.dtype) for _ in plan.program.states]
        fields.update({f"di{n}": address(g, P) for n, g in enumerate(first)})
        kernel.run(shape, fields, backward=True, keep=True)
        weights: dict[str, Tensor] = {}
        for maps, gradient in groups:
            pieces = torch.split(gradient, [kernel.total([r], shape) for r in maps], -2)
            for r, piece in zip(maps, pieces, strict=True):
                name = plan.program.nodes[r].name
                weights[name] = weights[name] + piece if name in weights else piece
        for part, stack, gradients_ in zip(parts, plan.stacks, whole, strict=True):
            found += _split(part, [kernel.total([k], shape) for k in stack.leaves], gradients_)
        found += vectors
        for name, matrix in zip(plan.matrices, rest[len(vectors) :], strict=False):
            found.append(weights[name] if name in weights else torch.zeros_like(matrix))
        return (None, *found, *first)


Made = tuple[Tensor | None, Tensor | None, Tensor | None]
"""What C reads of a stack: rows; or nothing, the stacked matrices and their biases."""


def _make(part: Part, index: Tensor | None) -> Made:
    if not part.weights:
        return part.values, None, None
    weight, bias = part.weight(), part.bias()
    if index is None:
        return None, weight.contiguous(), bias
    table = weight.mT if bias is None else weight.mT + bias.unsqueeze(-2)
    return table.contiguous(), None, None


def _dense(made: Sequence[Made]) -> list[int]:
    """Lists the stacks that are computed from vectors."""
    return [n for n, (rows, _, _) in enumerate(made) if rows is None]


def _split(part: Part, sizes: list[int], whole: Made) -> list[Tensor | None]:
    """Takes the gradient of what C read of a stack apart."""
    into, weight, bias = whole
    if not part.weights:
        return [into]
    if weight is None:
        assert into is not None
        weight, into = into.mT, None
        bias = into if all(b is None for b in part.biases) else weight.sum(-1)
    biases = [None] * len(sizes) if bias is None else torch.split(bias, sizes, -1)
    kept = [g if b is not None else None for g, b in zip(biases, part.biases, strict=True)]
    return [into, *torch.split(weight, sizes, -2), *kept]


def _inputs(
    call: Call, parts: Sequence[Part], made: Sequence[Made], rest: Sequence[Tensor]
) -> Fields:
    """Names the inputs of the loop as the C struct does."""
    kernel, shape = call.kernel, call.shape
    plan, P = kernel.plan, shape.members
    fields: Fields = {}
    for n, (stack, part, (rows, weight, bias)) in enumerate(
        zip(plan.stacks, parts, made, strict=True)
    ):
        index = call.index[n]
        fields[f"x{n}_row"] = kernel.total(stack.leaves, shape), 0
        if rows is not None:
            fields[f"x{n}"] = address(rows, P)
        if index is not None:
            fields[f"x{n}_index"] = address(index, P)
        if weight is not None and part.values is not None:
            fields[f"a{n}"], fields[f"wx{n}"] = address(part.values, P), address(weight, P)
        if bias is not None:
            fields[f"qx{n}"] = address(bias, P)
    names = [f"p{k}" for k in plan.vectors] + [f"m{n}" for n in range(len(plan.matrices))]
    names += [f"i{n}" for n in range(len(plan.program.states))]
    fields.update({f: address(t, P) for f, t in zip(names, rest, strict=True)})
    return fields
