"""Runs a study or a search into a run directory, goes on with one, or says what would run."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from odyssey.distributions import GRID
from odyssey.errors import ConfigError
from odyssey.hyperparameters import OF_CELL, Member
from odyssey.options import Options
from odyssey.studies.study import Study

if TYPE_CHECKING:
    from odyssey.storage.places import Place
    from odyssey.studies.growing import Remaining
    from odyssey.studies.source import OpenRun, Summary, Watcher
    from odyssey.studies.tracking import Tracking
    from odyssey.studies.trial import Trial

RUNS = Path("results/runs")


@dataclass(frozen=True, kw_only=True)
class RunnerOptions(Options):
    """Who runs what a run has left.

    Attributes:
        workers: Trials at a time, instead of the study's.
        runner: Who works the trials, instead of the study's.
        address: Address of a Ray cluster to join.
        track: Trackers that get curves and scores, as `NAME` or `NAME:PLACE`; see
            `odyssey.studies.tracking`.
    """

    workers: int | None = None
    runner: Literal["ray", "local"] | None = None
    address: str | None = None
    track: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"--workers must be at least 1, got {self.workers}")

    @property
    def runner_choice(self) -> dict[str, Any]:
        """The arguments of `engine.execute` and `engine.choose_runner`."""
        return {"runner": self.runner, "workers": self.workers, "address": self.address}


@dataclass(frozen=True, kw_only=True)
class RunOptions(RunnerOptions):
    """How a study is run into a fresh directory.

    Attributes:
        out: Run directory or its URL; None for a free one in results/runs.
        keep_weights: Whose weights are kept, instead of the study's `keep_weights`.
        device: What is trained on, instead of the study's `training.device`.
    """

    out: str | Path | None = None
    keep_weights: Literal["best", "all", "none"] | None = None
    device: str | None = None


def begin_run(study: Study, options: RunOptions) -> OpenRun:
    """Checks a study and makes its run directory; nothing is run yet.

    Raises:
        OdysseyError: The study or an option makes no sense, or the directory cannot be written.
    """
    from odyssey.storage.places import place
    from odyssey.studies.engine import place_workers, prepare

    study = _changed(study, options)
    place_workers(study, **options.runner_choice)  # before anything is written
    _tracking(study, options)
    return prepare(study, place(options.out) if options.out else _free(study.name))


def resume_run(directory: str | Place, *, texts: Sequence[str] = ()) -> OpenRun:
    """Opens a run to go on with it, as the study that it began with; nothing is run yet.

    Args:
        directory: The run directory or its URL.
        texts: As of `engine.reopen`.

    Raises:
        ConfigError: As `engine.reopen`; or it is a single training, which has a checkpoint.
    """
    from odyssey.studies.engine import reopen

    run = reopen(directory, texts=texts)
    if run.store.run.get("kind") == "train":
        raise ConfigError(f"{directory} is a training: odyssey train --resume {directory}")
    return run


def work_through(
    run: OpenRun, options: RunnerOptions | None = None, *, watcher: Watcher[Any] | None = None
) -> Summary:
    """Runs what a run has left; see `engine.execute`.

    Where somebody watches, a trial is timed for a moment first, so that the time is told from the
    beginning.

    Raises:
        OdysseyError: Nothing succeeded, another process runs it, or it cannot be written.
    """
    from odyssey.studies.engine import execute
    from odyssey.studies.estimate import timed_sample
    from odyssey.studies.source import Unwatched

    options = options or RunnerOptions()
    tracking = _tracking(run.study, options)
    timed = timed_sample(run) if watcher else {}
    return execute(
        run, watcher or Unwatched(), timed=timed, tracking=tracking, **options.runner_choice
    )


def _tracking(study: Study, options: RunnerOptions) -> Tracking:
    from odyssey.studies.tracking import open_trackers

    if options.track and study.search is not None:
        raise ConfigError(
            "a search is not tracked: it has thousands of small trials; track its promotion"
        )
    return open_trackers(tuple(options.track), study=study.name)


def _changed(study: Study, options: RunOptions) -> Study:
    """Gives the study with what the options say in its place."""
    if options.keep_weights:
        study = replace(study, keep_weights=options.keep_weights)
    if options.device:
        study = replace(study, training={**study.training, "device": options.device})
    return study


def _free(name: str) -> Path:
    """Gives a run directory that is not there yet."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:80].strip("-.") or "study"
    path, number = RUNS / stem, 1
    while path.exists():
        number += 1
        path = RUNS / f"{stem}-{number}"
    return path


