"""One cell, one task, one set of hyperparameters."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError
from odyssey.hyperparameters import HYPERPARAMETERS, SINGLE
from odyssey.specs import get_cell
from odyssey.storage.samples import SAMPLES
from odyssey.storage.schema import OK
from odyssey.studies.study import Study, absolute_cell, absolute_task, parse_setting
from odyssey.training.space import fixed_by, searched_by

if TYPE_CHECKING:
    from odyssey.storage.store import RunStore
    from odyssey.tasks.base import Task
    from odyssey.training.config import TrainingConfig
    from odyssey.training.loop import Epoch
    from odyssey.training.model import SequenceModel


@dataclass(frozen=True)
class TrainOptions:
    """How a cell is trained; what is None is the preset's, or what a single training takes.

    Attributes:
        preset: A paper's protocol, for training and hyperparameters.
        hyperparameters: Rows of `odyssey.hyperparameters` by name; `clip_norm=0` does not clip.
        training: Fields of `TrainingConfig` by name.
        seed: Seed.
        sample: Symbols to sample at the end; 0 for none.
        sample_every: Samples while training too, every so many updates, after a validation; the
            run keeps these samples.
        temperature: Of the sample.
        settings: `key=value`: any of both, as in `schedule=decay`.
    """

    preset: str | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 1
    sample: int = 400
    sample_every: int | None = None
    temperature: float = 0.8
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.sample < 0:
            raise ConfigError(f"--sample must not be negative, got {self.sample}")
        if self.sample_every is not None and self.sample_every < 1:
            raise ConfigError(f"--sample-every must be at least 1, got {self.sample_every}")
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"--temperature must be a number >= 0, got {self.temperature}")


class TrainWatcher:
    """Sees a training go by; this one looks away."""

    def begin(self, task: Task) -> None:
        """Called once, before anything is written."""

    def epoch(self, epoch: Epoch, seconds_left: float) -> None:
        """Called after every epoch."""

    def sampled(self, updates: int, text: str) -> None:
        """Called with a sample, with `sample_every`."""


@dataclass(frozen=True)
class TrainedCell:
    """What a training left.

    Attributes:
        row: The columns of `storage.schema.RESULT_COLUMNS`.
        sample: What the model writes; empty where the task is no text.
        task: The task.
        config: The training options.
        model: The model with its best parameters, one member.
    """

    row: dict[str, Any]
    sample: str
    task: Task
    config: TrainingConfig
    model: SequenceModel


def train_cell(
    spec: str,
    task: str,
    options: TrainOptions | None = None,
    *,
    out: str | None = None,
    watcher: TrainWatcher | None = None,
) -> TrainedCell:
    """Trains a cell on a task.

    Args:
        spec: The cell.
        task: The task.
        options: How.
        out: The run directory for the record, the curves and the weights; None keeps nothing.
        watcher: Sees it go by.

    Raises:
        OdysseyError: A cell, task or option makes no sense, or the directory cannot be written.
    """
    options, watcher = options or TrainOptions(), watcher or TrainWatcher()
    study = _study(spec, task, options)

    from odyssey.diagnostics.brackets import count_brackets
    from odyssey.storage.samples import KeptSample, write_samples
    from odyssey.studies.engine import check, prepare
    from odyssey.studies.trained import save_weights
    from odyssey.studies.work import commit, trained_trial
    from odyssey.tasks.registry import get_task
    from odyssey.training.sampling import sample
    from odyssey.training.seeds import stream

    learned = get_task(study.tasks[0])
    watcher.begin(learned)
    run = prepare(study, out, kind="train") if out else None
    trials, store = (run.trials, run.store) if run else (check(study).trials, None)
    began = time.monotonic()
    due = options.sample_every or math.inf
    valid_nats = math.nan
    kept: list[KeptSample] = []

    def progress(epoch: Epoch) -> None:
        nonlocal valid_nats
        valid_nats = epoch.valid_nats[0]
        rate = (time.monotonic() - began) / epoch.epoch
        watcher.epoch(epoch, rate * (epoch.epochs - epoch.epoch))

    def inspect(updates: int, model: SequenceModel, *, positions: tuple[int, ...]) -> None:
        nonlocal due
        del positions  # there is one member
        if options.sample_every and updates >= due:
            due = updates - updates % options.sample_every + options.sample_every
            text = generate(model)
            watcher.sampled(updates, text)
            if store:
                loss = valid_nats if math.isfinite(valid_nats) else None
                found = count_brackets(text)
                kept.append(KeptSample(updates, text, loss, found.opened, found.closed))
                write_samples(store.path, kept)

    def generate(model: SequenceModel) -> str:
        codes = sample(
            model,
            learned.sample_prime(),
            length=options.sample,
            temperature=options.temperature,
            rng=stream(options.seed, "sample"),
        )
        return learned.decode(list(codes))

    with store.lock() if store else nullcontext(), _undone(store):
        result, trained = trained_trial(
            trials[0], task=learned, commit=commit(), progress=progress, inspect=inspect
        )
        model = trained.models[0][0]
        if store:
            store.write(result.trial_id, result.rows, result.curves)
            store.update_run(seconds=time.monotonic() - began)
            save_weights(store, model)
    row = dict(result.rows[0])
    writes = row["status"] == OK and learned.is_text and options.sample
    return TrainedCell(row, generate(model) if writes else "", learned, study.config, model)


def _study(spec: str, task: str, options: TrainOptions) -> Study:
    """Writes a single training as a study."""
    cell = get_cell(spec)
    training = ({"preset": options.preset} if options.preset else {}) | dict(options.training)
    chosen = dict(options.hyperparameters)
    for setting in options.settings:
        key, value = parse_setting(setting)
        if (name := key.removeprefix("space.")) in HYPERPARAMETERS:
            chosen[name] = value
        else:
            training[key.removeprefix("training.")] = value
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
        space=_space(chosen, str(training.get("preset", ""))),
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


@contextmanager
def _undone(store: RunStore | None) -> Iterator[None]:
    """Makes a run that is cut short none, so that the same training can be started again."""
    try:
        yield
    except KeyboardInterrupt:
        if store and not store.finished() and isinstance(store.path, Path):
            for name in ("run.json", SAMPLES):
                (store.path / name).unlink(missing_ok=True)
        raise


def training_data(trained: TrainedCell) -> dict[str, Any]:
    """Gives the row of a training, its sample and its options as plain data."""
    config = dataclasses.asdict(trained.config)
    return trained.row | {"sample": trained.sample, "training": config}
