"""The time loop as an operator of torch: `torch.ops.odyssey.loop` and its backward operator.

An operator has an implementation for tensors with numbers, one for tensors without (shapes only),
and one that records gradients; with these torch can trace, export and compile what it cannot look
into. A cell is named by its text, so that a program that was exported can run in another process.
Nothing gets to C but through `abi.structures`.

A call goes through these steps: sort the inputs by the stacks that they belong to (`stack_inputs`),
join and name them as the table of fields does (`_tensors`), make the outputs, borrow memory, fill a
structure, run. The way back is the same, and then takes apart again what was joined (`_apart`).
Where nothing watches what torch does, calls go around its dispatcher (`run_loop`, `_below`), which
costs more than a small cell.

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
from odyssey.compiler.backends.native.abi.structures import dense
from odyssey.compiler.backends.native.abi.tables import Field, counts, length
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
class StackInputs:
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
        biases = [w.new_zeros(w.shape[:-1]) if b is None else b for w, b in pairs]
        return biases[0] if len(biases) == 1 else torch.cat(biases, -1)

    def rows(self) -> Tensor:
        """Gives the rows that an index takes: the matrices' columns, biases added."""
        weight, bias = self.weight(), self.bias()
        return weight.mT if bias is None else weight.mT + bias.unsqueeze(-2)


def stack_inputs(
    plan: Plan, x: Tensor, inputs: Sequence[Any]
) -> tuple[list[StackInputs], list[Any]]:
    """Sorts inputs, or what there is one of for each: what belongs to stacks, and the rest.

    Raises:
        ConfigError: There are more or fewer than the program has.
    """
    left = list(inputs)
    parts = []
    count = len(plan.vectors) + len(plan.matrices) + len(plan.program.states)
    indexed = _indexed(plan, x)
    for n, stack in enumerate(plan.stacks):
        maps, biased = len(stack.results), sum(b is not None for b in stack.biases)
        first = 0 if n in indexed else 1
        if len(left) < first + maps + biased:
            break
        biases = iter(left[first + maps : first + maps + biased])
        parts.append(
            StackInputs(
                stack,
                left[0] if first else None,
                left[first : first + maps],
                [None if b is None else next(biases) for b in stack.biases],
            )
        )
        left = left[first + maps + biased :]
    if len(parts) != len(plan.stacks) or len(left) != count:
        raise ConfigError(f"{plan.program.name}: {len(inputs)} tensors are not what its loop reads")
    return parts, left


def _indexed(plan: Plan, x: Tensor) -> frozenset[int]:
    """Gives the stacks whose rows class indices take."""
    return frozenset() if x.is_floating_point() else plan.indexable


def _begin(
    program: str,
    x: Tensor,
    inputs: Sequence[Tensor],
    units: Sequence[int],
    input_size: int,
    keep: bool = False,
) -> tuple[Code, Shape]:
    """Gives the code and the sizes of a call.

    Raises:
        ConfigError: There are no inputs, or x has another number of members or axes.
    """
    compiled = code(program)
    if not inputs:
        raise ConfigError(
            f"{compiled.plan.program.name}: its loop reads no tensors; use backend='eager'"
        )
    if x.dim() < 3 or x.shape[0] != len(units):
        raise ConfigError(
            f"{compiled.plan.program.name}: expected x as (P, T, B) or (P, T, B, I) with"
            f" P = {len(units)}, got {tuple(x.shape)}"
        )
    indexed = _indexed(compiled.plan, x)
    return compiled, Shape(x.shape[1], x.shape[2], input_size, tuple(units), keep, indexed)


