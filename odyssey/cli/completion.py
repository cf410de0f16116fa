"""Completion in bash, zsh and fish: `odyssey --completion SHELL` prints what a shell is to read.

The shell asks the command itself, with the line so far in its environment (argcomplete), and the
parser answers. Options and their choices are the parser's; what an argument of a cell, a task or a
run may be follows from the name of its value in the help.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SHELLS = ("bash", "zsh", "fish")
_NO_FURTHER = 2000  # entries of folders that are looked through for runs


def asked() -> list[str] | None:
    """Gives the words of the line that a shell wants completed; None if no shell asks."""
    if "_ARGCOMPLETE" not in os.environ:
        return None
    return os.environ.get("COMP_LINE", "").split()[1:]


def script(shell: str) -> str:
    """Writes what a shell is to read, once a session."""
    from argcomplete.shell_integration import shellcode

    return str(shellcode(["odyssey"], shell=shell))


def answer(parser: argparse.ArgumentParser) -> None:
    """Answers the shell, and ends the process."""
    import argcomplete

    for action in _actions(parser):
        for name, complete in _COMPLETERS.items():
            if action.metavar and name in str(action.metavar).split("|"):
                action.completer = complete  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


def _specs(prefix: str, **_: Any) -> list[str]:
    """Gives cells; after the colon, the ablations that apply to the cell."""
    from odyssey.errors import OdysseyError
    from odyssey.specs import VARIANTS, get_cell, list_cells
    from odyssey.transforms.applicable import applicable

    if ":" not in prefix:
        return [*list_cells(), *VARIANTS, *_files(prefix, ".cell")]
    before = prefix[: max(prefix.rfind(":"), prefix.rfind("+")) + 1]
    try:
        cell = get_cell(before.rstrip(":+"))
    except OdysseyError:
        return []
    return [
        f"{before}{name}={argument}" if argument else before + name
        for name, arguments in applicable(cell).items()
        for argument in arguments
    ]


def _tasks(prefix: str, **_: Any) -> list[str]:
    """Gives tasks; after the @, the options of the task with their defaults."""
    from odyssey.tasks.registry import describe_tasks

    rows = {row["name"]: row["options"] for row in describe_tasks()}
    name, at, _options = prefix.partition("@")
    if at:
        return [f"{name}@{option}" for option in rows.get(name, "").split(",") if option]
    return [row for row in rows if not row.endswith("PATH")]


def _task_list(prefix: str, **_: Any) -> list[str]:
    return _last_of(prefix, _tasks)


def _cell_list(prefix: str, **_: Any) -> list[str]:
    return _last_of(prefix, _specs)


def _last_of(prefix: str, complete: Callable[..., list[str]]) -> list[str]:
    """Completes the last one of a list."""
    before = prefix[: prefix.rfind(",") + 1]
    return [before + found for found in complete(prefix[len(before) :])]


def _runs(prefix: str, **_: Any) -> list[str]:
    """Gives run directories, where they usually are and under what is typed."""
    from odyssey.jobs.search import RUNS

    typed = _folder(prefix)
    folders = {typed, RUNS, Path("build")}
    found = [path for folder in folders for path in _entries(folder) if path.is_dir()]
    runs = [str(path) for path in found if (path / "run.json").is_file()]
    return runs + [
        f"{path}/" for path in _entries(typed) if path.is_dir() and str(path) not in runs
    ]


def _cells(prefix: str, **_: Any) -> list[str]:
    from odyssey.specs import list_cells

    return list_cells()


def _data_sets(prefix: str, **_: Any) -> list[str]:
    from odyssey.jobs.data import list_data

    return [str(row["name"]) for row in list_data().datasets]


def _studies(prefix: str, **_: Any) -> list[str]:
    return _files(prefix, ".toml")


def _examples(prefix: str, **_: Any) -> list[str]:
    from odyssey.studies.examples import list_examples

    return list_examples()


def _plugins(prefix: str, **_: Any) -> list[str]:
    return _files(prefix, ".py")


def _files(prefix: str, suffix: str) -> list[str]:
    """Gives the files of a kind in the folder that is typed, and its folders."""
    entries = _entries(_folder(prefix))
    return [
        *(str(path) for path in entries if path.suffix == suffix),
        *(f"{path}/" for path in entries if path.is_dir()),
    ]


def _folder(prefix: str) -> Path:
    """Gives the folder that is typed, or is to hold what is typed."""
    return Path(prefix if prefix.endswith("/") else Path(prefix).parent)


def _entries(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())[:_NO_FURTHER]
    except OSError:
        return []
    return [path for path in entries if not path.name.startswith(".")]


# Name of a value in the help -> what it may be, given what is typed of it.
_COMPLETERS: dict[str, Callable[..., list[str]]] = {
    "SPEC": _specs,
    "TASK": _tasks,
    "TASKS": _task_list,
    "CELLS": _cell_list,
    "CELL": _cells,
    "DATASET": _data_sets,
    "DIR": _runs,
    "RUN": _runs,
    "STUDY.toml": _studies,
    "FILE.py": _plugins,
    "EXAMPLE": _examples,
}
