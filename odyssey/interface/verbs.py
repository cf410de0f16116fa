"""The verbs: `odyssey.train`, `odyssey.search` and the others, with keywords."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.errors import ConfigError
from odyssey.expr import Cell
from odyssey.interface.arguments import (
    AblateArguments,
    ExportArguments,
    ExtendArguments,
    GradientArguments,
    PathArguments,
    PromoteArguments,
    ResumeArguments,
    SampleArguments,
    SearchArguments,
    TrainArguments,
    UnitArguments,
)
from odyssey.interface.calls import called, fields_of, part
from odyssey.interface.run import Run, exported, plain, resumable, work
from odyssey.jobs.caption import CaptionOptions, ReadPictures, caption_pictures
from odyssey.jobs.choice import ModelChoice
from odyssey.jobs.compare import ComparedRuns, compare_runs
from odyssey.jobs.compare_settings import compare_settings
from odyssey.jobs.export import Exported
from odyssey.jobs.gradients import GradientStudy, measure_gradients
from odyssey.jobs.mistakes import MistakeOptions, SortedMistakes, sort_mistakes
from odyssey.jobs.sample import WrittenText
from odyssey.jobs.search import begin_run
from odyssey.jobs.train import train_cell
from odyssey.jobs.trained_cell import TrainedCell
from odyssey.jobs.units import UnitStudy
from odyssey.options import Options
from odyssey.plugins.loading import load
from odyssey.specs import spec_of
from odyssey.storage.places import Place, place
from odyssey.studies.examples import example_path
from odyssey.studies.make.ablation import ablation_study
from odyssey.studies.make.path import path_study
from odyssey.studies.study import Study, changed_study, read_study
from odyssey.tasks.registry import get_task

if TYPE_CHECKING:
    from odyssey.compiler import RNN
    from odyssey.tasks.base import Task

AnyRun = str | Place | Run

load_plugin = load


@dataclass(frozen=True)
class _Train(TrainArguments):
    """What is trained.

    Attributes:
        cell: A cell, or its spec (`lstm:no_output_gate`, `mine.cell`).
        task: The task: `memorization`, `xml`, `text:book.txt` (see `odyssey data`).
    """

    cell: str | Cell
    task: str


@called(_Train)
def train(call: _Train) -> TrainedCell:
    """Trains one cell on one task, with one set of hyperparameters.

    What is None is the preset's, or the default in brackets.

    Raises:
        OdysseyError: A cell, task or option makes no sense, or nothing can be written.
    """
    from odyssey.progress.watching import watched_training

    kept = nullcontext() if call.out is None else resumable(place(call.out))
    with kept, watched_training(call.progress) as watcher:
        return train_cell(spec_of(call.cell), call.task, call, watcher=watcher)


@dataclass(frozen=True)
class _Search(SearchArguments):
    """What is run.

    Attributes:
        study: A `Study`, or its TOML file.
    """

    study: Study | str | Path | None = None


@called(_Search)
def search(call: _Search) -> Run:
    """Runs a study, or a search where it has a strategy, into a fresh run directory.

    Raises:
        OdysseyError: The study or an option makes no sense, or nothing can be written.
    """
    if (call.study is None) == (not call.example):
        raise ConfigError("name a study, its file, or an example: odyssey.search(example='evolve')")
    if isinstance(call.study, Study):
        study = changed_study(call.study, call.settings)
    else:
        file = example_path(call.example) if call.study is None else Path(call.study)
        study = read_study(file, settings=call.settings)
    return work(begin_run(study, call), call, call.progress)


@dataclass(frozen=True)
class _Ablate(AblateArguments):
    """What is taken apart.

    Attributes:
        cell: A cell, or its spec.
    """

    cell: str | Cell


@called(_Ablate)
def ablate(call: _Ablate) -> Run:
    """Compares a cell with what it is without its parts, on equal draws and budgets.

    Raises:
        OdysseyError: The cell or an option makes no sense, or nothing can be written.
    """
    study = ablation_study(spec_of(call.cell), call)
    return work(begin_run(study, call), call, call.progress)


@dataclass(frozen=True)
class _Path(PathArguments):
    """Where the path goes.

    Attributes:
        cells: The first and the last cell, between which single changes are looked for; or three
            and more, which are the path.
    """

    cells: Sequence[str | Cell]


@called(_Path)
def path(call: _Path) -> Run:
    """Goes from one cell to another by single changes, each trained on equal draws and budgets.

    Raises:
        OdysseyError: There is no such path, an option makes no sense, or nothing can be written.
    """
    study = path_study([spec_of(cell) for cell in call.cells], call)
    return work(begin_run(study, call), call, call.progress)


@dataclass(frozen=True)
class _OfRun(Options):
    """Which run.

    Attributes:
        run: A `Run`, or its directory.
    """

    run: AnyRun
    _: KW_ONLY


@dataclass(frozen=True)
class _Resume(ResumeArguments, _OfRun):
    """What goes on."""


@called(_Resume)
def resume(call: _Resume) -> Run:
    """Goes on with a run that was cut short; what is finished is not run again.

    Raises:
        OdysseyError: There is nothing to go on with, or another process runs it.
    """
    return Run(call.run).resume(**fields_of(ResumeArguments, call))


@dataclass(frozen=True)
class _Extend(ExtendArguments, _OfRun):
    """What grows."""


@called(_Extend)
def extend(call: _Extend) -> Run:
    """Gives a run more draws, cells, tasks or candidates, and runs what it lacks.

    Raises:
        OdysseyError: The extension makes no sense, or another process runs it.
    """
    return Run(call.run).extend(**fields_of(ExtendArguments, call))


@dataclass(frozen=True)
class _Promote(PromoteArguments, _OfRun):
    """Whose best cells."""


@called(_Promote)
def promote(call: _Promote) -> Run:
    """Trains the best cells of a search again, beside LSTM and GRU, on seeds of their own.

    Raises:
        OdysseyError: It is no search, or nothing passed all stages.
    """
    return Run(call.run).promote(**fields_of(PromoteArguments, call))


def compare(*runs: AnyRun, baseline: str = "", settings: bool = False) -> ComparedRuns:
    """Puts the cells of several runs into one table, each beside one baseline.

    Args:
        runs: Runs or their directories, the one with the baseline first; or one list of them.
        baseline: The cell; that of the first run's study, or its first one, where it is empty.
        settings: Each cell beside itself in the first run instead: what the settings do in which
            the runs differ.

    Raises:
        OdysseyError: Fewer than two runs, one is a search, no run has the baseline, there are both
            a baseline and settings, or settings are asked for where the runs have the same.
    """
    listed = runs[0] if len(runs) == 1 and isinstance(runs[0], list | tuple) else runs
    compared = compare_settings if settings else compare_runs
    return compared([plain(run) for run in listed], baseline=baseline)


@dataclass(frozen=True)
class _Gradients(GradientArguments):
    """What is measured.

    Attributes:
        of: A cell or its spec, a run or its directory, or several of either.
    """

    of: str | Cell | Run | Path | Sequence[str | Cell | Run | Path]


@called(_Gradients)
def gradients(call: _Gradients) -> GradientStudy:
    """Measures how far gradients reach back through cells, or the trained models of runs.

    Raises:
        OdysseyError: A spec makes no cell, a run has no models, or options make no sense.
    """
    from odyssey.progress.output import print_line

    given = list(call.of) if isinstance(call.of, list | tuple) else [call.of]
    specs = [str(spec_of(one) if isinstance(one, Cell) else plain(one)) for one in given]
    tell = print_line if call.progress else _ignore
    return measure_gradients(specs, call, choice=part(ModelChoice, call), progress=tell)


def _ignore(line: str) -> None:
    """Does not tell."""


@dataclass(frozen=True)
class _Units(UnitArguments, _OfRun):
    """Whose units."""


@called(_Units)
def units(call: _Units) -> UnitStudy:
    """Sees what the units and gates of a trained model follow.

    Raises:
        OdysseyError: There is no such model, or what it is to read makes no sense.
    """
    return Run(call.run).units(**fields_of(UnitArguments, call))


@dataclass(frozen=True)
class _Sample(SampleArguments, _OfRun):
    """Who writes."""


@called(_Sample)
def sample(call: _Sample) -> WrittenText:
    """Lets a trained model write; `str()` of the result is the text.

    Raises:
        OdysseyError: There is no such model, or the prime holds a symbol that its task lacks.
    """
    return Run(call.run).sample(**fields_of(SampleArguments, call))


@dataclass(frozen=True)
class _Export(ExportArguments):
    """What leaves.

    Attributes:
        source: A cell or its spec, an `odyssey.RNN`, what `odyssey.train` gave, or a run, whose
            best model is meant.
    """

    source: str | Path | Cell | RNN | Run | TrainedCell


@called(_Export)
def export(call: _Export) -> Exported:
    """Writes a cell, or a trained model with its weights, in a form that needs no Odyssey.

    Raises:
        OdysseyError: There is no such cell, model or form, or files are there already.
    """
    return exported(plain(call.source), call)


@dataclass(frozen=True)
class _Caption(ModelChoice, CaptionOptions, _OfRun):
    """Who reads.

    Attributes:
        pictures: Files to read; none for the test pictures of the task.
    """

    pictures: Sequence[str] = ()


@called(_Caption)
def caption(call: _Caption) -> ReadPictures:
    """Lets a trained model read pictures, and see where it looks.

    Raises:
        OdysseyError: There is no such model, it reads no pictures, or a file is none.
    """
    choice = part(ModelChoice, call)
    return caption_pictures(str(plain(call.run)), call.pictures, call, choice=choice)


@dataclass(frozen=True)
class _Mistakes(ModelChoice, MistakeOptions):
    """Whose mistakes.

    Attributes:
        runs: A run or its directory, or several.
    """

    runs: AnyRun | Sequence[AnyRun]


@called(_Mistakes)
def mistakes(call: _Mistakes) -> SortedMistakes:
    """Sorts what trained models get wrong on a text by why they do.

    Raises:
        OdysseyError: There are no such models, or their task is no text.
    """
    given = call.runs if isinstance(call.runs, list | tuple) else [call.runs]
    return sort_mistakes([str(plain(run)) for run in given], call, choice=part(ModelChoice, call))


def task(spec: str) -> Task:
    """Makes a task of its spec, as in `memorization@length=7` or `text:book.txt`.

    Raises:
        TaskError: There is no such task, or an option makes no sense.
    """
    return get_task(spec)
