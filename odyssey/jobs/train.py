"""One cell, one task, one set of hyperparameters."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError, StoreError, suggest
from odyssey.hyperparameters import HYPERPARAMETERS, SINGLE
from odyssey.jobs.train_fields import TrainFields
from odyssey.jobs.trained_cell import TrainedCell
from odyssey.pace import Job, Pace
from odyssey.progress.watcher import TrainWatcher
from odyssey.specs import get_cell
from odyssey.storage.places import place
from odyssey.storage.schema import OK
from odyssey.studies.absolute import absolute_cell, absolute_task
from odyssey.studies.reading import Settings, parse_settings
from odyssey.studies.study import Study
from odyssey.training.budget import in_updates
from odyssey.training.config import OPTIONS
from odyssey.training.space import fixed_by, searched_by

if TYPE_CHECKING:
    from odyssey.storage.store import RunStore
    from odyssey.studies.checkpoints import RunCheckpoints
    from odyssey.studies.source import OpenRun
    from odyssey.studies.tracking import Tracking
    from odyssey.studies.trial import Trial
    from odyssey.tasks.base import Task
    from odyssey.training.model import SequenceModel
    from odyssey.training.results import Epoch
    from odyssey.training.snapshots import Snapshot

TICK_SECONDS = 0.25
"""Between two calls of `TrainWatcher.tick`, at least."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TrainFields):
    """How a cell is trained; what is None is the preset's, or what a single training takes.

    Attributes:
        preset: A paper's protocol, for training and hyperparameters.
        seed: Seed.
        out: The run directory for the record, the curves, the weights and the checkpoint; None
            keeps nothing.
        sample: Symbols to sample at the end; 0 for none.
        sample_every: Samples while training too, every so many updates, after a validation; the
            run keeps these samples.
        temperature: Of the sample.
        checkpoint_every: Updates between checkpoints of a training that is kept.
        init_from: A run whose weights training begins with, of the same cell, sizes and symbols.
        track: Trackers that get curve and scores, as `NAME` or `NAME:PLACE`; see
            `odyssey.studies.tracking`.
    """

    preset: str | None = None
    seed: int = 1
    out: str | Path | None = None
    sample: int = 400
    sample_every: int | None = None
    temperature: float = 0.8
    checkpoint_every: int = 1000
    init_from: str | Path | None = None
    track: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample < 0:
            raise ConfigError(f"--sample must not be negative, got {self.sample}")
        if self.sample_every is not None and self.sample_every < 1:
            raise ConfigError(f"--sample-every must be at least 1, got {self.sample_every}")
        if self.checkpoint_every < 1:
            raise ConfigError(f"--checkpoint-every must be at least 1, got {self.checkpoint_every}")
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"--temperature must be a number >= 0, got {self.temperature}")

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Rows of `odyssey.hyperparameters` that were named, by name."""
        return self._named(HYPERPARAMETERS)

    @property
    def training(self) -> dict[str, Any]:
        """Fields of `TrainingConfig` that were named, by name."""
        return self._named(OPTIONS)

    def _named(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def named_fields(settings: Settings) -> dict[str, Any]:
    """Gives the fields of `TrainFields` that settings name, as in `training.schedule=decay`.

    Raises:
        ConfigError: There is no such hyperparameter or training option.
    """
    table = {name: name for name in ("preset", *HYPERPARAMETERS, *OPTIONS)}
    known = {
        **table,
        **{f"space.{name}": name for name in HYPERPARAMETERS},
        **{f"training.{name}": name for name in OPTIONS},
    }
    given = parse_settings(settings)
    for key in given:
        if key not in known:
            raise ConfigError(suggest(key, table, what="training option", also=known))
    return {known[key]: value for key, value in given.items()}


def train_cell(
    spec: str,
    task: str,
    options: TrainOptions | None = None,
    *,
    watcher: TrainWatcher | None = None,
) -> TrainedCell:
    """Trains a cell on a task.

    Args:
        spec: The cell.
        task: The task.
        options: How.
        watcher: Sees it go by.

    Raises:
        OdysseyError: A cell, task or option makes no sense, or the directory cannot be written.
    """
    options, watcher = options or TrainOptions(), watcher or TrainWatcher()
    study = _study(spec, task, options)

    from odyssey.studies.engine import check, prepare
    from odyssey.studies.placing import require_device
    from odyssey.studies.tracking import open_trackers
    from odyssey.tasks.registry import get_task

    require_device(study)  # before anything is written
    tracking = open_trackers(tuple(options.track), study=study.name)
    initial, source = _initial(options)
    learned = get_task(study.tasks[0])
    watcher.begin(learned)
    if options.out is None:
        (trial,) = check(study).trials
        return _train(_Training(study, trial, learned, options, watcher, tracking, None, initial))
    run = prepare(study, place(options.out), kind="train")
    with run.store.lock():
        if source:
            run.store.update_run(init_from=source)
        (trial,) = run.trials
        return _train(
            _Training(study, trial, learned, options, watcher, tracking, run.store, initial)
        )


def resume_training(
    directory: str,
    options: TrainOptions | None = None,
    *,
    texts: Sequence[str] = (),
    watcher: TrainWatcher | None = None,
) -> TrainedCell:
    """Goes on with a training from its last checkpoint, to the numbers that it would have had.

    Args:
        directory: The run directory.
        options: `training` may give more `epochs` or `passes`, to a finished training too; of the
            others those of sampling and tracking count.
        texts: As of `engine.reopen`.
        watcher: Sees it go by.

    Raises:
        ConfigError: It is finished and gets no more epochs, or is no training.
        StoreError: The directory is no run, or the checkpoint is damaged or missing.
    """
    from odyssey.studies.checkpoints import CHECKPOINT
    from odyssey.studies.engine import reopen, rewrite
    from odyssey.studies.placing import require_device
    from odyssey.studies.tracking import open_trackers
    from odyssey.tasks.recorded import recorded_task

    options, watcher = options or TrainOptions(), watcher or TrainWatcher()
    run = reopen(directory, texts=texts)
    if run.store.run.get("kind") != "train":
        raise ConfigError(f"{directory} is no training; go on with odyssey search --resume")
    study = _longer(run, options.training)
    require_device(study)
    finished = run.trials[0].id in run.store.finished()
    checkpoint = run.store.path / CHECKPOINT
    if finished and study == run.study:
        raise ConfigError(
            f"{directory} is finished; give --epochs above {run.study.config.epochs} for more"
        )
    if not checkpoint.is_file() and (finished or run.store.run.get("init_from")):
        raise StoreError(f"{directory} has no {CHECKPOINT} to go on from; train anew")
    tracking = open_trackers(tuple(options.track), study=study.name)
    with run.store.lock():
        if study != run.study:
            run = rewrite(run, study)
        task = recorded_task(study.tasks[0], run.store.run["tasks"][study.tasks[0]])
        watcher.begin(task)
        (trial,) = run.trials
        return _train(_Training(study, trial, task, options, watcher, tracking, run.store))


def _longer(run: OpenRun, training: Mapping[str, Any]) -> Study:
    """Gives the study of a training with as many epochs or passes as are asked for."""
    from odyssey.training.schedules import SCHEDULE_RULES

    study = run.study
    for name, value in training.items():
        if name not in ("epochs", "passes"):
            raise ConfigError(f"--resume goes on as it began: {name} cannot change, epochs can")
        before = getattr(study.config, name)
        if value < before or not before:
            raise ConfigError(f"the training has {name} = {before}: give more, got {value}")
        if SCHEDULE_RULES[study.config.schedule].ends:
            raise ConfigError(
                f"the schedule {study.config.schedule} ends where the training was to end:"
                " more epochs are another training; begin one with --init-from"
            )
    if not training:
        return study
    return dataclasses.replace(study, training={**study.training, **training})


def _initial(options: TrainOptions) -> tuple[dict[str, Any] | None, str]:
    """Gives the weights to begin with, and what they are called in the record."""
    if options.init_from is None:
        return None, ""
    from odyssey.studies.trained import load_trained

    trained = load_trained(options.init_from)
    weights = {n: p.detach().numpy()[0] for n, p in trained.model.named_parameters()}
    digest = hashlib.sha256(b"".join(w.tobytes() for w in weights.values())).hexdigest()
    return weights, f"{options.init_from}, weights {digest[:16]}"


@dataclass
class _Training:
    """A training on its way."""

    study: Study
    trial: Trial
    task: Task
    options: TrainOptions
    watcher: TrainWatcher
    tracking: Tracking
    store: RunStore | None
    initial: dict[str, Any] | None = None
    began: float = field(default_factory=time.monotonic)
    due: float = 0.0
    valid_nats: float = math.nan

    def __post_init__(self) -> None:
        from odyssey.storage.samples import read_samples

        self.samples = read_samples(self.store.path) if self.store else []
        self.due = self.options.sample_every or math.inf
        self.pace = Pace({self.trial.id: Job(self.trial.id, 1.0)})
        self.pace.start(self.trial.id)
        self.total = in_updates(self.study.config, self.task).updates
        self.ticked: float | None = None

    def tick(self, updates: int) -> None:
        """Hears of an update, and passes it on now and then.

        The first word comes before an update was made, which may compile, or after batches were
        drawn again up to a checkpoint; time counts from the second on.
        """
        now = time.monotonic()
        if self.ticked is None:
            self.ticked = -math.inf
        elif now - self.ticked >= TICK_SECONDS:
            self.ticked = now
            self.pace.progress(self.trial.id, updates / max(self.total, 1))
            self.watcher.tick(updates, self.total, self.pace.seconds_left)

    def progress(self, epoch: Epoch) -> None:
        """Passes an epoch on, with the time that is left."""
        self.valid_nats = epoch.valid_nats[0]
        losses = {"train_nats": epoch.train_nats[0], "valid_nats": epoch.valid_nats[0]}
        self.tracking.log(losses, epoch.updates)
        self.pace.progress(self.trial.id, epoch.updates / max(self.total, 1))
        self.watcher.epoch(epoch, self.pace.seconds_left)

    def inspect(self, updates: int, model: SequenceModel, *, positions: tuple[int, ...]) -> None:
        """Takes the samples that are due."""
        from odyssey.diagnostics.brackets import count_brackets
        from odyssey.storage.samples import KeptSample, write_samples

        del positions  # there is one member
        if not self.options.sample_every or updates < self.due:
            return
        self.due = updates - updates % self.options.sample_every + self.options.sample_every
        text = self.generate(model)
        self.watcher.sampled(updates, text)
        if self.store:
            loss = self.valid_nats if math.isfinite(self.valid_nats) else None
            found = count_brackets(text)
            self.samples = [s for s in self.samples if s.updates < updates]
            self.samples.append(KeptSample(updates, text, loss, found.opened, found.closed))
            write_samples(self.store.path, self.samples)

    def generate(self, model: SequenceModel) -> str:
        """Writes a sample."""
        from odyssey.training.sampling import sample
        from odyssey.training.seeds import stream

        codes = sample(
            model,
            self.task.sample_prime(),
            length=self.options.sample,
            temperature=self.options.temperature,
            rng=stream(self.study.seed, "sample"),
        )
        return self.task.decode(list(codes))


@dataclass
class _Ticking:
    """Passes every update on to a training, and to its checkpoints; see `KeptGroups`."""

    training: _Training
    kept: RunCheckpoints | None

    @property
    def earlier(self) -> tuple[float, float]:
        """The time that was spent before the checkpoint."""
        return self.kept.spent.earlier if self.kept else (0.0, 0.0)

    def group(self, number: int, *, of: int) -> _Ticking:
        """Gives itself: there is one group."""
        assert (number, of) == (0, 1)
        return self

    def load(self) -> Snapshot | None:
        """Gives the snapshot to go on from."""
        return self.kept.load() if self.kept else None

    def passing(self, updates: int, take: Callable[[], Snapshot], *, last: bool) -> None:
        """Passes an update on."""
        if self.kept:
            self.kept.passing(updates, take, last=last)
        self.training.tick(updates)


def _train(training: _Training) -> TrainedCell:
    """Trains to the end, from the checkpoint if there is one."""
    from odyssey.studies.checkpoints import RunCheckpoints
    from odyssey.studies.trained import save_weights
    from odyssey.studies.work import commit, trained_trial

    store, task, study = training.store, training.task, training.study
    checkpoints = None
    if store:
        checkpoints = RunCheckpoints(store, every=training.options.checkpoint_every)
    training.tracking.begin(training.trial)
    with checkpoints.waiting() if checkpoints else nullcontext():
        result, trained = trained_trial(
            training.trial,
            task=task,
            commit=commit(),
            progress=training.progress,
            inspect=training.inspect,
            initial=training.initial,
            checkpoints=_Ticking(training, checkpoints),
        )
    model = trained.models[0][0]
    training.tracking.finish(result.rows)
    if store:
        save_weights(store, model)
        store.write(result.trial_id, result.rows, result.curves)
        store.forget_others(result.trial_id)
        seconds = float(store.run.get("seconds", 0.0)) + time.monotonic() - training.began
        store.update_run(seconds=seconds)
        training.watcher.recorded()
    row = dict(result.rows[0])
    writes = row["status"] == OK and task.is_text and training.options.sample
    sample = training.generate(model) if writes else ""
    return TrainedCell(
        row, sample, task, study.config, model, result.curves, store.path if store else None
    )


def _study(spec: str, task: str, options: TrainOptions) -> Study:
    """Writes a single training as a study."""
    cell = get_cell(spec)
    training = ({"preset": options.preset} if options.preset else {}) | options.training
    if "preset" not in training:
        training.setdefault("optimizer", "adam")
    return Study(
        name=f"train-{cell.name}",
        cells=(absolute_cell(spec),),
        tasks=(absolute_task(task),),
        members=1,
        seed=options.seed,
        runner="local",
        workers=1,
        training=training,
        space=_space(options.hyperparameters, str(training.get("preset", ""))),
    )


def _space(chosen: dict[str, Any], preset: str) -> dict[str, Any]:
    """Gives the hyperparameters: the chosen, else the preset's, else those of a single training."""
    fixed, searched = fixed_by(preset), searched_by(preset)
    if "parameters" in searched:
        searched.add("hidden_size")
    own = {n: v for n, v in SINGLE.items() if not preset or n in searched}
    if "parameters" in chosen:
        own.pop("hidden_size", None)
    if not preset and chosen.get("clip_norm") == 0:
        del chosen["clip_norm"], own["clip_norm"]  # no clipping needs no number
    fixed.pop("forget_bias", None)  # the training's preset brings it to the cells that it fits
    return own | fixed | chosen


def training_data(trained: TrainedCell) -> dict[str, Any]:
    """Gives the row of a training, its sample and its options as plain data."""
    config = dataclasses.asdict(trained.config)
    return trained.row | {"sample": trained.sample, "training": config}
