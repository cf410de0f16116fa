"""A run keeps the study that it began with, and goes on with that one and no other.

run.json holds the text of the study, all that the study says with every default filled in, the
cells, and a digest of the ids of its trials. A trial's id is a hash of all that decides its result,
so two budgets cannot meet under one id, nor in one run.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from odyssey.errors import CellError, ConfigError, StoreError
from odyssey.expr import Cell, parse_cell
from odyssey.names import without_folder
from odyssey.storage.store import RunStore
from odyssey.studies.study import Study, recorded_study
from odyssey.studies.trial import Trial
from odyssey.wording import quoted

_MOST_CHANGES = 5  # of a study, in one message
_ABSENT = object()


def resolved(study: Study) -> dict[str, Any]:
    """Gives all that a study says, by dotted field, with presets and defaults filled in."""
    data: dict[str, Any] = {f.name: getattr(study, f.name) for f in dataclasses.fields(study)}
    data["training"] = dataclasses.asdict(study.config)
    data["space"] = {name: drawn.plain for name, drawn in study.distributions.items()}
    plan = study.search
    data["stages"] = {s.name: dataclasses.asdict(s) for s in plan.stages} if plan else {}
    if not study.plugins:
        del data["plugins"]
    return dict(_flat(data))


# Of a study's training and space: what decides no number, or is spelled out beside it.
_FREE = {"training.threads", "training.preset", "space.preset"}


def deciding(study: Study) -> dict[str, Any]:
    """Gives the training options and the space of a study that decide its numbers, by field.

    On a ladder the number of draws is among them, for it decides which of them go on.
    """
    said = resolved(study)
    climbs = ("ladder", "members") if study.ladder else ()
    return {
        n: v
        for n, v in said.items()
        if (n.startswith(("training.", "space.")) and n not in _FREE) or n in climbs
    }


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, list(value) if isinstance(value, tuple) else value


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Says what differs, as `field: old -> new`; empty where nothing does."""
    names = [*before, *(n for n in now if n not in before)]
    found = [
        f"{n}: {_shown(before.get(n, _ABSENT))} -> {_shown(now.get(n, _ABSENT))}"
        for n in names
        if before.get(n, _ABSENT) != now.get(n, _ABSENT)
    ]
    more = f" and {len(found) - _MOST_CHANGES} more" if len(found) > _MOST_CHANGES else ""
    return ", ".join(found[:_MOST_CHANGES]) + more


def _shown(value: Any) -> str:
    return "nothing" if value is _ABSENT else quoted(value)


def seal_of(
    study: Study, cells: Mapping[str, Cell], trials: Iterable[Trial] = ()
) -> dict[str, Any]:
    """Gives the facts of run.json by which a run knows its study again.

    Args:
        study: The study.
        cells: Its cells, by the name to show.
        trials: Its trials; none of a search, which makes them as it goes.
    """
    return {
        "cells": {
            name: {"text": cell.text, "lineage": list(cell.lineage), "key": cell.key}
            for name, cell in cells.items()
        },
        "resolved": resolved(study),
        "trial_ids": _digest(trials),
    }


def _digest(trials: Iterable[Trial]) -> str:
    return hashlib.sha256("\n".join(trial.id for trial in trials).encode()).hexdigest()


def sealed_study(store: RunStore) -> Study:
    """Reads the study that a run began with.

    Raises:
        ConfigError: study.toml says another one by now, or this version of Odyssey understands the
            study otherwise than the one that began it.
    """
    run = store.run
    study = recorded_study(store.study_text, run)
    now = _unplaced(resolved(study))
    path = store.path / "study.toml"
    edited = path.exists() and store.study_file != store.study_text
    if edited and not store.is_half_rewritten:
        try:
            in_file = resolved(recorded_study(store.study_file, run))
            difference = changes(now, _unplaced(in_file))
        except ConfigError as error:
            difference = str(error)
        if difference:
            raise ConfigError(
                f"{path} was edited after the run began ({difference}); a run goes on with the "
                "study that it began with: undo the change, or start a new run with the file "
                f"(odyssey search {path} --out DIR)"
            )
    said = run["resolved"] if isinstance(run.get("resolved"), Mapping) else _older(run)
    before = _unplaced(said)
    difference = changes(before, {name: now[name] for name in before if name in now})
    if difference:
        raise ConfigError(
            f"{store.path}: the study does not say what the run began with ({difference}; "
            f"{run.get('versions', 'an unknown version')}); start a new run"
        )
    return study


def _unplaced(facts: Any) -> Any:
    """Leaves the paths of cells their file names, for run.json holds what the files said.

    A path may have been relative to another folder than the current one, or have lost its folder
    when the run was kept.
    """
    if isinstance(facts, Mapping):
        return {name: _unplaced(value) for name, value in facts.items()}
    if isinstance(facts, list):
        return [_unplaced(value) for value in facts]
    return without_folder(facts) if isinstance(facts, str) else facts


def _older(run: Mapping[str, Any]) -> dict[str, Any]:
    """Gives what run.json says of its study where the run was made before studies were sealed."""
    known = {name: run[name] for name in ("training", "seed") if name in run}
    cells, tasks = run.get("cells"), run.get("tasks")
    if "kind" not in run and isinstance(cells, Mapping) and isinstance(tasks, Mapping):
        known |= {"tasks": list(tasks)}
    return dict(_flat(known))


def sealed_cells(store: RunStore) -> dict[str, Cell]:
    """Reads the cells that a run began with, by the name to show.

    Raises:
        StoreError: run.json does not hold them, or this version reads one otherwise.
    """
    found = {}
    for name, kept in store.run["cells"].items():
        try:
            cell = parse_cell(kept["text"]).renamed(lineage=tuple(kept["lineage"]))
        except CellError as error:
            raise StoreError(f"{store.path}: run.json holds no cell {name}: {error}") from None
        if kept.get("key", cell.key) != cell.key:
            raise StoreError(
                f"{store.path} was made by a version that reads {name} otherwise; start a new run"
            )
        found[name] = cell
    return found


def check_trials(store: RunStore, trials: Iterable[Trial]) -> None:
    """Raises `ConfigError` unless these are the trials that the run began with."""
    if store.run.get("trial_ids", digest := _digest(trials)) != digest:
        raise ConfigError(
            f"{store.path} was made by another version of Odyssey, which would train otherwise "
            f"({store.run.get('versions', 'unknown')}); start a new run"
        )
