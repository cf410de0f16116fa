"""The standard library's own source: a corpus that is there wherever Python is."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from pathlib import Path

from odyssey.errors import TaskError

_SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
)
# Written by the build of Python, full of paths and flags of one machine.
_BUILD_CONFIGURATION = "_sysconfigdata"


def python_source(size: int) -> bytes:
    """Reads `size` bytes of the standard library's source.

    All ASCII `*.py` files but tests, in the order of the sha256 of their relative paths, so that
    every split mixes modules from everywhere; cut after `size` bytes. The text depends on the
    version of Python.

    Raises:
        TaskError: The standard library has less source than that.
    """
    root = Path(sysconfig.get_path("stdlib"))
    pieces: list[bytes] = []
    missing = size
    for relative in sorted(_modules(root), key=lambda path: hashlib.sha256(path.encode()).digest()):
        try:
            source = (root / relative).read_bytes().replace(b"\r\n", b"\n")
        except OSError:
            continue  # a broken link is no part of the corpus
        if not source.isascii():
            continue
        pieces.append(source[:missing])
        missing -= len(pieces[-1])
        if missing == 0:
            return b"".join(pieces)
    raise TaskError(
        f"this Python has {size - missing} bytes of standard library source, not {size}; "
        "give python-source fewer with bytes=N, or use text:PATH"
    )


def _modules(root: Path) -> list[str]:
    """Lists the modules below `root` as relative paths with slashes."""
    found: list[str] = []
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if name not in _SKIPPED_FOLDERS]
        found += (
            Path(folder, name).relative_to(root).as_posix()
            for name in files
            if name.endswith(".py") and not name.startswith(_BUILD_CONFIGURATION)
        )
    return found
