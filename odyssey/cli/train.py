"""`odyssey train`: one cell, one task, one set of hyperparameters."""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.cli.printing import duration, print_json, print_notices
from odyssey.cli.signals import ending
from odyssey.errors import ConfigError
from odyssey.hyperparameters import HYPERPARAMETERS, SINGLE
from odyssey.specs import get_cell
from odyssey.studies.study import Study, absolute_cell, absolute_task, parse_setting
from odyssey.tasks.base import Task
from odyssey.training.space import fixed_by, searched_by
from odyssey.wording import each

if TYPE_CHECKING:
    from odyssey.storage.store import RunStore

LN2 = math.log(2.0)


def run(args: argparse.Namespace) -> None:
    """Trains, prints the progress and the result, and a sample for text tasks."""
    cell = get_cell(args.spec)
    if args.sample < 0:
        raise ConfigError(f"--sample must not be negative, got {args.sample}")
    if args.sample_every is not None and args.sample_every < 1:
        raise ConfigError(f"--sample-every must be at least 1, got {args.sample_every}")
    if not 0 <= args.temperature < math.inf:
        raise ConfigError(f"--temperature must be a number >= 0, got {args.temperature}")
    options = _training_options(args)
    space = _space(args, str(options.get("preset", "")))
    study = Study(
        name=f"train-{cell.name}",
        cells=(absolute_cell(args.spec),),
        tasks=(absolute_task(args.task),),
        members=1,
        seed=args.seed,
        runner="local",
        workers=1,
        training=options,
        space=space,
    )
    _train(args, study)


def _training_options(args: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {"preset": args.preset} if args.preset else {}
    for name in ("optimizer", "epochs", "updates_per_epoch", "batch_size", "unroll"):
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    for setting in args.settings:
        key, value = parse_setting(setting)
        if key.removeprefix("space.") in HYPERPARAMETERS:
            setattr(args, key.removeprefix("space."), value)
        else:
            options[key.removeprefix("training.")] = value
    if "preset" not in options:
        options.setdefault("optimizer", "adam")
    return options


def _space(args: argparse.Namespace, preset: str) -> dict[str, Any]:
    """Gives the hyperparameters: as given, else the preset's, else what a single training takes."""
    given = {n: v for n in HYPERPARAMETERS if (v := getattr(args, n, None)) is not None}
    fixed, searched = fixed_by(preset), searched_by(preset)
    if "parameters" in searched:
        searched.add("hidden_size")
    own = {n: v for n, v in SINGLE.items() if not preset or n in searched}
    if not preset and given.get("clip_norm") == 0:
        del given["clip_norm"], own["clip_norm"]  # no clipping needs no number
    return own | fixed | given


def _train(args: argparse.Namespace, study: Study) -> None:
    from odyssey.studies.engine import check, prepare
    from odyssey.studies.trained import save_weights
    from odyssey.studies.work import commit, trained_trial
    from odyssey.tasks.registry import get_task
    from odyssey.training.loop import Epoch
    from odyssey.training.model import CharModel
    from odyssey.training.sampling import sample
    from odyssey.training.seeds import stream

    task = get_task(study.tasks[0])
    print_notices({task.name: task.describe()})
    word = each(task.unit, short=True)
    if args.out:
        store, trials = prepare(study, args.out, kind="train")
    else:
        store, trials = None, check(study).trials
    began = time.monotonic()

    def progress(epoch: Epoch) -> None:
        if args.json:
            return
        left = (time.monotonic() - began) / epoch.epoch * (epoch.epochs - epoch.epoch)
        text = (
            f"epoch {epoch.epoch:>3}/{epoch.epochs}  update {epoch.updates:>6}"
            f"  train {epoch.train_nats[0] / LN2:.3f}"
            f"  valid {epoch.valid_nats[0] / LN2:.3f} bits/{word}"
            f"  {duration(left)} left"
        )
        print(text, flush=True)

    due = args.sample_every

    def show_sample(updates: int, model: CharModel, *, positions: tuple[int, ...]) -> None:
        nonlocal due
        del positions  # there is one member
        if due is None or updates < due or args.json:
            return
        due = updates - updates % args.sample_every + args.sample_every
        print(f"--- sample after {updates:,} updates\n{generate(model)}\n---", flush=True)

    def generate(model: CharModel) -> str:
        found = sample(
            model,
            task.sample_prime(),
            length=args.sample,
            temperature=args.temperature,
            rng=stream(args.seed, "sample"),
        )
        return task.decode(list(found))

    lost = "nothing of a single training is kept before its end; start it again"
    with store.lock() if store else nullcontext(), _undone(store), ending(lost):
        result, trained = trained_trial(
            trials[0], task=task, commit=commit(), progress=progress, inspect=show_sample
        )
        if store:
            store.write(result.trial_id, result.rows, result.curves)
            store.update_run(seconds=time.monotonic() - began)
            save_weights(store, trained.models[0][0])
    row = dict(result.rows[0])
    text = ""
    if row["status"] == "ok" and task.is_text and args.sample:
        text = generate(trained.models[0][0])
    if args.json:
        print_json(row | {"sample": text, "training": dataclasses.asdict(study.config)})
        return
    _print_result(row, text, task, out=args.out)


@contextmanager
def _undone(store: RunStore | None) -> Iterator[None]:
    """Makes a run that is cut short none, so that the same command can be given again."""
    try:
        yield
    except KeyboardInterrupt:
        if store and not store.finished() and isinstance(store.path, Path):
            (store.path / "run.json").unlink(missing_ok=True)
        raise


def _print_result(row: dict[str, Any], text: str, task: Task, *, out: str | None) -> None:
    word = each(task.unit, short=True)
    if row["status"] != "ok":
        print(f"{row['spec']} on {row['task']}: {row['status']} ({row['reason']})")
    else:
        print(
            f"{row['spec']} on {row['task']}: {row['num_parameters']:,} parameters,"
            f" {row['characters']:,} {task.unit} in {duration(row['seconds'])};"
            f" counted: {task.counted}"
        )
        for split in ("valid", "test"):
            print(
                f"  {split:<5}  {row[f'{split}_nats']:.4f} nats/{word}"
                f"  {row[f'{split}_bpc']:.4f} bits/{word}"
                f"  {row[f'{split}_accuracy']:.2%} next-{each(task.unit)} accuracy"
            )
    if text:
        print(f"\nsample:\n{text}")
    if out:
        print(f"\nkept in {out}: odyssey report {out}")
