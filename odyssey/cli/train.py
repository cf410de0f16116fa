"""`odyssey train`: one cell, one task, one set of hyperparameters."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from odyssey.cli.arguments import (
    add_device,
    add_json,
    add_moved,
    add_options,
    add_settings,
    add_track,
    check_moved,
    options_of,
)
from odyssey.cli.printing import print_json
from odyssey.cli.signals import ending
from odyssey.errors import ConfigError
from odyssey.hyperparameters import HYPERPARAMETERS
from odyssey.jobs.train import (
    TrainOptions,
    named_fields,
    resume_training,
    train_cell,
    training_data,
)
from odyssey.jobs.trained_cell import TrainedCell
from odyssey.progress.output import print_notices
from odyssey.progress.training import LiveTraining
from odyssey.progress.watcher import TrainWatcher
from odyssey.storage.schema import BLANK_NATS, METRIC, OK, SHUFFLED_NATS
from odyssey.training.config import PRESETS, TrainingConfig
from odyssey.training.optimizer_rules import OPTIMIZERS
from odyssey.wording import accuracy_of, baselines_of, duration, in_bits, loss_of

if TYPE_CHECKING:
    from odyssey.tasks.base import Task


# The training options with flags of their own; `--set` has the others.
TRAINING = {
    "epochs": "epochs",
    "updates_per_epoch": "updates between validations",
    "passes": "passes over a text, each an epoch, instead of these two",
    "batch_size": "parallel streams",
    "unroll": "steps of truncated back-propagation",
}


EXAMPLES = (
    ("odyssey train gru --task xml", "a GRU on generated XML"),
    (
        "odyssey train lstm --task text:book.txt --out runs/book",
        "a text of yours, kept with checkpoints",
    ),
    ("odyssey train --resume runs/book --epochs 40", "more of it"),
    ("odyssey train lstm --task tinyshakespeare --preset char-rnn", "as char-rnn does"),
    ("odyssey train lstm --task xml --device cuda", "on a GPU"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("spec", nargs="?", metavar="SPEC")
    parser.add_argument("--task", metavar="TASK", help="xml, text:book.txt, ...")
    parser.add_argument("--out", metavar="DIR", help="keep the record, curves and weights in DIR")
    parser.add_argument(
        "--resume",
        metavar="DIR",
        help="go on with a training in DIR from its checkpoint; a finished one with more --epochs",
    )
    add_moved(parser, resumed=True)
    parser.add_argument(
        "--preset",
        help="the protocol of a paper or a program, for training and hyperparameters:"
        f" {', '.join(PRESETS)}; what it leaves open, and the other options, are as below",
    )
    for row in HYPERPARAMETERS.values():
        shown = "" if row.single is None else f" ({row.single})"
        _add_value(parser, row.name, row.range.kind, row.meaning + shown)
    for name, text in TRAINING.items():
        _add_value(parser, name, int, f"{text} ({getattr(TrainingConfig, name)})")
    _add_value(parser, "optimizer", str, f"{', '.join(OPTIMIZERS)} (adam)")
    add_options(
        parser,
        TrainOptions,
        ("--seed", "X", "seed ({})"),
        ("--sample", "N", "characters to sample"),
        (
            "--sample-every",
            "N",
            "also sample while training, every so many updates (after a validation)",
        ),
        ("--temperature", "X", "of the sample"),
        ("--checkpoint-every", "N", "updates between checkpoints in DIR ({})"),
        ("--init-from", "RUN", "begin with the weights of another run"),
    )
    add_device(parser, default=None)
    add_track(parser)
    add_settings(parser, "any other training option, as in schedule=decay (docs/training.md)")
    add_json(parser)


def _add_value(parser: argparse.ArgumentParser, name: str, kind: type, text: str) -> None:
    parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="X", help=text)


class _Noticed(TrainWatcher):
    """Says on standard error what is unexpected about a text."""

    def begin(self, task: Task) -> None:
        print_notices({task.name: task.describe()})


def run(args: argparse.Namespace) -> None:
    """Trains, prints the progress and the result, and a sample for text tasks."""
    options = options_of(TrainOptions, args, **named_fields(args.settings))
    check_moved(args)
    live = LiveTraining(quiet=args.json)
    watcher = _Noticed() if args.json else live
    out = args.resume or args.out
    with live, ending(lambda: _kept(out, whole=watcher.whole)):
        if args.resume:
            _check_resumed(args, options)
            trained = resume_training(args.resume, options, texts=args.text, watcher=watcher)
        elif args.spec and args.task:
            trained = train_cell(args.spec, args.task, options, watcher=watcher)
        else:
            raise ConfigError("name a cell and a task: odyssey train SPEC --task TASK")
    if args.json:
        print_json(training_data(trained))
    else:
        _print_result(trained, out=out)


def _kept(out: str | None, *, whole: bool) -> str:
    """Says what a signal leaves."""
    if out is None:
        return "nothing is kept of a training without --out DIR; start it again"
    if whole:
        return f"the training is finished and kept; write with: odyssey sample {shlex.quote(out)}"
    return f"a checkpoint is kept; go on with: odyssey train --resume {shlex.quote(out)}"


def _check_resumed(args: argparse.Namespace, options: TrainOptions) -> None:
    """Refuses what would make it another training."""
    named = args.spec, args.task, args.out, args.preset, args.init_from
    seeded = options.seed != TrainOptions.seed
    if any(named) or seeded or options.hyperparameters or args.settings:
        raise ConfigError(
            "--resume DIR goes on with the training as it was: only --epochs or --passes, "
            "--checkpoint-every and the options of samples may stand beside it"
        )


def print_scores(row: Mapping[str, Any], split: str, record: Mapping[str, Any]) -> None:
    """Prints what a member scores on held-out data, where that was measured.

    Args:
        row: Its row of results.
        split: valid, test or longer: the task with longer sequences.
        record: What the task says of itself.
    """
    loss = row.get(f"{split}_nats", math.nan)
    if math.isnan(loss):
        if split == "test":
            print("  test    not measured: the split is empty")
        return
    text = f"  {split:<6}  {loss:.4f} {loss_of(record, 'nats', short=True)}"
    if (bits := in_bits(loss, record)) != loss:
        text += f"  {bits:.4f} {loss_of(record, short=True)}"
    text += f"  {row[f'{split}_accuracy']:.2%} {accuracy_of(record)}"
    if not math.isnan(exact := row.get(f"{split}_exact", math.nan)):
        text += f"  {exact:.2%} of sequences wholly right"
    print(text)
    metrics = {n: v for n, v in row.items() if n.startswith(METRIC) and split == "test"}
    if metrics:
        named = (f"{name.removeprefix(METRIC)} {value:.4f}" for name, value in metrics.items())
        print(f"          {', '.join(named)}")
    if split == "test" and not math.isnan(row.get(SHUFFLED_NATS, math.nan)):
        other = " ".join(
            f" {in_bits(row[name], record):.4f} {loss_of(record, short=True)} with {what};"
            for name, what in (
                (SHUFFLED_NATS, "another sequence's condition"),
                (BLANK_NATS, "the mean of all"),
            )
        )
        print(f"          {other[:-1]}")


def _print_result(trained: TrainedCell, *, out: str | None) -> None:
    row: dict[str, Any] = trained.row
    task, record = trained.task, trained.task.describe()
    if row["status"] != OK:
        print(f"{row['spec']} on {row['task']}: {row['status']} ({row['reason']})")
    else:
        print(
            f"{row['spec']} on {row['task']}: {row['num_parameters']:,} parameters,"
            f" {row['characters']:,} {task.unit} in {duration(row['seconds'])};"
            f" counted: {task.counted}"
        )
        if row["stopped_at"] is not None:
            print(f"  stopped early, after {row['stopped_at']:,} updates")
        for split in ("valid", "test", "longer"):
            print_scores(row, split, record)
        if known := baselines_of(record):
            print(f"  {known}")
    if trained.sample:
        print(f"\nsample:\n{trained.sample}")
    if out:
        print(f"\nkept in {out}: odyssey report {out}")
