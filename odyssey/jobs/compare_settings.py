"""What settings do in which runs differ: every cell beside itself in the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError
from odyssey.jobs.compare import ComparedRun, ComparedRuns, compared_runs, same_draws, seed_of

if TYPE_CHECKING:
    import pandas as pd

    from odyssey.storage.places import Place

_SPACE, _TASK = "space.", "task."
_HELD_OUT = ("training.valid_characters", "training.test_characters")


def compare_settings(directories: Sequence[str | Place], *, baseline: str = "") -> ComparedRuns:
    """Compares every cell with itself in the first run, whose settings are others.

    Runs may differ in all but a task and what is held out of it. Draws are compared one by one
    where they have the same seeds and the same hyperparameters, but for those whose space is not
    the same; else as two independent samples. Holm corrects over all comparisons of the table.

    Args:
        directories: Run directories or their URLs, two or more.
        baseline: Refused: every cell has its own.

    Raises:
        ConfigError: A baseline, fewer than two runs, one is a search, one has the settings of the
            first, or none has a cell of the first on one of its tasks.
        StoreError: A directory is no run, or has no finished trial.
    """
    import pandas as pd

    from odyssey.statistics.comparison import compare
    from odyssey.statistics.synthesis import SYNTHESIS_COLUMNS, best_scores

    if baseline:
        raise ConfigError("each cell is beside itself: leave out the baseline")
    first, *others = runs = compared_runs(directories)
    settings = {run.name: _settings(first, run) for run in others}
    drawn = [_drawn_otherwise(first, run) for run in others]
    parts: list[_Part] = []
    for task in first.setups:
        of_runs = [_cells(run, task) for run in others]
        for cell, home in _cells(first, task).items():
            beside = [
                _Part(
                    run.name,
                    task,
                    cell,
                    cells[cell],
                    own=not same_draws(home, cells[cell], but=otherwise),
                    differs=_differs(first, run, task, home, cells[cell]),
                )
                for run, cells, otherwise in zip(others, of_runs, drawn, strict=True)
                if cell in cells
            ]
            if beside:
                parts += [_Part(first.name, task, cell, home), *beside]
    if not parts:
        raise ConfigError(f"no other run has a cell of {first.name} on one of its tasks")
    alike = pd.concat([part.named for part in parts if not part.differs])
    baselines = {part.label: f"{part.cell} ({first.name})" for part in parts}
    tables = [compare(alike, seed=seed_of(first.facts), baseline=baselines)]
    if apart := [part.named for part in parts if part.differs]:
        tables.append(best_scores(pd.concat(apart)).assign(baseline=False))
    about = pd.DataFrame([part.about for part in parts])
    table = about.merge(pd.concat(tables), on=["task", "label"], how="left")
    none = pd.DataFrame(columns=list(SYNTHESIS_COLUMNS))
    return ComparedRuns(runs, "", table, none, settings=settings)


@dataclass(frozen=True)
class _Part:
    """The draws of one cell on one task in one run.

    Attributes:
        run: Name of the run.
        task: The task.
        cell: The cell.
        rows: One a draw.
        own: Whether the draws are not those of the first run.
        differs: Why they are not compared with those of the first run; empty where they are.
    """

    run: str
    task: str
    cell: str
    rows: pd.DataFrame
    own: bool = False
    differs: str = ""

    @property
    def label(self) -> str:
        """Its name in the table."""
        return f"{self.cell} ({self.run})"

    @property
    def named(self) -> pd.DataFrame:
        """Its rows for the comparison."""
        return self.rows.assign(label=self.label, independent=self.own)

    @property
    def about(self) -> dict[str, str | None]:
        """What the table says of it beside scores."""
        draws = None if self.differs else "others" if self.own else "the same"
        names = {"task": self.task, "label": self.label, "run": self.run, "cell": self.cell}
        return {**names, "draws_are": draws, "differs": self.differs}


def _cells(run: ComparedRun, task: str) -> dict[str, pd.DataFrame]:
    """Gives the rows of a run on a task, by cell."""
    results = run.results[run.results["task"] == task]
    return {str(label): part for label, part in results.groupby("label", sort=False)}


def _settings(first: ComparedRun, run: ComparedRun) -> str:
    """Says in which settings a run differs from the first.

    Raises:
        ConfigError: In none.
    """
    from odyssey.studies.sealed import changes

    said = changes(_shared(first), _shared(run))
    if not said:
        raise ConfigError(f"{run.name} has the settings of {first.name}: leave out --settings")
    return said


def _shared(run: ComparedRun) -> dict[str, Any]:
    """Gives the settings of a run, without what describes its tasks."""
    setup = next(iter(run.setups.values()))
    return {name: value for name, value in setup.items() if not name.startswith(_TASK)}


def _drawn_otherwise(first: ComparedRun, run: ComparedRun) -> set[str]:
    """Names the hyperparameters whose space is another one."""
    here, there = _shared(first), _shared(run)
    spaces = {name for name in {*here, *there} if name.startswith(_SPACE)}
    return {n.removeprefix(_SPACE).partition(".")[0] for n in spaces if here.get(n) != there.get(n)}


def _differs(
    first: ComparedRun, run: ComparedRun, task: str, home: pd.DataFrame, part: pd.DataFrame
) -> str:
    """Says why a cell of a run is not the first run's on the same data; empty where it is."""
    from odyssey.studies.sealed import changes

    if set(home["cell_key"]) != set(part["cell_key"]):
        return "other equations under this name"
    data = [
        {n: v for n, v in one.setups[task].items() if n.startswith(_TASK) or n in _HELD_OUT}
        for one in (first, run)
    ]
    return changes(*data)
