"""The torch side of the native backend: what runs before the loop, and the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from odyssey.compiler.arguments import has_values, transforms_active
from odyssey.compiler.backends.base import Layer, LayerSizes, State
from odyssey.compiler.backends.eager import EAGER, build_before_loop
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.call.inputs import Source
from odyssey.compiler.backends.native.call.kernel import DTYPES, Code, Kernel, code_of
from odyssey.compiler.backends.native.call.operator import record_loop, run_loop
from odyssey.compiler.backends.native.plan import Plan
from odyssey.compiler.backends.native.source.writer import generate
from odyssey.compiler.weights import Weights, hooked
from odyssey.errors import ConfigError
from odyssey.expr.program import MAIN_INPUT, Program
from odyssey.expr.sizes import resolve


@dataclass(frozen=True)
class _Zeros:
    """States of zeros, one a name, and the sizes that they are for."""

    key: object
    states: dict[str, Tensor | None]


class NativeLayer:
    """Runs a layer: the part before the loop in torch, the loop in C.

    What comes before the loop is large operations already, and autograd knows them. Products that
    only the loop reads are computed by its own tiles, block by block; others go to torch. Class
    indices never become vectors: their rows of the weight table, bias included, are read by the
    loop itself.

    The eager backend runs the layer where C cannot: on other devices and dtypes, under autocast,
    under the transforms of `torch.func` and forward-mode AD, for tensors of other classes.

    Attributes:
        code: Plan and kernels; None without a loop.
        eager: The layer on the eager backend.
    """

    def __init__(self, program: Program, *, population: bool, masked: bool) -> None:
        self.program, self.population = program, population
        # all is made here, for a compiler of torch reads a call and runs nothing of it
        self.eager: Layer = EAGER.build(program, population=population, masked=masked)
        self.code: Code | None = code_of(program) if has_loop(program) else None
        self.direct_inputs: list[Source] | None = None
        self.zeros = _Zeros(None, {})
        if self.code is not None:
            plan, nodes = self.code.plan, self.code.plan.program.nodes
            self.indexable = plan.indexable
            sources = self.code.inputs(frozenset()).sources
            self.code.inputs(plan.indexable)
            values = [int(k) for kind, k in sources if kind == "value"]
            read = [int(k) for kind, k in sources if kind == "operand"]
            whole = [] if plan.writes_output else [plan.program.output]
            self.values = list(dict.fromkeys((*values, *whole)))
            self.operands = [k for k in dict.fromkeys(read) if nodes[k].op != "input"]
            self.before = build_before_loop(
                plan.program, self.values, self.operands, population=population, masked=masked
            )
            if not self.values and not self.operands:  # it reads x, parameters and states
                self.direct_inputs = list(sources)

    def direct(
        self, x: Tensor, state: State | None, weights: Weights, sizes: LayerSizes
    ) -> tuple[Tensor, State] | None:
        """Runs the layer with none but C's own checks; see `backends.base.DirectLayer`."""
        if self.direct_inputs is None or torch.compiler.is_compiling() or not _plain_call(x):
            return None
        dense, given = x.is_floating_point(), weights._parameters
        lead = 1 if self.population else 0
        if x.dim() != lead + (3 if dense else 2) or not x.numel() or hooked(weights):
            return None
        if state is None:
            batch = x.shape[lead + 1]
            states = self._zero_states(batch, sizes, weights)
        else:
            states = dict(zip(self.program.states, state, strict=True))
        inputs: list[Any] = []
        for kind, name in self.direct_inputs:
            if kind == "parameter":
                inputs.append(given.get(str(name)))
            elif kind == "state":
                inputs.append(states[str(name)])
            elif dense:  # an index is no tensor of the loop's
                inputs.append(x)
        recording, wanted = torch.is_grad_enabled(), False
        for tensor in inputs:
            if type(tensor) not in _PLAIN or (recording and tensor.is_inference()):
                return None
            wanted = wanted or tensor.requires_grad
        try:
            outputs = record_loop(
                self.program.text, x, inputs, sizes[2], sizes[0], recording and wanted
            )
        except (ConfigError, RuntimeError):  # torch says so of sparse and nested tensors
            return None  # whoever checks all will say it better, or it is for the eager backend
        count = len(self.program.states)
        return outputs[count], tuple(outputs[:count])

    def _zero_states(
        self, batch: int, sizes: LayerSizes, weights: Weights
    ) -> dict[str, Tensor | None]:
        """Gives zeros that nobody else holds, for a call that begins without a state."""
        like = next((p for p in weights._parameters.values() if p is not None), None)
        if like is None or like.dtype not in DTYPES:
            return dict.fromkeys(self.program.states)
        lead, declared = (len(sizes[2]),) if self.population else (), self.program.state_sizes
        widths = tuple(resolve(size, *sizes[:2]) for size in declared) or (sizes[1],)
        key = (*lead, batch), widths, like.dtype
        if self.zeros.key != key:  # the last ones: sizes rarely change
            with torch.inference_mode(False):
                rows = {
                    n: torch.zeros((*lead, batch, n), dtype=like.dtype, device="cpu")
                    for n in set(widths)
                }
            each = widths if declared else widths * len(self.program.states)
            zeros = zip(self.program.states, (rows[n] for n in each), strict=True)
            self.zeros = _Zeros(key, dict(zeros))
        return self.zeros.states

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
        further: Sequence[Tensor] = (),
    ) -> tuple[Tensor, State]:
        """Runs the layer; see `backends.base.Layer`."""
        if self.code is None or _elsewhere(x, *further, *state, *parameters.values()):
            return self.eager(x, state, parameters, mask, sizes, further)
        plan, nodes = self.code.plan, self.code.plan.program.nodes
        input_size, hidden, units = sizes
        values = self.before(x, parameters, mask, input_size, hidden, further)
        read = {MAIN_INPUT: x} | dict(zip(self.program.inputs, further, strict=True))
        value = dict(zip(self.values, values, strict=False))
        known: dict[str, Mapping[Any, Tensor]] = {
            "value": value,
            "operand": dict(zip(self.operands, values[len(self.values) :], strict=True))
            | {k: read[node.name] for k, node in enumerate(nodes) if node.op == "input"},
            "parameter": parameters,
            "state": dict(zip(plan.program.states, state, strict=True)),
        }
        indexed = frozenset() if x.is_floating_point() else self.indexable
        tensors = [known[kind][key] for kind, key in self.code.inputs(indexed).sources]
        # what the input's gradient needs is among the tensors
        *outputs, _ = run_loop(self.program.text, x.detach(), tensors, units, input_size)
        count = len(state)
        if plan.writes_output:
            return outputs[count], tuple(outputs[:count])
        y = value[plan.program.output]  # a value from before the loop
        if mask is not None:
            y = torch.where(mask[:, None, None], y, y.new_zeros(()))
        return y, tuple(outputs[:count])


_PLAIN = (Tensor, torch.nn.Parameter)


def _plain_call(x: Tensor) -> bool:
    """Says whether a call is an ordinary one: nothing watches it, and nothing changes types."""
    return (
        type(x) in _PLAIN
        and x.is_cpu
        and has_values(x)
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._is_torch_function_mode_enabled()
    )


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
