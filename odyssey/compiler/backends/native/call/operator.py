"""The time loop as an operator of torch: `torch.ops.odyssey.loop` and its backward operator.

An operator has an implementation for tensors with numbers, one for tensors without (shapes only),
and one that records gradients; with these torch can trace, export and compile what it cannot look
into. A cell is named by its text, so that a program that was exported can run in another process.
Here is the gate: nothing gets to C but through `abi.Structs`.

Shapes: P members, T steps, B batch rows, I input, H hidden units of the largest member. A plain
module is a population of one.

`loop(program, x, inputs, units, input_size, keep)` gives the outputs in the order of the table of
fields, the workspace last. `x` is (P, T, B) int64 or (P, T, B, I); `inputs` are, for each stack,
rows or vectors (not where class indices take rows), its matrices and biases; then vectors, matrices
of the loop and states, all (P, ...). `keep` says that a backward call follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from odyssey.compiler.arguments import has_values, require_classes, require_memory
from odyssey.compiler.backends.native.abi import Field, counts, dense, length
from odyssey.compiler.backends.native.call.kernel import Code, Kernel, Shape, code
from odyssey.compiler.backends.native.call.memory import lay_out
from odyssey.compiler.backends.native.plan import Plan, Stack
from odyssey.errors import ConfigError

NO_SECOND = "backend 'native' has no second derivatives; build the RNN with backend='eager'"

PLAIN = (Tensor, torch.nn.Parameter)

_LIBRARY: Any = torch.library.Library("odyssey", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define(
    "loop(str program, Tensor x, Tensor[] inputs, int[] units, int input_size, bool keep=False)"
    " -> Tensor[]"
)
_LIBRARY.define(
    "loop_backward(str program, Tensor x, Tensor[] inputs, Tensor kept, Tensor[] gradients,"
    " int[] units, int input_size, bool[] wanted) -> Tensor[]"
)


@dataclass(frozen=True)
class Part:
    """The tensors of a stack: rows or vectors if they are computed, matrices, biases."""

    stack: Stack
    values: Tensor | None
    weights: Sequence[Tensor]
    biases: Sequence[Tensor | None]

    def weight(self) -> Tensor:
        """Gives the matrices, stacked."""
        return self.weights[0] if len(self.weights) == 1 else torch.cat(list(self.weights), -2)

    def bias(self) -> Tensor | None:
        """Gives the biases side by side, zeros where there is none; None if there are none."""
        if all(b is None for b in self.biases):
            return None
        pairs = zip(self.weights, self.biases, strict=True)
        found = [w.new_zeros(w.shape[:-1]) if b is None else b for w, b in pairs]
        return found[0] if len(found) == 1 else torch.cat(found, -1)

    def rows(self) -> Tensor:
        """Gives the rows that an index takes: the matrices' columns, biases added."""
        weight, bias = self.weight(), self.bias()
        return weight.mT if bias is None else weight.mT + bias.unsqueeze(-2)


def takes_index(plan: Plan, stack: Stack, x: Tensor) -> bool:
    """Says whether class indices take the rows of a stack."""
    reads_input = stack.results and plan.program.nodes[stack.operand].op == "input"
    return bool(reads_input) and not x.is_floating_point()


def parts_of(plan: Plan, x: Tensor, inputs: Sequence[Any]) -> tuple[list[Part], list[Any]]:
    """Sorts inputs, or what there is one of for each: what belongs to stacks, and the rest.

    Raises:
        ConfigError: There are more or fewer than the program has.
    """
    left = list(inputs)
    found = []
    count = len(plan.vectors) + len(plan.matrices) + len(plan.program.states)
    for stack in plan.stacks:
        maps, biased = len(stack.results), sum(b is not None for b in stack.biases)
        first = 0 if takes_index(plan, stack, x) else 1
        if len(left) < first + maps + biased:
            break
        biases = iter(left[first + maps : first + maps + biased])
        found.append(
            Part(
                stack,
                left[0] if first else None,
                left[first : first + maps],
                [None if b is None else next(biases) for b in stack.biases],
            )
        )
        left = left[first + maps + biased :]
    if len(found) != len(plan.stacks) or len(left) != count:
        raise ConfigError(f"{plan.program.name}: {len(inputs)} tensors are not what its loop reads")
    return found, left


def _shape(plan: Plan, x: Tensor, units: Sequence[int], input_size: int, keep: bool) -> Shape:
    if x.dim() < 3 or x.shape[0] != len(units):
        raise ConfigError(
            f"{plan.program.name}: expected x as (P, T, B) or (P, T, B, I) with P = {len(units)},"
            f" got {tuple(x.shape)}"
        )
    return Shape(x.shape[1], x.shape[2], input_size, tuple(units), keep, _indexed(plan, x))


