"""The smallest difference that a study can find, by resampling a run that is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError, StoreError

if TYPE_CHECKING:
    import pandas as pd

    from odyssey.storage.places import Place
    from odyssey.studies.study import Study


@dataclass(frozen=True)
class StudyPower:
    """What a study can find.

    Attributes:
        pilot: The run that was resampled.
        table: As `statistics.power.study_power`, of the tasks that both have.
        missing: Tasks of the study that the pilot has not.
        differs: What the pilot has otherwise, as `field: pilot -> study`; empty where nothing.
        margin: The study's margin of equality; 0 for none.
    """

    pilot: str
    table: pd.DataFrame = field(repr=False)
    missing: tuple[str, ...]
    differs: str
    margin: float

    def data(self) -> dict[str, Any]:
        """Gives it as plain data."""
        return {
            "pilot": self.pilot,
            "tasks": self.table.to_dict("records"),
            "missing": list(self.missing),
            "differs": self.differs,
        }


def study_power(study: Study, pilot: str | Place) -> StudyPower:
    """Resamples a run as the draws of a study, and says which differences that would find.

    Args:
        study: The study, with a baseline.
        pilot: A run directory with two cells or more on some of its tasks, or its URL.

    Raises:
        ConfigError: The study has no baseline, or the pilot no task of it or a single cell.
        StoreError: The directory is no run, or has no finished trial.
    """
    from odyssey.specs import expand
    from odyssey.statistics import power
    from odyssey.statistics.ranking import with_labels
    from odyssey.storage.rungs import rung_draws
    from odyssey.storage.store import RunStore
    from odyssey.studies.sealed import changes, deciding
    from odyssey.studies.study import recorded_study
    from odyssey.training.space import repeats_of

    if study.search is not None or not study.baseline:
        raise ConfigError("--pilot is for a study with a baseline: power is about its comparisons")
    store = RunStore.open(pilot)
    if study.ladder or rung_draws(store.run):
        raise ConfigError(
            "--pilot takes all draws to have one budget, which those of a ladder have not: ask it"
            " of a study and a pilot without [[ladder]]"
        )
    results = store.results()
    if results.empty:
        raise StoreError(f"{store.path} has no finished trial: there is nothing to resample")
    there = set(results["task"])
    tasks = [task for task in study.tasks if task in there]
    if not tasks:
        raise ConfigError(
            f"{store.path} has none of the tasks {', '.join(study.tasks)}; it has "
            f"{', '.join(sorted(there))}: name another --pilot"
        )
    cells = expand(list(study.cells))
    table = power.study_power(
        with_labels(results),
        draws=study.members,
        comparisons=(len(cells) - 1) * len(study.tasks),
        seed=study.seed,
        repeats=repeats_of(study.distributions, study.members),
        tasks=tasks,
        baseline=study.baseline,
    )
    try:
        differs = changes(deciding(recorded_study(store.study_text, store.run)), deciding(study))
    except ConfigError:
        differs = ""
    missing = tuple(task for task in study.tasks if task not in there)
    return StudyPower(str(store.path), table, missing, differs, study.margin)
