"""A candidate on its way: its trials, stage by stage, and what became of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from odyssey.storage.schema import FAILED, FINISHED, SEED_ARM, STOPPED, UNMEASURED
from odyssey.strategies.promotion import Thresholds
from odyssey.strategies.proposal import Outcome
from odyssey.studies.evolve.plan import SearchPlan, StagePlan
from odyssey.studies.evolve.scores import TrialScore, merged, ratio
from odyssey.studies.trial import Trial

OVER_LIMIT = "stopped at its limit of processor time, far beyond that of the seeds"
Known = Mapping[str, TrialScore]  # by trial id
# Gives so many draws of hyperparameters from a number on, as plain data.
DrawMembers = Callable[[int, int], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Candidate:
    """A cell to be measured, as it was asked for.

    Attributes:
        number: Place in the order of the search.
        arm: The strategy that proposed it, or `SEED_ARM`.
        name: Name of the cell: made of its key, or the seed's spec.
        key: Content key; empty when no cell was found in all attempts.
        fingerprint: Numeric fingerprint, initial values included (`Cell.identity`).
        text: Cell text.
        parents: Numbers of its parents.
        operators: How it was made.
        again: Whether a known cell is measured again on fresh draws.
        twin: Number of an earlier candidate that is the same function.
        attempts: Proposals until one was admitted.
        refused: Proposals refused, by reason.
        refused_operators: The same by operator.
        missed_operators: Operators drawn that did not apply.
        thresholds: What it must reach, stage by stage.
        audited: Whether it is measured to the end even if a rule stops it.
        cost: What nsga2 keeps small.
        parameters: Parameters of one layer.
    """

    number: int
    arm: str
    name: str
    key: str
    fingerprint: str
    text: str
    parents: tuple[int, ...] = ()
    operators: tuple[str, ...] = ()
    again: bool = False
    twin: int | None = None
    attempts: int = 1
    refused: Mapping[str, int] = field(default_factory=dict)
    refused_operators: Mapping[str, int] = field(default_factory=dict)
    missed_operators: Mapping[str, int] = field(default_factory=dict)
    thresholds: tuple[Thresholds, ...] = ()
    audited: bool = False
    cost: float = math.nan
    parameters: float = math.nan


class Life:
    """The way of a candidate through the stages.

    Attributes:
        candidate: The candidate.
        stage: Number of the stage that it is in.
        done: Whether nothing is left to train.
        postponed: Whether a trial of its stage was stopped at its limit: it goes on at the end.
        passed: Stages it passed, by the rules.
        score: Its score after the last stage that counts for its strategy.
        scores: Its score by stage.
        trials: All its trials so far.
    """

    def __init__(
        self, candidate: Candidate, plan: SearchPlan, *, draws: DrawMembers, index: int
    ) -> None:
        self.candidate, self._plan = candidate, plan
        self._draws, self._index = draws, index
        self.stage = 0
        self.done = not candidate.key
        self.postponed = False
        self.passed = 0
        self.score = math.nan
        self.scores: dict[str, float] = {}
        self.trials: list[Trial] = []
        self.stopped = ""  # why it went no further
        self._failed = False  # whether that was for want of a result
        self._unmeasured = False  # whether that was for a limit, which is no verdict
        self._why = ""  # the same of a seed, which goes on all the same
        self.last = ""  # the last stage measured before it stopped
        self._here: list[Trial] = []
        self._ratios: dict[str, float] = {}  # by task: the latest scored stage counts
        if candidate.again:  # the screen is for the unknown
            while plan.stages[self.stage].rule.at_least is not None:
                self.stage += 1
                self.passed += 1

    def enter(self) -> list[Trial]:
        """Gives the trials of the stage that it is in now."""
        stage = self._plan.stages[self.stage]
        first = self.candidate.number * stage.draws if self.candidate.again else 0
        members = self._draws(stage.draws, first)
        size = stage.population or stage.draws
        self._here = [
            Trial(
                index=self._index + len(self.trials) + place,
                spec=self.candidate.name,
                cell_text=self.candidate.text,
                cell_key=self.candidate.key,
                lineage=(),
                task=task,
                members=tuple(members[start : start + size]),
                training=stage.training,
                group=stage.name,
            )
            for place, (task, start) in enumerate(
                (task, start) for task in stage.tasks for start in range(0, stage.draws, size)
            )
        ]
        self.trials += self._here
        return self._here

    @property
    def ids(self) -> list[str]:
        """The ids of the trials of its stage."""
        return [trial.id for trial in self._here]

    @property
    def decided(self) -> bool:
        """Whether a rule has stopped it: what is measured after that is an audit."""
        return bool(self.stopped)

    def missing(self, known: Collection[str]) -> list[Trial]:
        """Gives the trials of its stage that have no outcome yet."""
        return [trial for trial in self._here if trial.id not in known]

    def measured(self, known: Known) -> dict[str, TrialScore]:
        """Gives what it reached in its stage, by task."""
        stage = self._plan.stages[self.stage]
        return {
            task: merged(known[t.id] for t in self._here if t.task == task) for task in stage.tasks
        }

    def finish_stage(self, known: Known, baseline: Mapping[str, TrialScore]) -> None:
        """Judges the stage and moves on to the next, or ends.

        Args:
            known: Scores of trials.
            baseline: What the baseline reached in this stage, by task.
        """
        plan, candidate = self._plan, self.candidate
        stage = plan.stages[self.stage]
        measured = self.measured(known)
        if stage.scored:
            for task, mine in measured.items():
                self._ratios[task] = ratio(mine, baseline[task], measure=plan.measure)
        broken = any(mine.reason for mine in measured.values())
        values = list(self._ratios.values())
        nan = any(math.isnan(v) for v in values)
        score = math.nan if nan or not values else min(values)
        self.scores[stage.name] = score
        if candidate.arm == SEED_ARM:  # seeds go through all stages, whatever they reach
            passed = True
            if broken and not self._failed:
                self._failed, self._why = True, _reason(stage, measured, score, Thresholds())
        else:
            accuracies = {task: mine.accuracy for task, mine in measured.items()}
            wanted = candidate.thresholds[self.stage]
            passed = wanted.passed(accuracies=accuracies, score=score if stage.scored else 0.0)
        if not self.stopped:
            self.score, self.last = score, stage.name
            if passed:
                self.passed += 1
            else:
                self._failed = broken
                self._unmeasured = any(mine.unmeasured for mine in measured.values())
                self.stopped = _reason(stage, measured, score, candidate.thresholds[self.stage])
        ends = bool(self.stopped) and (broken or not candidate.audited)
        if ends or self.stage + 1 == len(plan.stages):
            self.done = True
        else:
            self.stage += 1

    @property
    def key(self) -> str:
        """Content key; empty when no cell was found."""
        return self.candidate.key

    @property
    def arm(self) -> str:
        """The strategy that proposed it, or `SEED_ARM`."""
        return self.candidate.arm

    @property
    def counting(self) -> dict[str, float]:
        """Scores up to the stage where a rule stopped it: an audit must not show."""
        return _up_to(self.scores, self.last)

    @property
    def outcome(self) -> Outcome:
        """What its strategy is told."""
        c = self.candidate
        return Outcome(
            c.number,
            c.key,
            c.text,
            self.passed,
            self.score,
            c.cost,
            breeds=_breeds(self._plan, self.status, self.last, self.score),
            seed=c.arm == SEED_ARM,
            again=c.again,
        )

    @property
    def status(self) -> str:
        """What became of it: finished, stopped, failed, unmeasured, or none without a cell."""
        if not self.candidate.key:
            return "none"
        if self._waits or self._unmeasured:
            return UNMEASURED
        if self._failed:
            return FAILED
        return STOPPED if self.stopped else FINISHED

    def row(self, known: Known) -> dict[str, Any]:
        """Gives the candidate's row, see `storage.candidates.CANDIDATE_COLUMNS`, but for `told`."""
        c = self.candidate
        ids = list(dict.fromkeys(trial.id for trial in self.trials))
        found = [known[i] for i in ids if i in known]
        return {
            "number": c.number,
            "arm": c.arm,
            "name": c.name,
            "cell_key": c.key,
            "fingerprint": c.fingerprint,
            "cell_text": c.text,
            "parents": " ".join(map(str, c.parents)),
            "operators": " ".join(c.operators),
            "again": int(c.again),
            "twin": c.twin,
            "attempts": c.attempts,
            "refused": json.dumps(c.refused),
            "refused_operators": json.dumps(c.refused_operators),
            "missed_operators": json.dumps(c.missed_operators),
            "status": self.status,
            "stage": self._plan.stages[self.stage].name if self._waits else self.last,
            "reason": self._reason_of(),
            "passed": self.passed,
            "score": self.score,
            "scores": json.dumps({k: v if v == v else None for k, v in self.scores.items()}),
            "audited": int(c.audited and bool(self.stopped)),
            "cost": c.cost,
            "parameters": c.parameters,
            "members": sum(s.members for s in found),
            "characters": sum(s.characters for s in found),
            "trials": " ".join(ids),
        }

    @property
    def _waits(self) -> bool:
        """Whether nothing is decided before the end; what only an audit waits for is."""
        return self.postponed and not self.stopped

    def _reason_of(self) -> str:
        if not self.candidate.key:
            return "no new cell in all attempts"
        if self._waits:
            return f"{self._plan.stages[self.stage].name}: {OVER_LIMIT}; tried again at the end"
        return self.stopped or self._why


