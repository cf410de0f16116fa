"""Which code of plug-ins this user has started on this machine, by digest.

Code in a run directory may be anybody's. It is run only where the user has run the same code
before, by naming it: then its digest lies in the user's cache folder, as the name of a file.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from odyssey.plugins.source import PluginSource
from odyssey.user_cache import danger, user_cache


def remember(source: PluginSource) -> None:
    """Notes that the user has named a plug-in; where the cache cannot be written, does nothing."""
    with contextlib.suppress(OSError):
        folder = _folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark = folder / source.sha256
        if not mark.exists():
            mark.write_text(f"{source.origin}\n", "utf-8")


def is_trusted(digest: str) -> bool:
    """Tells whether the user has named this code before, on this machine."""
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        return False
    folder = _folder()
    try:
        return (folder / digest).is_file() and not danger(folder, os.stat(folder))
    except OSError:
        return False


def _folder() -> Path:
    return user_cache() / "plugins"
