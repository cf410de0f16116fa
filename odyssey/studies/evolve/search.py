"""Runs a search into a run directory; what is there already is not run again."""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from odyssey.errors import CellError, ConfigError, OdysseyError, StoreError
from odyssey.expr import Cell
from odyssey.expr.identity import repeated
from odyssey.specs import expand, get_cell, list_cells, named_cells, shown_names
from odyssey.storage import files
from odyssey.storage.candidates import KIND, CandidateLog
from odyssey.storage.places import Place
from odyssey.storage.schema import UNMEASURED
from odyssey.storage.store import RunStore
from odyssey.strategies.breeding import CellBreeder
from odyssey.strategies.gatekeeper import CellCheck, Gatekeeper
from odyssey.studies.engine import MODULES, check_texts, choose_runner, tasks_of
from odyssey.studies.evolve.board import SearchBoard
from odyssey.studies.evolve.candidate import OVER_LIMIT
from odyssey.studies.evolve.evolution import Evolution, Sizes
from odyssey.studies.evolve.plan import SearchPlan
from odyssey.studies.evolve.scores import TrialScore, trial_score
from odyssey.studies.memory import check_memory
from odyssey.studies.sealed import seal_of, sealed_cells, sealed_study
from odyssey.studies.study import Study
from odyssey.studies.trial import Trial, TrialResult
from odyssey.studies.weights import Keeper
from odyssey.studies.work import TrialWork, commit, failed_rows, versions
from odyssey.tasks.base import Task
from odyssey.tasks.registry import get_task
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


class SearchWatcher(Protocol):
    """Sees a search go by; the command line draws it."""

    def begin(self, board: SearchBoard) -> None:
        """Called once, with what an earlier session left."""

    def told(self, board: SearchBoard, row: Mapping[str, Any]) -> None:
        """Called after every candidate, in order, with its row."""

    def tick(self, board: SearchBoard) -> None:
        """Called now and then."""


@dataclass(frozen=True)
class SearchSummary:
    """What a session of a search did.

    Attributes:
        total: Candidates in all, seeds included.
        told: Candidates told in this session.
        trials: Trials run in this session.
        failed: Trials failed in this session.
        unmeasured: Candidates that stay without a verdict, for a trial was stopped at its limit.
        seconds: Wall time.
        overhead: Share of the workers' time since the first trial that was not training; or NaN.
    """

    total: int
    told: int
    trials: int
    failed: int
    unmeasured: int
    seconds: float
    overhead: float
    store: RunStore = field(repr=False)


def seeds_of(study: Study, plan: SearchPlan) -> dict[str, Cell]:
    """Gives the cells that evolution begins with, by name; the baseline is one of them.

    Raises:
        ConfigError: Two of them are the same cell.
    """
    cells = named_cells(_seed_specs(study, plan))
    twins = repeated(cells)
    if twins:
        raise ConfigError(f"{twins[1]} and {twins[0]} are the same cell: leave one out")
    return cells


def _seed_specs(study: Study, plan: SearchPlan) -> list[str]:
    specs = expand(list(study.cells))
    return specs if plan.baseline in specs else [plan.baseline, *specs]


@dataclass(frozen=True)
class CheckedSearch:
    """A search that makes sense, with what it is made of.

    Attributes:
        seeds: The cells that evolution begins with, by the name to show.
        baseline: The name of the one that scores are relative to.
        tasks: The tasks of all stages, by spec.
        sizes: `input_size` and `hidden_size` at which cells are measured.
    """

    seeds: dict[str, Cell]
    baseline: str
    tasks: dict[str, Task]
    sizes: dict[str, int]


def check_search(study: Study) -> CheckedSearch:
    """Checks a search whole; writes nothing.

    Raises:
        OdysseyError: Something in the study is wrong, or a trial of a seed would be too large.
    """
    plan = _plan(study)
    cells = seeds_of(study, plan)
    specs = list(dict.fromkeys(t for stage in plan.stages for t in stage.tasks))
    tasks = {spec: get_task(spec) for spec in specs}
    for stage in plan.stages:
        for spec in stage.tasks:
            tasks[spec].check_fits(stage.training["batch_size"], stage.training["unroll"])
        check_memory(
            cells,
            {spec: tasks[spec].num_symbols for spec in stage.tasks},
            draw_members(study.distributions, count=stage.draws, seed=study.seed),
            stage.training,
            population=stage.population or stage.draws,
        )
    constraints, sizes = _limits(plan, max(t.num_symbols for t in tasks.values()))
    Constraints.from_mapping(constraints)
    with _as_config_error():
        check_weights(plan.weights or None)
    names = shown_names(_seed_specs(study, plan))
    return CheckedSearch(cells, names[plan.baseline], tasks, sizes)