@dataclass(frozen=True)
class RunLeft:
    """What a run has left: `left` of its `total` trials, or candidates of a search."""

    study: str
    what: str
    total: int
    left: int


def run_left(run: OpenRun, remaining: Remaining | None = None) -> RunLeft:
    """Counts what a run has left.

    Args:
        run: The run.
        remaining: What it lacks of its study, where that is known already.
    """
    if run.study.search is None:
        from odyssey.studies.growing import Remaining
        from odyssey.studies.listed import known_trials

        known = known_trials(run)
        left = (remaining or Remaining.of(run.store, known)).trials
        to_come = run.study.ladder_of(run.trials).to_come(known, left)
        more = sum(map(len, to_come.values()))
        return RunLeft(run.study.name, "trials", len(known) + more, len(left) + more)
    from odyssey.storage.candidates import load_candidates

    total = len(run.cells) + run.study.search.candidates
    return RunLeft(
        run.study.name, "candidates", total, total - len(load_candidates(run.store.path))
    )


@dataclass(frozen=True)
class StudyEstimate:
    """What a study would run; times are of timed updates on this machine.

    Attributes:
        study: Its name.
        cells: Cells.
        tasks: Tasks by spec: what they say of themselves.
        trials: Trials.
        members: Members of all trials.
        grid: Hyperparameters that are crossed: their values by name, in the order of the study.
        settings: Constants and sizes that vary, as in `cell.dt`: the cells that take them.
        ladder: Rungs of its ladder in words, from the first on; empty for none. All numbers count
            them, as if as many draws went on as may.
        characters: Characters that are trained on, at most.
        seconds: Wall time.
        workers: Trials at a time.
        disk_mb: Megabytes of records and weights.
        start_up: Seconds that a worker takes to start, in `seconds`.
        trials_timed: Trials that were timed for a moment; the others are told from their work.
        timed: Seconds that the estimate took.
    """

    study: str
    cells: int
    tasks: Mapping[str, Mapping[str, Any]]
    trials: int
    members: int
    grid: Mapping[str, Sequence[Any]]
    settings: Mapping[str, Sequence[str]]
    ladder: str
    characters: int
    seconds: float
    workers: int
    disk_mb: float
    start_up: float
    trials_timed: int
    timed: float

    def data(self) -> dict[str, Any]:
        """Gives it as plain data."""
        data = asdict(self) | {"tasks": list(self.tasks), "seconds": round(self.seconds, 1)}
        hidden = ("start_up", "trials_timed", "timed")
        return {name: value for name, value in data.items() if name not in hidden}


@dataclass(frozen=True)
class SearchEstimate:
    """What a search would run; times are of timed updates of the baseline on this machine.

    Attributes:
        study: Its name.
        strategy: Its strategy.
        arms: Its arms.
        candidates: Candidates without the seeds.
        seeds: The cells that it begins with.
        stages: Stage -> seconds a candidate.
        workers: Trials at a time.
        seconds_if_all_stop_first: Wall time if every candidate stops at the first stage.
        seconds_if_none_stops: Wall time if none stops.
        baseline: What was timed.
        start_up: Seconds that a worker takes to start, in no other number.
        timed: Seconds that the estimate took.
    """

    study: str
    strategy: str
    arms: tuple[str, ...]
    candidates: int
    seeds: tuple[str, ...]
    stages: Mapping[str, float]
    workers: int
    seconds_if_all_stop_first: float
    seconds_if_none_stops: float
    baseline: str
    start_up: float
    timed: float

    def data(self) -> dict[str, Any]:
        """Gives it as plain data."""
        stages = [{"stage": n, "seconds_a_candidate": s} for n, s in self.stages.items()]
        return {
            "study": self.study,
            "strategy": self.strategy,
            "arms": list(self.arms),
            "candidates": self.candidates,
            "seeds": list(self.seeds),
            "stages": stages,
            "workers": self.workers,
            "start_up_seconds": round(self.start_up, 1),
            "seconds_if_all_stop_first": self.seconds_if_all_stop_first,
            "seconds_if_none_stops": self.seconds_if_none_stops,
        }


def estimate_study(
    study: Study, options: RunOptions | None = None
) -> StudyEstimate | SearchEstimate:
    """Says what would run and how long it would take; writes nothing.

    Raises:
        OdysseyError: As `begin_run`, but for the directory.
    """
    from odyssey.studies.engine import place_workers

    options = options or RunOptions()
    study = _changed(study, options)
    _, workers, _ = place_workers(study, **options.runner_choice)
    estimate = _estimated_study if study.search is None else _estimated_search
    return estimate(study, workers)


