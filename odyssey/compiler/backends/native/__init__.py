"""The native backend: generated C for the time loop, compiled by the system's C compiler.

`plan.py` decides what is computed in which phase of a step and what is stored; `source/` writes the
C, `toolchain.py` compiles it and keeps it in a cache, `call/` calls it. `abi.py` is the border that
both sides share: tables of the fields of C structures, which write their text and are what Python
fills. `targets.py` says what processors there are.
"""

from __future__ import annotations

import sys
from functools import cache

from odyssey.compiler.backends.base import Layer
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.call.kernel import code_of
from odyssey.compiler.backends.native.call.layer import NativeLayer, has_loop
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.program import Program

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
    if not has_loop(program):
        return ""
    lacking = {n for n in code_of(program).plan.primitives if not PRIMITIVES[n].c}
    if lacking:
        return f"{program.name} uses {', '.join(sorted(lacking))}, which native code does not have"
    return missing()


def build(program: Program, *, population: bool, masked: bool) -> Layer:
    """Builds the layer; its code is compiled for a dtype when that is first used."""
    return NativeLayer(program, population=population, masked=masked)
