"""The tasks by name, and the specs that address them: `NAME[@key=value,...]`, `text:PATH[@...]`."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odyssey.errors import TaskError, suggest
from odyssey.tasks.arithmetic import Arithmetic
from odyssey.tasks.base import Task
from odyssey.tasks.download import DATASETS, dataset_path
from odyssey.tasks.memorization import ALPHABET, Memorization
from odyssey.tasks.options import (
    Option,
    choice,
    fraction,
    read_options,
    shorten,
    show_options,
    split,
    whole,
)
from odyssey.tasks.python_source import python_source
from odyssey.tasks.text import TextTask, read_file
from odyssey.tasks.xml import Xml

TEXT_PREFIX = "text:"
_PAIRS = re.compile(r"\s*\w+\s*=[^,=]*(,\s*\w+\s*=[^,=]*)*")


@dataclass(frozen=True)
class TaskRow:
    """Describes one task of the table below.

    Attributes:
        summary: One line about it.
        options: What may stand after the '@'.
        make: Makes the task from its normalised spec and the value of each option.
    """

    summary: str
    options: tuple[Option, ...]
    make: Callable[[str, dict[str, Any]], Task]


def _text_options(split_default: str) -> tuple[Option, ...]:
    return (choice("unit", "bytes", among=("bytes", "characters")), split(split_default))


def _make_python_source(name: str, values: dict[str, Any]) -> Task:
    data = python_source(values["bytes"])
    facts = {"python": platform.python_version()}
    return TextTask(name, data, unit="bytes", split=values["split"], facts=facts)


def _make_corpus(corpus: str) -> Callable[[str, dict[str, Any]], Task]:
    def make(name: str, values: dict[str, Any]) -> Task:
        facts = {"licence": DATASETS[corpus].licence}
        return TextTask(name, read_file(dataset_path(corpus)), **values, facts=facts)

    return make


_TASKS: dict[str, TaskRow] = {
    "memorization": TaskRow(
        "read 5 letters and reproduce them in order (Jozefowicz et al., 2015)",
        (
            whole("length", 5, least=1, most=1000),
            whole("symbols", 26, least=2, most=len(ALPHABET)),
        ),
        lambda name, values: Memorization(name, **values),
    ),
    "arithmetic": TaskRow(
        "add and subtract numbers written among distractors (Jozefowicz et al., 2015)",
        (
            whole("digits", 8, least=1, most=18),
            fraction("distractors", 0.48, most=0.95),
        ),
        lambda name, values: Arithmetic(name, **values),
    ),
    "xml": TaskRow(
        "nested tags with random names (Jozefowicz et al., 2015)",
        (whole("max_steps", 50, least=1, most=1000),),
        lambda name, values: Xml(name, **values),
    ),
    "python-source": TaskRow(
        "the source of this Python's standard library; needs no download",
        (whole("bytes", 2_000_000, least=100, most=100_000_000), split("90/5/5")),
        _make_python_source,
    ),
    **{
        name: TaskRow(dataset.summary, _text_options(dataset.split), _make_corpus(name))
        for name, dataset in DATASETS.items()
    },
}
_TEXT_OPTIONS = _text_options("90/5/5")


def list_tasks() -> list[str]:
    """Lists the tasks that have a name; `text:PATH` makes one of any file."""
    return list(_TASKS)


def describe_tasks() -> list[dict[str, str]]:
    """Lists the tasks as rows (name, summary, options with their defaults), without making any."""
    rows = [(name, row.summary, row.options) for name, row in _TASKS.items()]
    rows.append((f"{TEXT_PREFIX}PATH", "any file", _TEXT_OPTIONS))
    return [
        {
            "name": name,
            "summary": summary,
            "options": ",".join(f"{o.name}={o.show(o.default)}" for o in options),
        }
        for name, summary, options in rows
    ]


def get_task(spec: str) -> Task:
    """Makes the task that a spec addresses; reads, and where needed downloads, its text.

    Args:
        spec: `arithmetic`, `arithmetic@digits=4`, `text:book.txt@unit=characters,split=80/10/10`.
            A path may hold '@': options are what follows the last one, if it looks like them.

    Raises:
        TaskError: Unknown names, nonsense values, a text that cannot be read or split.
    """
    if spec.startswith(TEXT_PREFIX):
        return _text_task(spec.removeprefix(TEXT_PREFIX))
    name, at, given = spec.partition("@")
    if name not in _TASKS:
        if any(mark in name for mark in "/\\.") or Path(name[:200]).is_file():
            shown = shorten(name)
            raise TaskError(f"no task called {shown!r}; for a file write {TEXT_PREFIX}{shown}")
        raise TaskError(suggest(name, [*_TASKS, f"{TEXT_PREFIX}PATH"], what="task"))
    row = _TASKS[name]
    values = read_options(given if at else None, row.options, task=name)
    return row.make(name + show_options(values, row.options), values)


def _text_task(spec: str) -> Task:
    path, at, given = spec.rpartition("@")
    if not (at and _PAIRS.fullmatch(given)):
        path, given = spec, ""
    if not path:
        raise TaskError(f"{TEXT_PREFIX}{shorten(spec)} names no file; expected {TEXT_PREFIX}PATH")
    values = read_options(given or None, _TEXT_OPTIONS, task=f"{TEXT_PREFIX}PATH")
    shown = show_options(values, _TEXT_OPTIONS)
    if not shown and _PAIRS.fullmatch(path.rpartition("@")[2]) and "@" in path:
        shown = f"@unit={values['unit']}"  # or the end of the path would be read as options
    name = TEXT_PREFIX + path + shown
    file = Path(path).expanduser()
    return TextTask(name, read_file(file), **values, facts={"path": path})
