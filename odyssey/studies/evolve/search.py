"""A search as a source of trials: what it is made of, its log of candidates and its board."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from odyssey.errors import CellError, ConfigError, StoreError
from odyssey.expr import Cell, recall_cell
from odyssey.expr.identity import repeated
from odyssey.pace import Job, Pace
from odyssey.specs import expand, get_cell, list_cells, named_cells, shown_names
from odyssey.storage import files
from odyssey.storage.candidates import CandidateLog
from odyssey.storage.schema import FAILED
from odyssey.storage.store import RunStore
from odyssey.strategies.breeding import CellBreeder
from odyssey.strategies.gatekeeper import CellCheck, Gatekeeper
from odyssey.studies.cost import seconds_taken, trial_job
from odyssey.studies.evolve.board import SearchBoard
from odyssey.studies.evolve.evolution import CellSizes, Evolution
from odyssey.studies.evolve.forecast import Forecast, kind_of
from odyssey.studies.evolve.plan import SearchPlan, StagePlan
from odyssey.studies.evolve.scores import TrialScore, trial_score
from odyssey.studies.memory import check_memory
from odyssey.studies.source import CheckedStudy, OpenRun, Watcher, recorded_tasks
from odyssey.studies.study import Study
from odyssey.studies.trial import Trial
from odyssey.tasks.registry import get_task
from odyssey.training.budget import check_training
from odyssey.training.config import EARLIER, training_config
from odyssey.training.sizes import check_reading, input_size
from odyssey.training.space import draw_members
from odyssey.transforms.constraints import Constraints, flops, nodes, parameters, reject
from odyssey.transforms.degenerate import degenerate
from odyssey.transforms.mutations import check_weights
from odyssey.wording import quoted

COMPACT = 200  # trials between two mergings of shards
PROGRESS_SECONDS = 5.0
LATE = (
    "late"  # in run.json: ids of trials that were stopped at their limit and come again at the end
)
HIDDEN_SIZE = 64  # at which parameters and operations are counted, unless the constraints say


def check_search(study: Study) -> CheckedStudy:
    """Checks a search whole; writes nothing.

    Raises:
        OdysseyError: Something in the study is wrong, or a trial of a seed would be too large.
    """
    plan = _plan(study)
    specs = expand(list(study.cells))
    if plan.baseline not in specs:
        specs = [plan.baseline, *specs]
    cells = named_cells(specs)
    twins = repeated(cells)
    if twins:
        raise ConfigError(f"{twins[1]} and {twins[0]} are the same cell: leave one out")
    tasks = {spec: get_task(spec) for stage in plan.stages for spec in stage.tasks}
    for stage in plan.stages:
        for spec in stage.tasks:
            check_training(training_config(stage.training), tasks[spec])
        members = draw_members(study.distributions, count=stage.draws, seed=study.seed)
        check_reading(cells, [tasks[spec] for spec in stage.tasks], members)
        check_memory(
            cells,
            {spec: tasks[spec] for spec in stage.tasks},
            members,
            stage.training,
            population=stage.population or stage.draws,
        )
    constraints, sizes = _limits(plan, max(input_size(t.signature) for t in tasks.values()))
    Constraints.from_mapping(constraints)
    try:
        check_weights(plan.weights or None)
    except CellError as error:
        raise ConfigError(f"strategy.weights: {error}") from None
    facts = {
        "strategy": plan.strategy,
        "arms": list(plan.arms),
        "candidates": plan.candidates,
        "baseline": shown_names(specs)[plan.baseline],
        "measure": plan.measure,
        "cost": plan.cost,
        "sizes": sizes,
        "stages": [_described(stage) for stage in plan.stages],
        "library": {name: get_cell(name).text for name in list_cells()},
    }
    return CheckedStudy(cells, tasks, [], facts)


def _described(stage: StagePlan) -> dict[str, Any]:
    rule = {k: v for k, v in vars(stage.rule).items() if v is not None}
    return {
        "name": stage.name,
        "tasks": list(stage.tasks),
        "draws": stage.draws,
        "epochs": stage.training["epochs"],
        "updates_per_epoch": stage.training["updates_per_epoch"],
        **{name: stage.training[name] for name in EARLIER},
        **rule,
    }


def _plan(study: Study) -> SearchPlan:
    plan = study.search
    assert plan is not None, "the study is a search"
    return plan


def _limits(plan: SearchPlan, width: int) -> tuple[dict[str, Any], dict[str, int]]:
    """Splits the table of constraints into limits, and the sizes they are measured at."""
    limits = dict(plan.constraints)
    sizes = {"input_size": width, "hidden_size": HIDDEN_SIZE}
    for name in sizes:
        value = limits.pop(name, sizes[name])
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100_000:
            raise ConfigError(
                f"constraints.{name} must be a whole number from 1, got {quoted(value)}"
            )
        sizes[name] = value
    return limits, sizes


def _checks(constraints: Constraints, sizes: Mapping[str, int]) -> tuple[CellCheck, ...]:
    def breaks(cell: Cell) -> str | None:
        found = reject(cell, constraints, **sizes)
        return found.code if found else None

    def is_degenerate(cell: Cell) -> str | None:
        found = degenerate(cell)
        return found.code if found else None

    return breaks, is_degenerate


def make_evolution(
    study: Study,
    cells: Mapping[str, Cell],
    sizes: Mapping[str, int],
    *,
    baseline: str,
    known: dict[str, TrialScore],
    late: set[str],
    on_told: Callable[[dict[str, Any]], None],
    on_late: Callable[[dict[str, Any]], None],
) -> Evolution:
    """Puts the parts of a search together.

    Args:
        study: The study.
        cells: The seeds by name.
        baseline: The name of the one that scores are relative to.
        sizes: `input_size` and `hidden_size` at which cells are measured.
        known: Scores of finished trials by id.
        late: Ids of trials that were stopped at their limit once.
        on_told: Hears the row of every candidate that is told.
        on_late: Hears the row of a candidate again that was told as unmeasured.
    """
    plan = replace(_plan(study), baseline=baseline)
    limits, _ = _limits(plan, sizes["input_size"])
    measure = {"parameters": parameters, "flops": flops}[plan.cost]
    return Evolution(
        plan=plan,
        seeds=cells,
        space=study.distributions,
        seed=study.seed,
        breeder=CellBreeder(weights=dict(plan.weights)),
        gatekeeper=Gatekeeper(_checks(Constraints.from_mapping(limits), sizes)),
        sizes=CellSizes(
            parameters=lambda cell: float(parameters(cell, **sizes)),
            cost=lambda cell: float(measure(cell, **sizes)),
            work=lambda cell: (float(flops(cell, **sizes)), float(nodes(cell))),
        ),
        known=known,
        late=late,
        on_told=on_told,
        on_late=on_late,
    )


def known_scores(store: RunStore) -> dict[str, TrialScore]:
    """Reads the scores of all finished trials, by id."""
    columns = [
        "trial",
        "status",
        "reason",
        "num_symbols",
        "guess_nats",
        "valid_nats",
        "valid_accuracy",
    ]
    columns += ["characters", "seconds", "processor_seconds"]
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    frame = store.rows()[columns]
    for values in zip(*(frame[c].tolist() for c in columns), strict=True):
        rows[values[0]].append(dict(zip(columns, values, strict=True)))
    return {trial: trial_score(found) for trial, found in rows.items()}


def sample_trials(run: OpenRun) -> list[Trial]:
    """Gives a trial of the baseline for every stage and task of a search.

    They are to be timed and counted, never to be recorded.
    """
    plan, baseline = _plan(run.study), run.store.run["baseline"]
    cell, trials = run.cells[baseline], []
    for stage in plan.stages:
        size = min(stage.population or stage.draws, stage.draws)
        members = tuple(draw_members(run.study.distributions, count=size, seed=run.study.seed))
        for task in stage.tasks:
            trials.append(
                Trial(
                    index=0,
                    spec=baseline,
                    cell_text=cell.text,
                    cell_key=cell.key,
                    lineage=(),
                    task=task,
                    members=members,
                    training=stage.training,
                    group=stage.name,
                )
            )
    return trials


def forecast_of(run: OpenRun) -> Forecast:
    """Makes the forecast of a search that has told nothing."""
    cell, tasks = run.cells[run.store.run["baseline"]], recorded_tasks(run)
    work = {
        kind_of(trial): trial_job(trial, cell, tasks[trial.task]).work
        for trial in sample_trials(run)
    }
    return Forecast(_plan(run.study), work)


class SearchTrials:
    """The trials of a search; see `TrialSource`. Keeps its log of candidates and its board.

    Args:
        run: The run.
        watcher: Sees it go by.
        workers: Trials at a time.
        timed: Seconds that `sample_trials` would take, by id, where some were timed for a moment.
        clock: Gives seconds.
    """

    idle = False

    def __init__(
        self,
        run: OpenRun,
        watcher: Watcher[SearchBoard],
        workers: int = 1,
        timed: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._watcher = run.store, watcher
        self._log = CandidateLog(run.store.path)
        plan, facts = _plan(run.study), run.store.run
        self.total = len(run.cells) + plan.candidates
        stages = tuple(stage.name for stage in plan.stages)
        self._board = SearchBoard(
            run.study.name, self.total, stages, workers, left=self._seconds_left
        )
        self._forecast = forecast_of(run)
        self._pace = Pace({}, workers=workers, clock=clock)
        self._tasks, self._seeds = recorded_tasks(run), frozenset(run.cells)
        self._learn_before(run, timed or {})
        self._restored = sys.maxsize  # candidates below were told in an earlier command
        self._written = 0.0
        self.trials = self._evolution = make_evolution(
            run.study,
            run.cells,
            facts["sizes"],
            baseline=facts["baseline"],
            known=known_scores(run.store),
            late=set(facts.get(LATE, ())),
            on_told=self._told,
            on_late=self._late,
        )
        self._restored = self._evolution.replay(self._log.rows(repair=True))
        self._log.restart(self._restored)
        watcher.begin(self._board)

    def _learn_before(self, run: OpenRun, timed: Mapping[str, float]) -> None:
        """Tells the pace what trials took in earlier runs of the command, or a moment of one."""
        results = run.store.rows()
        for kind, work in self._forecast.work.items():
            rows = results[(results["group"] == kind[0]) & (results["task"] == kind[1])]
            work *= rows["trial"].nunique()
            self._pace.learn(Job(kind, work), float(seconds_taken(rows).sum()))
        for trial in sample_trials(run) if timed else ():
            if trial.id in timed:
                kind = kind_of(trial)
                self._pace.learn(Job(kind, self._forecast.work[kind]), timed[trial.id])

    def _work(self, trial: Trial) -> float:
        return trial_job(trial, recall_cell(trial.cell_text), self._tasks[trial.task]).work

    def _seconds_left(self) -> float:
        self._pace.expect(self._evolution.rest(self._forecast))
        return self._pace.seconds_left

    def start(self, trial: Trial) -> None:
        """Notes that work has begun."""
        job = Job(kind_of(trial), self._work(trial))
        if trial.spec not in self._seeds:
            self._forecast.begin(job)
        self._pace.add(trial.id, job)
        self._pace.start(trial.id)
        self._board.trial_started()

    def learn(self, trial: Trial, rows: Sequence[Mapping[str, Any]]) -> None:
        """Lets the evolution know what came of a trial."""
        score = trial_score(rows)
        self._pace.finish(trial.id, counts=any(row["status"] != FAILED for row in rows))
        self._board.trial_done(score.seconds)
        self._evolution.learn(trial.id, score)
        if self._board.trials % COMPACT == 0:
            self._store.compact(at_least=COMPACT)

    def postpone(self, trial: Trial) -> bool:
        """Notes that the trial comes again at the end, if it has not come again before."""
        if not self._evolution.postpone(trial.id):
            return False
        self._pace.finish(trial.id, counts=False)
        self._board.trial_done(0.0)
        self._store.update_run(**{LATE: sorted(self._evolution.late)})
        return True

    def tick(self, running: int) -> None:
        """Uses the time to ask ahead, and shows how far things are."""
        self._evolution.ask_ahead()
        self._board.running, self._board.in_flight = running, self._evolution.in_flight
        self._watcher.tick(self._board)
        if time.monotonic() - self._written > PROGRESS_SECONDS:
            self._write_progress()

    def close(self) -> None:
        """Records what was told, and how far things are."""
        self._board.running, self._board.in_flight = 0, self._evolution.in_flight
        self._log.flush()
        self._write_progress()

    def counts(self) -> dict[str, Any]:
        """Gives candidates told now and unmeasured, and the overhead."""
        board = self._board
        return {
            "told": board.told_now,
            "unmeasured": board.unmeasured,
            "overhead": board.overhead,
        }

    def _told(self, row: dict[str, Any]) -> None:
        """Records a candidate."""
        now = row["number"] >= self._restored
        row.setdefault("told", time.time())
        self._board.take(row, now=now)
        self._forecast.take(row)
        if now:
            self._log.append(row)
            self._watcher.done(self._board, [row])

    def _late(self, row: dict[str, Any]) -> None:
        """Records what became of a candidate that was told as unmeasured."""
        row.setdefault("told", time.time())
        self._board.revise(row)
        self._log.revise(row)
        self._watcher.done(self._board, [row])

    def _write_progress(self) -> None:
        """Keeps what there is to see, for other processes."""
        self._written = time.monotonic()
        path = self._store.path / "progress.json"
        try:
            files.write_json(path, self._board.snapshot())
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
