"""Where the time of a run goes: seconds inside named functions, without what they call."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock


@contextmanager
def traced(parts: Mapping[str, Sequence[str]]) -> Iterator[dict[str, float]]:
    """Counts the seconds spent in each part of what runs inside, in one thread.

    A part is made of functions, `package.module:Class.method`. Time that a traced function spends
    in another traced function counts for the other one's part only.

    Args:
        parts: Part -> its functions.

    Yields:
        Part -> seconds so far.
    """
    spent = dict.fromkeys(parts, 0.0)
    running: list[str] = []
    last = 0.0

    def switch() -> None:
        nonlocal last
        now = time.perf_counter()
        if running:
            spent[running[-1]] += now - last
        last = now

    def timed(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            switch()
            running.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                switch()
                running.pop()

        return wrapper

    with ExitStack() as stack:
        for part, functions in parts.items():
            for name in functions:
                owner, attribute = _place(name)
                function = getattr(owner, attribute)
                stack.enter_context(mock.patch.object(owner, attribute, timed(function, part)))
        yield spent


def _place(name: str) -> tuple[Any, str]:
    """Finds the module or class that holds a function, and its name there."""
    module, _, path = name.partition(":")
    *outer, attribute = path.split(".")
    owner = functools.reduce(getattr, outer, importlib.import_module(module))
    assert hasattr(owner, attribute), f"there is no {name} to trace: it has moved"
    return owner, attribute
