"""Cells and tasks of a study by absolute paths, so that every process finds the files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from odyssey.names import path_prefix, split_text
from odyssey.specs import is_path, split_spec
from odyssey.tasks.sets import expand_tasks


def absolute_fields(fields: Mapping[str, Any], base: Path | None = None) -> dict[str, Any]:
    """Makes all paths of cells and tasks in a study absolute, and replaces sets of tasks.

    Args:
        fields: Fields of a study, by name.
        base: The folder that relative paths refer to; the current one if None.

    Returns:
        The fields that name cells or tasks; one that is not of its type is left out.
    """
    found: dict[str, Any] = {}
    for name in ("cells", "more_baselines", "path"):
        if are_texts(given := fields.get(name)):
            found[name] = tuple(absolute_cell(spec, base) for spec in given)
    if isinstance(given := fields.get("baseline"), str):
        found["baseline"] = absolute_cell(given, base)
    if are_texts(given := fields.get("tasks")):
        found["tasks"] = tuple(absolute_tasks(given, base))
    strategy, stages = fields.get("strategy"), fields.get("stages")
    if isinstance(strategy, Mapping) and isinstance(given := strategy.get("baseline"), str):
        found["strategy"] = {**strategy, "baseline": absolute_cell(given, base)}
    if isinstance(stages, list | tuple):
        found["stages"] = tuple(_absolute_stage(stage, base) for stage in stages)
    return found


def _absolute_stage(stage: Any, base: Path | None) -> Any:
    if not isinstance(stage, Mapping) or not are_texts(stage.get("tasks")):
        return stage
    return {**stage, "tasks": absolute_tasks(stage["tasks"], base)}


def absolute_cell(spec: str, base: Path | None = None) -> str:
    """Makes the path in a cell spec absolute, so that every process finds the file.

    Args:
        spec: Any cell spec; one without a path is left as it is.
        base: The folder that a relative path refers to; the current one if None.
    """
    path, _ = split_spec(spec)
    return absolute_path(path, base) + spec[len(path) :] if is_path(path) else spec


def absolute_task(spec: str, base: Path | None = None) -> str:
    """Makes the path in a task spec absolute, as `absolute_cell` does."""
    prefix = path_prefix(spec)
    path, options = split_text(spec.removeprefix(prefix))
    if not prefix or not path:
        return spec
    return f"{prefix}{absolute_path(path, base)}" + (f"@{options}" if options else "")


def absolute_tasks(specs: Sequence[str], base: Path | None = None) -> list[str]:
    """Replaces sets of tasks by their members, and makes the paths of task specs absolute."""
    return [absolute_task(spec, base) for spec in expand_tasks(specs)]


def absolute_path(path: str, base: Path | None = None) -> str:
    """Gives an absolute path without `.` and `..` to the same file."""
    if path.startswith("~"):
        with contextlib.suppress(RuntimeError):  # there is no such user
            path = str(Path(path).expanduser())
    whole = os.path.join(base or Path.cwd(), path)
    plain = os.path.abspath(whole)
    try:
        real = os.path.realpath(whole)
        return plain if os.path.realpath(plain) == real else real  # `a/link/..` need not be `a`
    except (OSError, ValueError):
        return plain  # whoever opens it will say what is wrong


def are_texts(value: Any) -> TypeGuard[Sequence[str]]:
    """Tells whether a value is a list or tuple of texts."""
    return isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
