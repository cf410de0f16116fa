"""Runs plug-ins, each once a process, and says which there are."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from odyssey.errors import ConfigError, OdysseyError
from odyssey.plugins import trust
from odyssey.plugins.source import PluginSource, digest_of, read_source
from odyssey.plugins.tables import register, tables_in

GROUP = "odyssey.plugins"  # of entry points
SWITCH = "ODYSSEY_PLUGINS"  # an environment variable; "none" loads no entry points
_PREFIX = "odyssey_plugin_"  # of the name of a module that is a file

_LOADED: dict[str, PluginSource] = {}  # by name, in the order in which they came


def loaded() -> tuple[PluginSource, ...]:
    """Gives the plug-ins of this process, in the order in which they were loaded."""
    return tuple(_LOADED.values())


def digests() -> tuple[str, ...]:
    """Gives the digests of the plug-ins of this process, sorted."""
    return tuple(sorted(source.sha256 for source in _LOADED.values()))


def load(spec: str | Path) -> PluginSource:
    """Runs a plug-in that the user names, and adds its rows to the tables of the package.

    To load the same one again does nothing.

    Args:
        spec: The path of a Python file, or the dotted name of a module.

    Raises:
        ConfigError: It cannot be read or run, a row is not what it should be, a name is taken, or
            another plug-in of this name, or another version of this one, is loaded already.
    """
    source = read_source(str(spec))
    _load(source)
    trust.remember(source)
    return source


def load_sources(sources: Iterable[PluginSource]) -> None:
    """Runs plug-ins as they are in another process; those that are loaded already stay."""
    for source in sources:
        if source.is_file or source.name in _LOADED:
            _load(source)
            continue
        here = read_source(source.name)
        if here.sha256 != source.sha256:
            raise ConfigError(
                f"the module {source.name} is another one here (sha256 {here.sha256[:12]}...,"
                f" not {source.sha256[:12]}...): install the same version on every machine"
            )
        _load(here)


def installed() -> dict[str, str]:
    """Loads the plug-ins of entry points; gives what was wrong with each, "" where nothing was."""
    if os.environ.get(SWITCH) == "none":
        return {}
    found = {}
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: p.value):
        try:
            load(point.value.partition(":")[0])
            found[point.value] = ""
        except OdysseyError as error:
            found[point.value] = str(error)
    return found


def _load(source: PluginSource) -> None:
    before = _LOADED.get(source.name)
    if before is not None:
        if before.sha256 == source.sha256:
            return
        raise ConfigError(
            f"{source.origin} is not the plug-in {source.name} that this process has loaded from"
            f" {before.origin} (sha256 {source.sha256[:12]}..., not {before.sha256[:12]}...);"
            " start a new process, or give one another name"
        )
    module = run_source(source)
    register(tables_in(module, source), source)
    _LOADED[source.name] = source


def run_source(source: PluginSource) -> ModuleType:
    """Runs the code of a plug-in, and nothing else; gives its module.

    Raises:
        ConfigError: Whatever it raises, in one line that says where.
    """
    if not source.is_file:
        with _one_line(source):
            return importlib.import_module(source.name)
    module = ModuleType(_PREFIX + source.name)
    module.__file__ = source.origin
    sys.modules[module.__name__] = module  # classes are pickled by the name of their module
    try:
        with _one_line(source):
            exec(compile(source.code, source.origin, "exec"), vars(module))
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module


@contextmanager
def _one_line(source: PluginSource) -> Iterator[None]:
    """Turns whatever a plug-in raises when it is run into one line that says where."""
    try:
        yield
    except (Exception, SystemExit) as error:  # a module must not end the process
        line: int | None = None
        if isinstance(error, SyntaxError):
            line, what = error.lineno, error.msg
        else:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f.lineno for f in frames if f.filename == source.path]
            line, what = (own[-1] if own else None), str(error)
        where = f"{source.label}{f', line {line}' if line else ''}"
        first = (what.strip() or "it says no more").splitlines()[0]
        raise ConfigError(f"{where}: {type(error).__name__}: {first}") from None


def check_recorded(records: Mapping[str, Mapping[str, str]], *, run: str) -> list[str]:
    """Says which plug-ins of a run are not loaded yet, by name.

    Args:
        records: What run.json says of its plug-ins: `PluginSource.record`, by name.
        run: The run, for messages.

    Raises:
        ConfigError: Another version of one is loaded.
    """
    missing = []
    for name, record in records.items():
        here = _LOADED.get(name)
        if here is None:
            missing.append(name)
        elif here.sha256 != record["sha256"]:
            raise ConfigError(
                f"{run} was made with another version of the plug-in {name} than {here.origin}"
                f" (sha256 {record['sha256'][:12]}..., not {here.sha256[:12]}...)"
                + (f"; its own is {run}/{record['kept']}" if here.is_file else "")
            )
    return missing


def load_recorded(
    records: Mapping[str, Mapping[str, str]], files: Mapping[str, Mapping[str, str]], *, run: str
) -> None:
    """Loads the plug-ins of a run, where the user has started the same code on this machine before.

    Args:
        records: What run.json says of its plug-ins, by name.
        files: The text files that the run keeps of each that is not loaded yet, by name.
        run: The run, for messages.

    Raises:
        ConfigError: What the run keeps is not what it began with, another version is loaded, or the
            code is of somebody else, as far as is known here.
    """
    for name, texts in files.items():
        record = records[name]
        if texts and digest_of(texts) != record["sha256"]:
            raise ConfigError(
                f"{run}/{record['kept']} is not the plug-in that the run began with;"
                " put it back, or name that with --plugin"
            )
        if not trust.is_trusted(record["sha256"]):
            whose = "whose code came with it and" if texts else "a module that"
            own = f"{run}/{record['kept']}" if texts else name
            raise ConfigError(
                f"{run} needs the plug-in {name}, {whose} has not been run on this machine;"
                f" if you trust it, add --plugin {own}"
            )
        if texts:
            origin = record["origin"]
            _load(PluginSource(name, origin, texts, record["sha256"], path=origin))
        else:
            load_sources([PluginSource(name, name, {}, record["sha256"])])
