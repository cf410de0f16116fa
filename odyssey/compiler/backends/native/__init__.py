"""The native backend: generated C for the time loop, compiled by the system's C compiler.

`plan.py` decides what is computed in which phase of a step and what is stored, `products.py` which
products a phase has; `source/` writes the C, `toolchain.py` compiles it and keeps it in a cache,
`call/` calls it. `abi/` is the border that both sides share: tables of the fields of C structures,
which write their text and are what Python fills. `targets.py` says what processors there are and
how products may be cut for them, `tuning.py` how they are cut on this one.
"""

from __future__ import annotations

from functools import cache

import torch

from odyssey.compiler.backends.base import Backend, TrainingStep
from odyssey.compiler.backends.native import toolchain, tuning
from odyssey.compiler.backends.native.call.kernel import DTYPES, code_of
from odyssey.compiler.backends.native.call.layer import NativeLayer, has_loop
from odyssey.compiler.backends.native.call.training_layer import native_recurrence
from odyssey.compiler.backends.native.call.training_step import NativeReadout, native_update
from odyssey.compiler.backends.native.call.training_steps import native_steps
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.program import Program
from odyssey.expr.sizes import is_matrix

PROBE = "".join(f"void {name}(void *a, void *b) {{}}\n" for name in toolchain.LOOP_ENTRIES)


def missing() -> str:
    """Says why nothing can be compiled here and now, or nothing."""
    try:
        _check(toolchain.compiler())
    except toolchain.BuildError as error:
        return str(error)
    return ""


@cache
def _check(command: tuple[str, ...]) -> None:
    """Raises `BuildError` if a compiler does not work; only that it works is remembered."""
    del command  # what is found of one compiler says nothing of another
    toolchain.load(PROBE)


def _supports(program: Program) -> str:
    if any(is_matrix(node.size) for node in program.nodes):
        return f"{program.name} has values that are matrices"
    if not has_loop(program):
        return ""
    lacking = {n for n in code_of(program).plan.primitives if not PRIMITIVES[n].c}
    if lacking:
        return f"{program.name} uses {', '.join(sorted(lacking))}, which native code does not have"
    return missing()


def _training() -> TrainingStep | None:
    # a cell without a time loop runs on the native backend without a compiler
    if missing():
        return None
    return TrainingStep(native_recurrence, NativeReadout, native_update, native_steps)


def _facts(dtype: torch.dtype) -> str:
    target = toolchain.target()
    return f"code for {target}, tilings {tuning.origin(DTYPES[dtype], target)}"


NATIVE = Backend(
    language="c", supports=_supports, build=NativeLayer, training=_training, facts=_facts
)
