"""Cells of several runs in one table: compared where the runs are alike, and else not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError, StoreError, suggest
from odyssey.names import printable, short_names
from odyssey.report.page.shows import shows
from odyssey.storage.schema import KIND

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pandas as pd
    from matplotlib.figure import Figure

    from odyssey.storage.places import Place
    from odyssey.storage.store import RunStore


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs.

    Attributes:
        name: Its name in tables.
        setups: What decides its numbers beside cells and draws, by task: dotted field -> value.
        results: One row a member, with `label`.
        facts: Those of run.json.
    """

    name: str
    setups: Mapping[str, Mapping[str, Any]] = field(repr=False)
    results: pd.DataFrame = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, repr=False)
class ComparedRuns:
    """What a comparison of runs found.

    Attributes:
        runs: The runs, in the order in which they were named.
        baseline: Cell that all are compared with, of the first run that has it on the task.
        table: One row a task, cell and run: the columns of `statistics.comparison.compare`, and
            run, cell, draws_are (`the same`, `others` or missing) and differs, which says what
            is not alike where a cell is not compared.
        agreement: One row a task and cell: `statistics.synthesis.SYNTHESIS_COLUMNS`.
        shared: Whether some of the runs have draws in common: then they agree more than they know.
        settings: Where every cell is compared with itself in the first run, what the runs' settings
            are beside that one's, by their names; baseline is empty then, and so is agreement.
    """

    runs: tuple[ComparedRun, ...]
    baseline: str
    table: pd.DataFrame = field(repr=False)
    agreement: pd.DataFrame = field(repr=False)
    shared: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    def figure(self, task: str = "") -> Figure:
        """Draws the difference of every cell that is compared to the baseline, with intervals.

        Args:
            task: On which task; on the first one without a name.

        Raises:
            ConfigError: No cell is compared on such a task.
        """
        from odyssey.report.page.style import figure_of
        from odyssey.report.page.units import per
        from odyssey.report.study.comparison_plots import plot_effects

        compared = self.compared
        tasks = list(dict.fromkeys(map(str, compared["task"])))
        if not tasks or (task and task not in tasks):
            raise ConfigError(suggest(task, tasks, what="task with cells to compare"))
        here = compared[compared["task"] == (task or tasks[0])]
        with self.counting():
            return figure_of(plot_effects(here, unit=f"test {per()}"))

    @property
    def compared(self) -> pd.DataFrame:
        """The rows of `table` that are compared: their runs are alike."""
        return self.table[self.table["differs"] == ""].reset_index(drop=True)

    @property
    def apart(self) -> pd.DataFrame:
        """The rows of `table` that are not compared; `differs` says why."""
        return self.table[self.table["differs"] != ""]

    def counting(self) -> AbstractContextManager[None]:
        """Gives a context in which numbers are counted as the tasks of the runs do."""
        from odyssey.report.page.units import counting

        return counting(
            {"tasks": {t: r for run in self.runs for t, r in run.facts["tasks"].items()}}
        )

    def __repr__(self) -> str:
        names = ", ".join(printable(run.name) for run in self.runs)
        beside = self.compared[~self.compared["baseline"].astype(bool)]
        verdicts = beside["verdict"].dropna().value_counts()
        said = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items())
        return f"<ComparedRuns {names} beside {self.beside}: {said or 'none alike'}>"

    @property
    def beside(self) -> str:
        """What cells are compared with, in words."""
        if not self.settings:
            return printable(self.baseline)
        return f"themselves in {printable(self.runs[0].name)}"

    @shows
    def _repr_html_(self) -> str:
        from odyssey.report.page.shown import fragment
        from odyssey.report.page.tables import by_task, comparison_table
        from odyssey.report.study.page import table_html

        notes = [f"{run}: {what}" for run, what in self.settings.items()]
        notes += [
            f"{task} of {run} is not compared: {why}"
            for run, task, why in self.apart[["run", "task", "differs"]].drop_duplicates().values
        ]
        with self.counting():
            tables = by_task(comparison_table(self.compared)) if len(self.compared) else []
            return fragment(
                "Runs compared",
                lead=f"{', '.join(run.name for run in self.runs)}; beside {self.beside}",
                blocks=[table_html(part) for _, part in tables],
                notes=notes,
            )

    def data(self) -> dict[str, Any]:
        """Gives it as plain data."""
        return {
            "runs": [run.name for run in self.runs],
            "baseline": self.baseline,
            "table": self.table.to_dict("records"),
            "agreement": self.agreement.to_dict("records"),
            "shared": self.shared,
            "settings": dict(self.settings),
        }


