"""`odyssey gradients`: how far gradients reach back through any cells, and along which paths."""

from __future__ import annotations

import argparse

from odyssey.cli.arguments import (
    add_choice,
    add_device,
    add_json,
    add_options,
    add_settings,
    options_of,
)
from odyssey.cli.printing import print_json, print_rows, teller
from odyssey.jobs.choice import ModelChoice
from odyssey.jobs.gradients import GradientOptions, measure_gradients

EXAMPLES = (
    ("odyssey gradients elman lstm --steps 100", "how far gradients reach at the start"),
    ("odyssey gradients lstm --sweep forget_bias=0,1,2", "at several values"),
    ("odyssey gradients runs/book", "in a trained model"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "specs", metavar="SPEC|RUN", nargs="+", help="cells, or runs that have kept trained models"
    )
    add_options(
        parser,
        GradientOptions,
        ("--steps", "X", "time steps between the loss and the first state ({})"),
        ("--hidden-size", "X", "units per layer ({})"),
        ("--num-layers", "X", "layers ({})"),
        ("--inputs", "X", "numbers N(0, 1) that are read in a step, without a task ({})"),
        ("--seeds", "X", "members: seeds 1, 2, ... ({})"),
        ("--rows", "X", "sequences a member reads; 1, or 8 on a task"),
        ("--init-scale", "X", "scale s of the initial weights ({})"),
        ("--forget-bias", "X", "initial bias of the gate f"),
        ("--spectral-radius", "X", "scale all recurrent matrices to it"),
        ("--updates", "X", "with --train: updates ({})"),
        ("--every", "X", "with --train: updates between measurements ({})"),
        ("--learning-rate", "X", "with --train: learning rate of adam ({})"),
        ("--clip-norm", "X", "with --train: largest gradient norm; 0 does not clip ({})"),
        ("--init", "NAME", "{} (default), uniform_fan, normal"),
    )
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--task",
        default="",
        metavar="TASK",
        help="read a task's data instead of noise; of a RUN: on this task",
    )
    data.add_argument(
        "--train", default="", metavar="TASK", help="measure along training on a task"
    )
    add_options(
        parser,
        GradientOptions,
        (
            "--sweep",
            "NAME=A,B,...",
            "measure at several values of forget_bias, init_scale, spectral_radius, hidden_size"
            " or steps",
        ),
    )
    add_settings(parser, "with --train: any training option, as in optimizer=sgd")
    add_options(
        parser,
        GradientOptions,
        ("--out", "DIR", "where the files go (results/runs/gradients)"),
        ("--no-animation", "", "draw no GIF"),
    )
    add_device(parser)
    add_choice(parser, task=False)
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Measures, and prints one row a cell."""
    study = measure_gradients(
        args.specs,
        options_of(GradientOptions, args, out=args.out or "results/runs/gradients"),
        choice=options_of(ModelChoice, args),
        progress=teller(quiet=args.json),
    )
    rows = [{str(k): v for k, v in row.items()} for row in study.summary.to_dict("records")]
    if args.json:
        print_json({"summary": rows, "files": study.files})
        return
    print_rows(rows)
    print(f"median [10 %, 90 %] over {study.over}; what they mean: docs/diagnostics.md")
    for kind, path in study.files.items():
        print(f"{kind}: {path}")
