"""What losses are counted by while a run is reported: bits per character, byte or symbol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from odyssey.wording import each, unit_of_all

_UNIT: ContextVar[str] = ContextVar("unit", default="characters")


@contextmanager
def counting(run: Mapping[str, Any]) -> Iterator[None]:
    """Names losses by the tasks of a run: by symbols where some are of bytes, some of characters.

    Args:
        run: The facts of `run.json`.
    """
    tasks = run.get("tasks")
    before = _UNIT.set(unit_of_all(tasks if isinstance(tasks, Mapping) else {}))
    try:
        yield
    finally:
        _UNIT.reset(before)


def per(what: str = "bits") -> str:
    """Gives the unit of a loss in words: `bits per character`."""
    return f"{what} per {each(_UNIT.get())}"


def symbols() -> str:
    """Names what is read and written: words, or characters, as which bytes are spoken of."""
    return "words" if _UNIT.get() == "words" else "characters"


def slash(what: str = "bits") -> str:
    """Gives the unit of a loss in a column's heading: `bits/char`."""
    return f"{what}/{each(_UNIT.get(), short=True)}"
