"""The names of the devices that torch computes on, for what must know them without torch."""

from __future__ import annotations

import re

from odyssey.errors import ConfigError, suggest
from odyssey.wording import quoted

CPU = "cpu"
DEVICES = (CPU, "cuda", "mps")
"""What a device may be; `cuda:1` is the second of several."""


def check_device_name(value: object, *, what: str = "--device") -> None:
    """Raises `ConfigError` unless a value names a device.

    Args:
        value: The value.
        what: What it is, for the message.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{what} must be text, got {quoted(value)}")
    kind, colon, number = value.partition(":")
    if kind not in DEVICES:
        raise ConfigError(suggest(value, DEVICES, what=what))
    if colon and not (kind == "cuda" and re.fullmatch("[0-9]{1,3}", number)):
        raise ConfigError(
            f"{what} = {quoted(value)}: only cuda takes a number, as in cuda:1 for the second"
        )