def _indexed(plan: Plan, x: Tensor) -> frozenset[int]:
    return frozenset(n for n, s in enumerate(plan.stacks) if takes_index(plan, s, x))


def _tensors(
    plan: Plan, shape: Shape, x: Tensor, inputs: Sequence[Tensor], wanted: Mapping[str, Field]
) -> dict[str, Tensor]:
    """Names the tensors that go in as the table does, row-major; only those that are wanted."""
    require_memory((x, *inputs))  # before torch joins what is one tensor in C
    parts, rest = parts_of(plan, x, inputs)
    _check_parts(plan, shape, parts)
    found: dict[str, Tensor] = {}
    index = None
    for n, part in enumerate(parts):
        if n in shape.indexed:
            if index is None:
                index = dense(x)
                require_classes(index, shape.input_size)
            found[f"x{n}_index"] = index
            if f"x{n}" in wanted:
                found[f"x{n}"] = dense(part.rows())
            continue
        assert part.values is not None
        found[f"a{n}" if part.weights else f"x{n}"] = dense(part.values)
        if part.weights:
            found[f"wx{n}"] = dense(part.weight())
            bias = part.bias() if f"qx{n}" in wanted else None
            if bias is not None:
                found[f"qx{n}"] = dense(bias)
    names = [f"p{k}" for k in plan.vectors] + [f"m{n}" for n in range(len(plan.matrices))]
    names += [f"i{n}" for n in range(len(plan.program.states))]
    for name, tensor in zip(names, rest, strict=True):
        if name in wanted:
            found[name] = dense(tensor)
    return found


def _check_parts(plan: Plan, shape: Shape, parts: Sequence[Part]) -> None:
    """Checks the shapes of what is joined before C sees it, where broadcasting would hide one.

    Raises:
        ConfigError: One is wrong.
    """
    for part in parts:
        for r, weight, bias in zip(part.stack.results, part.weights, part.biases, strict=True):
            rows = plan.units(r, shape.input_size, shape.hidden)
            columns = plan.units(part.stack.operand, shape.input_size, shape.hidden)
            expected = (shape.members, rows, columns)
            if weight.shape != expected or not (bias is None or bias.shape == expected[:2]):
                name = plan.program.nodes[r].name
                raise ConfigError(
                    f"matrix {name} must be {expected} and its bias {expected[:2]}, got"
                    f" {tuple(weight.shape)} and {bias if bias is None else tuple(bias.shape)}"
                )


def _outputs(kernel: Kernel, shape: Shape, call: str, unwanted: set[str]) -> dict[str, Tensor]:
    """Makes the tensors that come out, in the order of the table."""
    form = kernel.form(shape, call)
    found = {}
    for name, field in form.fields.items():
        if field.role != "output" or name in unwanted:
            continue
        dtype, size, _ = form.rows[name]
        zeros = field.zeros == "always" or (field.zeros == "ragged" and shape.ragged)
        found[name] = (torch.zeros if zeros else torch.empty)(size, dtype=dtype, device="cpu")
    return found


def _unwanted(plan: Plan, wanted: Sequence[bool]) -> set[str]:
    """Names the gradients that nobody wants or that are of nothing."""
    names = {f"ga{n}" for n, want in enumerate(wanted) if not want}
    unbiased = (n for n, s in enumerate(plan.stacks) if all(b is None for b in s.biases))
    return names | {f"gq{n}" for n in unbiased}


def _real(plan: Plan, inputs: Sequence[Tensor]) -> torch.dtype:
    if not inputs:
        raise ConfigError(f"{plan.program.name}: its loop reads no tensors; use backend='eager'")
    return inputs[-1].dtype


def _loop(
    program: str,
    x: Tensor,
    inputs: Sequence[Tensor],
    units: Sequence[int],
    input_size: int,
    keep: bool = False,
) -> list[Tensor]:
    """Runs the sequence."""
    found = code(program)
    plan, kernel = found.plan, found.kernel(_real(found.plan, inputs))
    shape = _shape(plan, x, units, input_size, keep)
    tensors = _tensors(plan, shape, x, inputs, kernel.form(shape, "f").fields)
    outputs = _outputs(kernel, shape, "f", set())
    kept = kernel.workspace(shape, "f", "kept")
    structs = kernel.structs(shape, "f", kept, kernel.workspace(shape, "f", "work"))
    for name, tensor in (tensors | outputs).items():
        structs.put(name, tensor)
    kernel.run(kernel.sizes(shape), "f", structs)
    return [*outputs.values(), kept]