def _tensors(
    plan: Plan, shape: Shape, x: Tensor, inputs: Sequence[Tensor], wanted: Mapping[str, Field]
) -> dict[str, Tensor]:
    """Names the tensors that go in as the table does, row-major; only those that are wanted."""
    require_memory((x, *inputs))  # before torch joins what is one tensor in C
    parts, rest = stack_inputs(plan, x, inputs)
    _check_parts(plan, shape, parts)
    named: dict[str, Tensor] = {}
    index = None
    for n, part in enumerate(parts):
        if n in shape.indexed:
            if index is None:
                index = dense(x)
                require_classes(index, shape.input_size)
            named[f"x{n}_index"] = index
            if f"x{n}" in wanted:
                named[f"x{n}"] = dense(part.rows())
            continue
        assert part.values is not None
        named[f"a{n}" if part.weights else f"x{n}"] = dense(part.values)
        if part.weights:
            named[f"wx{n}"] = dense(part.weight())
            bias = part.bias() if f"qx{n}" in wanted else None
            if bias is not None:
                named[f"qx{n}"] = dense(bias)
    names = [f"p{k}" for k in plan.vectors] + [f"m{n}" for n in range(len(plan.matrices))]
    names += [f"i{n}" for n in range(len(plan.program.states))]
    for name, tensor in zip(names, rest, strict=True):
        if name in wanted:
            named[name] = dense(tensor)
    return named


def _check_parts(plan: Plan, shape: Shape, parts: Sequence[StackInputs]) -> None:
    """Checks the shapes of what is joined before C sees it, where broadcasting would hide one.

    Raises:
        ConfigError: One is wrong.
    """
    units = {"I": shape.input_size, "H": shape.hidden}
    for part in parts:
        for r, weight, bias in zip(part.stack.results, part.weights, part.biases, strict=True):
            rows, columns = units[plan.size(r)], units[plan.size(part.stack.operand)]
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
    outputs = {}
    for name, field in form.fields.items():
        if field.role != "output" or name in unwanted:
            continue
        dtype, size, _ = form.rows[name]
        zeros = field.zeros == "always" or (field.zeros == "ragged" and shape.ragged)
        outputs[name] = (torch.zeros if zeros else torch.empty)(size, dtype=dtype, device="cpu")
    return outputs


def _unwanted(plan: Plan, wanted: Sequence[bool]) -> set[str]:
    """Names the gradients that nobody wants or that are of nothing."""
    names = {f"ga{n}" for n, want in enumerate(wanted) if not want}
    return names | {f"gq{n}" for n, stack in enumerate(plan.stacks) if not stack.biased}


def _loop(
    program: str,
    x: Tensor,
    inputs: Sequence[Tensor],
    units: Sequence[int],
    input_size: int,
    keep: bool = False,
) -> list[Tensor]:
    """Runs the sequence."""
    compiled, shape = _begin(program, x, inputs, units, input_size, keep)
    kernel = compiled.kernel(inputs[-1].dtype)
    tensors = _tensors(compiled.plan, shape, x, inputs, kernel.form(shape, "f").fields)
    outputs = _outputs(kernel, shape, "f", set())
    kept = kernel.workspace(shape, "f", "kept")
    _run(kernel, shape, "f", kept, tensors | outputs)
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
    compiled, shape = _begin(program, x, inputs, units, input_size, True)
    plan, kernel = compiled.plan, compiled.kernel(inputs[-1].dtype)
    tensors = _tensors(plan, shape, x, inputs, kernel.form(shape, "b").fields)
    outputs = _outputs(kernel, shape, "b", _unwanted(plan, wanted))
    arriving = _arriving(len(plan.program.states), plan.writes_output)
    if len(gradients) != len(arriving):
        raise ConfigError(f"expected {len(arriving)} gradients, got {len(gradients)}")
    tensors |= {n: dense(g) for n, g in zip(arriving, gradients, strict=True)}
    _run(kernel, shape, "b", kept, tensors | outputs)
    return list(outputs.values())


def _run(
    kernel: Kernel, shape: Shape, call: str, kept: Tensor, tensors: Mapping[str, Tensor]
) -> None:
    """Fills a structure and calls C."""
    structs = kernel.structs(shape, call, kept, kernel.workspace(shape, call, "work"))
    for name, tensor in tensors.items():
        structs.put(name, tensor)
    kernel.run(kernel.sizes(shape), call, structs)


@cache
def _arriving(states: int, writes_output: bool) -> tuple[str, ...]:
    """Names the gradients of what `loop` gives before the workspace, as the table does."""
    return (*(f"do{n}" for n in range(states)), *(["dy"] if writes_output else []))


# tensors without numbers


