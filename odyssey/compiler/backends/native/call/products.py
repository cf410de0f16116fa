"""The compiled functions that all cells share, by type and tiling."""

from __future__ import annotations

import ctypes
from functools import cache

from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.source.shared import write_shared
from odyssey.compiler.backends.native.targets import Tiling

SOURCES: dict[int, str] = {}
"""The functions of this process: the address of their table -> their C file."""


@cache
def products(dtype: str, target: str, tiling: Tiling) -> int:
    """Gives the address of `struct products` for float32 or float64, compiled when first asked for.

    Raises:
        BuildError: It cannot be compiled.
    """
    source = write_shared(dtype=dtype, target=target, tiling=tiling)
    library = toolchain.load(source, ())  # which stays for the life of the process
    address = ctypes.addressof(ctypes.c_char.in_dll(library, "odyssey_products"))
    SOURCES[address] = source
    return address
