"""The arguments of verbs and of methods of a `Run`: the options of jobs, joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.jobs.choice import ModelChoice
from odyssey.jobs.export import ExportOptions
from odyssey.jobs.extend import Extension
from odyssey.jobs.gradients import GradientOptions
from odyssey.jobs.sample import SampleOptions
from odyssey.jobs.search import RunnerOptions, RunOptions
from odyssey.jobs.train import TrainOptions
from odyssey.jobs.units import UnitOptions
from odyssey.options import Options
from odyssey.studies.make.ablation import AblationOptions, DrawnOptions
from odyssey.studies.make.promotion import PromotionOptions

if TYPE_CHECKING:
    from odyssey.progress.watcher import TrainWatcher
    from odyssey.studies.reading import Settings
    from odyssey.studies.source import Watcher


@dataclass(frozen=True, kw_only=True)
class WatchedRun(Options):
    """How a run is seen at work.

    Attributes:
        progress: Whether it is shown: in place on a terminal and in a notebook, as lines in a
            file. Or an object that hears of it (`odyssey.studies.source.Watcher`).
    """

    progress: bool | Watcher[Any] = True


@dataclass(frozen=True, kw_only=True)
class TrainArguments(TrainOptions):
    """What a training takes.

    Attributes:
        progress: Whether it is shown: in place on a terminal and in a notebook, as lines in a
            file. Or an object that hears of it (`odyssey.progress.watcher.TrainWatcher`).
    """

    progress: bool | TrainWatcher = True


@dataclass(frozen=True, kw_only=True)
class SearchArguments(WatchedRun, RunOptions):
    """What a study or a search takes.

    Attributes:
        example: A study of the package instead: `evolve`, `tour` and others.
        settings: Overrides of any field of the study, as in `{"epochs": 40}` or `["epochs=40"]`.
    """

    example: str = ""
    settings: Settings = ()


@dataclass(frozen=True, kw_only=True)
class AblateArguments(WatchedRun, RunOptions, AblationOptions):
    """What a table of ablations takes."""


@dataclass(frozen=True, kw_only=True)
class PathArguments(WatchedRun, RunOptions, DrawnOptions):
    """What a path between two cells takes."""


@dataclass(frozen=True, kw_only=True)
class PromoteArguments(WatchedRun, RunOptions, PromotionOptions):
    """What a promotion takes."""


@dataclass(frozen=True, kw_only=True)
class ExtendArguments(WatchedRun, RunnerOptions, Extension):
    """What an extension takes."""


@dataclass(frozen=True, kw_only=True)
class ResumeArguments(RunnerOptions):
    """What a run that goes on takes.

    Attributes:
        epochs: Of a training: more epochs than it had.
        passes: Of a training: more passes over its text.
        text: Where texts that it reads lie now, if in other places; the run keeps them.
        progress: Whether it is shown, or who hears of it.
    """

    epochs: int | None = None
    passes: int | None = None
    text: Sequence[str] = ()
    progress: bool | Watcher[Any] | TrainWatcher = True


@dataclass(frozen=True, kw_only=True)
class GradientArguments(ModelChoice, GradientOptions):
    """What a gradient study takes.

    Attributes:
        task: Reads a task's data instead of noise; of a run, the models on this task.
        progress: Whether a training is told of, in lines.
    """

    progress: bool = True


@dataclass(frozen=True, kw_only=True)
class UnitArguments(ModelChoice, UnitOptions):
    """What a study of units takes.

    Attributes:
        text: A file to read instead of the test data of the task; or the run's own text, wherever
            it lies now: then the test data are read.
    """


@dataclass(frozen=True, kw_only=True)
class SampleArguments(ModelChoice, SampleOptions):
    """What a sample takes."""


@dataclass(frozen=True, kw_only=True)
class ExportArguments(ModelChoice, ExportOptions):
    """What an export takes.

    Attributes:
        to: The form: torch, onnx, latex, mermaid, svg or json.
        out: A folder or file to write; None writes none.
        force: Whether files that are there are overwritten.
    """

    to: str = "torch"
    out: str | Path | None = None
    force: bool = False
