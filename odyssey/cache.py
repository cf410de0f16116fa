"""Where what can be made again is kept: $ODYSSEY_CACHE, or the user's cache folder."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def cache_folder(name: str) -> Path:
    """Gives the folder of one kind of things; it need not be there."""
    own = os.environ.get("ODYSSEY_CACHE")
    if own:
        return Path(own) / name
    if platform.system() == "Darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "odyssey" / name
