"""What a change does, over all runs that made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError, StoreError
from odyssey.jobs.compare import finished_runs, seed_of

if TYPE_CHECKING:
    import pandas as pd

    from odyssey.storage.places import Place


@dataclass(frozen=True)
class ChangesOverRuns:
    """Changes over several runs.

    Attributes:
        effects: One row a run, task and change: `statistics.forest.EFFECT_COLUMNS`, and run,
            optimizer and characters (the most that a draw read).
        forest: As `statistics.forest.forest`.
        groups: As `statistics.forest.forest_groups`.
    """

    effects: pd.DataFrame = field(repr=False)
    forest: pd.DataFrame = field(repr=False)
    groups: pd.DataFrame = field(repr=False)

    def data(self) -> dict[str, Any]:
        """Gives it as plain data."""
        return {
            "effects": self.effects.to_dict("records"),
            "forest": self.forest.to_dict("records"),
            "groups": self.groups.to_dict("records"),
        }


def changes_over_runs(directories: Sequence[str | Place]) -> ChangesOverRuns:
    """Synthesises every change over the runs that made it, each beside its own baseline.

    Args:
        directories: Run directories or their URLs, of studies with a baseline.

    Raises:
        ConfigError: No two estimates are of one change, a run is a search, or is named twice.
        StoreError: A directory is no run of a study with a baseline and results.
    """
    import pandas as pd

    from odyssey.statistics.forest import forest, forest_groups, run_effects
    from odyssey.statistics.ranking import with_labels

    parts = []
    for name, store, results in finished_runs(directories):
        facts = store.run
        baseline = str(facts.get("baseline") or "")
        if not baseline:
            raise StoreError(f"{store.path} has no baseline: leave it out")
        found = run_effects(with_labels(results), baseline=baseline, seed=seed_of(facts))
        training = facts.get("training")
        optimizer = training.get("optimizer") if isinstance(training, dict) else None
        most = results.groupby("task")["characters"].max()
        parts.append(
            found.assign(
                run=name,
                optimizer=str(optimizer or "unknown"),
                characters=found["task"].map(most),
            )
        )
    effects = pd.concat(parts, ignore_index=True)
    whole = forest(effects)
    if whole.empty:
        raise ConfigError("no change was made in two runs or on two tasks: there is no synthesis")
    return ChangesOverRuns(effects, whole, forest_groups(effects))
