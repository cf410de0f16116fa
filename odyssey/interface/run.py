"""A run: the directory that a study, a search or a training has written, as an object."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from odyssey.errors import ConfigError, RunCutShortError, StoreError, suggest
from odyssey.expr import Cell, parse_cell
from odyssey.interface.arguments import (
    ExportArguments,
    ExtendArguments,
    GradientArguments,
    PromoteArguments,
    ResumeArguments,
    SampleArguments,
    UnitArguments,
)
from odyssey.interface.calls import method, part
from odyssey.jobs.choice import ModelChoice
from odyssey.jobs.export import Exported, export_cell
from odyssey.jobs.extend import begin_extension
from odyssey.jobs.gradients import GradientStudy, measure_gradients
from odyssey.jobs.sample import WrittenText, sample_text
from odyssey.jobs.search import RunnerOptions, begin_run, resume_run, work_through
from odyssey.jobs.train import TrainOptions, resume_training
from odyssey.jobs.units import UnitStudy, study_units
from odyssey.names import file_name, printable
from odyssey.report.page.shows import shows
from odyssey.storage.places import Place, place
from odyssey.storage.schema import KIND, OK, SEED_ARM
from odyssey.studies.make.promotion import promotion_study
from odyssey.studies.study import Study, recorded_study
from odyssey.wording import duration

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from odyssey.jobs.status import RunStatus
    from odyssey.progress.watching import RunProgress
    from odyssey.report.page.pictures import Picture
    from odyssey.studies.source import OpenRun
    from odyssey.studies.trained import TrainedModel


_FIRST = ("effects", "curves")  # kinds of figures


class Run:
    """What a study, a search or a training has left in its directory, and may go on with.

    Everything is read from the directory when it is asked for, so that a run that is at work, here
    or in another process, can be looked at; what its report says is computed once, until there is
    more to say. A `Run` stands wherever its directory may stand.

    Attributes:
        path: The run directory, or its URL.
    """

    def __init__(self, path: str | Place | Run) -> None:
        """Opens a run.

        Args:
            path: Its directory or URL.

        Raises:
            StoreError: There is no run.
        """
        from odyssey.storage.store import RunStore

        self.path: Place = path.path if isinstance(path, Run) else place(path)
        self._store = RunStore.open(self.path)
        self._read: tuple[object, bool, Any] | None = None  # a report: of what, with figures, what

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What run.json says: tasks, versions, commit, wall time and more."""
        return self._store.run

    @property
    def name(self) -> str:
        """The name of its study."""
        return str(self.facts.get("study") or self.path.name)

    @property
    def kind(self) -> Literal["study", "search", "training"]:
        """What made it."""
        kind = self.facts.get("kind")
        return "search" if kind == KIND else "training" if kind == "train" else "study"

    @property
    def study(self) -> Study:
        """The study that it runs."""
        return recorded_study(self._store.study_text, self.facts)

    @property
    def results(self) -> pd.DataFrame:
        """One row a member: the columns of `odyssey.storage.schema.RESULT_COLUMNS`.

        Of a ladder that is the row of the last rung that the member reached.
        """
        return self._store.results()

    @property
    def rungs(self) -> pd.DataFrame:
        """As `results`, of a ladder with a row for every rung that a member reached."""
        return self._store.rows()

    @property
    def curves(self) -> pd.DataFrame:
        """One row a measurement along training: `odyssey.storage.schema.CURVE_COLUMNS`.

        Of a ladder those of the rows of `results`.
        """
        return self._store.curves()

    @property
    def candidates(self) -> pd.DataFrame:
        """Of a search, one row a candidate: `odyssey.storage.candidates.CANDIDATE_COLUMNS`."""
        from odyssey.storage.candidates import load_candidates

        return load_candidates(self.path)

    @property
    def cells(self) -> dict[str, Cell]:
        """The cells that have results, by the name under which tables show them.

        Of a search those that passed all stages, best score first.
        """
        from odyssey.statistics.ranking import with_labels
        from odyssey.storage.candidates import finished_candidates

        if self.kind == "search":
            rows = finished_candidates(self.candidates)
            named = zip(rows["name"], rows["cell_text"], strict=True)
        else:
            rows = with_labels(self.results).drop_duplicates("label")
            named = zip(rows["label"], rows["cell_text"], strict=True)
        return {str(name): parse_cell(str(text)) for name, text in named}

    @property
    def status(self) -> RunStatus:
        """How far it is, and whether a process works on it."""
        from odyssey.jobs.status import run_status

        return run_status(self.path)

    def table(
        self, of: Literal["", "comparison", "leaderboard", "overall", "pareto", "best"] = ""
    ) -> pd.DataFrame:
        """Gives a table of its report: one row a task and cell; of a search, a cell.

        Args:
            of: `comparison` with the baseline (`odyssey.statistics.comparison.compare` names its
                columns), the `leaderboard` or its ranks `overall` tasks
                (`odyssey.statistics.ranking`), the models of the `pareto` fronts of loss against
                parameters and operations; of a search its `best` cells. Without a name the
                first that there is.

        Raises:
            ConfigError: There is no such table.
            StoreError: Nothing is finished.
        """
        with self._content(drawn=False) as tables:
            found = _tables(tables)
        if of and of not in found:
            raise ConfigError(suggest(of, found, what=f"table of this {self.kind}"))
        return found[str(of) or next(iter(found))]

    def show(self) -> None:
        """Prints the tables of its report, as wide as the terminal.

        Raises:
            StoreError: Nothing is finished.
        """
        from odyssey.jobs.report import print_run
        from odyssey.progress.output import console

        with self._content(drawn=False) as content:
            print_run(content, console())

    @property
    def _pictures(self) -> dict[str, Picture]:
        with self._content(drawn=True) as content:
            ablation = getattr(content, "ablation", None)
            drawn = (*(ablation.pictures if ablation else ()), *content.pictures)
            return {picture.name: picture for picture in drawn}

    @property
    def figures(self) -> dict[str, str]:
        """What figures its report has: their titles, by name."""
        return {name: picture.title for name, picture in self._pictures.items()}

    def figure(self, name: str = "") -> Figure:
        """Draws a figure of its report; the whole report is drawn once for all of them.

        Args:
            name: One of `figures`, or its kind alone, as in `curves`: that of the first task.
                Without a name what says most: the differences to a baseline, or learning curves.

        Raises:
            ConfigError: There is none of this name.
            StoreError: Nothing is finished.
        """
        pictures = self._pictures
        kinds = {
            key.rpartition(f"{file_name(picture.task)}_")[2]: picture
            for key, picture in reversed(pictures.items())
        }
        named = kinds | pictures
        if not name:
            named[""] = next(picture for kind in (*_FIRST, *named) if (picture := named.get(kind)))
        if name not in named:
            raise ConfigError(suggest(name, kinds, what="figure of the report", also=pictures))
        return named[name].figure

    @contextmanager
    def _content(self, *, drawn: bool) -> Iterator[Any]:
        """Gives what its report says; computed once, until there is more to say."""
        from odyssey.jobs.report import read_run
        from odyssey.report.page.units import counting

        now = self._store.finished(), self._store.study_text
        if self._read is None or self._read[0] != now or (drawn and not self._read[1]):
            with read_run(self.path, drawn=drawn) as (content, _, _):
                self._read = now, drawn, content
        with counting(self.facts):
            yield self._read[2]

    def page(self, to: str | Path = "") -> Path:
        """Writes its report: one page, with tables and figures beside it; gives the page.

        Args:
            to: The folder; the run itself without one.

        Raises:
            StoreError: Nothing is finished, or it cannot be written.
        """
        from odyssey.jobs.report import report_run

        with report_run(self.path, to=to) as reported:
            if reported.refusal:
                raise StoreError(reported.refusal)
            return Path(reported.files["report"])

    def best(self) -> Cell:
        """Gives the best cell: of a search by score, else by the lowest validation loss.

        Over several tasks that is the cell with the lowest mean rank.

        Raises:
            StoreError: Nothing is finished.
        """
        from odyssey.statistics.ranking import overall, with_labels
        from odyssey.storage.candidates import finished_candidates
        from odyssey.storage.rungs import best_first

        rows = self.candidates if self.kind == "search" else self.results
        if self.kind == "search":
            rows = finished_candidates(rows[rows["arm"] != SEED_ARM])
        else:
            rows = best_first(with_labels(rows[rows["status"] == OK]))
            if rows["task"].nunique() > 1:
                first = overall(with_labels(self.results)).iloc[0]["label"]
                rows = rows[rows["label"] == first]
        if rows.empty:
            raise StoreError(f"{self.path}: nothing is finished yet; go on with .resume()")
        return parse_cell(str(rows.iloc[0]["cell_text"]))

    @method(ModelChoice)
    def model(self, choice: ModelChoice) -> TrainedModel:
        """Reads a model that it has kept: without arguments the best, by validation loss.

        Raises:
            OdysseyError: There is none, or it has several tasks and none is named.
        """
        from odyssey.studies.trained import load_trained

        return load_trained(self._local, **asdict(choice))

    @property
    def _local(self) -> Path:
        if not isinstance(self.path, Path):
            raise ConfigError(f"{self.path} is elsewhere: weights are kept in a folder only")
        return self.path

    @method(ResumeArguments)
    def resume(self, options: ResumeArguments) -> Run:
        """Goes on where it was cut short; what is finished is not run again. Gives itself.

        Raises:
            OdysseyError: There is nothing to go on with, or another process runs it.
        """
        from odyssey.progress.watching import watched_training

        progress: Any = options.progress
        if self.kind == "training":
            for name, value in options.runner_choice.items():
                if value is not None:
                    raise ConfigError(f"{self.path} is a training: {name} is for studies")
            given = TrainOptions(
                epochs=options.epochs, passes=options.passes, track=options.track, sample=0
            )
            with watched_training(progress) as watcher, resumable(self.path):
                resume_training(str(self.path), given, texts=options.text, watcher=watcher)
            return Run(self)
        if options.epochs is not None or options.passes is not None:
            raise ConfigError(
                f"{self.path} is a {self.kind}, whose epochs stay: it can be extended"
            )
        return work(resume_run(self.path, texts=options.text), options, progress)

    @method(ExtendArguments)
    def extend(self, options: ExtendArguments) -> Run:
        """Gives it more draws, cells, tasks or candidates, and runs what it lacks. Gives itself.

        Raises:
            OdysseyError: The extension makes no sense, or another process runs it.
        """
        extended = begin_extension(self.path, options, options)
        return work(extended.run, options, options.progress)

    @method(PromoteArguments)
    def promote(self, options: PromoteArguments) -> Run:
        """Trains the best cells of a search again, beside LSTM and GRU, on seeds of their own.

        Raises:
            OdysseyError: It is no search, or nothing passed all stages.
        """
        study = promotion_study(self._local, options)
        return work(begin_run(study, options), options, options.progress)

    @method(ExportArguments)
    def export(self, options: ExportArguments) -> Exported:
        """Writes its best model, or the one that is named, in a form that needs no Odyssey.

        Raises:
            OdysseyError: There is no such model or form.
        """
        return exported(str(self.path), options)

    @method(GradientArguments)
    def gradients(self, options: GradientArguments) -> GradientStudy:
        """Measures how far gradients reach back through its trained models.

        Raises:
            OdysseyError: It has kept no models, or options make no sense.
        """
        return measure_gradients([str(self.path)], options, choice=part(ModelChoice, options))

    @method(UnitArguments)
    def units(self, options: UnitArguments) -> UnitStudy:
        """Sees what the units and gates of its best model, or the one that is named, follow.

        Raises:
            OdysseyError: There is no such model, or what it is to read makes no sense.
        """
        return study_units(str(self.path), options, choice=part(ModelChoice, options))

    @method(SampleArguments)
    def sample(self, options: SampleArguments) -> WrittenText:
        """Lets its best model, or the one that is named, write.

        Raises:
            OdysseyError: There is no such model, or the prime holds a symbol that its task lacks.
        """
        return sample_text(str(self.path), options, choice=part(ModelChoice, options))

    def __repr__(self) -> str:
        return f"<Run {printable(str(self.path))}: {self._said()}>"

    def _said(self) -> str:
        status = self.status
        if status.board:
            told = f"{status.board['told']:,} of {status.board['total']:,} candidates"
        else:
            of = "" if status.planned is None else f" of {status.planned:,}"
            told = f"{status.trials:,}{of} trials"
        doing = ", at work" if status.active else ""
        return f"{self.kind} {printable(self.name)}, {told}{doing}"

    @shows
    def _repr_html_(self) -> str:
        from odyssey.report.page.shown import fragment
        from odyssey.report.page.tables import by_task, comparison_table
        from odyssey.report.search.page import best_html, verdict
        from odyssey.report.study.page import table_html

        notes = [f"seed {self.facts.get('seed')}; {self._taken()}; {self.path}"]
        try:
            with self._content(drawn=False) as content:
                if self.kind == "search":
                    blocks, notes = [best_html(content)], [verdict(content), *notes]
                else:
                    found = content.ablation
                    frame = comparison_table(found.compared) if found else content.board
                    blocks = [table_html(part) for _, part in by_task(frame)]
        except StoreError as error:
            blocks, notes = [], [str(error), *notes]
        return fragment(self.name, lead=self._said(), blocks=blocks, notes=notes)

    def _taken(self) -> str:
        return duration(float(self.facts.get("seconds") or 0.0))


