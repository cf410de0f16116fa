"""From C source to a loaded library: the compiler, its flags, and the cache on disk.

A library's name in the cache is a hash of its source, the flags, the compiler's version and the
processor. It is written beside its place and renamed, so that any number of processes can want
the same one; a file that does not load is built anew; the least recently used go first when there
are too many.

A library is code that runs as this user, so one is loaded only from a folder and a file that belong
to this user or to root, and that nobody else may write. Where the cache cannot be used, libraries
are built for this process alone; their files are gone as soon as they are loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from odyssey.cache import cache_folder as folder_of
from odyssey.compiler.backends.native.targets import TARGETS
from odyssey.errors import ConfigError, suggest

COMPILERS = ("cc", "gcc", "clang")
FLAGS = (
    *("-O2", "-std=gnu11", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math"),
    *("-ffp-contract=fast", "-fno-semantic-interposition", "-w"),
)
TUNING = ("-march=native", "")  # the second where the compiler does not know the first
MAX_FILES = 2000
LOOP_ENTRIES = ("odyssey_forward", "odyssey_backward")
SECONDS = 120.0
STALE = 3600.0  # seconds; no build takes as long


class BuildError(ConfigError):
    """Reports that there is no C compiler, or that it failed."""


def cache_folder() -> Path:
    """Gives the folder of built libraries: $ODYSSEY_CACHE, or the user's cache folder."""
    return folder_of("native")


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
    if own not in able_targets():
        reason = suggest(own, able_targets(), what="vectors of this processor")
        raise ConfigError(f"ODYSSEY_TARGET: {reason}")
    return own


def able_targets() -> list[str]:
    """Lists the rows of `targets.TARGETS` that this processor runs, the widest first."""
    return [name for name in TARGETS if _runs(name)]


def widest() -> str:
    """Names the widest vectors of this processor: a row of `targets.TARGETS`."""
    return able_targets()[0]


def machine() -> str:
    """Names the kind of this processor, as `targets.Target.machine` does."""
    other = {"AMD64": "x86_64", "arm64": "aarch64"}  # as Windows and macOS say
    return other.get(platform.machine(), platform.machine())


_NEEDED = {"avx512": {"avx512f", "avx512dq", "avx512bw", "avx512vl"}, "avx2": {"avx2", "fma"}}


@cache
def _runs(name: str) -> bool:
    words = set(processor().split())
    return TARGETS[name].machine in ("", machine()) and _NEEDED.get(name, set()) <= words


@cache
def _version(command: tuple[str, ...], stamp: int) -> str:
    del stamp  # part of the key: an upgraded compiler has another
    result = subprocess.run(
        [*command, "--version"], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return result.stdout


def _tuning() -> tuple[str, ...]:
    """Gives the flags for the processor to try in turn; narrower ones where that is asked for."""
    return (TARGETS[target()].flags,) if os.environ.get("ODYSSEY_TARGET") else TUNING


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


def load(source: str, entries: Sequence[str] = LOOP_ENTRIES) -> ctypes.CDLL:
    """Gives the library of a source, from the cache or built.

    Args:
        source: The C file.
        entries: Its functions; each takes two pointers.

    Raises:
        BuildError: It cannot be built.
    """
    key = _key(source, compiler())
    if key in _UNCACHED:
        return _UNCACHED[key]
    folder = cache_folder()
    reason = prepare_cache(folder)
    if not reason:
        path = folder / f"{key}.so"
        if _is_whole(path):
            with contextlib.suppress(OSError):
                library = _open(path, entries)
                _touch(path)
                return library
        try:
            return _build(source, entries, path)
        except OSError as error:
            reason = f"{folder} cannot be written: {error.strerror or error}"
        except BuildError as error:  # perhaps the disk of the cache is full
            reason = str(error)
    library = _UNCACHED[key] = _build_uncached(source, entries)
    _notice(reason)
    return library


_UNCACHED: dict[str, ctypes.CDLL] = {}
"""Libraries of this process that are in no cache; a loaded library stays for its life anyway."""


def prepare_cache(folder: Path) -> str:
    """Makes the cache folder; says why it cannot be used, or nothing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _danger(folder, os.stat(folder))
    except OSError as error:
        return f"{folder} cannot be used: {error.strerror}"


def _danger(path: Path, status: os.stat_result) -> str:
    """Says whose a file or folder is where that is neither this user's nor root's, or nothing."""
    if status.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{path} can be written by other users (chmod go-w)"
    return ""


@cache
def _notice(reason: str) -> None:
    """Tells once why the cache is not used."""
    print(f"odyssey: compiled cells are not kept: {reason}", file=sys.stderr)


def _touch(path: Path) -> None:
    with contextlib.suppress(OSError):  # of a cache that is only read
        os.utime(path)


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Gives a new file beside a place, which goes there where nothing went wrong, in one piece.

    A kill leaves a file with a name that `_trim` clears away.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    os.close(handle)
    try:
        yield Path(name)
        os.replace(name, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def _build(source: str, entries: Sequence[str], path: Path) -> ctypes.CDLL:
    """Builds a library beside its place in the cache, loads it, and moves it there."""
    with beside(path) as new:
        compile_source(source, new)
        _seal(new)
        library = _open(new, entries)  # before the rename: what is in the cache has been loaded
    _trim(path.parent)
    return library


def _build_uncached(source: str, entries: Sequence[str]) -> ctypes.CDLL:
    """Builds a library that only this process has."""
    try:
        with tempfile.TemporaryDirectory(prefix="odyssey-") as folder:
            path = Path(folder) / "cell.so"
            compile_source(source, path)
            return _open(path, entries)
    except OSError as error:
        raise BuildError(f"cannot load what {compiler()[0]!r} built: {error}") from None


def _seal(path: Path) -> None:
    """Appends the hash of a library to it: loading a file that was cut short can kill a process."""
    digest = hashlib.sha256(path.read_bytes()).digest()
    with path.open("ab") as file:
        file.write(digest)
    path.chmod(0o700)  # whatever the umask gives to others


def _is_whole(path: Path) -> bool:
    """Says whether a library is all there, and nobody else's."""
    try:
        data = read_own(path)
    except OSError:
        return False
    return hashlib.sha256(data[:-32]).digest() == data[-32:]


def read_own(path: Path, *, most: int = -1) -> bytes:
    """Reads a regular file that belongs to this user or root and that nobody else may write.

    Args:
        path: The file.
        most: Bytes to read at most; all if negative.

    Raises:
        OSError: It cannot be read, or is none.
    """
    with open(path, "rb", opener=_open_regular) as file:
        danger = _danger(path, os.fstat(file.fileno()))
        if danger:
            raise OSError(danger)
        return file.read(most)


def _open_regular(path: str, flags: int) -> int:
    """Opens a regular file: not what a link leads to, and without waiting for a writer."""
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{path} is no regular file")
    return handle


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
    """Removes the least recently used libraries beyond `MAX_FILES`, and what killed builds left."""
    libraries: list[tuple[float, Path]] = []
    for path in folder.glob("*.so"):
        with contextlib.suppress(OSError):
            libraries.append((path.stat().st_mtime, path))
    for _, path in sorted(libraries)[: max(0, len(libraries) - MAX_FILES)]:
        with contextlib.suppress(OSError):
            path.unlink()
    for path in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()
