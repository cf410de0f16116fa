"""The time loop as an operator of torch: `torch.ops.odyssey.loop` and its backward operator.

An operator has an implementation for tensors with numbers, one for tensors without (shapes only),
and one that records gradients; with these torch can trace, export and compile what it cannot look
into. A cell is named by its text, so that a program that was exported can run in another process.
Nothing gets to C but through `abi.structures`.

A call goes through these steps: give each input the name of its field (`Inputs`), make the outputs,
borrow memory, fill a structure, run. The way back is the same. Where nothing watches what torch
does, calls go around its dispatcher (`run_loop`, `_below`), which costs more than a small cell.

Shapes: P members, T steps, B batch rows, I input, H hidden units of the largest member.

`loop(program, x, inputs, units, input_size, keep)` gives the outputs in the order of the table of
fields, the workspace last. `x` is (T, B) int64 or (T, B, I), and P leads there and everywhere if it
is a population; `inputs` are, for each stack, rows or vectors (not where class indices take rows),
its matrices and biases; then vectors, matrices of the loop and states. `keep` says that a backward
call follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from odyssey.compiler.arguments import has_values
from odyssey.compiler.backends.native.abi.structures import dense
from odyssey.compiler.backends.native.abi.tables import counts, length
from odyssey.compiler.backends.native.call.kernel import Code, Shape, code
from odyssey.compiler.backends.native.call.memory import lay_out
from odyssey.compiler.backends.native.call.prepared import prepared
from odyssey.compiler.backends.native.plan import Plan
from odyssey.errors import ConfigError

NO_SECOND = "backend 'native' has no second derivatives; build the RNN with backend='eager'"

PLAIN = (Tensor, torch.nn.Parameter)

_LIBRARY: Any = torch.library.Library("odyssey", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define(
    "loop(str program, Tensor x, Tensor[] inputs, int[] units, int input_size, bool keep=False)"
    " -> Tensor[]"
)
_LIBRARY.define(
    "loop_backward(str program, Tensor x, Tensor[] inputs, Tensor kept, Tensor?[] gradients,"
    " int[] units, int input_size, bool[] wanted) -> Tensor[]"
)


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
) -> tuple[Code, tuple[Any, ...]]:
    """Gives the code and the sizes of a call, as `Shape` takes them.

    Raises:
        ConfigError: There are no inputs or another number of them, or x has another number of
            members or axes.
    """
    compiled = code(program)
    plan = compiled.plan
    if not inputs:
        raise ConfigError(f"{plan.program.name}: its loop reads no tensors; use backend='eager'")
    lead = x.dim() - (3 if x.is_floating_point() else 2)
    if lead not in (0, 1) or len(units) != (x.shape[0] if lead else 1):
        raise ConfigError(
            f"{plan.program.name}: expected x as (T, B) or (T, B, I), or with P = {len(units)}"
            f" before that, got {tuple(x.shape)}"
        )
    indexed = _indexed(plan, x)
    if len(inputs) != len(compiled.inputs(indexed).names):
        raise ConfigError(f"{plan.program.name}: {len(inputs)} tensors are not what its loop reads")
    steps, batch = x.shape[lead], x.shape[lead + 1]
    return compiled, (steps, batch, input_size, tuple(units), keep, indexed, bool(lead))


def _loop(
    program: str,
    x: Tensor,
    inputs: Sequence[Tensor],
    units: Sequence[int],
    input_size: int,
    keep: bool = False,
) -> list[Tensor]:
    """Runs the sequence."""
    compiled, sizes = _begin(program, x, inputs, units, input_size, keep)
    call = prepared(compiled, inputs[-1].dtype, "f", sizes)
    kept = call.kept()
    return [*call.run(x, inputs, kept).values(), kept]


def _loop_backward(
    program: str,
    x: Tensor,
    inputs: Sequence[Tensor],
    kept: Tensor,
    gradients: Sequence[Tensor | None],
    units: Sequence[int],
    input_size: int,
    wanted: Sequence[bool],
) -> list[Tensor]:
    """Gives the gradients that come out of C, in the order of the table."""
    compiled, sizes = _begin(program, x, inputs, units, input_size, True)
    call = prepared(compiled, inputs[-1].dtype, "b", sizes)
    plan = compiled.plan
    arriving = _arriving(len(plan.program.states), plan.writes_output)
    if len(gradients) != len(arriving):
        raise ConfigError(f"expected {len(arriving)} gradients, got {len(gradients)}")
    others = {n: dense(g) for n, g in zip(arriving, gradients, strict=True) if g is not None}
    if plan.writes_output and "dy" not in others:
        dtype, size, _ = call.form.rows["dy"]
        others["dy"] = torch.zeros(size, dtype=dtype, device="cpu")
    return list(call.run(x, inputs, kept, others=others, wanted=wanted).values())


@cache
def _arriving(states: int, writes_output: bool) -> tuple[str, ...]:
    """Names the gradients of what `loop` gives before the workspace, as the table does."""
    return (*(f"do{n}" for n in range(states)), *(["dy"] if writes_output else []))


# tensors without numbers


def _like(
    compiled: Code,
    shape: Shape,
    call: str,
    like: Tensor,
    wanted: Sequence[bool] = (),
) -> list[Tensor]:
    lengths, lead = shape.all_lengths(compiled.plan), [shape.members] if shape.lead else []
    fields = compiled.table.of(call, shape.indexed)
    return [
        like.new_empty([*lead, *(length(s, lengths) for s in fields[name].shape or ())])
        for name in compiled.outputs(call, shape.indexed, tuple(wanted))
    ]


def _fake_loop(program: str, x: Tensor, inputs: Sequence[Tensor], *sizes: Any) -> list[Tensor]:
    compiled, known = _begin(program, x, inputs, *sizes)
    shape = Shape(*known)
    outputs = _like(compiled, shape, "f", inputs[-1])
    lengths = shape.all_lengths(compiled.plan)
    kept = counts(compiled.table.of("f", shape.indexed), "kept", lengths)
    total = lay_out(kept, shape.members).total
    return [*outputs, inputs[-1].new_empty(total)]


def _fake_backward(program: str, x: Tensor, inputs: Sequence[Tensor], *others: Any) -> list[Tensor]:
    _, _, units, input_size, wanted = others
    compiled, known = _begin(program, x, inputs, units, input_size, True)
    return _like(compiled, Shape(*known), "b", inputs[-1], wanted)


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
            ctx.save_for_backward(x, outputs[-1], *inputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, *arriving: Tensor | None) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives()
        x, kept, *inputs = ctx.saved_tensors
        gradients = [None if g is None else g.to_dense() for g in arriving[:-1]]
        units, input_size = ctx.sizes
        wanted = list(ctx.needs_input_grad[4:])
        arguments = (ctx.program, x, inputs, kept, gradients, units, input_size, wanted)
        leaving = _below(BACKWARD, _loop_backward, x, arguments)
        return (None, None, None, None, *_sorted(ctx.program, x, inputs, wanted, leaving))


def refuse_second_derivatives() -> None:
    """Raises within a backward pass that is itself to be differentiated.

    Raises:
        ConfigError: `create_graph=True`; what follows would silently be taken for a constant.
    """
    if torch.is_grad_enabled():
        raise ConfigError(NO_SECOND)


def _sorted(
    program: str,
    x: Tensor,
    inputs: Sequence[Tensor],
    wanted: Sequence[bool],
    leaving: Sequence[Tensor],
) -> list[Tensor | None]:
    """Gives the gradient of each input; a matrix that several products read gets the sum."""
    compiled = code(program)
    indexed = _indexed(compiled.plan, x)
    names = compiled.outputs("b", indexed, tuple(wanted))
    named = dict(zip(names, leaving, strict=True))
    gradients: list[Tensor | None] = []
    for tensor, parts in zip(inputs, compiled.inputs(indexed).gradients, strict=True):
        found = [named[part] for part in parts if part in named]
        if not found:
            gradients.append(None if parts else torch.zeros_like(tensor))
        else:
            gradients.append(sum(found[1:], found[0]))
    return gradients


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


def record_loop(
    program: str,
    x: Tensor,
    inputs: Sequence[Tensor],
    units: Sequence[int],
    input_size: int,
    keep: bool,
) -> list[Tensor]:
    """Calls `loop` where nothing watches and all tensors are plain; the caller has made sure."""
    if not keep:
        return _loop(program, x, inputs, units, input_size)
    sizes = list(units), input_size
    return list(_Recorded.apply(program, x, sizes, True, *inputs))  # type: ignore[no-untyped-call]


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
