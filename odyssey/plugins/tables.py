"""The tables that a plug-in may have, one row each, and how its rows come into the package's."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from odyssey.errors import ConfigError, OdysseyError
from odyssey.plugins.source import PluginSource
from odyssey.registry import Registry
from odyssey.wording import quoted


@dataclass(frozen=True)
class Table:
    """Where the rows of a plug-in's table go.

    Attributes:
        registry: The table of the package, as `module:name`.
        taken: Collections whose names are taken as well, or functions that give one, as
            `module:name`.
        convert: A function that makes a row of what a plug-in writes, given the name and that, as
            `module:name`; or empty.
    """

    registry: str
    taken: tuple[str, ...] = ()
    convert: str = ""


# In the order in which they are filled: a cell may call a primitive of the same plug-in.
TABLES: dict[str, Table] = {
    "PRIMITIVES": Table(
        "odyssey.expr.primitives:PRIMITIVES",
        taken=(
            "odyssey.expr.forms:NAMED_FORMS",
            "odyssey.expr.reductions:OVER_UNITS",
            "odyssey.expr.limits:KEYWORDS",
            "odyssey.cells:library_words",
        ),
    ),
    "ABLATIONS": Table(
        "odyssey.transforms.ablations:ABLATIONS", taken=("odyssey.transforms.ablations:SHORT",)
    ),
    "CELLS": Table(
        "odyssey.cells:LIBRARY",
        taken=("odyssey.specs:VARIANTS", "odyssey.specs:CELL_SETS"),
        convert="odyssey.cells:plugin_entry",
    ),
    "MUTATIONS": Table(
        "odyssey.transforms.mutations:MUTATIONS",
        taken=("odyssey.transforms.crossover:CROSSOVERS",),
    ),
    "TASKS": Table("odyssey.tasks.registry:TASKS", taken=("odyssey.tasks.sets:TASK_SETS",)),
    "STRATEGIES": Table("odyssey.strategies.registry:STRATEGIES"),
    "PROBES": Table("odyssey.diagnostics.probes:PROBES"),
    "OPTIMIZERS": Table("odyssey.training.optimizer_rules:OPTIMIZERS"),
    "METRICS": Table("odyssey.training.metrics:METRICS"),
}


def resolve(address: str) -> Any:
    """Gives what `module:name` names."""
    module, _, name = address.partition(":")
    return getattr(importlib.import_module(module), name)


def registry_of(table: str) -> Registry[Any]:
    """Gives the package's table of a name in `TABLES`."""
    found: Registry[Any] = resolve(TABLES[table].registry)
    return found


def tables_in(module: ModuleType, source: PluginSource) -> dict[str, dict[str, Any]]:
    """Gives the tables of a plug-in that has been run, in the order of `TABLES`.

    Raises:
        ConfigError: It has none, one is no table, or one has a name that is almost right.
    """
    for name in vars(module):
        if name.isupper() and name not in TABLES and isinstance(vars(module)[name], Mapping):
            close = get_close_matches(name, TABLES, n=1, cutoff=0.8)
            if close:
                raise ConfigError(
                    f"{source.label}: {name} is no table of a plug-in; did you mean {close[0]}?"
                )
    found = {}
    for name in TABLES:
        table = vars(module).get(name)
        if table is None or isinstance(table, Registry):  # imported, to look something up
            continue
        if not isinstance(table, Mapping) or not all(isinstance(key, str) for key in table):
            raise ConfigError(
                f"{source.label}: {name} must be a dict from names to rows,"
                f" got {type(table).__name__}"
            )
        found[name] = dict(table)
    if not found:
        raise ConfigError(
            f"{source.label} has none of the tables of a plug-in: {', '.join(TABLES)}"
        )
    return found


def register(tables: Mapping[str, Mapping[str, Any]], source: PluginSource) -> None:
    """Adds the rows of a plug-in to the tables of the package: all of them, or none.

    Raises:
        ConfigError: A row is not what it should be, or its name is taken; the message names it.
    """
    added: list[tuple[Registry[Any], str]] = []
    try:
        for table in TABLES:
            for name, row in tables.get(table, {}).items():
                _add(table, name, row, source)
                added.append((registry_of(table), name))
    except BaseException:
        for registry, name in reversed(added):
            del registry[name]
        raise


def _add(table: str, name: str, row: Any, source: PluginSource) -> None:
    where = f"{source.label}: {table}"
    registry, entry = registry_of(table), TABLES[table]
    try:
        if name in registry or not entry.convert:
            registry.check(name, row)
        for address in entry.taken:
            taken = resolve(address)
            if name in (taken() if callable(taken) else taken):
                raise ConfigError(
                    f"{quoted(name)} cannot name a {registry.what}: it has another meaning in"
                    " odyssey, or in a cell of its library; give yours another name"
                )
        if entry.convert:
            row = resolve(entry.convert)(name, row, source.files or source.cells)
        registry.add(name, row, source=source.label)
    except OdysseyError as error:
        raise ConfigError(f"{where}: {error}") from None