def _loop_backward(
    program: str,
    x: Tensor,
    inputs: Sequence[Tensor],
    kept: Tensor,
    gradients: Sequence[Tensor],
    units: Sequence[int],
    input_size: int,
    wanted: Sequence[bool],
) -> list[Tensor]:
    """Gives the gradients that come out of C, in the order of the table."""
    found = code(program)
    plan, kernel = found.plan, found.kernel(_real(found.plan, inputs))
    shape = _shape(plan, x, units, input_size, True)
    fields = kernel.form(shape, "b").fields
    tensors = _tensors(plan, shape, x, inputs, fields)
    outputs = _outputs(kernel, shape, "b", _unwanted(plan, wanted))
    arriving = arrivals(plan)
    if len(gradients) != len(arriving):
        raise ConfigError(f"expected {len(arriving)} gradients, got {len(gradients)}")
    tensors |= {n: dense(g) for n, g in zip(arriving, gradients, strict=True)}
    structs = kernel.structs(shape, "b", kept, kernel.workspace(shape, "b", "work"))
    for name, tensor in (tensors | outputs).items():
        structs.put(name, tensor)
    kernel.run(kernel.sizes(shape), "b", structs)
    return list(outputs.values())


@cache
def _order(states: int, writes_output: bool) -> tuple[str, ...]:
    return (*(f"o{n}" for n in range(states)), *(["y"] if writes_output else []))


def results(plan: Plan) -> tuple[str, ...]:
    """Names what `loop` gives before the workspace."""
    return _order(len(plan.program.states), plan.writes_output)


def arrivals(plan: Plan) -> tuple[str, ...]:
    """Names the gradients of that, as the table does."""
    return tuple(f"d{name}" for name in results(plan))


# tensors without numbers


def _like(
    found: Code, shape: Shape, call: str, like: Tensor, unwanted: set[str]
) -> dict[str, Tensor]:
    lengths = shape.lengths()
    return {
        name: like.new_empty([shape.members, *(length(s, lengths) for s in field.shape or ())])
        for name, field in found.table.of(call, shape.indexed).items()
        if field.role == "output" and name not in unwanted
    }


def _fake_loop(
    program: str,
    x: Tensor,
    inputs: Sequence[Tensor],
    units: Sequence[int],
    input_size: int,
    keep: bool = False,
) -> list[Tensor]:
    found = code(program)
    shape = _shape(found.plan, x, units, input_size, keep)
    parts_of(found.plan, x, inputs)
    outputs = _like(found, shape, "f", inputs[-1], set())
    kept = counts(found.table.of("f", shape.indexed), "kept", shape.lengths())
    total = lay_out(kept, shape.members).total
    return [*outputs.values(), inputs[-1].new_empty(total)]


def _fake_backward(
    program: str,
    x: Tensor,
    inputs: Sequence[Tensor],
    kept: Tensor,
    gradients: Sequence[Tensor],
    units: Sequence[int],
    input_size: int,
    wanted: Sequence[bool],
) -> list[Tensor]:
    del kept, gradients
    found = code(program)
    shape = _shape(found.plan, x, units, input_size, True)
    return list(_like(found, shape, "b", inputs[-1], _unwanted(found.plan, wanted)).values())


# gradients


