"""The last units of a row: loaded and stored alone, and no memory behind them is touched."""

import shlex
import subprocess
import sys

import pytest
from test_targets import COMPILED

from odyssey.compiler.backends.native import targets, toolchain
from odyssey.compiler.backends.native.source.frame import write_preamble
from odyssey.compiler.backends.native.source.functions import TYPES

COPY = "void copy(real *to, const real *from, long n) { st(to, ld(from, n) * 2, n); }\n"
AT_THE_END = """
import ctypes, mmap, sys
real, lanes = {"4": ctypes.c_float, "8": ctypes.c_double}[sys.argv[2]], int(sys.argv[3])
copy, page = ctypes.CDLL(sys.argv[1]).copy, mmap.PAGESIZE
copy.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int

def at_the_end():
    memory = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(start + page, page, 0) == 0
    size = 3 * lanes
    return memory, (real * size).from_address(start + page - size * ctypes.sizeof(real))

(held, source), (kept, to) = at_the_end(), at_the_end()
for n in range(1, lanes + 1):  # up to the last byte that there is
    for k in range(len(to)):
        source[k], to[k] = k + 1, -7
    end = len(to) - n
    copy(ctypes.addressof(to) + end * ctypes.sizeof(real),
         ctypes.addressof(source) + end * ctypes.sizeof(real), n)
    assert list(to) == [-7] * end + [2 * (k + 1) for k in range(end, len(to))], (n, list(to))
for n in range(lanes + 1):  # and what follows stays as it was; nothing, too
    for k in range(len(to)):
        to[k] = -7
    copy(ctypes.addressof(to), ctypes.addressof(source), n)
    assert list(to) == [2 * (k + 1) for k in range(n)] + [-7] * (len(to) - n), (n, list(to))
"""


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("target", COMPILED)
@pytest.mark.parametrize("optimised", ["-O0", "-O2"])
def test_up_to_the_end_of_memory(target, dtype, optimised, monkeypatch, tmp_path):
    row, command = targets.TARGETS[target], shlex.join(toolchain.compiler())
    monkeypatch.setenv("CC", f"{command} {row.flags} {optimised}")
    library, size = tmp_path / "copy.so", TYPES[dtype]["bits"]
    toolchain.compile_source(write_preamble("x", dtype=dtype, target=target) + COPY, library)
    if target in toolchain.able_targets():
        arguments = [str(library), str(size), str(row.bytes // size)]
        subprocess.run([sys.executable, "-c", AT_THE_END, *arguments], check=True)


@pytest.mark.parametrize("target", [t for t in COMPILED if targets.TARGETS[t].bytes > 16])
def test_there_is_no_call_for_them(target, monkeypatch, tmp_path):
    """Of memcpy, which the loads of what it has copied would wait for."""
    command = shlex.join(toolchain.compiler())
    monkeypatch.setenv("CC", f"{command} -O2 {targets.TARGETS[target].flags}")
    monkeypatch.setattr(toolchain, "FLAGS", (*toolchain.FLAGS, "-S"))
    toolchain.compile_source(
        write_preamble("x", dtype="float32", target=target) + COPY, path := tmp_path / "copy.s"
    )
    assert "mem" not in path.read_text()
