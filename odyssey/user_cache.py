"""The user's cache folder, and whether what lies in one may be trusted."""

from __future__ import annotations

import os
import platform
import stat
from pathlib import Path


def user_cache() -> Path:
    """Gives $ODYSSEY_CACHE, or the folder of Odyssey in the user's cache folder."""
    own = os.environ.get("ODYSSEY_CACHE")
    if own:
        return Path(own)
    if platform.system() == "Darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "odyssey"


def danger(path: Path, status: os.stat_result) -> str:
    """Says whose a file or folder is where that is neither this user's nor root's, or nothing."""
    if status.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{path} can be written by other users (chmod go-w)"
    return ""
