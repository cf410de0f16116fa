"""The torch side of the native backend: what runs before the loop, and the loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from odyssey.compiler.backends import eager
from odyssey.compiler.backends.base import Layer, State
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.codegen import generate
from odyssey.compiler.backends.native.kernel import DTYPES, Kernel, Shape
from odyssey.compiler.backends.native.loop import Call, Loop
from odyssey.compiler.backends.native.plan import Plan, make_plan
from odyssey.compiler.backends.native.prelude import Prelude
from odyssey.compiler.program import Program


@dataclass
class NativeLayer:
    """Runs a layer: the part before the loop in torch, the loop in C.

    Tensors elsewhere than on the CPU, and other dtypes, run on the eager backend.
    """

    program: Program
    population: bool
    masked: bool
    kernels: dict[torch.dtype, Kernel] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> NativeLayer:
        return self  # it holds code, no numbers

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kernels": {}}  # loaded anew from the cache

    @cached_property
    def plan(self) -> Plan | None:
        """The plan; None without a loop."""
        return make_plan(self.program) if has_loop(self.program) else None

    @cached_property
    def skip(self) -> set[int]:
        """What the loop computes itself of what comes before it."""
        assert self.plan is not None
        return {k for s in self.plan.stacks if s.results for k in (*s.leaves, *s.results)}

    def kernel(self, dtype: torch.dtype) -> Kernel:
        """Gives the compiled loop for float32 or float64."""
        if dtype not in self.kernels:
            assert self.plan is not None
            self.kernels[dtype] = Kernel(self.plan, dtype)
        return self.kernels[dtype]

    @property
    def source(self) -> str:
        """The C file for float32."""
        if self.plan is None:
            return f"/* {self.program.name} has no time loop: it runs in torch. */\n"
        return generate(self.plan, dtype="float32", target=toolchain.target())[0]

    @cached_property
    def _eager(self) -> Layer:
        return eager.build(self.program, population=self.population, masked=self.masked)

    def __call__(
        self,
        x: Tensor,
        state: State,
        parameters: Mapping[str, Tensor],
        mask: Tensor | None,
        sizes: tuple[int, int],
    ) -> tuple[Tensor, State]:
        """Runs the layer; see `backends.base.Layer`."""
        like = next(iter((*parameters.values(), *state, x)))
        if self.plan is None or like.device.type != "cpu" or like.dtype not in DTYPES:
            return self._eager(x, state, parameters, mask, sizes)
        plan, kernel = self.plan, self.kernel(like.dtype)
        lead = 1 if self.population else 0
        before = Prelude(
            plan.program,
            x,
            parameters,
            mask,
            input_size=sizes[0],
            population=self.population,
            skip=self.skip,
        )
        rows = [before.rows(s) for s in plan.stacks]
        tensors: list[Tensor | None] = []
        for r in rows:
            tensors += [r.values, *r.weights, *r.biases]
        tensors += [before.values[k].contiguous() for k in plan.vectors]
        tensors += [parameters[n].contiguous() for n in plan.matrices]
        tensors += [s.contiguous() for s in state]
        hidden = sizes[1]
        members = x.shape[0] if lead else 1
        units = (hidden,) * members if mask is None else tuple(mask.sum(-1).tolist())
        shape = Shape(members, x.shape[lead], x.shape[lead + 1], *sizes, units)
        keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
        index = [r.index for r in rows]
        if not lead:
            tensors = [None if t is None else t.unsqueeze(0) for t in tensors]
            index = [None if i is None else i.unsqueeze(0) for i in index]
        call = Call(kernel, shape, index, keep)
        outputs = Loop.apply(call, *tensors)  # type: ignore[no-untyped-call]
        if not lead:
            outputs = tuple(o.squeeze(0) for o in outputs)
        if plan.writes_output:
            y, *finals = outputs
        else:
            y, finals = self._whole(before, mask), list(outputs)
        return y, tuple(finals)

    def _whole(self, before: Prelude, mask: Tensor | None) -> Tensor:
        """The output where it is a value from before the loop."""
        y: Tensor = before.whole()
        return y if mask is None else torch.where(mask[:, None, None], y, y.new_zeros(()))


def has_loop(program: Program) -> bool:
    """Says whether any value depends on a state."""
    return any(n.region == "step" for n in program.nodes)
