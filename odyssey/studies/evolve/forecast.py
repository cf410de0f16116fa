"""How much a search still has to train: how many candidates come to each stage, told as work.

A candidate that is yet to come is expected to reach a stage as often as those before it did, until
some have as often as the rules of the stages say. What its trials are there is known: the trials
of the baseline, in place of cells that nobody has seen yet. Nothing here decides a result.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, NamedTuple

from odyssey.pace import Job
from odyssey.storage.schema import SEED_ARM
from odyssey.studies.evolve.plan import SearchPlan, StagePlan
from odyssey.studies.trial import Trial

Kind = tuple[str, str]
"""A stage and a task: trials of one kind differ in their cells alone."""

_UNSEEN = 4.0  # candidates; so many that were told weigh as much as what is taken for likely
_RULED = 30.0  # the same where a rule says which share of those that came to a stage goes on
_LIKE_IT = 10.0  # trials; so many weigh as much as that all cells are as large as the baseline
_UNRULED = (
    0.5  # the share that reaches an accuracy or a score; in results/jozefowicz_2015 0.52, 0.48
)


def kind_of(trial: Trial) -> Kind:
    """Gives the kind of a trial."""
    return trial.group, trial.task


class Begun(NamedTuple):
    """A candidate that has begun and still trains.

    Attributes:
        stage: The number of its stage.
        trials: Those of that stage that have not begun.
        seed: Whether it goes through all stages.
    """

    stage: int
    trials: list[Trial]
    seed: bool


@dataclass
class Forecast:
    """What the candidates of a search will train.

    Attributes:
        plan: What the study says.
        work: Of one trial of the baseline, by kind.
    """

    plan: SearchPlan
    work: Mapping[Any, float]
    _told: int = field(default=0, init=False)
    _stages: Counter[str] = field(default_factory=Counter, init=False)
    _sizes: list[float] = field(default_factory=list, init=False)

    def begin(self, job: Job) -> None:
        """Learns from a trial of a candidate that begins how large its cells are."""
        self._sizes.append(job.work / self.work[job.kind])

    @property
    def size(self) -> float:
        """Gives how much more work a trial of a candidate is than one of the baseline."""
        return (_LIKE_IT + sum(self._sizes)) / (_LIKE_IT + len(self._sizes))

    def take(self, row: Mapping[str, Any]) -> None:
        """Learns from a candidate that was told how far candidates go."""
        if row["arm"] == SEED_ARM:
            return
        self._told += 1
        if row["cell_key"] and not isinstance(row["twin"], Integral):  # which has another's trials
            self._stages.update(list(json.loads(row["scores"])))

    def rest(
        self, *, seeds: int, candidates: int, begun: Iterable[Begun] = ()
    ) -> dict[Kind, float]:
        """Gives the work that is expected, by kind.

        Args:
            seeds: Seeds that have not begun; they go through all stages.
            candidates: Others that have not begun.
            begun: Those that have begun and still train.
        """
        reach, size = self.reach, self.size
        numbers = [seeds + candidates * size * share for share in reach]
        work: dict[Kind, float] = dict.fromkeys(self.work, 0.0)
        for one in begun:
            own = 1.0 if one.seed else size
            for trial in one.trials:
                work[kind_of(trial)] += own * self.work[kind_of(trial)]
            for later in range(one.stage + 1, len(reach)):
                passes = 1.0 if one.seed else reach[later] / max(reach[one.stage], 1e-9)
                numbers[later] += own * passes
        for stage, number in zip(self.plan.stages, numbers, strict=True):
            for task in stage.tasks:
                kind = stage.name, task
                work[kind] += number * trials_of(stage) * self.work[kind]
        return work

    @property
    def reach(self) -> list[float]:
        """Gives the share of candidates that trains in each stage."""
        shares: list[float] = []
        before, share = self._told, 1.0
        for stage, (likely, weight) in zip(self.plan.stages, self._rules, strict=True):
            came = self._stages[stage.name]
            share *= (came + weight * likely) / (before + weight)
            before = came
            shares.append(share)
        return shares

    @property
    def _rules(self) -> list[tuple[float, float]]:
        """Gives the share of those in the stage before that come to a stage, and its weight."""
        audit, out = self.plan.audit, [(1.0, _UNSEEN)]
        for stage, _ in itertools.pairwise(self.plan.stages):
            rule = stage.rule
            passes, weight = 1.0 if rule.keep is None else rule.keep, _RULED
            if rule.at_least is not None or rule.gate is not None:
                passes, weight = passes * _UNRULED, _UNSEEN
            out.append((passes + (1 - passes) * audit, weight))
        return out


def trials_of(stage: StagePlan) -> int:
    """Gives the trials of a candidate in a stage, on each of its tasks."""
    return -(-stage.draws // (stage.population or stage.draws))
