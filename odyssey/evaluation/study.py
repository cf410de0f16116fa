"""A study: which cells, on which tasks, with which populations and budget. No torch here.

A study is a TOML file; docs/studies.md describes its fields. Unknown keys are refused with a
suggestion, every field can be set from outside (`training.epochs=5`), and the resolved study is
kept with the run.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from odyssey.errors import ConfigError, suggest
from odyssey.evaluation.trial import Trial
from odyssey.expr import Cell
from odyssey.specs import expand, get_cell
from odyssey.training.config import HYPERPARAMETERS, TrainingConfig, training_config
from odyssey.training.space import draw_members, search_space

RUNNERS = ("ray", "local")
MAX_STUDY_BYTES = 1_000_000


@dataclass(frozen=True)
class Study:
    """What to run; every cell meets every task with the same draws of hyperparameters.

    Attributes:
        name: Name of the study.
        cells: Cell specs, or names of cell sets.
        tasks: Task specs.
        description: What it is for.
        members: Draws of hyperparameters (and seeds) per cell and task.
        population: Members of one trial, trained side by side; 0 puts all in one.
        seed: The seed that everything is derived from.
        runner: ray or local.
        workers: Trials at a time.
        training: Training options (`training.config`), with `preset`.
        space: Hyperparameters, fixed or drawn (`training.space`), with `preset`.
    """

    name: str
    cells: tuple[str, ...]
    tasks: tuple[str, ...]
    description: str = ""
    members: int = 4
    population: int = 0
    seed: int = 1
    runner: str = "ray"
    workers: int = 2
    training: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("members", 1), ("population", 0), ("seed", 0), ("workers", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} must be a whole number >= {least}, got {value!r}")
        for name in ("name", "description", "runner"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"{name} must be text, got {getattr(self, name)!r}")
        if self.runner not in RUNNERS:
            raise ConfigError(suggest(self.runner, RUNNERS, what="runner"))
        for name in ("cells", "tasks"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(v, str) for v in value):
                raise ConfigError(f"{name} must be a list of texts, got {value!r}")
            if not value:
                raise ConfigError(f"{name} is empty: name at least one")
            repeated = sorted({v for v in value if value.count(v) > 1})
            if repeated:
                raise ConfigError(f"{name} names {repeated[0]!r} twice")
        for name in ("training", "space"):
            if not isinstance(getattr(self, name), Mapping):
                raise ConfigError(f"{name} must be a table, got {getattr(self, name)!r}")
        self.config  # noqa: B018 - validates
        search_space(self.space)

    @property
    def config(self) -> TrainingConfig:
        """The training options, checked."""
        return training_config(self.training)

    def resolve_cells(self) -> dict[str, Cell]:
        """Finds or makes every cell, by spec, in order; raises `CellError`."""
        return {spec: get_cell(spec) for spec in expand(list(self.cells))}

    def trials(self, cells: Mapping[str, Cell]) -> list[Trial]:
        """Lists all trials in their logical order: task by task, cell by cell.

        Args:
            cells: The cells by spec, as `resolve_cells` gives them.

        Raises:
            ConfigError: A hyperparameter does not fit a cell.
        """
        space = search_space(self.space)
        if "forget_bias" in space:
            for spec, cell in cells.items():
                if cell.equation("f") is None:
                    raise ConfigError(f"space.forget_bias: {spec} has no gate f")
        members = draw_members(space, count=self.members, seed=self.seed)
        size = self.population or self.members
        training = dataclasses.asdict(self.config)
        trials: list[Trial] = []
        for task in self.tasks:
            for start in range(0, self.members, size):
                for spec, cell in cells.items():
                    trials.append(
                        Trial(
                            index=len(trials),
                            spec=spec,
                            cell_text=cell.text,
                            cell_key=cell.key,
                            lineage=cell.lineage or (cell.name,),
                            task=task,
                            members=tuple(members[start : start + size]),
                            training=training,
                        )
                    )
        return trials

    def to_toml(self) -> str:
        """Writes the study out in full."""
        data = dataclasses.asdict(self)
        data |= {"cells": list(self.cells), "tasks": list(self.tasks)}
        return tomli_w.dumps({k: _plain(v) for k, v in data.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def parse_study(text: str, *, settings: Sequence[str] = (), base: Path | None = None) -> Study:
    """Reads a study from TOML text.

    Args:
        text: The TOML text.
        settings: `key=value` overrides; keys are dotted (`training.epochs`), values TOML or
            plain text. The name of a training option alone means that option.
        base: The folder that relative paths of cells and texts refer to; the current one if None.

    Raises:
        ConfigError: The text is no TOML, or a key or value is wrong.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"not a TOML file: {str(error) or type(error).__name__}") from None
    for setting in settings:
        _set(data, setting)
    known = [f.name for f in dataclasses.fields(Study)]
    for key in data:
        if key not in known:
            hint = {
                **{o.name: f"training.{o.name}" for o in dataclasses.fields(TrainingConfig)},
                **{h: f"space.{h}" for h in HYPERPARAMETERS},
            }.get(key)
            raise ConfigError(
                suggest(key, known, what="study field")
                + (f"; did you mean {hint}?" if hint else "")
            )
    for key in ("name", "cells", "tasks"):
        if key not in data:
            raise ConfigError(f"the study has no {key!r}")
    for key in ("cells", "tasks"):
        if isinstance(data[key], list):
            data[key] = tuple(_absolute(v, base) for v in data[key])
    return Study(**data)


def _absolute(spec: Any, base: Path | None) -> Any:
    """Makes the path inside a spec absolute, so that workers elsewhere find the file."""
    if not isinstance(spec, str):
        return spec
    prefix, rest = ("text:", spec[5:]) if spec.startswith("text:") else ("", spec)
    path = rest.partition(":")[0]
    if not prefix and not (path.endswith(".cell") or "/" in path):
        return spec
    return f"{prefix}{((base or Path.cwd()) / rest).absolute()}"


def parse_setting(setting: str) -> tuple[str, Any]:
    """Reads `key=value`; the value is TOML, or plain text where it is not TOML."""
    key, equals, value = setting.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set takes key=value, got {setting[:80]!r}")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return key.strip(), value


def _set(data: dict[str, Any], setting: str) -> None:
    key, parsed = parse_setting(setting)
    path = key.split(".")
    options = {f.name for f in dataclasses.fields(TrainingConfig)}
    if len(path) == 1 and path[0] in options:
        path = ["training", path[0]]
    for part in path[:-1]:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise ConfigError(f"--set {key}: {part} is not a table")
    data[path[-1]] = parsed


def read_study(path: Path, *, settings: Sequence[str] = ()) -> Study:
    """Reads a study file; relative paths in it refer to its folder.

    Raises:
        ConfigError: The file cannot be read, or is no study; the message names it.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such study file")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_STUDY_BYTES + 1)
        if len(data) > MAX_STUDY_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_STUDY_BYTES:,} bytes, no study")
        text = data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    try:
        return parse_study(text, settings=settings, base=path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def study_json(study: Study) -> dict[str, Any]:
    """Gives the study as plain data."""
    return dict(json.loads(json.dumps(dataclasses.asdict(study), default=dict)))