def compare_runs(directories: Sequence[str | Place], *, baseline: str = "") -> ComparedRuns:
    """Compares the cells of several runs with one baseline, task by task.

    A cell is compared where its run has the task, the training options and the space of
    hyperparameters of the baseline's: draw by draw where the draws are the same ones (permutation
    of names), else as two independent samples of as many draws (permutation of all scores). Where
    something is not alike, that is said instead.

    Args:
        directories: Run directories or their URLs, the one with the baseline first.
        baseline: The cell; that of the first run's study, or its first one, where it is empty.

    Raises:
        ConfigError: Fewer than two runs, one is a search, or no run has the baseline.
        StoreError: A directory is no run, or has no finished trial.
    """
    import pandas as pd

    from odyssey.statistics.synthesis import synthesis

    runs = compared_runs(directories)
    labels = list(dict.fromkeys(label for run in runs for label in run.results["label"]))
    first = baseline or str(runs[0].facts.get("baseline") or "") or labels[0]
    if first not in labels:
        raise ConfigError(suggest(first, labels, what="cell of these runs"))
    tasks = list(dict.fromkeys(task for run in runs for task in run.results["task"]))
    found = [_task_table(runs, str(task), first) for task in tasks]
    agreement = synthesis(
        {run.name: run.results for run in runs},
        seed=seed_of(runs[0].facts),
        baseline=first,
        poolable={str(task): _poolable(runs, str(task)) for task in tasks},
    )
    table = pd.concat(found, ignore_index=True)
    return ComparedRuns(runs, first, table, agreement, _share(runs))


def compared_runs(directories: Sequence[str | Place]) -> tuple[ComparedRun, ...]:
    """Opens runs that are put beside each other.

    Raises:
        ConfigError: Fewer than two runs, one is a search, or is named twice.
        StoreError: One is no run, or has no finished trial.
    """
    if len(directories) < 2:
        raise ConfigError("name two runs or more to compare: odyssey compare RUN RUN")
    return tuple(_compared(*found) for found in finished_runs(directories))


def finished_runs(
    directories: Sequence[str | Place],
) -> list[tuple[str, RunStore, pd.DataFrame]]:
    """Gives of runs that are put beside each other the name in tables, the run and its results.

    Raises:
        ConfigError: One is a search, or is named twice.
        StoreError: One is no run, or has no finished trial.
    """
    given = [str(directory) for directory in directories]
    names = short_names(given)
    found = [(names[str(directory)], *_finished(directory)) for directory in directories]
    if len({p if "://" in p else str(Path(p).resolve()) for p in given}) < len(given):
        raise ConfigError("a run is named twice: it has nothing to be compared with in itself")
    return found


def _finished(where: str | Place) -> tuple[RunStore, pd.DataFrame]:
    from odyssey.storage.store import RunStore

    store = RunStore.open(where)
    if store.run.get("kind") == KIND:
        raise ConfigError(
            f"{store.path} is a search, whose scores are too good by selection; promote its best"
            f" cells and compare that: odyssey promote {store.path}"
        )
    results = store.results()
    if results.empty:
        raise StoreError(
            f"{store.path} has no finished trial; go on with: odyssey search --resume {store.path}"
        )
    return store, results


