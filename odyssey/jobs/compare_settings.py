"""What settings do in which runs differ: every cell beside itself in the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError
from odyssey.jobs.compare import ComparedRun, ComparedRuns, compared_runs, same_draws, seed_of

if TYPE_CHECKING:
    import pandas as pd

    from odyssey.storage.places import Place

NO_BASELINE = "each cell is beside itself: leave out the baseline"
_SPACE, _TASK = "space.", "task."
_HELD_OUT = ("training.valid_characters", "training.test_characters")


def compare_settings(directories: Sequence[str | Place]) -> ComparedRuns:
    """Compares every cell with itself in the first run, whose settings are others.

    Runs may differ in all but a task and what is held out of it. Draws are compared one by one
    where they have the same seeds and the same hyperparameters, but for those whose space is not
    the same; else as two independent samples. Holm corrects over all comparisons of the table.

    Args:
        directories: Run directories or their URLs, two or more.

    Raises:
        ConfigError: Fewer than two runs, one is a search, one has the settings of the first, or
            none has a cell of the first on one of its tasks.
        StoreError: A directory is no run, or has no finished trial.
    """
    import pandas as pd

    from odyssey.statistics.comparison import compare
    from odyssey.statistics.synthesis import SYNTHESIS_COLUMNS, best_scores

    first, *others = runs = compared_runs(directories)
    settings = {run.name: _settings(first, run) for run in others}
    rows: list[pd.DataFrame] = []
    about: list[dict[str, Any]] = []  # of every cell of a run on a task, in the order of the table
    for task in first.setups:
        for label, home in _cells(first, task):
            of_cell = [home.assign(independent=False)]
            said = [_about(first, task, label)]
            for run in others:
                for _, part in (pair for pair in _cells(run, task) if pair[0] == label):
                    own = not same_draws(home, part, but=_drawn_otherwise(first, run))
                    of_cell.append(part.assign(independent=own))
                    said.append(
                        _about(
                            run,
                            task,
                            label,
                            own=own,
                            differs=_differs(first, run, task, home, part),
                        )
                    )
            if len(of_cell) > 1:
                rows += of_cell
                about += said
    if not rows:
        raise ConfigError(f"no other run has a cell of {first.name} on one of its tasks")
    named = [part.assign(label=one["label"]) for part, one in zip(rows, about, strict=True)]
    alike = [part for part, one in zip(named, about, strict=True) if not one["differs"]]
    apart = [part for part, one in zip(named, about, strict=True) if one["differs"]]
    beside = {one["label"]: f"{one['cell']} ({first.name})" for one in about}
    tables = [compare(pd.concat(alike), seed=seed_of(first.facts), baseline=beside)]
    if apart:
        tables.append(best_scores(pd.concat(apart)).assign(baseline=False))
    return ComparedRuns(
        runs,
        "",
        pd.DataFrame(about).merge(pd.concat(tables), on=["task", "label"], how="left"),
        pd.DataFrame(columns=list(SYNTHESIS_COLUMNS)),
        settings=settings,
    )


def _cells(run: ComparedRun, task: str) -> list[tuple[str, pd.DataFrame]]:
    """Gives the cells of a run on a task with their rows."""
    results = run.results[run.results["task"] == task]
    return [(str(label), part) for label, part in results.groupby("label", sort=False)]


def _about(
    run: ComparedRun, task: str, cell: str, *, own: bool = False, differs: str = ""
) -> dict[str, Any]:
    return {
        "task": task,
        "label": f"{cell} ({run.name})",
        "run": run.name,
        "cell": cell,
        "draws_are": None if differs else "others" if own else "the same",
        "differs": differs,
    }


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
