"""The native backend: generated C for the time loop, compiled by the system's C compiler.

* `plan.py` decides what is computed in which phase of a step and what is stored;
* `codegen.py`, `pointwise.py`, `functions.py` and `runtime.py` write the C file;
* `toolchain.py` compiles it and keeps it in a cache;
* `prelude.py` runs what comes before the loop in torch, `layer.py` calls the loop,
  `products.py` the whole products around it;
* `step_source.py` and `step.py` do the same for the rest of a training step, which no cell changes.
"""

from __future__ import annotations

import sys
from functools import cache

from odyssey.compiler.backends.base import Layer
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.layer import NativeLayer, has_loop
from odyssey.compiler.program import Program

PROBE = "".join(f"void {name}(void *a, void *b) {{}}\n" for name in toolchain.ENTRIES)


@cache
def missing() -> str:
    """Says why nothing can be compiled here, or nothing."""
    try:
        toolchain.load(PROBE)
    except toolchain.BuildError as error:
        return str(error)
    return ""


@cache
def notice(reason: str) -> None:
    """Tells once that cells run on the eager backend."""
    print(f"odyssey: cells run on the slower eager backend: {reason}", file=sys.stderr)


def supports(program: Program) -> str:
    """Says why a program cannot run here, or nothing."""
    return missing() if has_loop(program) else ""


def build(program: Program, *, population: bool, masked: bool) -> Layer:
    """Builds the layer; its code is compiled for a dtype when that is first used."""
    return NativeLayer(program, population=population, masked=masked)
