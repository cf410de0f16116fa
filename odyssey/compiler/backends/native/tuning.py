"""Which tiling the products of a size have here: what `odyssey tune` has measured, or our own.

Measurements lie beside the compiled libraries, in a file for each kind of processor, target and
dtype. A process reads one once, and takes the tiling of the nearest size in it. What is not
this user's, not whole, or of another list of tilings is not used, and said so once. No number
depends on any of this (`targets`); how fast a study was does, so that its record holds the `origin`
of its tilings.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.targets import TARGETS, Tiling
from odyssey.errors import ConfigError

FORMAT = 1
BUILT_IN = "built in"
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Choice:
    """The tiling that was fastest for a size: H hidden units, B batch rows."""

    hidden: int
    batch: int
    tiling: Tiling


@dataclass(frozen=True)
class Tuning:
    """What was measured once.

    Attributes:
        choices: One for each size.
        date: The day, as 2026-01-31.
        digest: Hash of the file.
    """

    choices: tuple[Choice, ...]
    date: str
    digest: str

    def nearest(self, hidden: int, batch: int) -> Tiling:
        """Gives the tiling of the nearest size, by ratios of H and of B."""

        def distance(c: Choice) -> float:
            return math.hypot(math.log(c.hidden / hidden), math.log(c.batch / batch))

        return min(self.choices, key=distance).tiling


def tiling_for(dtype: str, target: str, hidden: int, batch: int) -> Tiling:
    """Gives the tiling for a size.

    Args:
        dtype: float32 or float64.
        target: A row of `targets.TARGETS`.
        hidden: H.
        batch: B.
    """
    tuning = _tuning(dtype, target)
    return tuning.nearest(hidden, batch) if tuning else TARGETS[target].tilings[0]


def origin(dtype: str, target: str) -> str:
    """Says where tilings come from: `built in`, or `tuned DATE DIGEST`."""
    tuning = _tuning(dtype, target)
    return f"tuned {tuning.date} {tuning.digest[:8]}" if tuning else BUILT_IN


def reread() -> None:
    """Forgets what was read, for tests: a process keeps to what it began with."""
    _tuning.cache_clear()


def tuning_file(dtype: str, target: str) -> Path:
    """Names the file of this processor's measurements."""
    return toolchain.cache_folder() / f"tiling-{_processor()}-{target}-{dtype}.json"


def write_tuning(
    dtype: str, target: str, choices: Sequence[Choice], *, date: datetime.date
) -> Path:
    """Writes measurements, which processes that start from now on use.

    Raises:
        ConfigError: The cache cannot be used.
    """
    require_cache()
    path = tuning_file(dtype, target)
    data = {
        **_head(dtype, target),
        "date": date.isoformat(),
        "choices": [
            {"hidden": c.hidden, "batch": c.batch, "tiling": c.tiling.name} for c in choices
        ],
    }
    text = json.dumps({**data, "digest": _digest(data)}, indent=1) + "\n"
    try:
        with toolchain.beside(path) as new:
            new.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def require_cache() -> None:
    """Raises where measurements cannot be kept.

    Raises:
        ConfigError: The cache cannot be used.
    """
    reason = toolchain.prepare_cache(toolchain.cache_folder())
    if reason:
        raise ConfigError(f"tilings cannot be kept: {reason}; or set ODYSSEY_CACHE to a folder")


def remove_tunings() -> list[Path]:
    """Removes all measurements of this processor; gives the files that there were.

    Raises:
        ConfigError: One cannot be removed.
    """
    paths = sorted(toolchain.cache_folder().glob(f"tiling-{_processor()}-*.json"))
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(f"{path} cannot be removed: {error.strerror or error}") from None
    return paths


@cache
def _tuning(dtype: str, target: str) -> Tuning | None:
    path = tuning_file(dtype, target)
    try:
        data = json.loads(toolchain.read_own(path, most=MOST_BYTES))
        return _checked(data, dtype, target)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        reason = "it is damaged"
    except _UnusableError as error:
        reason = str(error)
    _notice(path, reason)
    return None


class _UnusableError(Exception):
    """Says why a file is not used that is none of this installation's."""


def _checked(data: Any, dtype: str, target: str) -> Tuning:
    head = _head(dtype, target)
    if data["format"] != FORMAT:
        raise _UnusableError("another version of Odyssey wrote it")
    if {name: data[name] for name in head} != head:
        raise _UnusableError("it is that of another processor, target or dtype")
    digest = str(data.pop("digest"))
    if digest != _digest(data):
        raise ValueError
    choices = []
    for row in data["choices"]:
        tiling = TARGETS[target].tiling(row["tiling"])
        if tiling is None:
            raise _UnusableError("it names tilings that this version does not have")
        choices.append(Choice(_size(row["hidden"]), _size(row["batch"]), tiling))
    if not choices:
        raise ValueError
    date = datetime.date.fromisoformat(data["date"])
    return Tuning(tuple(choices), date.isoformat(), digest)


def _size(value: Any) -> int:
    if type(value) is not int or not 1 <= value < 2**31:
        raise ValueError
    return value


def _head(dtype: str, target: str) -> dict[str, Any]:
    return {"format": FORMAT, "processor": _processor(), "target": target, "dtype": dtype}


def _processor() -> str:
    return hashlib.sha256(toolchain.processor().encode()).hexdigest()[:16]


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


@cache
def _notice(path: Path, reason: str) -> None:
    """Tells once why a file is not used."""
    text = f"{path.name} is not used: {reason}; odyssey tune writes it anew"
    print(f"odyssey: {text}", file=sys.stderr)