def _estimated_study(study: Study, workers: int) -> StudyEstimate:
    from odyssey.studies.engine import check
    from odyssey.studies.estimate import estimate_study_time
    from odyssey.studies.ladder import ladder_text
    from odyssey.studies.listed import study_jobs
    from odyssey.training.budget import in_updates
    from odyssey.training.config import training_config

    checked, config = check(study), study.config
    trials, every = checked.trials, study.ladder_of(checked.trials).every
    members = sum(len(t.members) for t in every)
    budgets = {t.id: in_updates(training_config(t.training), checked.tasks[t.task]) for t in every}
    read = {t.id: len(t.members) * budgets[t.id].updates for t in every}
    began = time.monotonic()
    jobs = study_jobs(every, cells=checked.cells, tasks=checked.tasks)
    told = estimate_study_time(trials, every, jobs)
    records = sum(len(t.members) * (3.0 + 0.15 * budgets[t.id].epochs) for t in every) / 1000
    return StudyEstimate(
        study=study.name,
        cells=len(checked.cells),
        tasks={spec: task.describe() for spec, task in checked.tasks.items()},
        trials=len(every),
        members=members,
        grid={n: list(d.values) for n, d in study.distributions.items() if d.kind == GRID},
        settings={
            n: list(dict.fromkeys(t.spec for t in trials if n in t.members[0]))
            for n in study.distributions
            if n.startswith(OF_CELL)
        },
        ladder=ladder_text(study.rungs),
        characters=sum(read.values()) * config.batch_size * config.unroll,
        seconds=told.start_up + told.seconds / workers,  # every worker starts up
        workers=workers,
        disk_mb=round(records + _weight_megabytes(study, trials), 2),
        start_up=told.start_up,
        trials_timed=told.timed,
        timed=time.monotonic() - began,
    )


def _estimated_search(study: Study, workers: int) -> SearchEstimate:
    from odyssey.storage.schema import SEED_ARM
    from odyssey.studies.engine import check
    from odyssey.studies.estimate import estimate_trials
    from odyssey.studies.evolve.candidate import Candidate, Life
    from odyssey.training.space import draw_members

    plan = study.search
    assert plan is not None, "the study is a search"
    checked = check(study)
    name = str(checked.facts["baseline"])
    cell, space = checked.cells[name], study.distributions
    began = time.monotonic()

    def draws(count: int, first: int) -> list[dict[str, object]]:
        return draw_members(space, count=count, seed=study.seed, first=first)

    life = Life(Candidate(0, SEED_ARM, name, cell.key, "", cell.text), plan, draws=draws, index=0)
    stages, start_up = {}, 0.0
    for life.stage, stage in enumerate(plan.stages):
        timed = estimate_trials(life.enter())
        start_up += timed.start_up
        stages[stage.name] = round(timed.seconds, 2)
    first, every = next(iter(stages.values())), sum(stages.values())
    seeds = len(checked.cells) * every
    return SearchEstimate(
        study=study.name,
        strategy=plan.strategy,
        arms=plan.arms,
        candidates=plan.candidates,
        seeds=tuple(checked.cells),
        stages=stages,
        workers=workers,
        seconds_if_all_stop_first=round((seeds + plan.candidates * first) / workers, 1),
        seconds_if_none_stops=round((seeds + plan.candidates * every) / workers, 1),
        baseline=name,
        start_up=start_up,
        timed=time.monotonic() - began,
    )


def _weight_megabytes(study: Study, trials: Sequence[Trial]) -> float:
    """Says how much room the weights that are kept take, at most."""
    from odyssey.expr import parse_cell
    from odyssey.studies.weights import CELLS_WITH_WEIGHTS
    from odyssey.tasks.registry import get_task
    from odyssey.training.model import count_parameters
    from odyssey.transforms.settings import with_settings

    if study.keep_weights == "none":
        return 0.0
    sizes: dict[tuple[str, str], list[int]] = {}
    for trial in trials:
        cell, signature = parse_cell(trial.cell_text), get_task(trial.task).signature
        for member in (Member(**m) for m in trial.members):
            sizes.setdefault((trial.task, trial.spec), []).append(
                member.parameters
                or count_parameters(
                    with_settings(cell, member.settings),
                    signature=signature,
                    hidden_size=member.hidden_size,
                    num_layers=member.num_layers,
                )
            )
    if study.keep_weights == "all":
        return 4e-6 * sum(map(sum, sizes.values()))
    of_task = {
        task: sorted((max(n) for (t, _), n in sizes.items() if t == task), reverse=True)
        for task in study.tasks
    }
    return 4e-6 * sum(sum(n[:CELLS_WITH_WEIGHTS]) for n in of_task.values())
