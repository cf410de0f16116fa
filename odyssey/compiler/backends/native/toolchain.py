"""From C source to a loaded library: the compiler, its flags, and the cache on disk.

A library's name in the cache is a hash of its source, the flags, the compiler's version and the
processor. It is written beside its place and renamed, so that any number of processes can want
the same one; a file that does not load is built anew; the least recently used go first when there
are too many.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from odyssey.compiler.backends.native.targets import TARGETS
from odyssey.errors import ConfigError, suggest

COMPILERS = ("cc", "gcc", "clang")
FLAGS = (
    *("-O2", "-std=gnu11", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math"),
    *("-ffp-contract=fast", "-fno-semantic-interposition", "-w"),
)
TUNING = ("-march=native", "")  # the second where the compiler does not know the first
MAX_FILES = 2000
ENTRIES = ("odyssey_forward", "odyssey_backward")
SECONDS = 120.0


class BuildError(ConfigError):
    """Reports that there is no C compiler, or that it failed."""


def cache_folder() -> Path:
    """Gives the folder of built libraries: $ODYSSEY_CACHE, or the user's cache folder."""
    own = os.environ.get("ODYSSEY_CACHE")
    if own:
        return Path(own) / "native"
    if platform.system() == "Darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "odyssey" / "native"


def compiler() -> tuple[str, ...]:
    """Finds the C compiler: $CC with its options, or the first of cc, gcc, clang.

    Raises:
        BuildError: There is none.
    """
    own = shlex.split(os.environ.get("CC", ""))
    if own:
        if shutil.which(own[0]) is None:
            raise BuildError(f"CC names {own[0]!r}, which is not there; unset it or install it")
        return tuple(own)
    for name in COMPILERS:
        if shutil.which(name):
            return (name,)
    raise BuildError(
        "backend 'native' needs a C compiler (cc, gcc or clang; for example: apt install gcc),"
        " or use backend 'eager'"
    )


@cache
def processor() -> str:
    """Describes the processor: what `-march=native` depends on."""
    lines = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text()
    wanted = ("model name", "flags", "Features", "CPU part")
    first = lines.split("\n\n")[0].splitlines()
    kept = [line for line in first if line.split("\t")[0].split(":")[0].strip() in wanted]
    return "\n".join([platform.machine(), platform.processor(), *kept])


def target() -> str:
    """Names the vectors to generate for: $ODYSSEY_TARGET, or the widest of this processor.

    Raises:
        ConfigError: The variable names no row of `targets.TARGETS`, or a wider one than it has.
    """
    own = os.environ.get("ODYSSEY_TARGET")
    if not own:
        return widest()
    able = list(TARGETS)[list(TARGETS).index(widest()) :]
    if own not in able:
        reason = suggest(own, able, what="vectors of this processor")
        raise ConfigError(f"ODYSSEY_TARGET: {reason}")
    return own


@cache
def widest() -> str:
    """Names the widest vectors of this processor: a row of `targets.TARGETS`."""
    words = set(processor().split())
    if {"avx512f", "avx512dq", "avx512bw", "avx512vl"} <= words:
        return "avx512"
    return "avx2" if {"avx2", "fma"} <= words else "plain"


@cache
def _version(command: tuple[str, ...], stamp: int) -> str:
    del stamp  # part of the key: an upgraded compiler has another
    result = subprocess.run(
        [*command, "--version"], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return result.stdout


def _tuning() -> tuple[str, ...]:
    """Gives the flags for the processor to try in turn; narrower ones where that is asked for."""
    own = os.environ.get("ODYSSEY_TARGET")
    if own and platform.machine() in ("x86_64", "AMD64"):
        return (TARGETS[target()].flags,)
    return TUNING


def _key(source: str, command: tuple[str, ...]) -> str:
    path = shutil.which(command[0])
    stamp = os.stat(path).st_mtime_ns if path else 0
    parts = (source, *FLAGS, *_tuning(), *command, _version(command, stamp), processor())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def compile_source(source: str, to: Path) -> None:
    """Compiles a source into a shared library.

    Raises:
        BuildError: There is no compiler, or it failed with all flags.
    """
    command = compiler()
    message = ""
    for tuning in _tuning():
        # options in CC come last, so that CC="cc -O0" or CC="cc -fsanitize=address" mean something
        arguments = [command[0], *FLAGS, *shlex.split(tuning), *command[1:]]
        try:
            done = subprocess.run(
                [*arguments, "-x", "c", "-", "-o", str(to), "-lm"],
                input=source,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            message = str(error)
            continue
        if done.returncode == 0:
            return
        message = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr)
    raise BuildError(
        f"the C compiler {' '.join(command)!r} failed: {message.strip()[:200]};"
        " set CC to another, or use backend 'eager'"
    )


def load(source: str, entries: Sequence[str] = ENTRIES) -> ctypes.CDLL:
    """Gives the library of a source, from the cache or built.

    Args:
        source: The C file.
        entries: Its functions; each takes two pointers.

    Raises:
        BuildError: It cannot be built.
    """
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # no cache to write to: build for this process only
        folder = Path(tempfile.mkdtemp(prefix="odyssey-"))
    path = folder / f"{_key(source, compiler())}.so"
    if _is_whole(path):
        with contextlib.suppress(OSError):
            library = _open(path, entries)
            os.utime(path)
            return library
    handle, name = tempfile.mkstemp(dir=folder, suffix=".tmp")
    os.close(handle)
    try:
        compile_source(source, Path(name))
        _seal(Path(name))
        library = _open(
            Path(name), entries
        )  # before the rename: what is in the cache has been loaded once
        os.replace(name, path)
    except OSError as error:
        raise BuildError(f"cannot load what {compiler()[0]!r} built: {error}") from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)
    _trim(folder)
    return library


def _seal(path: Path) -> None:
    """Appends the hash of a library to it: loading a file that was cut short can kill a process."""
    digest = hashlib.sha256(path.read_bytes()).digest()
    with path.open("ab") as file:
        file.write(digest)


def _is_whole(path: Path) -> bool:
    try:
        data = path.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data[:-32]).digest() == data[-32:]


def _open(path: Path, entries: Sequence[str]) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    try:
        for name in entries:
            function = getattr(library, name)
            function.restype = None
            function.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    except AttributeError as error:
        raise OSError(str(error)) from None
    return library


def _trim(folder: Path) -> None:
    """Removes the least recently used libraries beyond `MAX_FILES`."""
    found: list[tuple[float, Path]] = []
    for path in folder.glob("*.so"):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime, path))
    for _, path in sorted(found)[: max(0, len(found) - MAX_FILES)]:
        with contextlib.suppress(OSError):
            path.unlink()
