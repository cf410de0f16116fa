"""Options of jobs: frozen dataclasses that can be joined into one by inheritance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from odyssey.errors import ConfigError
from odyssey.wording import quoted


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options without any; those that are checked do so in `__post_init__`, and call this one."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if str(field.type) == "Sequence[str]":
                object.__setattr__(self, field.name, texts(field.name, getattr(self, field.name)))


def texts(name: str, value: Sequence[str]) -> tuple[str, ...]:
    """Gives texts as a tuple: one text alone is a list of it.

    Raises:
        ConfigError: They are none.
    """
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(text, str) for text in given):
        raise ConfigError(f"{name} must be a text or a list of texts, got {quoted(value)}")
    return tuple(given)
