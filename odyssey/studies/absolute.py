"""Cells and tasks of a study by absolute paths, so that every process finds the files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from odyssey.names import path_prefix, split_text
from odyssey.specs import is_path, split_spec
from odyssey.tasks.sets import expand_tasks


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


def are_texts(value: Any) -> bool:
    """Tells whether a value is a list or tuple of texts."""
    return isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
