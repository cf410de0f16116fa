"""`odyssey path`: from one cell to another by single changes, from one command."""

from __future__ import annotations

import argparse

from odyssey.cli import search
from odyssey.cli.arguments import (
    add_options,
    add_pilot,
    add_running,
    add_settings,
    listed,
    options_of,
)
from odyssey.studies.make.ablation import MATCHES, DrawnOptions
from odyssey.studies.make.path import path_study

EXAMPLES = (
    ("odyssey path lstm gru --dry-run", "the steps between them, and how long"),
    ("odyssey path lstm gru --tasks xml --draws 24", "which step brings the gap"),
    ("odyssey path lstm lstm:coupled_gates mgu", "a path of your own"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    tasks = ",".join(DrawnOptions.tasks)
    parser.add_argument(
        "specs",
        metavar="SPEC",
        nargs="+",
        help="the first and the last cell; with more between them, these are the path",
    )
    parser.add_argument("--tasks", default=tasks, metavar="TASKS", help=f"tasks ({tasks})")
    add_options(parser, DrawnOptions, ("--draws", "N", "draws a cell and task ({})"))
    add_settings(parser, "override a field, as in epochs=40 (may be repeated)")
    parser.add_argument(
        "--match",
        choices=MATCHES,
        default=DrawnOptions.match,
        help="parameters: the same number of parameters instead of the same hidden size",
    )
    add_options(parser, DrawnOptions, ("--seed", "N", "seed ({})"))
    add_running(parser)
    add_pilot(parser)


def run(args: argparse.Namespace) -> None:
    """Makes the study and runs it as `odyssey search` would."""
    options = options_of(DrawnOptions, args, tasks=listed(args.tasks))
    study = path_study(args.specs, options)
    if not args.json:
        print(" -> ".join(study.path))
    search.run_or_estimate(study, args)
