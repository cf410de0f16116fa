"""What losses are counted by while a run is reported: bits per character, byte, symbol or step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from odyssey.wording import loss_of_all, unit_of_all

_TASKS: ContextVar[Mapping[str, Any]] = ContextVar("tasks", default={})  # noqa: B039 (never changed)


@contextmanager
def counting(run: Mapping[str, Any]) -> Iterator[None]:
    """Names losses by the tasks of a run: by symbols where some are of bytes, some of characters.

    Args:
        run: The facts of `run.json`.
    """
    tasks = run.get("tasks")
    before = _TASKS.set(tasks if isinstance(tasks, Mapping) else {})
    try:
        yield
    finally:
        _TASKS.reset(before)


def per(what: str = "bits") -> str:
    """Gives the unit of a loss in words: `bits per character`."""
    return loss_of_all(_TASKS.get(), what)


def symbols() -> str:
    """Names what is read and written: words, or characters, as which bytes are spoken of."""
    return "words" if unit_of_all(_TASKS.get()) == "words" else "characters"


def slash(what: str = "bits") -> str:
    """Gives the unit of a loss in a column's heading: `bits/char`."""
    return loss_of_all(_TASKS.get(), what, short=True)
