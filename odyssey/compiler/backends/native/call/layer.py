"""The torch side of the native backend: what runs before the loop, and the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from odyssey.compiler.arguments import transforms_active
from odyssey.compiler.backends.base import Layer, LayerSizes, State
from odyssey.compiler.backends.eager import EAGER
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.call.before_loop import BeforeLoop, functions
from odyssey.compiler.backends.native.call.kernel import DTYPES, Code, Kernel, code_of
from odyssey.compiler.backends.native.call.operator import run_loop
from odyssey.compiler.backends.native.plan import Plan
from odyssey.compiler.backends.native.source.writer import generate
from odyssey.compiler.program import Program


class NativeLayer:
    """Runs a layer: the part before the loop in torch, the loop in C.

    The eager backend runs it where C cannot: on other devices and dtypes, under autocast, under the
    transforms of `torch.func` and forward-mode AD, for tensors of other classes.

    Attributes:
        code: Plan and kernels; None without a loop.
        eager: The layer on the eager backend.
    """

    def __init__(self, program: Program, *, population: bool, masked: bool) -> None:
        self.program, self.population = program, population
        # all is made here, for a compiler of torch reads a call and runs nothing of it
        self.eager: Layer = EAGER.build(program, population=population, masked=masked)
        self.code: Code | None = code_of(program) if has_loop(program) else None
        self.skip: set[int] = set()  # what the loop computes itself of what comes before it
        self.functions: dict[str, Callable[..., Tensor]] = {}
        if self.plan is not None:
            stacks = [s for s in self.plan.stacks if s.results]
            self.skip = {k for s in stacks for k in (*s.leaves, *s.results)}
            self.functions = functions(self.plan.program)

    @property
    def plan(self) -> Plan | None:
        """The plan; None without a loop."""
        return self.code.plan if self.code else None

    def kernel(self, dtype: torch.dtype) -> Kernel:
        """Gives the compiled loop for float32 or float64."""
        assert self.code is not None
        return self.code.kernel(dtype)

    @property
    def source(self) -> str:
        """The C file for float32."""
        if self.plan is None:
            return f"/* {self.program.name} has no time loop: it runs in torch. */\n"
        return generate(self.plan, dtype="float32", target=toolchain.target())

    def __call__(
        self,
        x: Tensor,
        state: State,
        parameters: Mapping[str, Tensor],
        mask: Tensor | None,
        sizes: LayerSizes,
    ) -> tuple[Tensor, State]:
        """Runs the layer; see `backends.base.Layer`."""
        plan = self.plan
        if plan is None or _elsewhere(x, *state, *parameters.values()):
            return self.eager(x, state, parameters, mask, sizes)
        input_size, _, units = sizes
        before = BeforeLoop(
            plan.program,
            x,
            parameters,
            mask,
            input_size=input_size,
            population=self.population,
            skip=self.skip,
            functions=self.functions,
        )
        tensors: list[Tensor] = []
        for stack in plan.stacks:
            tensors += before.tensors(stack)
        tensors += [before.values[k] for k in plan.vectors]
        tensors += [parameters[n] for n in plan.matrices]
        tensors += state
        if not self.population:
            x, tensors = x.unsqueeze(0), [t.unsqueeze(0) for t in tensors]
        # what the input's gradient needs is among the tensors
        *outputs, _ = run_loop(self.program.text, x.detach(), tensors, units, input_size)
        if not self.population:
            outputs = [o.squeeze(0) for o in outputs]
        count = len(state)
        y = outputs[count] if plan.writes_output else self._whole(before, mask)
        return y, tuple(outputs[:count])

    def _whole(self, before: BeforeLoop, mask: Tensor | None) -> Tensor:
        """The output where it is a value from before the loop."""
        y: Tensor = before.whole()
        return y if mask is None else torch.where(mask[:, None, None], y, y.new_zeros(()))


_OURS = (Tensor, torch.nn.Parameter, FakeTensor)


def _elsewhere(*tensors: Tensor) -> bool:
    """Says whether a call is for the eager backend; see `NativeLayer`."""
    like = tensors[-1]
    if like.device.type != "cpu" or like.dtype not in DTYPES or torch.is_autocast_enabled("cpu"):
        return True
    if torch.compiler.is_compiling():
        return False
    if transforms_active() or not all(type(t) in _OURS for t in tensors):
        return True
    # what was made in inference mode cannot be kept for a backward pass; eager knows what it can do
    return torch.is_grad_enabled() and any(t.is_inference() for t in tensors)


def has_loop(program: Program) -> bool:
    """Says whether any value depends on a state."""
    return any(n.region == "step" for n in program.nodes)