def _compared(name: str, store: RunStore, results: pd.DataFrame) -> ComparedRun:
    from odyssey.statistics.ranking import with_labels
    from odyssey.studies.sealed import deciding
    from odyssey.studies.study import recorded_study

    facts = store.run
    shared = deciding(recorded_study(store.study_text, facts))
    setups = {
        task: {**shared, **{f"task.{n}": v for n, v in record.items()}}
        for task, record in facts["tasks"].items()
    }
    return ComparedRun(name, setups, with_labels(results), facts)


def _task_table(runs: Sequence[ComparedRun], task: str, baseline: str) -> pd.DataFrame:
    """Compares the cells of one task with that of the first run that has the baseline on it."""
    import pandas as pd

    from odyssey.statistics.comparison import compare
    from odyssey.statistics.synthesis import best_scores
    from odyssey.studies.sealed import changes

    parts = {run.name: run.results[run.results["task"] == task] for run in runs}
    home = next((r for r in runs if baseline in set(parts[r.name]["label"])), None)
    alike: list[pd.DataFrame] = []
    apart: list[pd.DataFrame] = []
    about: dict[str, dict[str, str | None]] = {}
    for run in sorted(runs, key=lambda run: run is not home):  # the run of the baseline first
        part = parts[run.name]
        if part.empty:
            continue
        named = part.assign(label=part["label"].astype(str) + f" ({run.name})")
        differs = f"no {baseline} on the task" if home is None else ""
        if home is not None:
            differs = changes(home.setups[task], run.setups[task])
        own = home is None or not same_draws(parts[home.name], part)
        draws_are = None if differs else "others" if own else "the same"
        known = {"draws_are": draws_are, "differs": differs}
        for label, cell in dict(zip(named["label"], part["label"], strict=True)).items():
            about[str(label)] = {"run": run.name, "cell": str(cell), **known}
        (apart if differs else alike).append(named.assign(independent=own))
    tables = [best_scores(part).assign(baseline=False) for part in apart]
    if home is not None:
        whole = pd.concat(alike, ignore_index=True)
        first = f"{baseline} ({home.name})"
        tables.insert(0, compare(whole, seed=seed_of(runs[0].facts), baseline=first))
    found = pd.concat(tables, ignore_index=True)
    said = pd.DataFrame([about[str(label)] for label in found["label"]])
    return pd.concat([found, said], axis=1)


def same_draws(one: pd.DataFrame, other: pd.DataFrame, *, but: Collection[str] = ()) -> bool:
    """Tells whether draws of one number have one seed and one set of hyperparameters.

    Args:
        one: Rows of a task.
        other: Those of another run.
        but: Hyperparameters that are left out.
    """
    from odyssey.hyperparameters import HYPERPARAMETERS

    # a size that follows from a number of parameters is the cell's, not the draw's
    sizes = {"hidden_size"} if one["parameters"].notna().any() else set()
    names = ["seed", *(n for n in HYPERPARAMETERS if n in one and n not in sizes)]
    # cells without the gate have no forget bias
    names = [name for name in names if name != "forget_bias" and name not in but]
    mine, theirs = (rows.groupby("member")[names].first() for rows in (one, other))
    common = mine.index.intersection(theirs.index)
    return len(common) > 0 and mine.loc[common].equals(theirs.loc[common])


def _poolable(runs: Sequence[ComparedRun], task: str) -> list[str]:
    """Names the runs of one study on draws that have nothing in common; none where not all do."""
    having = [run for run in runs if task in run.setups]
    if any(run.setups[task] != having[0].setups[task] for run in having):
        return []
    return [] if _share(having) else [run.name for run in having]


def _share(runs: Sequence[ComparedRun]) -> bool:
    """Tells whether two runs have a draw in common."""
    seeds = [set(run.results["seed"]) for run in runs]
    return sum(map(len, seeds)) > len(set().union(*seeds))


def seed_of(facts: Mapping[str, Any]) -> int:
    """Gives the seed that a run says it has; 0 where it says none."""
    seed = facts.get("seed")
    return abs(seed) if isinstance(seed, int) and not isinstance(seed, bool) else 0
