"""Backends: each builds the same `Program` into something that runs a layer.

`base.py` is the contract, `eager/` plain torch, `native/` generated C. `BACKENDS` is the table;
`auto` takes the first that supports the program. To add one: a file here that fills in a
`base.Backend`, its row in `BACKENDS`, and its name in `odyssey.backend_names`, which is read where
torch must not be imported.
"""

from __future__ import annotations

import sys
from functools import cache

from odyssey.backend_names import BACKEND_NAMES
from odyssey.compiler.backends.base import Backend, Layer
from odyssey.compiler.backends.eager import EAGER
from odyssey.compiler.backends.native import NATIVE
from odyssey.errors import ConfigError, suggest
from odyssey.expr.program import Program

BACKENDS: dict[str, Backend] = {"native": NATIVE, "eager": EAGER}
assert tuple(BACKENDS) == BACKEND_NAMES


def build_layer(
    program: Program, backend: str, *, population: bool, masked: bool
) -> tuple[str, Layer]:
    """Builds a layer with the backend that `choose` takes; gives its name and the layer."""
    name = choose(program, backend)
    return name, BACKENDS[name].build(program, population=population, masked=masked)


def choose(program: Program, backend: str) -> str:
    """Names the backend that runs a program: the named one, or the first that can for `auto`.

    It depends on what is installed now, so the answer is not to be kept: who has no compiler may
    get one.

    Raises:
        ConfigError: There is no such backend, or it does not support the program.
    """
    if backend != "auto" and backend not in BACKENDS:
        raise ConfigError(suggest(backend, ["auto", *BACKENDS], what="backend"))
    reason = ""
    for name in BACKENDS if backend == "auto" else (backend,):
        lacking = BACKENDS[name].supports(program)
        if not lacking:
            if reason:
                notice(name, reason)
            return name
        reason = reason or lacking
    raise ConfigError(f"backend {backend!r} cannot run {program.name}: {reason}")


@cache
def notice(backend: str, reason: str) -> None:
    """Tells once that cells do not run on the fastest backend."""
    print(f"odyssey: cells run on the slower {backend} backend: {reason}", file=sys.stderr)