def prepare_search(study: Study, out: str | Place) -> RunStore:
    """Checks a search whole and makes its run directory.

    Raises:
        OdysseyError: As `check_search`, and nothing has been written then; or the directory cannot
            be.
    """
    plan, checked = _plan(study), check_search(study)
    library = {name: get_cell(name).text for name in list_cells()}
    return RunStore.create(
        out,
        study=study.to_toml(),
        run={
            "study": study.name,
            "kind": KIND,
            "description": study.description,
            "strategy": plan.strategy,
            "arms": list(plan.arms),
            "candidates": plan.candidates,
            "baseline": checked.baseline,
            "measure": plan.measure,
            "cost": plan.cost,
            "sizes": checked.sizes,
            "stages": [_described(stage) for stage in plan.stages],
            **seal_of(study, checked.seeds),
            "library": library,
            "tasks": {spec: task.describe() for spec, task in checked.tasks.items()},
            "counted": {spec: task.counted for spec, task in checked.tasks.items()},
            "versions": versions(),
            "commit": commit(),
            "seed": study.seed,
            "created": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            "seconds": 0.0,
        },
    )


def _described(stage: Any) -> dict[str, Any]:
    rule = {k: v for k, v in vars(stage.rule).items() if v is not None}
    return {
        "name": stage.name,
        "tasks": list(stage.tasks),
        "draws": stage.draws,
        "epochs": stage.training["epochs"],
        "updates_per_epoch": stage.training["updates_per_epoch"],
        "eval_warmup": stage.training["eval_warmup"],
        **rule,
    }


def reopen_search(directory: str | Place) -> tuple[RunStore, Study]:
    """Opens a search to go on with it.

    Raises:
        StoreError: The directory is no search.
        ConfigError: Its study was edited, a text that a task reads has changed, or this version of
            Odyssey would train otherwise.
    """
    store = RunStore.open(directory)
    study = sealed_study(store)
    if study.search is None:
        raise StoreError(f"{directory} is a run, but no search")
    check_texts(tasks_of(store))
    return store, study


def _plan(study: Study) -> SearchPlan:
    plan = study.search
    assert plan is not None, "the study is a search"
    return plan


def _limits(plan: SearchPlan, num_symbols: int) -> tuple[dict[str, Any], dict[str, int]]:
    """Splits the table of constraints into limits, and the sizes they are measured at."""
    limits = dict(plan.constraints)
    sizes = {"input_size": num_symbols, "hidden_size": HIDDEN_SIZE}
    for name in sizes:
        value = limits.pop(name, sizes[name])
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100_000:
            raise ConfigError(
                f"constraints.{name} must be a whole number from 1, got {quoted(value)}"
            )
        sizes[name] = value
    return limits, sizes


