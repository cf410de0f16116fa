"""Temporary folders and files that say whose they are, so that what a kill left can be taken away.

A process is named by its machine, its number and the moment at which it began: numbers are used
again, and mean nothing on another machine. What cannot be shown to be dead stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

PREFIX = "odyssey-"
OWNER = "owner"  # the file in a folder that names its process
_MARK = re.compile(r"([0-9a-f]{12})-(\d+)-(\d*)")


@cache
def machine() -> str:
    """Names what a process number means something on: the machine, its start, its namespace.

    Empty where the system does not say.
    """
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts) if len(parts) == 3 else ""


def _began(process: int) -> str | None:
    """Gives the moment at which a process began, in ticks since the machine did.

    Empty for one that has ended, None where the system does not say.
    """
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return ""
        except OSError:
            pass
        return None
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def mark() -> str:
    """Names this process in a few letters that fit into a file name."""
    return _mark_of(os.getpid())  # a forked process has another


@cache
def _mark_of(process: int) -> str:
    digest = hashlib.sha256(machine().encode()).hexdigest()[:12]
    return f"{digest}-{process}-{_began(process)}"


def is_here(name: str) -> bool:
    """Tells whether a `mark` is of this machine, so that its process can be looked for."""
    found = _MARK.fullmatch(name)
    return bool(found and machine() and found[1] == mark().partition("-")[0])


def is_gone(name: str) -> bool:
    """Tells whether the process of a `mark` has certainly ended."""
    _, _, rest = name.partition("-")
    process, _, began = rest.partition("-")
    return is_here(name) and _began(int(process)) not in (began, None)


def temporary_name(path: Path) -> Path:
    """Names a file beside another one, for what will become it by a rename."""
    return path.with_name(f".{path.name}.{mark()}.{os.urandom(4).hex()}.tmp")


def sweep_files(folder: Path) -> None:
    """Removes the temporary files in a folder whose writers were killed."""
    for file in folder.glob(".*.tmp"):
        if is_gone(file.name.split(".")[-3]):
            with contextlib.suppress(OSError):
                file.unlink()


def sweep_folders(parent: Path, *, before: Callable[[Path], None] | None = None) -> None:
    """Removes the temporary folders of this user's whose processes were killed.

    Args:
        parent: Where they are.
        before: Called with a folder before it goes.
    """
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            own = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            gone = own and is_gone((folder / OWNER).read_text())
        except (OSError, UnicodeDecodeError):
            continue
        if gone:
            if before:
                before(folder)
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def scratch_folder(
    parent: str | None = None, *, before: Callable[[Path], None] | None = None
) -> Iterator[Path]:
    """Makes a temporary folder for as long as the context lasts; first sweeps dead ones.

    Args:
        parent: Where it is made; the system's place without one.
        before: As in `sweep_folders`, for this folder too.
    """
    sweep_folders(Path(parent or tempfile.gettempdir()), before=before)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    (folder / OWNER).write_text(mark())
    try:
        yield folder
    finally:
        if before:
            before(folder)
        shutil.rmtree(folder, ignore_errors=True)