def plain(given: Any) -> Any:
    """Gives where a run is as text; anything else but a path as it is."""
    found = given.path if isinstance(given, Run) else given
    return str(found) if isinstance(found, Path) else found


def exported(source: Any, options: ExportArguments) -> Exported:
    """Exports, and writes the files where a folder is named."""
    found = export_cell(source, options.to, options, choice=part(ModelChoice, options))
    if options.out is not None:
        found.save(options.out, force=options.force)
    return found


def _tables(content: Any) -> dict[str, pd.DataFrame]:
    """Gives the tables of a report by name, the one that says most first."""
    from odyssey.report.search.content import SearchContent
    from odyssey.report.search.page import best_table

    if isinstance(content, SearchContent):
        return {"best": best_table(content)}
    found = {"comparison": content.ablation.compared} if content.ablation else {}
    found["leaderboard"] = content.board
    found |= {} if content.overall is None else {"overall": content.overall}
    return found | {"pareto": content.pareto}


def work(run: OpenRun, options: RunnerOptions, progress: RunProgress) -> Run:
    """Runs what a run has left, watched; gives it.

    Raises:
        OdysseyError: See `odyssey.jobs.search.work_through`.
    """
    from odyssey.progress.watching import watched_run

    with resumable(run.store.path), watched_run(run, progress) as watcher:
        work_through(run, options, watcher=watcher)
    return Run(run.store.path)


@contextmanager
def resumable(path: Place) -> Iterator[None]:
    """Says how to go on where work is cut short: by Ctrl-C, or by what it runs on."""
    try:
        yield
    except (KeyboardInterrupt, RunCutShortError):
        kept = "what is finished is kept"
        print(f"{kept}; go on with: odyssey.Run({str(path)!r}).resume()", file=sys.stderr)
        raise
