"""The report of a run: its numbers, and the files that show them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError, StoreError
from odyssey.names import file_name, printable
from odyssey.pace import SAID_EVERY, WORTH_SAYING, Course
from odyssey.storage.places import Place, local_copy, place

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from odyssey.report.page.pictures import Picture
    from odyssey.report.search.content import SearchContent
    from odyssey.report.study.page import Content


@dataclass(frozen=True)
class ReportedRun:
    """A report.

    Attributes:
        content: What it says: of a study, or of a search.
        search: Whether it is of a search.
        directory: The run as a path; a copy of it, where it is elsewhere.
        files: Where its files are, by what they show; none where they could not be written.
        refusal: Why they could not.
    """

    content: Any
    search: bool
    directory: Path
    files: dict[str, str]
    refusal: str = ""

    def data(self) -> dict[str, Any]:
        """Gives the tables as plain data."""
        tables = _search_data(self.content) if self.search else _study_data(self.content)
        return {**tables, "files": self.files}


@contextmanager
def report_run(
    directory: str | Place,
    *,
    to: str | Path = "",
    margin: float | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Iterator[ReportedRun]:
    """Writes the report of a run; numbers are counted as its tasks do while the context lasts.

    It is written into the run, or into the directory `to`. A study with a baseline shows every cell
    beside it; any other one its leaderboards. A run in a folder that nobody may write to can be
    looked at all the same.

    Args:
        directory: The run directory, or its URL.
        to: Where the report is written.
        margin: What differs by less counts as equal to the baseline, in bits; without it what the
            study declared.
        progress: Hears in a line how long it takes, and still takes, now and then.

    Raises:
        ConfigError: The margin is not above 0.
        StoreError: There is no run, or it has no results.
    """
    from odyssey.report.search.page import write_search
    from odyssey.report.study.files import write_content

    run = place(directory)
    if margin is not None and not 0 < margin < math.inf:
        raise ConfigError(f"--margin must be a number above 0, got {margin}")
    telling = _Telling(progress)
    with read_run(run, margin=margin, telling=telling) as (content, search, local):
        try:
            there = Path(to) if to else None
            if search:
                written = write_search(content, to=there)
            else:
                written = write_content(content, to=there, heard=partial(telling.heard, "write"))
            refusal = ""
        except StoreError as error:
            written, refusal = {}, str(error)
        # what was written may lie in a copy of the run
        files = {
            name: str(run / path.relative_to(local).as_posix())
            if local != run and path.is_relative_to(local)
            else str(path)
            for name, path in written.items()
        }
        yield ReportedRun(content, search, local, files, refusal)


@dataclass
class _Telling:
    """Tells how long the figures of a study take."""

    progress: Callable[[str], None] = lambda line: None
    _course: Course | None = field(default=None, init=False)
    _panels: dict[str, int] = field(default_factory=dict, init=False)

    def begin(self, facts: dict[str, Any]) -> None:
        """Says how long it should take."""
        from odyssey.report.study.pace import figure_parts, slower

        parts = figure_parts(facts)
        if sum(part.seconds for part in parts.values()) < WORTH_SAYING:
            return
        factor = slower()
        parts = {n: replace(part, seconds=factor * part.seconds) for n, part in parts.items()}
        self._course = Course(parts, every=SAID_EVERY)
        panels = parts["draw"].steps
        if about := self._course.before():
            self.progress(f"making the report, about {panels:,.0f} panels of figures: {about}")

    def heard(self, part: str, picture: Picture) -> None:
        """Hears of a figure that was drawn or written."""
        from odyssey.report.study.pace import panels

        if self._course is None:
            return
        self._panels[part] = self._panels.get(part, 0) + panels(picture)
        if left := self._course.after(self._panels[part], part):
            what = {"draw": "drew", "write": "wrote"}[part]
            self.progress(f"{what} {picture.title}{left}")


def print_run(content: Any, screen: Console) -> None:
    """Prints what a report says of a study or a search, its tables as wide as the screen."""
    from odyssey.report.search.content import SearchContent
    from odyssey.report.search.page import print_search
    from odyssey.report.study.printed import print_study

    if isinstance(content, SearchContent):
        print_search(content, screen)
    else:
        print_study(content, screen)


@contextmanager
def read_run(
    run: Place,
    *,
    drawn: bool = True,
    margin: float | None = None,
    telling: _Telling | None = None,
) -> Iterator[tuple[Any, bool, Path]]:
    """Gives what a report says of a run, whether that is a search, and the run as a path.

    Args:
        run: The run.
        drawn: Whether the figures are drawn.
        margin: What differs by less counts as equal, in bits; None: what the study declared.
        telling: Tells how long the figures take.

    Raises:
        StoreError: There is no run, or it has no results.
    """
    from odyssey.report.page.units import counting
    from odyssey.report.search.content import is_search, read_search
    from odyssey.report.study.page import read_content
    from odyssey.storage.store import RunStore
    from odyssey.studies.floors import run_floors

    facts = RunStore.open(run).run
    with counting(facts), local_copy(run) as local:
        search = is_search(facts)
        if search:
            yield read_search(local, drawn=drawn), search, local
        else:
            floors, telling = run_floors(local), telling or _Telling()
            if drawn:
                telling.begin(dict(facts))
            heard = partial(telling.heard, "draw")
            content = read_content(local, drawn=drawn, floors=floors, margin=margin, heard=heard)
            yield content, search, local


def latex_tables(directory: str | Place) -> dict[str, str]:
    """Writes the table of a run for LaTeX (booktabs), by name: `table`, and `compact`.

    Of a study with a baseline every cell beside it, else the leaderboards; of a search its best
    cells. The compact one fits into a column of text.

    Raises:
        StoreError: There is no run, or it has no results.
    """
    from odyssey.report.page.tables import compact, comparison_table, to_latex_table
    from odyssey.report.search.page import best_table

    with read_run(place(directory), drawn=False) as (content, search, _):
        name = printable(str(content.run.get("study", "")))
        if search:
            names = {
                "name": "label",
                "score": "search_score",
                "parameters": "median_parameters",
                "members": "draws",
            }
            frame = best_table(content).rename(columns=names)
            caption = short = f"The best cells of {name}."
        else:
            found = content.ablation
            frame = content.board if found is None else comparison_table(found.compared)
            short = f"The cells of {name}."
            caption = short if found is None else found.caption
            short = short if found is None else f"Every cell beside {printable(found.baseline)}."
        label = f"tab:{file_name(name)}"
        return {
            "table": to_latex_table(frame, caption=caption, label=label),
            "compact": to_latex_table(
                compact(frame), caption=short, label=f"{label}-compact", narrow=True
            ),
        }


def _study_data(content: Content) -> dict[str, Any]:
    from odyssey.statistics.ranking import overall

    ablation = content.ablation
    return {
        "leaderboard": content.board.to_dict("records"),
        "overall": overall(content.results).to_dict("records"),
        "comparison": ablation.compared.to_dict("records") if ablation else [],
        "transfer": content.transfer.to_dict("records"),
        "components": content.components.to_dict("records"),
        "steps": _records(content.steps),
        "factorial": _records(content.factorial.effects if content.factorial else None),
        "settling": _records(ablation.settling if ablation else None),
        "further": {f.baseline: f.compared.to_dict("records") for f in content.further},
        "beside": {b.name: b.table.to_dict("records") for b in content.beside},
        "floors": content.floors.to_dict("records"),
        "learning": content.learning.to_dict("records"),
    }


def _records(frame: pd.DataFrame | None) -> list[dict[Any, Any]]:
    return [] if frame is None else frame.to_dict("records")


def _search_data(content: SearchContent) -> dict[str, Any]:
    from odyssey.report.search.page import best_table, verdict

    return {
        "verdict": verdict(content),
        "best": best_table(content).to_dict("records"),
        "arms": content.arms.to_dict("records"),
        "operators": content.operators.to_dict("records"),
        "refused": content.refused.to_dict("records"),
    }
