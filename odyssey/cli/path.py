"""`odyssey path`: from one cell to another by single changes, from one command."""

from __future__ import annotations

import argparse

from odyssey.cli import search
from odyssey.cli.arguments import (
    add_drawn,
    add_pilot,
    add_running,
    add_settings,
    listed,
    options_of,
)
from odyssey.studies.make.ablation import DrawnOptions
from odyssey.studies.make.path import path_study

EXAMPLES = (
    ("odyssey path lstm gru --dry-run", "the steps between them, and how long"),
    ("odyssey path lstm gru --tasks xml --draws 24", "which step brings the gap"),
    ("odyssey path lstm lstm:coupled_gates mgu", "a path of your own"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "specs",
        metavar="SPEC",
        nargs="+",
        help="the first and the last cell; with more between them, these are the path",
    )
    add_drawn(parser)
    add_settings(parser, "override a field, as in epochs=40 (may be repeated)")
    add_running(parser)
    add_pilot(parser)


def run(args: argparse.Namespace) -> None:
    """Makes the study and runs it as `odyssey search` would."""
    options = options_of(DrawnOptions, args, tasks=listed(args.tasks))
    study = path_study(args.specs, options)
    if not args.json:
        print(" -> ".join(study.path))
    search.run_or_estimate(study, args)
