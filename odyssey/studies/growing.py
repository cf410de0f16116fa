"""How a run grows: what a larger study still lacks, and how its records become that study's.

A member's numbers depend on its own draw and seed alone, and both on its number alone. So every
member of a trial of the smaller study is a member of a trial of the larger one, the same to the
bit; that trial may have more. What it lacks is trained as a trial of its own, a *part*, and
recorded as such. Meanwhile run.json says which trial every record is, or is a part of
(`RunStore.labels`); when all is there the records are written down as the larger study would have
left them (`regroup`). Everything that a kill may cut off is done again from the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from odyssey.errors import ConfigError
from odyssey.storage.labels import Label, Labels, parts_of
from odyssey.storage.store import REGROUPING, RunStore
from odyssey.studies.trial import Trial
from odyssey.studies.weights import join_weights, path_of


@dataclass(frozen=True)
class Remaining:
    """What a run lacks of its study.

    Attributes:
        trials: Trials, or parts of them, one for every trial that is not finished.
        labels: Which trial of the study everything recorded belongs to, and these parts too, where
            that is not what the record itself says.
    """

    trials: list[Trial]
    labels: Labels

    @staticmethod
    def of(
        store: RunStore, trials: Sequence[Trial], *, before: Sequence[Trial] | None = None
    ) -> Remaining:
        """Compares what is recorded with a study.

        Args:
            store: The run.
            trials: The trials of the study.
            before: Those of the study that the run has had; the same ones where it is None.

        Raises:
            ConfigError: A trial of the study before is no part of one of this study.
        """
        recorded, labels = store.recorded(), store.labels
        if before is None and not labels:
            return Remaining([trial for trial in trials if trial.id not in recorded], {})
        grows = before is not None
        homes = _homes(before if before is not None else trials, trials)
        home_of = {  # what is under no label of the study was given up
            one: home
            for one in sorted(recorded)
            if (home := homes.get(labels[one].trial if one in labels else one)) is not None
        }
        present: dict[str, set[int]] = {}
        for one, members in store.rows(relabel=False).groupby("trial")["member"]:
            if str(one) in home_of:
                present.setdefault(home_of[str(one)].id, set()).update(map(int, members))
        left = []
        for trial in trials:
            there = present.get(trial.id, set())
            missing = tuple(m for m in trial.members if m["member"] not in there)
            if missing:
                left.append(replace(trial, members=missing))
                home_of[left[-1].id] = trial
        # an index may be another one by now; of what came later only parts need a label
        said = {o: h for o, h in home_of.items() if o != h.id or o in labels or grows}
        return Remaining(left, {one: Label(home.id, home.index) for one, home in said.items()})

    def note(self, store: RunStore) -> None:
        """Writes the labels into run.json where it says others; call it while holding the lock."""
        if self.labels != store.labels:
            store.update_run(**self.facts())

    def facts(self) -> dict[str, Any]:
        """Gives what run.json says of it."""
        return {REGROUPING: {part: list(label) for part, label in self.labels.items()}}


def regroup(store: RunStore, trials: Sequence[Trial]) -> None:
    """Writes the records of a run that has grown down as its study's; all must be there.

    Args:
        store: The run, whose lock is held.
        trials: The trials of the study.

    Raises:
        StoreError: The run cannot be written.
    """
    parts = parts_of(store.labels)
    for whole, of in parts.items():
        join_weights(store, whole, of)
    store.regroup({trial.id: len(trial.members) for trial in trials})
    for part in chain(*parts.values()):
        path_of(store, part).unlink(missing_ok=True)


def _homes(before: Sequence[Trial], now: Sequence[Trial]) -> dict[str, Trial]:
    """Gives the trial that holds all members of each of the smaller study's, by its id."""
    place = {(t.task, t.spec, t.rung, m["member"]): t for t in now for m in t.members}
    homes = {}
    for trial in before:
        home = place.get((trial.task, trial.spec, trial.rung, trial.members[0]["member"]))
        numbers = {m["member"] for m in trial.members}
        held = [m for m in home.members if m["member"] in numbers] if home else []
        if home is None or replace(home, members=tuple(held)).id != trial.id:
            raise ConfigError(
                f"{trial.spec} on {trial.task} would not be the same in the larger study;"
                " start a new run"
            )
        homes[trial.id] = home
    return homes