def _like(
    compiled: Code, shape: Shape, call: str, like: Tensor, unwanted: set[str]
) -> dict[str, Tensor]:
    lengths = shape.lengths()
    return {
        name: like.new_empty([shape.members, *(length(s, lengths) for s in field.shape or ())])
        for name, field in compiled.table.of(call, shape.indexed).items()
        if field.role == "output" and name not in unwanted
    }


def _fake_loop(program: str, x: Tensor, inputs: Sequence[Tensor], *sizes: Any) -> list[Tensor]:
    compiled, shape = _begin(program, x, inputs, *sizes)
    stack_inputs(compiled.plan, x, inputs)
    outputs = _like(compiled, shape, "f", inputs[-1], set())
    kept = counts(compiled.table.of("f", shape.indexed), "kept", shape.lengths())
    total = lay_out(kept, shape.members).total
    return [*outputs.values(), inputs[-1].new_empty(total)]


def _fake_backward(program: str, x: Tensor, inputs: Sequence[Tensor], *others: Any) -> list[Tensor]:
    _, _, units, input_size, wanted = others
    compiled, shape = _begin(program, x, inputs, units, input_size, True)
    return list(_like(compiled, shape, "b", inputs[-1], _unwanted(compiled.plan, wanted)).values())


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
        needed, _ = stack_inputs(plan, x, ctx.needs_input_grad[4:])
        wanted = [bool(part.values) for part in needed]
        arguments = (ctx.program, x, inputs, kept, gradients, units, input_size, wanted)
        leaving = _below(BACKWARD, _loop_backward, x, arguments)
        return (None, None, None, None, *_apart(code(ctx.program), x, inputs, wanted, leaving))


def refuse_second_derivatives() -> None:
    """Raises within a backward pass that is itself to be differentiated.

    Raises:
        ConfigError: `create_graph=True`; what follows would silently be taken for a constant.
    """
    if torch.is_grad_enabled():
        raise ConfigError(NO_SECOND)


def _apart(
    code: Code,
    x: Tensor,
    inputs: Sequence[Tensor],
    wanted: Sequence[bool],
    leaving: Sequence[Tensor],
) -> list[Tensor | None]:
    """Takes gradients apart: what is one tensor in C are those of several inputs."""
    plan, unwanted = code.plan, _unwanted(code.plan, wanted)
    fields = code.table.of("b", _indexed(plan, x)).items()
    names = [n for n, f in fields if f.role == "output" and n not in unwanted]
    named: dict[str, Tensor] = dict(zip(names, leaving, strict=True))
    gradients: list[Tensor | None] = []
    parts, rest = stack_inputs(plan, x, inputs)
    for n, part in enumerate(parts):
        gradients += _of_stack(n, part, named)
    gradients += [named[f"g{k}"] for k in plan.vectors]
    weights: dict[str, Tensor] = {}
    for n, group in enumerate(plan.groups):
        maps = plan.trained(group)
        if not maps:
            continue
        rows = [rest[_matrix(plan, r)].shape[-2] for r in maps]
        for r, piece in zip(maps, torch.split(named[f"gm{n}"], rows, -2), strict=True):
            name = plan.program.nodes[r].name
            weights[name] = weights[name] + piece if name in weights else piece
    for name, matrix in zip(plan.matrices, rest[len(plan.vectors) :], strict=False):
        gradients.append(weights[name] if name in weights else torch.zeros_like(matrix))
    return gradients + [named[f"di{n}"] for n in range(len(plan.program.states))]


def _matrix(plan: Plan, r: int) -> int:
    """Finds the matrix of a product among the inputs that follow the stacks."""
    return len(plan.vectors) + plan.matrices.index(plan.program.nodes[r].name)


def _of_stack(n: int, part: StackInputs, named: Mapping[str, Tensor]) -> list[Tensor | None]:
    """Gives the gradients of what a stack is made of."""
    if not part.weights:
        return [named[f"gx{n}"]]
    into: list[Tensor | None] = []
    bias: Tensor | None
    if part.values is None:
        table = named[f"gx{n}"]
        weight, bias = table.mT, table.sum(-2)
    else:
        into.append(named.get(f"ga{n}"))
        weight, bias = named[f"gw{n}"], named.get(f"gq{n}")
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
        gradients: list[Tensor] = BACKWARD(*arguments)
    return gradients


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