@contextlib.contextmanager
def _as_config_error() -> Any:
    try:
        yield
    except CellError as error:
        raise ConfigError(f"strategy.weights: {error}") from None


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
        sizes=Sizes(
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
    columns = ["trial", "status", "reason", "num_symbols", "valid_nats", "valid_accuracy"]
    columns += ["characters", "seconds", "processor_seconds"]
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    frame = store.results()[columns]
    for values in zip(*(frame[c].tolist() for c in columns), strict=True):
        rows[values[0]].append(dict(zip(columns, values, strict=True)))
    return {trial: trial_score(found) for trial, found in rows.items()}


@dataclass
class _Listener:
    """Hears from the runner, keeps records, and lets the evolution know."""

    store: RunStore
    log: CandidateLog
    board: SearchBoard
    watcher: SearchWatcher
    commit: str
    keeper: Keeper
    evolution: Evolution = field(init=False)
    failures: int = 0
    _restored: int = sys.maxsize  # candidates below were told in an earlier session
    _written: float = 0.0

    def on_start(self, trial: Trial) -> None:
        """Notes that work has begun."""
        self.board.trial_started()

    def on_result(self, trial: Trial, result: TrialResult) -> None:
        """Keeps the rows, if the worker did not, and learns."""
        if not self.store.has(trial.id):
            self.store.write(result.trial_id, result.rows, result.curves)
        self.keeper.trial_done(trial.id, result.rows)
        self._learn(trial, result.rows)

    def on_failure(self, trial: Trial, reason: str) -> None:
        """Records the trial as failed, with the reason; it is not retried on resuming."""
        self.failures += 1
        rows = failed_rows(trial, reason, commit=self.commit)
        self.store.write(trial.id, rows, [])
        self._learn(trial, rows)

    def on_unmeasured(self, trial: Trial) -> None:
        """Notes that the trial comes again at the end, or that it stays without a result."""
        if self.evolution.postpone(trial.id):
            self.board.trial_done(0.0)
            self.store.update_run(**{LATE: sorted(self.evolution.late)})
            return
        rows = failed_rows(trial, OVER_LIMIT, commit=self.commit, status=UNMEASURED)
        self.store.write(trial.id, rows, [])
        self._learn(trial, rows)

    def on_tick(self, running: int) -> None:
        """Uses the time to ask ahead, and shows how far things are."""
        self.evolution.ask_ahead()
        self._show(running)

    def on_told(self, row: dict[str, Any]) -> None:
        """Records a candidate."""
        now = row["number"] >= self._restored
        row.setdefault("told", time.time())
        self.board.take(row, now=now)
        if now:
            self.log.append(row)
            self.watcher.told(self.board, row)

    def on_late(self, row: dict[str, Any]) -> None:
        """Records what became of a candidate that was told as unmeasured."""
        row.setdefault("told", time.time())
        self.board.revise(row)
        self.log.revise(row)
        self.watcher.told(self.board, row)

    def _learn(self, trial: Trial, rows: Sequence[Mapping[str, Any]]) -> None:
        score = trial_score(rows)
        self.board.trial_done(score.seconds)
        self.evolution.learn(trial.id, score)
        if self.board.trials % COMPACT == 0:
            self.store.compact(at_least=COMPACT)

    def _show(self, running: int) -> None:
        self.board.running, self.board.in_flight = running, self.evolution.in_flight
        self.watcher.tick(self.board)
        if time.monotonic() - self._written > PROGRESS_SECONDS:
            self.write_progress()

    def write_progress(self) -> None:
        """Keeps what there is to see, for other processes."""
        self._written = time.monotonic()
        path = self.store.path / "progress.json"
        try:
            files.write_json(path, self.board.snapshot())
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from error

    def restore(self) -> None:
        """Takes over what an earlier session left."""
        self._restored = self.evolution.replay(self.log.rows(repair=True))
        self.log.restart(self._restored)


def run_search(
    store: RunStore,
    study: Study,
    watcher: SearchWatcher,
    *,
    runner: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    work: Callable[[Trial], TrialResult] | None = None,
) -> SearchSummary:
    """Runs a search, or goes on with it.

    Args:
        store: The run directory.
        study: Its study.
        watcher: Sees the search go by.
        runner: Instead of the study's.
        workers: Instead of the study's.
        address: Address of a Ray cluster to join.
        work: What is done with a trial instead of training it, for measuring the engine.

    Raises:
        ConfigError: The runner cannot work with these workers or this address.
        RunFailedError: The baseline has no result.
        StoreError: Another process runs this directory, or it cannot be written.
    """
    plan = _plan(study)
    name, workers = choose_runner(study, runner=runner, workers=workers, address=address)
    start = time.monotonic()
    with store.lock():
        store.repair()
        facts = store.run
        cells = sealed_cells(store)
        board = SearchBoard(
            study.name,
            len(cells) + plan.candidates,
            tuple(stage.name for stage in plan.stages),
            workers,
        )
        keeper = Keeper(store, study.keep_weights)
        listener = _Listener(store, CandidateLog(store.path), board, watcher, commit(), keeper)
        listener.evolution = make_evolution(
            study,
            cells,
            facts["sizes"],
            baseline=facts["baseline"],
            known=known_scores(store),
            late=set(facts.get(LATE, ())),
            on_told=listener.on_told,
            on_late=listener.on_late,
        )
        listener.restore()
        watcher.begin(board)
        module: Any = importlib.import_module(MODULES[name])
        done = False
        try:
            module.run_trials(
                listener.evolution,
                work=work
                or TrialWork(
                    store.path.absolute(), commit(), tasks_of(store), keep=study.keep_weights
                ),
                workers=workers,
                address=address,
                listener=listener,
            )
            done = True
        finally:
            seconds = time.monotonic() - start
            # after a failure, what cannot be written must not hide it
            with contextlib.nullcontext() if done else contextlib.suppress(OdysseyError):
                board.running, board.in_flight = 0, listener.evolution.in_flight
                listener.log.flush()
                listener.write_progress()
                store.update_run(seconds=float(store.run.get("seconds", 0.0)) + seconds)
        store.compact(at_least=COMPACT)
    return SearchSummary(
        board.total,
        board.told_now,
        board.trials,
        listener.failures,
        board.unmeasured,
        seconds,
        board.overhead,
        store,
    )
