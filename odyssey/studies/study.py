"""A study: which cells, on which tasks, with which populations and budget. No torch here.

A study is a TOML file; docs/studies.md describes its fields. Unknown keys are refused with a
suggestion, every field can be set from outside (`training.epochs=5`), and the resolved study is
kept with the run.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from odyssey import plugins
from odyssey.errors import CellError, ConfigError, suggest
from odyssey.expr import Cell
from odyssey.hyperparameters import SEEDS, Member
from odyssey.plugins.source import is_file_name
from odyssey.ranges import Range
from odyssey.specs import expand, named_cells, read_text
from odyssey.studies.absolute import absolute_fields, absolute_path, are_texts
from odyssey.studies.evolve.plan import SearchPlan, search_plan
from odyssey.studies.factorial import combined_specs
from odyssey.studies.ladder import Ladder, Rung, study_rungs
from odyssey.studies.reading import INNER, Settings, override, read_toml
from odyssey.studies.runners.registry import RUNNERS
from odyssey.studies.settings import check_settings, fitted_members
from odyssey.studies.trial import Trial
from odyssey.training.config import EARLIER, FORMER, TrainingConfig, training_config
from odyssey.training.space import Space, cell_settings, draw_members, grid_size, search_space
from odyssey.transforms.ablations import ablate
from odyssey.wording import plural, quoted

KEPT = ("best", "all", "none")
MAX_STUDY_BYTES = 200_000
_LISTS = (
    "more_baselines",
    "factorial",
    "path",
    "plugins",
)  # fields that are lists and may be empty
# Fields that are whole numbers.
LIMITS = {
    "members": Range(int, 1, 100_000),
    "population": Range(int, 0, 100_000),
    "seed": SEEDS,
    "workers": Range(int, 1, 10_000),
}
GPUS = Range(float, 0, 64)  # of a worker; a share of one is one of Ray's ten-thousandths at least


@dataclass(frozen=True, repr=False)
class Study:
    """What to run; every cell meets every task with the same draws of hyperparameters.

    Attributes:
        name: Name of the study.
        cells: Cell specs, or names of cell sets.
        tasks: Task specs, or names of sets of tasks, in whose place their members stand.
        description: What it is for.
        baseline: The cell that the others are compared with in the report; empty compares none.
        more_baselines: Cells with which all are compared in a table of its own each.
        factorial: Changes of the baseline all of whose combinations are among the cells: their
            effects and interactions are estimated. Empty for none.
        path: Cells that are steps from one to the next, each of which is compared with the one
            before it; empty for none.
        margin: What differs by less counts as equal to the baseline, in the unit of the test loss
            (bits per character); 0 declares none.
        members: Draws of hyperparameters (and seeds) per cell and task; where the space has grids,
            all of their combinations, or that several times.
        population: Members of one trial, trained side by side; 0 puts all in one.
        ladder: Rungs after the first, each with `draws` that go on and their budget (`epochs`, or
            `passes` where the study has them); see `studies.ladder`. Empty for none.
        seed: The seed that everything is derived from.
        runner: ray or local.
        workers: Trials at a time; the local runner has one worker whatever this says.
        gpus_per_worker: GPUs of a worker under Ray, a whole number or a share of one; 0 divides
            those of this machine evenly where the device is cuda.
        keep_weights: Whose weights the run keeps (`studies.weights`): best, all or none.
        training: Training options (`training.config`), with `preset`.
        space: Hyperparameters, fixed or drawn (`training.space`), with `preset`.
        strategy: Makes the study a search (`search_plan`); empty for a fixed list of cells.
        constraints: Of a search.
        stages: Of a search.
        plugins: Modules with rows for the tables of the package (docs/plugins.md): paths of files
            or dotted names. Reading a study loads them.
        preset: A paper's protocol, for `training` and `space` alike.
    """

    name: str
    cells: Sequence[str]
    tasks: Sequence[str]
    description: str = ""
    baseline: str = ""
    more_baselines: Sequence[str] = ()
    factorial: Sequence[str] = ()
    path: Sequence[str] = ()
    margin: float = 0.0
    members: int = 4
    population: int = 0
    ladder: Sequence[Mapping[str, Any]] = ()
    seed: int = 1
    runner: str = "ray"
    workers: int = 2
    gpus_per_worker: float = 0.0
    keep_weights: str = "best"
    training: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Any] = field(default_factory=dict)
    strategy: Mapping[str, Any] = field(default_factory=dict)
    constraints: Mapping[str, Any] = field(default_factory=dict)
    stages: Sequence[Mapping[str, Any]] = ()
    plugins: Sequence[str] = ()
    preset: InitVar[str] = ""

    def __post_init__(self, preset: str) -> None:
        self._normalise(preset)
        for name, bounds in LIMITS.items():
            bounds.check(name, getattr(self, name))
        self._check_texts()
        for name in ("cells", "tasks", *_LISTS):
            _check_list(name, getattr(self, name), may_be_empty=name in _LISTS)
        cells = expand(list(self.cells))
        for baseline in (self.baseline, *self.more_baselines):
            if baseline and baseline not in cells:
                raise ConfigError(suggest(baseline, cells, what="baseline among the cells"))
        if self.baseline in self.more_baselines or (self.more_baselines and not self.baseline):
            raise ConfigError("more_baselines are others than the baseline, which comes first")
        if self.factorial:
            if not self.baseline:
                raise ConfigError("factorial is about changes of the baseline: name a baseline")
            combined = combined_specs(self.baseline, self.factorial)
            if missing := [spec for spec in combined if spec not in cells]:
                raise ConfigError(
                    f"factorial needs all {len(combined)} combinations among the cells;"
                    f" {quoted(missing[0])} is missing"
                )
        for step in self.path:
            if step not in cells:
                raise ConfigError(suggest(step, cells, what="step of the path among the cells"))
        self._check_tables()
        self._check_gpus()
        self._check_grid(grid_size(self.distributions))
        if self.ladder and self.search is not None:
            raise ConfigError("ladder is for the named cells of a study: a search has [[stages]]")
        study_rungs(self.ladder, members=self.members, config=self.config)
        if self.search is not None and "forget_bias" in self.space:
            raise ConfigError("space.forget_bias needs a gate f, which a search does not promise")
        if self.search is not None and cell_settings(self.distributions):
            raise ConfigError("space.cell is for the named cells of a study: a search changes them")

    def _normalise(self, preset: str) -> None:
        """Takes lists, names of sets, relative paths and a preset as a file's author may."""
        if preset != "":
            for name in ("training", "space"):
                if isinstance(table := getattr(self, name), Mapping):
                    object.__setattr__(self, name, {"preset": preset, **table})
        for name, value in absolute_fields(vars(self)).items():
            object.__setattr__(self, name, value)
        for name in _LISTS:
            if isinstance(given := getattr(self, name), list):
                object.__setattr__(self, name, tuple(given))

    @classmethod
    def read(cls, path: str | Path, *, settings: Settings = ()) -> Study:
        """Reads a study file; relative paths in it refer to its folder.

        Args:
            path: The file.
            settings: Overrides, as in `{"epochs": 5}`.

        Raises:
            ConfigError: The file cannot be read, or is no study; the message names it.
        """
        return read_study(Path(path), settings=settings)

    def __repr__(self) -> str:
        kind = "search" if self.strategy else "study"
        cells, tasks = plural(len(self.cells), "cell"), plural(len(self.tasks), "task")
        return f"<{kind} {self.name!r}: {cells} x {tasks}, {plural(self.members, 'draw')}>"

    def _check_texts(self) -> None:
        for name in ("name", "description", "baseline", "runner"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"{name} must be text, got {quoted(getattr(self, name))}")
        if not self.name.strip():
            raise ConfigError("name is empty: name the study")
        if self.runner not in RUNNERS:
            raise ConfigError(suggest(self.runner, RUNNERS, what="runner"))
        if self.keep_weights not in KEPT:
            raise ConfigError(suggest(str(self.keep_weights), KEPT, what="keep_weights"))

    def _check_gpus(self) -> None:
        device, share = self.config.device, self.gpus_per_worker
        GPUS.check("gpus_per_worker", share)
        if 0 < share < 1e-4 or (share > 1 and share % 1):
            raise ConfigError(
                "gpus_per_worker must be a whole number, or a share from 0.0001 to 1, got"
                f" {share:g}"
            )
        if share and not device.startswith("cuda"):
            raise ConfigError(f"gpus_per_worker goes with training.device = cuda, not {device}")

    def _check_tables(self) -> None:
        if isinstance(self.margin, bool) or not isinstance(self.margin, int | float):
            raise ConfigError(f"margin must be a number, got {quoted(self.margin)}")
        if not 0 <= self.margin < math.inf or (self.margin and not self.baseline):
            raise ConfigError(
                f"margin is what counts as equal to the baseline: a number above 0, and a baseline;"
                f" got {self.margin} and {self.baseline or 'no baseline'}"
            )
        for name in ("training", "space", "strategy", "constraints"):
            table = getattr(self, name)
            if not isinstance(table, Mapping):
                raise ConfigError(f"{name} must be a table, got {quoted(table)}")
            if not isinstance(table.get("preset", ""), str):
                raise ConfigError(f"{name}.preset must be text, got {quoted(table['preset'])}")
        if not isinstance(self.stages, list | tuple):
            raise ConfigError(f"stages must be tables [[stages]], got {quoted(self.stages)}")
        if not self.strategy and (self.constraints or self.stages):
            raise ConfigError("constraints and stages are for a search: give it a [strategy]")

    def _check_grid(self, combinations: int) -> None:
        counts = {"members": self.members}
        if self.search is not None:
            counts = {f"draws of the stage {s.name}": s.draws for s in self.search.stages}
        for name, count in counts.items():
            if count % combinations:
                raise ConfigError(
                    f"the grids of space have {combinations} combinations: {name} must be "
                    f"{combinations}, or a multiple of it for several seeds, got {count}"
                )

    @property
    def config(self) -> TrainingConfig:
        """The training options, checked."""
        return training_config(self.training)

    @property
    def distributions(self) -> Space:
        """Where the hyperparameters are drawn from, checked.

        The forget bias of a preset is for the cells that have a gate f, which a search does not
        promise.
        """
        space = search_space(self.space, protocol=str(self.training.get("preset", "")))
        unfit = self.strategy and "forget_bias" not in self.space
        return {n: d for n, d in space.items() if not (unfit and n == "forget_bias")}

    @property
    def search(self) -> SearchPlan | None:
        """How it searches; None for a fixed list of cells."""
        if not self.strategy:
            return None
        return search_plan(
            self.strategy,
            self.constraints,
            self.stages,
            tasks=self.tasks,
            members=self.members,
            population=self.population,
            training=self.training,
        )

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs of its ladder, from the first on; none where it has no ladder."""
        return study_rungs(self.ladder, members=self.members, config=self.config)

    def ladder_of(self, trials: Sequence[Trial]) -> Ladder:
        """Gives what makes the trials of later rungs.

        Args:
            trials: Those of the first rung, as `trials` gives them.
        """
        return Ladder(self.rungs, trials, population=self.population)

    def resolve_cells(self) -> dict[str, Cell]:
        """Finds or makes every cell, by the name to show, in order; raises `CellError`."""
        return named_cells(expand(list(self.cells)))

    def trials(self, cells: Mapping[str, Cell]) -> list[Trial]:
        """Lists all trials in their logical order: task by task, cell by cell.

        Of a ladder these are the trials of the first rung.

        Args:
            cells: The cells by name, as `resolve_cells` gives them.

        Raises:
            ConfigError: A hyperparameter does not fit a cell, or a constant or size no cell.
        """
        space = self.distributions
        gateless = self._gateless(cells) if "forget_bias" in space else set()
        members = draw_members(space, count=self.members, seed=self.seed)
        for member in members:
            Member(**member)
        unbiased = [{k: v for k, v in m.items() if k != "forget_bias"} for m in members]
        drawn = {
            spec: fitted_members(spec, cell, unbiased if spec in gateless else members)
            for spec, cell in cells.items()
        }
        check_settings(cell_settings(space), cells)
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
                            members=tuple(drawn[spec][start : start + size]),
                            training=training,
                        )
                    )
        return trials

    def _gateless(self, cells: Mapping[str, Cell]) -> set[str]:
        """Names the cells that a forget bias passes by; one that was asked for must fit."""
        found = set()
        for spec, cell in cells.items():
            try:
                ablate(cell, "forget_bias=1")
            except CellError as error:
                if "forget_bias" in self.space:
                    raise ConfigError(f"space.forget_bias does not fit {spec}: {error}") from None
                found.add(spec)
        return found

    def to_toml(self) -> str:
        """Writes the study out in full."""
        data = dataclasses.asdict(self)
        data |= {"cells": list(self.cells), "tasks": list(self.tasks)}
        for name in ("strategy", "constraints", "stages", "ladder", *_LISTS):
            if not data[name]:
                del data[name]
        return tomli_w.dumps({k: _plain(v) for k, v in data.items()})


def _check_list(name: str, value: Any, *, may_be_empty: bool) -> None:
    if not are_texts(value):
        raise ConfigError(f"{name} must be a list of texts, got {quoted(value)}")
    if not value and not may_be_empty:
        raise ConfigError(f"{name} is empty: name at least one")
    spec, times = Counter(value).most_common(1)[0] if value else ("", 0)
    if times > 1:
        raise ConfigError(f"{name} names {quoted(spec)} twice")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def parse_study(
    text: str, *, settings: Settings = (), base: Path | None = None, load: bool = True
) -> Study:
    """Reads a study from TOML text.

    Args:
        text: The TOML text.
        settings: Overrides by dotted key (`training.epochs`), or as texts `key=value` with a
            value in TOML, or plain text. The name of a training option or a hyperparameter alone
            will do.
        base: The folder that relative paths of cells, texts and plug-ins refer to; the current one
            if None.
        load: Whether its plug-ins are loaded; those of a run that is there are already.

    Raises:
        ConfigError: The text is no TOML, or a key or value is wrong.
    """
    data = read_toml(text)
    override(data, settings)
    known = [*(f.name for f in dataclasses.fields(Study)), "preset"]
    for key in data:
        if key in INNER:
            raise ConfigError(f"{key} is no field of a study itself: write {INNER[key]}")
        if key not in known:
            also = INNER.values()
            raise ConfigError(suggest(key, known, what="study field", also=[*INNER, *also]))
    if "plugins" in data:
        data["plugins"] = _plugins(data["plugins"], base, load=load)
    for key in ("name", "cells", "tasks"):
        if key not in data:
            raise ConfigError(f"the study has no {key!r}")
    return Study(**(data | absolute_fields(data, base)))


def _plugins(given: Any, base: Path | None, *, load: bool) -> tuple[str, ...]:
    """Loads plug-ins; gives their names, with paths that every process finds."""
    _check_list("plugins", given, may_be_empty=True)
    if not load:
        return tuple(given)
    specs = tuple(absolute_path(spec, base) if is_file_name(spec) else spec for spec in given)
    for spec in specs:
        plugins.load(spec)
    return specs


def changed_study(study: Study, settings: Settings) -> Study:
    """Gives a study with other values of some fields, as `parse_study` overrides them."""
    return parse_study(study.to_toml(), settings=settings) if settings else study


def recorded_study(text: str, run: Mapping[str, Any]) -> Study:
    """Reads the study that a run keeps, to go on with it as it began.

    Args:
        text: The study.
        run: The facts of `run.json`. Training options that they do not name were unknown when it
            began: it goes on without them.
    """
    study = parse_study(text, load=False)
    tables = [run.get("training"), *(run.get("stages") or ())]
    said = {name for table in tables if isinstance(table, Mapping) for name in table}
    before = {name: value for name, value in EARLIER.items() if name not in said}
    # What the run resolved stays, whatever a default is by now.
    dotted, plain = (t if isinstance(t, Mapping) else {} for t in (run.get("resolved"), tables[0]))
    for name, former in FORMER.items():
        before[name] = dotted.get(f"training.{name}", plain.get(name, former))
    return dataclasses.replace(study, training=before | dict(study.training))


def read_study(path: Path, *, settings: Settings = ()) -> Study:
    """Reads a study file; relative paths in it refer to its folder.

    Raises:
        ConfigError: The file cannot be read, or is no study; the message names it.
    """
    shown, text = read_text(path, most=MAX_STUDY_BYTES, error=ConfigError)
    try:
        return parse_study(text, settings=settings, base=path.parent)
    except ConfigError as error:
        raise ConfigError(f"{shown}: {error}") from None
