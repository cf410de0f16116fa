"""What losses are counted by while a run is reported: bits per character, byte, symbol or step.

And which end of its metrics is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from odyssey.wording import loss_of_all, unit_of_all

_TASKS: ContextVar[Mapping[str, Any]] = ContextVar("tasks", default={})  # noqa: B039 (never changed)
_METRICS: ContextVar[Mapping[str, Any]] = ContextVar("metrics", default={})  # noqa: B039


@contextmanager
def counting(run: Mapping[str, Any]) -> Iterator[None]:
    """Names losses by the tasks of a run: by symbols where some are of bytes, some of characters.

    Args:
        run: The facts of `run.json`.
    """
    tasks = run.get("tasks")
    metrics = run.get("metrics")
    before = _TASKS.set(tasks if isinstance(tasks, Mapping) else {})
    metrics_before = _METRICS.set(metrics if isinstance(metrics, Mapping) else {})
    try:
        yield
    finally:
        _TASKS.reset(before)
        _METRICS.reset(metrics_before)


def per(what: str = "bits") -> str:
    """Gives the unit of a loss in words: `bits per character`."""
    return loss_of_all(_TASKS.get(), what)


def symbols() -> str:
    """Names what is read and written: words, or characters, as which bytes are spoken of."""
    return "words" if unit_of_all(_TASKS.get()) == "words" else "characters"


def better_end(metric: str) -> str:
    """Says which end of a metric is better: high, low, or nothing where the run does not say."""
    found = _facts_of(metric).get("better")
    return found if found in ("high", "low") else ""


def chance_of(metric: str, task: str) -> float | None:
    """Gives what a guess scores by a metric; None where the run does not say."""
    known = _facts_of(metric).get("chance")
    found = known.get(task) if isinstance(known, Mapping) else None
    return found if isinstance(found, float) else None


def _facts_of(metric: str) -> Mapping[str, Any]:
    facts = _METRICS.get().get(metric)
    return facts if isinstance(facts, Mapping) else {}


def slash(what: str = "bits") -> str:
    """Gives the unit of a loss in a column's heading: `bits/char`."""
    return loss_of_all(_TASKS.get(), what, short=True)
