"""Whether an object shows itself: in a notebook it never fails to."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

_Self = TypeVar("_Self")


def shows(function: Callable[[_Self], str]) -> Callable[[_Self], str | None]:
    """Makes a `_repr_html_` that never raises: None has a notebook print the object instead."""

    @wraps(function)
    def shown(self: _Self) -> str | None:
        try:
            return function(self)
        except Exception:  # whatever it is: to look at an object must not fail
            return None

    return shown