class _Recorded(torch.autograd.Function):
    """The loop in a graph of gradients."""

    @staticmethod
    def forward(
        ctx: Any, program: str, x: Tensor, sizes: tuple[list[int], int], keep: bool, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        units, input_size = sizes
        arguments = (program, x, list(inputs), units, input_size, keep)
        outputs = tuple(_below(LOOP, _loop, x, arguments))
        ctx.mark_non_differentiable(outputs[-1])
        ctx.set_materialize_grads(False)
        if keep:
            ctx.program, ctx.sizes = program, sizes
            ctx.shapes = [o.shape for o in outputs[:-1]]
            ctx.save_for_backward(x, outputs[-1], *inputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor | None) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives()
        x, kept, *inputs = ctx.saved_tensors
        plan = code(ctx.program).plan
        gradients = [
            inputs[-1].new_zeros(shape) if g is None else g.to_dense()
            for shape, g in zip(ctx.shapes, arriving[:-1], strict=True)
        ]
        units, input_size = ctx.sizes
        needed, _ = parts_of(plan, x, ctx.needs_input_grad[4:])
        wanted = [bool(part.values) for part in needed]
        arguments = (ctx.program, x, inputs, kept, gradients, units, input_size, wanted)
        found = _below(BACKWARD, _loop_backward, x, arguments)
        return (None, None, None, None, *_apart(code(ctx.program), x, inputs, wanted, found))


def refuse_second_derivatives() -> None:
    """Raises within a backward pass that is itself to be differentiated.

    Raises:
        ConfigError: `create_graph=True`; what follows would silently be taken for a constant.
    """
    if torch.is_grad_enabled():
        raise ConfigError(NO_SECOND)


def _apart(
    code: Code, x: Tensor, inputs: Sequence[Tensor], wanted: Sequence[bool], found: Sequence[Tensor]
) -> list[Tensor | None]:
    """Takes gradients apart: what is one tensor in C are those of several inputs."""
    plan, unwanted = code.plan, _unwanted(code.plan, wanted)
    fields = code.table.of("b", _indexed(plan, x)).items()
    names = [n for n, f in fields if f.role == "output" and n not in unwanted]
    given: dict[str, Tensor] = dict(zip(names, found, strict=True))
    gradients: list[Tensor | None] = []
    parts, rest = parts_of(plan, x, inputs)
    for n, part in enumerate(parts):
        gradients += _of_stack(n, part, given)
    gradients += [given[f"g{k}"] for k in plan.vectors]
    weights: dict[str, Tensor] = {}
    for n, group in enumerate(plan.groups):
        maps = [r for r in group.results if r in plan.backward.results]
        if not maps:
            continue
        rows = [rest[_matrix(plan, r)].shape[-2] for r in maps]
        for r, piece in zip(maps, torch.split(given[f"gm{n}"], rows, -2), strict=True):
            name = plan.program.nodes[r].name
            weights[name] = weights[name] + piece if name in weights else piece
    for name, matrix in zip(plan.matrices, rest[len(plan.vectors) :], strict=False):
        gradients.append(weights[name] if name in weights else torch.zeros_like(matrix))
    return gradients + [given[f"di{n}"] for n in range(len(plan.program.states))]


def _matrix(plan: Plan, r: int) -> int:
    """Finds the matrix of a product among the inputs that follow the stacks."""
    return len(plan.vectors) + plan.matrices.index(plan.program.nodes[r].name)


def _of_stack(n: int, part: Part, given: Mapping[str, Tensor]) -> list[Tensor | None]:
    """Gives the gradients of what a stack is made of."""
    if not part.weights:
        return [given[f"gx{n}"]]
    into: list[Tensor | None] = []
    bias: Tensor | None
    if part.values is None:
        table = given[f"gx{n}"]
        weight, bias = table.mT, table.sum(-2)
    else:
        into.append(given.get(f"ga{n}"))
        weight, bias = given[f"gw{n}"], given.get(f"gq{n}")
    rows = [w.shape[-2] for w in part.weights]
    biases: list[Tensor] = [] if bias is None else list(torch.split(bias, rows, -1))
    kept = [g for g, b in zip(biases, part.biases, strict=False) if b is not None]
    return [*into, *torch.split(weight, rows, -2), *kept]


def _autograd(
    program: str,
    x: Tensor,
    inputs: Sequence[Tensor],
    units: Sequence[int],
    input_size: int,
    keep: bool = False,
) -> list[Tensor]:
    """Records a call where a gradient is wanted; that decides whether the workspace is kept."""
    keep = keep or (torch.is_grad_enabled() and any(t.requires_grad for t in inputs))
    sizes = list(units), input_size
    return list(_Recorded.apply(program, x, sizes, keep, *inputs))  # type: ignore[no-untyped-call]


def _no_second(*arguments: Any) -> list[Tensor]:
    """Refuses to record a backward call."""
    refuse_second_derivatives()
    with torch._C._AutoDispatchBelowAutograd():
        found: list[Tensor] = BACKWARD(*arguments)
    return found


def _below(
    operator: Callable[..., list[Tensor]],
    implementation: Callable[..., list[Tensor]],
    x: Tensor,
    arguments: tuple[Any, ...],
) -> list[Tensor]:
    """Runs an operator below the recording of gradients: at once, where nothing watches."""
    tensors = (t for a in arguments if isinstance(a, list) for t in a if isinstance(t, Tensor))
    if has_values(x) and all(type(t) in PLAIN for t in tensors):
        return implementation(*arguments)
    with torch._C._AutoDispatchBelowAutograd():
        return operator(*arguments)


def run_loop(program: str, x: Tensor, *arguments: Any) -> list[Tensor]:
    """Calls `loop`; without the dispatcher where nothing watches it."""
    call = _autograd if has_values(x) and all(type(t) in PLAIN for t in arguments[0]) else LOOP
    return call(program, x, *arguments)


_IMPLEMENTATIONS: dict[str, tuple[Callable[..., list[Tensor]], ...]] = {
    "loop": (_loop, _autograd, _fake_loop),
    "loop_backward": (_loop_backward, _no_second, _fake_backward),
}
for _name, (_cpu, _graph, _fake) in _IMPLEMENTATIONS.items():
    _LIBRARY.impl(_name, _cpu, "CPU")
    _LIBRARY.impl(_name, _graph, "Autograd")
    torch.library.register_fake(f"odyssey::{_name}", _fake, lib=_LIBRARY)

LOOP: Callable[..., list[Tensor]] = torch.ops.odyssey.loop.default
BACKWARD: Callable[..., list[Tensor]] = torch.ops.odyssey.loop_backward.default
