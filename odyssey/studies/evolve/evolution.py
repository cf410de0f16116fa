"""A search as a source of trials: asks for candidates, stages them, tells outcomes in order.

`Evolution` is pulled by a runner and hears from it. Its decisions are a function of the study and
of what trials gave, whatever the order in which that came in: candidate i is asked when exactly
the outcomes up to i - lag are told, and outcomes are told in the order of candidates.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from odyssey.errors import RunFailedError
from odyssey.expr import Cell, recall_cell
from odyssey.storage.schema import SEED_ARM
from odyssey.strategies.gatekeeper import Gatekeeper, RefusedError
from odyssey.strategies.promotion import KnownScores
from odyssey.strategies.proposal import Breeder, NoCellError, Outcome, Proposal, Strategy
from odyssey.strategies.registry import make_strategy
from odyssey.studies.evolve.candidate import Candidate, Life, Restored
from odyssey.studies.evolve.forecast import Begun, Forecast, Kind
from odyssey.studies.evolve.plan import SearchPlan
from odyssey.studies.evolve.scores import TrialScore
from odyssey.studies.trial import Trial
from odyssey.training.seeds import stream
from odyssey.training.space import Space, draw_members


@dataclass(frozen=True)
class CellSizes:
    """How large a cell is.

    Attributes:
        parameters: Parameters of one layer.
        cost: What nsga2 keeps small, by the study's measure.
        work: Numbers that its training time may be in proportion to, whatever the backend.
    """

    parameters: Callable[[Cell], float]
    cost: Callable[[Cell], float]
    work: Callable[[Cell], tuple[float, ...]]


LEAST_LIMIT_SECONDS = 60.0
"""Of processor time that any trial has: loading and compiling are no share of training."""


@dataclass
class Evolution:
    """The search of one study.

    Attributes:
        plan: What the study says.
        seeds: The cells that evolution begins with, by spec, the baseline among them.
        space: Hyperparameters.
        seed: The study's seed.
        breeder: Makes cells.
        gatekeeper: Refuses cells.
        sizes: Measures cells.
        known: Scores of finished trials, by id: those of an earlier command, and then all.
        late: Trials that were stopped at their limit. The search goes on as if they had no outcome,
            whatever they give when they are tried again at the end.
        on_told: Called with the row of every candidate that was told, in order.
        on_late: Called with the row of a candidate that was told as unmeasured, when it has been
            tried again.
    """

    plan: SearchPlan
    seeds: Mapping[str, Cell]
    space: Space
    seed: int
    breeder: Breeder
    gatekeeper: Gatekeeper
    sizes: CellSizes
    known: dict[str, TrialScore] = field(repr=False)
    late: set[str] = field(repr=False)
    on_told: Callable[[dict[str, Any]], None]
    on_late: Callable[[dict[str, Any]], None]
    asked: int = field(default=0, init=False)
    told: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._strategies: dict[str, Strategy] = {
            arm: make_strategy(
                arm, self.breeder, self.plan.options if arm == self.plan.strategy else {}
            )
            for arm in self.plan.arms
        }
        self._scores = {
            (arm, stage.name): KnownScores() for arm in self.plan.arms for stage in self.plan.stages
        }
        self._lives: dict[int, Life | Restored] = {}
        self._queue: list[tuple[int, int, int, Trial]] = []  # a heap by number and place
        self._pushed = itertools.count()  # so that trials are never compared
        self._running: set[str] = set()
        self._waiting: dict[str, set[int]] = {}  # trial id -> candidates that wait for it
        self._texts: dict[int, tuple[str, str]] = {}  # number -> name, text
        self._baseline: dict[tuple[str, str], TrialScore] = {}
        self._first_draws: dict[int, list[dict[str, Any]]] = {}
        self._seed_costs: dict[tuple[str, str], list[tuple[float, tuple[float, ...]]]] = {}
        self._postponed: dict[int, Life] = {}
        self._closing = False  # whether all is told, and what is late is tried again
        self.total = len(self.seeds) + self.plan.candidates

    # What a runner does

    def __iter__(self) -> Iterator[Trial | None]:
        return self

    def __next__(self) -> Trial | None:
        """Gives the next trial; None when one must end first."""
        while True:
            while self._queue:
                trial = heapq.heappop(self._queue)[3]
                if trial.id not in self.known and trial.id not in self._running:
                    self._running.add(trial.id)
                    return trial
            if not self.ask_ahead() and not self._close():
                break
        if self.asked == self.total and not self._lives and not self._postponed:
            raise StopIteration
        return None

    def ask_ahead(self) -> bool:
        """Asks for the next candidate if its time has come; gives whether it had."""
        if self.asked == self.total:
            self._tell(self.total)
            return False
        before = self._told_before(self.asked)
        if not self._tell(before):
            return False
        if self.asked < len(self.seeds):
            self._begin(self._seed_candidate(self.asked))
        else:
            self._begin(self._ask(self.asked))
        self.asked += 1
        return True

    def learn(self, trial_id: str, score: TrialScore) -> None:
        """Hears what a trial gave."""
        self.known[trial_id] = score
        self._move_on(trial_id)

    def postpone(self, trial_id: str) -> bool:
        """Hears that a trial was stopped at its limit; gives whether it will be tried again."""
        if trial_id in self.late:
            return False
        self.late.add(trial_id)
        if self._closing:
            self._running.discard(trial_id)
            self._await(self._postponed[min(self._waiting[trial_id])])
        else:
            self._move_on(trial_id)
        return True

    def _move_on(self, trial_id: str) -> None:
        """Moves the candidates on that waited for a trial."""
        self._running.discard(trial_id)
        for number in sorted(self._waiting.pop(trial_id, ())):
            life = self._postponed[number] if self._closing else self._lives[number]
            assert isinstance(life, Life), "a restored candidate waits for nothing"
            self._advance(life)

    def _close(self) -> bool:
        """Takes up what is late when all is told; gives whether there is anything to run."""
        if self._closing or self.told < self.total or not self._postponed:
            return False
        self._closing = True
        for life in list(self._postponed.values()):
            life.postponed = False
            self._await(life)
            self._advance(life)
        return bool(self._queue)

    @property
    def in_flight(self) -> int:
        """Candidates that were asked and not told."""
        return len(self._lives)

    def rest(self, forecast: Forecast) -> dict[Kind, float]:
        """Gives the work that is expected beside the trials that run, by kind."""
        seeds = max(len(self.seeds) - self.asked, 0)
        lives = (*self._lives.values(), *self._postponed.values())
        begun = (
            Begun(
                life.stage,
                [t for t in life.missing(self.known) if t.id not in self._running],
                seed=life.arm == SEED_ARM,
            )
            for life in lives
            if isinstance(life, Life) and not life.done
        )
        left = self.total - self.asked - seeds
        return forecast.rest(seeds=seeds, candidates=left, begun=begun)

    # Resuming

    def replay(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Takes over candidates that were told in an earlier command, as long as it can.

        A row whose trials are not all known ends it: from there on candidates are asked again, come
        out the same, and run what is missing.

        Returns:
            The number of candidates taken over.
        """
        seeds = len(self.seeds)
        for taken, row in enumerate(rows):
            ids = str(row["trials"] or "").split()
            if int(row["number"]) != taken or not all(
                i in self.known or i in self.late for i in ids
            ):
                break
            if taken < seeds:
                if taken == seeds - 1 and not self._replay_seeds():
                    return 0
                continue
            self._tell(self._told_before(taken))
            if not self.late.isdisjoint(ids):  # the row may say what came of it at the end
                self._begin(self._ask(taken))
                self.asked += 1
                continue
            life = Restored(row, self.plan)
            self._lives[taken] = life
            if life.key:
                self._note(taken, life.arm, str(row["name"]), row)
            self.asked += 1
        return self.asked

    def _replay_seeds(self) -> bool:
        """Takes the seeds over where all their trials are known."""
        lives = [self._life(self._seed_candidate(n)) for n in range(len(self.seeds))]
        for life in lives:
            for stage in range(len(self.plan.stages)):
                life.stage = stage
                if any(t.id not in self.known for t in life.enter()):
                    return False
        for number in range(len(self.seeds)):
            self._begin(self._seed_candidate(number))
        self.asked = len(self.seeds)
        self._tell(self.asked)
        assert self.told == len(self.seeds), "all trials of the seeds are known"
        return True

    # Asking

    def _told_before(self, number: int) -> int:
        """Gives how many candidates are told when this one is asked."""
        seeds = len(self.seeds)
        return 0 if number < seeds else max(seeds, number - self.plan.lag + 1)

    def _seed_candidate(self, number: int) -> Candidate:
        spec, cell = list(self.seeds.items())[number]
        key, fingerprint = cell.identity
        return Candidate(
            number=number,
            arm=SEED_ARM,
            name=spec,
            key=key,
            fingerprint=fingerprint,
            text=cell.text,
            operators=(SEED_ARM,),
            cost=self.sizes.cost(cell),
            parameters=self.sizes.parameters(cell),
        )

    def _ask(self, number: int) -> Candidate:
        arm = self.plan.arm(number - len(self.seeds))
        refused: Counter[str] = Counter()
        operators: Counter[str] = Counter()
        missed: Counter[str] = Counter()
        thresholds = tuple(
            stage.rule.thresholds(self._scores[arm, stage.name]) for stage in self.plan.stages
        )
        common: dict[str, Any] = {"number": number, "arm": arm, "thresholds": thresholds}
        common["audited"] = bool(stream(self.seed, "audit", number).random() < self.plan.audit)
        for attempt in range(self.plan.attempts):
            rng = stream(self.seed, "candidate", number, attempt)
            made: tuple[str, ...] = ()
            try:
                proposal = self._strategies[arm].ask(rng)
                made = proposal.operators
                missed.update(proposal.missed)
                if proposal.again:
                    return self._again(proposal, attempt, refused, operators, common)
                found = self.gatekeeper.judge(proposal.text, arm=arm)
            except (NoCellError, RefusedError) as error:
                refused[str(error)] += 1
                operators.update(made)
                continue
            name, text = found.cell.name, found.cell.text
            key, fingerprint = found.key, found.fingerprint
            if found.twin is not None:  # one text for one function, so that trials are shared
                name, text = self._texts[found.twin]
            return Candidate(
                name=name,
                key=key,
                fingerprint=fingerprint,
                text=text,
                parents=proposal.parents,
                operators=proposal.operators,
                twin=found.twin,
                attempts=attempt + 1,
                refused=dict(refused),
                refused_operators=dict(operators),
                missed_operators=dict(missed),
                cost=self.sizes.cost(found.cell),
                parameters=self.sizes.parameters(found.cell),
                **common,
            )
        return Candidate(
            name="",
            key="",
            fingerprint="",
            text="",
            attempts=self.plan.attempts,
            refused=dict(refused),
            refused_operators=dict(operators),
            **common,
        )

    def _again(
        self,
        proposal: Proposal,
        attempt: int,
        refused: Counter[str],
        operators: Counter[str],
        common: Mapping[str, Any],
    ) -> Candidate:
        cell = recall_cell(proposal.text)
        return Candidate(
            name=self._texts[proposal.parents[0]][0],
            key=cell.key,
            fingerprint="",
            text=proposal.text,
            parents=proposal.parents,
            operators=proposal.operators,
            again=True,
            attempts=attempt + 1,
            refused=dict(refused),
            refused_operators=dict(operators),
            cost=self.sizes.cost(cell),
            parameters=self.sizes.parameters(cell),
            **common,
        )

    # Staging

    def _life(self, candidate: Candidate) -> Life:
        most = sum(
            len(s.tasks) * -(-s.draws // (s.population or s.draws)) for s in self.plan.stages
        )
        return Life(candidate, self.plan, draws=self._draws, index=candidate.number * most)

    def _draws(self, count: int, first: int) -> list[dict[str, Any]]:
        if first:
            return draw_members(self.space, count=count, seed=self.seed, first=first)
        if count not in self._first_draws:
            self._first_draws[count] = draw_members(self.space, count=count, seed=self.seed)
        return self._first_draws[count]

    def _begin(self, candidate: Candidate) -> None:
        life = self._life(candidate)
        self._lives[candidate.number] = life
        if candidate.key:
            row: dict[str, Any] = {"cell_key": candidate.key, "fingerprint": candidate.fingerprint}
            row |= {"cell_text": candidate.text, "again": candidate.again}
            self._note(candidate.number, candidate.arm, candidate.name, row)
        if not life.done:
            self._enter(life)

    def _note(self, number: int, arm: str, name: str, row: Mapping[str, Any]) -> None:
        """Remembers a candidate as seen, and its text for twins."""
        if row["again"]:
            return
        self._texts[number] = (name, row["cell_text"])
        arms = self.plan.arms if arm == SEED_ARM else (arm,)
        self.gatekeeper.remember(
            number, arms=arms, key=row["cell_key"], fingerprint=row["fingerprint"]
        )

    def _enter(self, life: Life) -> None:
        life.enter()
        self._await(life)
        self._advance(life)

    def _await(self, life: Life) -> None:
        """Queues the trials of its stage that have no outcome."""
        number = life.candidate.number
        for place, trial in enumerate(life.missing(self.known)):
            if trial.id in self.late and not self._closing:
                continue
            self._waiting.setdefault(trial.id, set()).add(number)
            trial = self._limited(trial, life.candidate)
            heapq.heappush(self._queue, (number, place, next(self._pushed), trial))

    def _limited(self, trial: Trial, candidate: Candidate) -> Trial:
        """Gives a trial its limit: a multiple of what the seeds make us expect, on this machine."""
        if not self.plan.limit or candidate.arm == SEED_ARM:
            return trial
        mine = self.sizes.work(recall_cell(candidate.text))
        expected = [
            seconds * len(trial.members) * max(1.0, *(m / o for m, o in zip(mine, of, strict=True)))
            for seconds, of in self._seed_costs.get((trial.group, trial.task), ())
        ]
        return replace(
            trial, limit=max(LEAST_LIMIT_SECONDS, self.plan.limit * max(expected, default=0.0))
        )

    def _note_costs(self, life: Life) -> None:
        """Remembers what the trials of a seed took: seconds a member, beside its work."""
        work = self.sizes.work(self.seeds[life.candidate.name])
        for trial in life.trials:
            score = self.known[trial.id]
            taken = (
                score.seconds if math.isnan(score.processor_seconds) else score.processor_seconds
            )
            costs = self._seed_costs.setdefault((trial.group, trial.task), [])
            costs.append((taken / max(score.members, 1), work))

    def _advance(self, life: Life) -> None:
        """Moves a candidate on as far as its finished trials allow."""
        missing = life.missing(self.known)
        if life.done or any(self._closing or t.id not in self.late for t in missing):
            return
        if missing or not (self._closing or self.late.isdisjoint(life.ids)):
            life.postponed = True
            return
        stage = self.plan.stages[life.stage]
        if life.candidate.name == self.plan.baseline and life.candidate.arm == SEED_ARM:
            self._take_baseline(life)
        elif life.candidate.arm == SEED_ARM and (stage.name, stage.tasks[0]) not in self._baseline:
            return  # its score needs the baseline's numbers
        baseline = {task: self._baseline[stage.name, task] for task in stage.tasks}
        life.finish_stage(self.known, baseline)
        self._go_on(life)

    def _go_on(self, life: Life) -> None:
        """Lets a candidate enter its next stage, or leaves it to be told."""
        if not life.done:
            self._enter(life)
        elif self._closing:
            del self._postponed[life.candidate.number]
            self.on_late(life.row(self.known))

    def _take_baseline(self, life: Life) -> None:
        stage, name = self.plan.stages[life.stage], self.plan.baseline
        for task, score in life.measured(self.known).items():
            if score.reason:
                raise RunFailedError(
                    f"the baseline {name} has no result in stage {stage.name} on {task}: "
                    f"{score.reason}; give the stage other hyperparameters"
                )
            least = stage.rule.at_least or 0.0
            if score.accuracy < least:
                raise RunFailedError(
                    f"the baseline {name} reaches {score.accuracy:.1%} in stage {stage.name} on "
                    f"{task}, less than its at_least = {least:g}; give the stage more updates"
                )
            self._baseline[stage.name, task] = score
        for number in range(len(self.seeds)):  # seeds that waited for these numbers
            other = self._lives.get(number)
            if isinstance(other, Life) and other is not life and other.stage == life.stage:
                self._advance(other)

    # Telling

    def _tell(self, count: int) -> bool:
        """Tells outcomes until so many are told; gives whether they all are."""
        while self.told < count:
            life = self._lives.get(self.told)
            if life is None or not (life.done or life.postponed):
                return False
            if life.key and (life.decided or not life.postponed):
                self._hear(life.arm, life.outcome, life.counting)
            if isinstance(life, Life) and life.postponed:
                self._postponed[self.told] = life
            if isinstance(life, Life) and life.arm == SEED_ARM:
                self._note_costs(life)
            del self._lives[self.told]
            self.told += 1
            self.on_told(life.row(self.known))
        return True

    def _hear(self, arm: str, outcome: Outcome, scores: Mapping[str, float]) -> None:
        for name in self.plan.arms if arm == SEED_ARM else (arm,):
            self._strategies[name].tell(outcome)
            if not outcome.again:
                for stage, score in scores.items():
                    self._scores[name, stage].add(score)