class Restored:
    """A candidate of an earlier command, from its row; see `Life` for the attributes."""

    done, decided, postponed = True, True, False

    def __init__(self, row: Mapping[str, Any], plan: SearchPlan) -> None:
        self._row, self._plan = dict(row), plan
        self.key, self.arm = str(row["cell_key"] or ""), str(row["arm"])
        scores = {name: _or_nan(v) for name, v in json.loads(row["scores"]).items()}
        self.counting = _up_to(scores, str(row["stage"]))

    @property
    def outcome(self) -> Outcome:
        """What its strategy is told."""
        row, score = self._row, _or_nan(self._row["score"])
        return Outcome(
            int(row["number"]),
            self.key,
            str(row["cell_text"]),
            int(row["passed"]),
            score,
            _or_nan(row["cost"]),
            breeds=_breeds(self._plan, str(row["status"]), str(row["stage"]), score),
            again=bool(row["again"]),
        )

    def row(self, known: Known) -> dict[str, Any]:
        """Gives the row."""
        return self._row


def _breeds(plan: SearchPlan, status: str, stage: str, score: float) -> bool:
    """Says whether others may be made from a candidate: what failed, or a screen stopped, may not.

    Args:
        plan: The search.
        status: What became of it.
        stage: The last stage it was measured in before it stopped.
        score: Its score.
    """
    screens = {s.name for s in plan.stages if not s.scored}
    return math.isfinite(score) and (
        status == FINISHED or (status == STOPPED and stage not in screens)
    )


def _or_nan(value: Any) -> float:
    return math.nan if value is None else float(value)


def _up_to(scores: Mapping[str, float], last: str) -> dict[str, float]:
    """Gives the scores up to a stage, in the order of stages."""
    names = list(scores)
    return {name: scores[name] for name in names[: names.index(last) + 1 if last in names else 0]}


def _reason(
    stage: StagePlan, measured: Mapping[str, TrialScore], score: float, wanted: Thresholds
) -> str:
    for task, mine in measured.items():
        if mine.reason:
            return f"{stage.name}, {task}: {mine.reason}"
    for task, mine in measured.items():
        if mine.accuracy < wanted.accuracy:
            return f"{stage.name}, {task}: accuracy {mine.accuracy:.3f} < {wanted.accuracy:.3f}"
    return f"{stage.name}: score {score:.4f} < {wanted.score:.4f}"
