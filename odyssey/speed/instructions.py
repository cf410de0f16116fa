"""Instruction sets, and how to hold every library that is measured to one of them.

Generated code obeys ODYSSEY_TARGET. The libraries it is measured beside have variables of their
own, which they read when they are loaded, so all are set before torch, numpy and scipy are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from odyssey.errors import ConfigError, suggest

OURS = "ODYSSEY_TARGET"
OTHERS: Mapping[str, Mapping[str, str]] = {
    "avx512": {},  # the widest that they know
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    },
    "sse2": {  # some of them have nothing narrower than SSE 4
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    },
    "neon": {},  # the only one that they know
}
"""Instruction set -> variables that hold torch's kernels, MKL, oneDNN, OpenBLAS and numpy to it."""

_READERS = ("torch", "numpy", "scipy")
_VARIABLES = sorted({name for variables in OTHERS.values() for name in variables})


def hold_to(target: str) -> None:
    """Holds our code and the other libraries to an instruction set, in this process and its own.

    Raises:
        ConfigError: It has no row in `OTHERS`, or a library that reads the variables is loaded.
    """
    if target not in OTHERS:
        raise ConfigError(suggest(target, OTHERS, what="instruction set"))
    loaded = [name for name in _READERS if name in sys.modules]
    if loaded:
        raise ConfigError(
            f"an instruction set must be chosen before {loaded[0]} is loaded, and it is loaded"
            f" already: call this first, or run `odyssey bench --target {target}`"
        )
    for name in _VARIABLES:
        os.environ.pop(name, None)  # perhaps another instruction set was asked for before
    os.environ |= {OURS: target, **OTHERS[target]}


def describe_others() -> str:
    """Says whether the other libraries are held to $ODYSSEY_TARGET; nothing where it is unset."""
    target = os.environ.get(OURS, "")
    if not target:
        return ""
    if target not in OTHERS:
        return f"not held to {target}"
    wanted = OTHERS[target]
    other = [
        name
        for name in _VARIABLES
        if os.environ.get(name, "").casefold() != wanted.get(name, "").casefold()
    ]
    return f"not held to {target} (see {', '.join(other)})" if other else f"held to {target}"
