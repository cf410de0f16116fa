"""The ladder of a study: successive halving, cell by cell and task by task.

All draws of a cell on a task have the budget of the study, which is the first rung. When all of
them are finished the best by validation are trained again, from the start and with the budget of
the second rung, and so on (Karnin et al. 2013; Jamieson and Talwalkar 2016). A draw keeps its
number, and with it hyperparameters, seed and data: every cell climbs on common random numbers. Who
goes on follows from the records alone (`storage.rungs.going_on`), so that neither the order in
which trials finish nor a kill can change it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError, suggest
from odyssey.ranges import Range
from odyssey.storage.schema import FIRST
from odyssey.studies.trial import Trial
from odyssey.training.config import TrainingConfig
from odyssey.wording import plural, quoted

if TYPE_CHECKING:
    import pandas as pd

DRAWS = "draws"
MOST_RUNGS = 20
_WHOLE = Range(int, 1, 1_000_000)


@dataclass(frozen=True)
class Rung:
    """A rung of a ladder.

    Attributes:
        number: From 1.
        draws: Draws of a cell on a task that are trained on it, at most.
        unit: What its budget is counted in: `epochs` or `passes`.
        budget: How many of them.
    """

    number: int
    draws: int
    unit: str
    budget: int

    def config(self, of: TrainingConfig) -> TrainingConfig:
        """Gives the training options of a study with the budget of this rung."""
        budget: dict[str, Any] = {self.unit: self.budget}
        return replace(of, **budget)

    def plain(self) -> dict[str, int]:
        """Gives what run.json says of it."""
        return {DRAWS: self.draws, self.unit: self.budget}


def study_rungs(ladder: Any, *, members: int, config: TrainingConfig) -> tuple[Rung, ...]:
    """Reads the ladder of a study; gives its rungs from the first on, and none without a ladder.

    Args:
        ladder: The rungs after the first, as tables with `draws` and a budget.
        members: Draws of the first rung.
        config: Training options, with the budget of the first rung.

    Raises:
        ConfigError: It is none: an unknown key, draws that do not fall or a budget that does not
            grow.
    """
    if not isinstance(ladder, list | tuple) or not all(isinstance(r, Mapping) for r in ladder):
        raise ConfigError(f"ladder must be tables [[ladder]], got {quoted(ladder)}")
    if not ladder:
        return ()
    if len(ladder) >= MOST_RUNGS:
        raise ConfigError(
            f"ladder has {len(ladder)} rungs after the first, at most {MOST_RUNGS - 1}"
        )
    unit = "passes" if config.passes else "epochs"
    rungs = [Rung(FIRST, members, unit, getattr(config, unit))]
    for number, table in enumerate(ladder, start=FIRST + 1):
        for key in table:
            if key not in (DRAWS, unit):
                also = f": this study counts in {unit}" if key in ("epochs", "passes") else ""
                raise ConfigError(suggest(str(key), (DRAWS, unit), what="key of a rung") + also)
        for key in (DRAWS, unit):
            if key not in table:
                raise ConfigError(f"rung {number} of the ladder has no {key!r}")
            _WHOLE.check(f"{key} of rung {number}", table[key])
        rung, before = Rung(number, table[DRAWS], unit, table[unit]), rungs[-1]
        if rung.draws >= before.draws:
            raise ConfigError(
                f"rung {number} of the ladder takes {rung.draws} draws: expected fewer than"
                f" the {before.draws} of the rung before"
            )
        if rung.budget <= before.budget:
            raise ConfigError(
                f"rung {number} of the ladder has {rung.budget} {unit}: expected more than"
                f" the {before.budget} of the rung before"
            )
        rungs.append(rung)
    return tuple(rungs)


def ladder_text(rungs: Sequence[Rung]) -> str:
    """Says what a ladder is in words; nothing without one."""
    said = [f"{plural(rung.draws, 'draw')} x {rung.budget:,} {rung.unit}" for rung in rungs]
    return ", then ".join(said)


class Ladder:
    """Makes the trials of a study's later rungs from the records of the earlier ones.

    A study without a ladder has a single rung, and nothing follows.

    Attributes:
        rungs: Its rungs, from the first on.
    """

    def __init__(self, rungs: Sequence[Rung], first: Sequence[Trial], *, population: int) -> None:
        """Sets it up.

        Args:
            rungs: As of `study_rungs`.
            first: The trials of the first rung, in logical order.
            population: Members of one trial; 0 puts all in one.
        """
        self.rungs = tuple(rungs)
        self.first = tuple(first)
        self._population = population
        self._of: dict[tuple[str, str], list[Trial]] = {}
        for trial in first:
            self._of.setdefault((trial.task, trial.spec), []).append(trial)
        tasks = list(dict.fromkeys(task for task, _ in self._of))
        specs = list(dict.fromkeys(spec for _, spec in self._of))
        self._place = {
            (task, spec): (tasks.index(task), specs.index(spec), len(specs))
            for task, spec in self._of
        }

    @property
    def draws(self) -> tuple[int, ...]:
        """How many draws each rung takes."""
        return tuple(rung.draws for rung in self.rungs)

    def trials(self, rows: pd.DataFrame) -> list[Trial]:
        """Gives the trials of all rungs that are known by what is recorded, in logical order.

        Args:
            rows: All rows of the run.
        """
        from odyssey.storage.rungs import reached

        found = list(self.first)
        if len(self.rungs) < 2:
            return found
        there = dict(iter(rows.groupby([rows["task"].astype(str), rows["spec"].astype(str)])))
        for key in self._of:
            if key not in there:
                continue
            for rung, places in enumerate(reached(there[key], self.draws), start=FIRST):
                if len(places) >= self.draws[0] or rung > FIRST:
                    found += self.next_trials(key, rung, there[key].iloc[list(places.values())])
        return sorted(found, key=lambda trial: trial.index)

    def next_trials(self, key: tuple[str, str], rung: int, rows: pd.DataFrame) -> list[Trial]:
        """Gives the trials that follow when a cell has finished a rung of a task.

        Args:
            key: The task and the spec.
            rung: The rung.
            rows: Its rows, all of them.
        """
        from odyssey.storage.rungs import going_on

        if rung >= len(self.rungs):
            return []
        return self._trials(key, rung + 1, going_on(rows, self.rungs[rung].draws))

    def planned(self, key: tuple[str, str], *, above: int) -> list[Trial]:
        """Gives trials like those of the rungs above one, when it is not known who goes on."""
        members = [int(m["member"]) for trial in self._of[key] for m in trial.members]
        return [
            trial
            for rung in self.rungs[above:]
            for trial in self._trials(key, rung.number, members[: rung.draws])
        ]

    def to_come(
        self, known: Iterable[Trial], left: Iterable[Trial]
    ) -> dict[tuple[str, str], list[Trial]]:
        """Gives by cell and task what may follow on known trials, as `planned` does.

        Args:
            known: As of `trials`.
            left: Those of them that are not finished.
        """
        last: dict[tuple[str, str], int] = {}
        for trial in known:
            key = trial.task, trial.spec
            last[key] = max(last.get(key, FIRST), trial.rung)
        waits = {(trial.task, trial.spec) for trial in left}
        # where a rung is finished and none follows, nobody could go on
        return {key: self.planned(key, above=last[key]) if key in waits else [] for key in self._of}

    @property
    def every(self) -> list[Trial]:
        """All trials of all rungs, where as many draws go on as may; which ones nobody knows."""
        return [*self.first, *(t for key in self._of for t in self.planned(key, above=FIRST))]

    @property
    def keys(self) -> Iterator[tuple[str, str]]:
        """The tasks and specs."""
        return iter(self._of)

    def _trials(self, key: tuple[str, str], number: int, members: Iterable[int]) -> list[Trial]:
        first, rung = self._of[key], self.rungs[number - FIRST]
        known = {int(m["member"]): m for trial in first for m in trial.members}
        chosen = [known[member] for member in members]
        size = min(self._population or rung.draws, rung.draws)
        task, spec, specs = self._place[key]
        blocks = -(-rung.draws // size)
        below = sum(self._count(r) for r in self.rungs[: number - FIRST])
        return [
            replace(
                first[0],
                index=below + (task * blocks + start // size) * specs + spec,
                members=tuple(chosen[start : start + size]),
                training={**first[0].training, rung.unit: rung.budget},
                rung=number,
            )
            for start in range(0, len(chosen), size)
        ]

    def _count(self, rung: Rung) -> int:
        """Gives how many trials a rung has at most."""
        size = min(self._population or rung.draws, rung.draws)
        return len(self._of) * -(-rung.draws // size)
