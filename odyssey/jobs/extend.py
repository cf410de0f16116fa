"""A run that grows: more draws, cells or tasks of a study, or more candidates of a search."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError
from odyssey.jobs.search import RunLeft, RunnerOptions, resume_run, run_left
from odyssey.options import Options
from odyssey.specs import expand, get_cell, is_path, split_spec
from odyssey.studies.absolute import absolute_cell, absolute_tasks
from odyssey.wording import quoted

if TYPE_CHECKING:
    from odyssey.storage.places import Place
    from odyssey.studies.source import OpenRun
    from odyssey.studies.study import Study


_NAMES = {"members": "draws"}  # of fields of a study, as the options are called


@dataclass(frozen=True, kw_only=True)
class Extension(Options):
    """What a run is to have; what is None or empty stays as it is.

    Attributes:
        draws: Draws of hyperparameters a cell and task, those that there are included.
        cells: Cells beside those that there are.
        tasks: Tasks beside those that there are.
        candidates: Of a search: candidates, those that there are included.
        text: Where texts that it reads lie now, if in other places; the run keeps them.
    """

    draws: int | None = None
    cells: Sequence[str] = ()
    tasks: Sequence[str] = ()
    candidates: int | None = None
    text: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        grown = self.draws, self.candidates, *self.cells, *self.tasks
        if all(value is None for value in grown):
            raise ConfigError(
                "say what the run gets: --draws N, --cells A,B or --tasks A,B;"
                " a search --candidates N"
            )


@dataclass(frozen=True)
class Extended:
    """A run that has grown, or has all of it already.

    Attributes:
        run: The run with its larger study; nothing new is run yet.
        changed: What grew: its value before and now, by field; empty where nothing did.
        left: What is to be run.
        mixed: Where other versions made the rows before: theirs, and these; else empty.
    """

    run: OpenRun
    changed: Mapping[str, tuple[Any, Any]]
    left: RunLeft
    mixed: tuple[str, ...] = ()

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """What grew, for a person: its name, how many there were, and how many or which now."""
        found = []
        for name, (before, now) in self.changed.items():
            shown = str(before), str(now)
            if isinstance(now, tuple):
                shown = str(len(before)), f"{len(now)}, with {', '.join(now[len(before) :])}"
            found.append((_NAMES.get(name, name), *shown))
        return found

    def data(self) -> dict[str, Any]:
        """Gives it as plain data."""
        changed = {_NAMES.get(n, n): list(values) for n, values in self.changed.items()}
        left = {self.left.what: self.left.total, "left": self.left.left}
        return {"study": self.left.study, "changed": changed, **left}


def begin_extension(
    directory: str | Place,
    extension: Extension,
    options: RunnerOptions | None = None,
    *,
    dry: bool = False,
) -> Extended:
    """Checks an extension whole and gives the run its larger study; nothing is run yet.

    When that is run, tables are those of the larger study run from scratch, to the bit: its draws
    and seeds are the same, and what the run has is never run again.

    Args:
        directory: The run directory or its URL.
        extension: What it is to have.
        options: How it is run.
        dry: Whether nothing is written.

    Raises:
        ConfigError: The extension makes no sense, or another version of Odyssey would train what
            there is otherwise; nothing has been written then.
        StoreError: The directory is no run, another process runs it, or it cannot be written.
    """
    from odyssey.studies.engine import check_growth, grow, place_workers
    from odyssey.studies.source import OpenRun

    run = resume_run(directory, texts=extension.text)
    place_workers(run.study, **(options or RunnerOptions()).runner_choice)
    study = _larger(run, extension)
    changed = {
        field.name: (before, now)
        for field in dataclasses.fields(study)
        if (before := getattr(run.study, field.name)) != (now := getattr(study, field.name))
    }
    mixed = _mixed(run)
    if not changed:
        return Extended(run, {}, run_left(run), mixed)
    shown = changed
    if run.study.search is not None:
        assert study.search is not None, "a search stays one"
        shown = {"candidates": (run.study.search.candidates, study.search.candidates)}
    if dry:
        checked, remaining = check_growth(run, study)
        larger = OpenRun(run.store, study, checked.cells, checked.trials)
        return Extended(larger, shown, run_left(larger, remaining), mixed)
    larger = grow(run, study, {name: list(values) for name, values in shown.items()})
    return Extended(larger, shown, run_left(larger), mixed)


def _larger(run: OpenRun, extension: Extension) -> Study:
    """Gives the study of a run with what an extension adds."""
    study, name = run.study, run.store.path
    if study.search is not None:
        if extension.draws is not None or extension.cells or extension.tasks:
            raise ConfigError(
                f"{name} is a search, whose seeds, tasks and draws decide what it proposes: only"
                " --candidates can grow; promote its best cells to train them further"
            )
        before, now = study.search.candidates, extension.candidates
        assert now is not None, "an extension is not empty"
        _check_growing("--candidates", now, before, name)
        if now == before:
            return study
        return dataclasses.replace(study, strategy={**study.strategy, "candidates": now})
    if extension.candidates is not None:
        raise ConfigError(f"{name} is no search: it has draws, cells and tasks, no candidates")
    members = study.members if extension.draws is None else extension.draws
    if study.ladder and members != study.members:
        raise ConfigError(
            f"{name} is a ladder, in which more draws would change which of them go on: --draws is"
            " a new study; --cells and --tasks can grow"
        )
    _check_growing("--draws", members, study.members, name)
    cells = expand(list(study.cells))
    added = [absolute_cell(spec) for spec in expand(list(extension.cells))]
    _check_unchanged(run, cells, added)
    tasks = absolute_tasks(extension.tasks)
    return dataclasses.replace(
        study,
        members=members,
        cells=(*study.cells, *(c for c in dict.fromkeys(added) if c not in cells)),
        tasks=(*study.tasks, *(t for t in dict.fromkeys(tasks) if t not in study.tasks)),
    )


def _check_growing(flag: str, now: int, before: int, name: Place) -> None:
    if now < before:
        raise ConfigError(
            f"{flag} {now:,}: {name} has {before:,} already; a run can grow, and not shrink"
        )


def _check_unchanged(run: OpenRun, cells: list[str], added: list[str]) -> None:
    """Refuses the file of a cell that the run has as another one."""
    bases = {split_spec(spec)[0] for spec in added}
    for spec, cell in zip(cells, run.cells.values(), strict=True):
        base = split_spec(spec)[0]
        if is_path(base) and base in bases and get_cell(spec).key != cell.key:
            raise ConfigError(
                f"{quoted(str(Path(base).name))} is another cell than when the run began; give"
                " the new one a file of its own"
            )


def _mixed(run: OpenRun) -> tuple[str, ...]:
    """Names the versions of a run and those here, where they are not the same."""
    from odyssey.studies.work import versions

    before = str(run.store.run.get("versions", "unknown"))
    return () if before == versions() else (before, versions())
