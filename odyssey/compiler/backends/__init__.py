"""Backends: each builds the same `Program` into something that runs a layer.

`base.py` is what a backend is, `eager.py` is plain torch, `native/` generated C. `BACKENDS` lists
them; `auto` takes the first that supports the program. To add one: a file here with a
`build(program, *, population, masked) -> Layer` and a `supports(program) -> str` (empty, or the
reason why not), and its row in `BACKENDS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from odyssey.compiler.backends import eager, native
from odyssey.compiler.backends.base import Build, Layer, Supports
from odyssey.compiler.program import Program
from odyssey.errors import ConfigError, suggest


@dataclass(frozen=True)
class Backend:
    """One backend: what it can build, and how."""

    supports: Supports
    build: Build


BACKENDS: dict[str, Backend] = {
    "native": Backend(supports=native.supports, build=native.build),
    "eager": Backend(supports=eager.supports, build=eager.build),
}


def build_layer(
    program: Program, backend: str, *, population: bool, masked: bool
) -> tuple[str, Layer]:
    """Builds a layer with the named backend, or with the first that can for `auto`.

    Returns:
        The name of the backend that was taken, and the layer.

    Raises:
        ConfigError: There is no such backend, or it does not support the program.
    """
    if backend != "auto" and backend not in BACKENDS:
        raise ConfigError(suggest(backend, ["auto", *BACKENDS], what="backend"))
    reason = ""
    for name in BACKENDS if backend == "auto" else (backend,):
        reason = BACKENDS[name].supports(program)
        if reason and backend == "auto":
            native.notice(reason)
        if not reason:
            return name, BACKENDS[name].build(program, population=population, masked=masked)
    raise ConfigError(f"backend {backend!r} cannot run {program.name}: {reason}")
