"""What a study is read from: TOML text, and settings from outside that change it."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from odyssey.errors import ConfigError
from odyssey.hyperparameters import HYPERPARAMETERS
from odyssey.options import texts
from odyssey.studies.evolve.plan import SearchPlan
from odyssey.training.config import TrainingConfig
from odyssey.wording import quoted

Settings = Mapping[str, Any] | Sequence[str]
"""Overrides: `{"epochs": 5}`, or `("epochs=5",)`."""
MAX_DOTS = 1_000  # tomllib takes quadratic time to read a dotted key

# Where a field stands that is given by its name alone.
INNER = {
    **{o.name: f"training.{o.name}" for o in dataclasses.fields(TrainingConfig)},
    **{name: f"space.{name}" for name in HYPERPARAMETERS},
    **{o.name: f"strategy.{o.name}" for o in dataclasses.fields(SearchPlan) if o.type == "int"},
}


def read_toml(text: str) -> dict[str, Any]:
    """Reads TOML text.

    Raises:
        ConfigError: It is none, or what Python's reader cannot take.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > MAX_DOTS:
            raise ConfigError(f"not a study: line {number} has more than {MAX_DOTS:,} dots")
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise ConfigError("not a TOML file: nested too deeply") from None
    except ValueError as error:  # a TOMLDecodeError, or an integer of thousands of digits
        raise ConfigError(f"not a TOML file: {str(error).split(';')[0]}") from None
    _check_integers(data)
    return data


def _check_integers(value: Any) -> None:
    """Raises `ConfigError` for what TOML allows a reader to refuse: more than 64 bits."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_integers(inner)
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ConfigError(f"not a TOML file: an integer of more than 64 bits, {quoted(value)}")


def parse_settings(settings: Settings) -> dict[str, Any]:
    """Gives overrides by key, the last of a key; raises `ConfigError` for what is none."""
    if isinstance(settings, Mapping):
        return dict(settings)
    return dict(map(parse_setting, texts("settings", settings)))


def parse_setting(setting: str) -> tuple[str, Any]:
    """Reads `key=value`; the value is TOML, or plain text where it is not TOML."""
    key, equals, value = setting.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set takes key=value, got {quoted(setting)}")
    try:
        setting.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"--set {key!a}: the value is not UTF-8 text") from None
    try:
        found = read_toml(f"value = {value}")
    except ConfigError:
        return key.strip(), value
    # a second line in the value would be a second key
    return key.strip(), found["value"] if len(found) == 1 else value


def override(data: dict[str, Any], settings: Settings) -> None:
    """Changes the fields of a study in place.

    Args:
        data: The fields, as its TOML text has them.
        settings: Other values, by dotted key or by a name that `INNER` has.

    Raises:
        ConfigError: A setting is none, or a key goes through what is no table.
    """
    for key, value in parse_settings(settings).items():
        _set(data, key, value)


def _set(data: dict[str, Any], key: str, parsed: Any) -> None:
    path = key.split(".")
    if len(path) == 1 and path[0] in INNER:
        path = INNER[path[0]].split(".")
    for part in path[:-1]:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise ConfigError(f"--set {key}: {part} is not a table")
    data[path[-1]] = parsed
