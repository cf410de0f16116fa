"""`odyssey extend`: more draws, cells or tasks for a run; what it has is not run again."""

from __future__ import annotations

import argparse
import sys

from odyssey.cli import search
from odyssey.cli.arguments import add_moved, add_options, add_running, listed, options_of
from odyssey.cli.printing import print_json
from odyssey.jobs.extend import Extended, Extension, begin_extension
from odyssey.jobs.search import RunnerOptions

EXAMPLES = (
    ("odyssey extend results/runs/tour --draws 16", "more draws of every cell"),
    (
        "odyssey extend results/runs/tour --cells lem,mine.cell --tasks memorization",
        "more to compare",
    ),
    ("odyssey extend results/runs/evolve --candidates 200", "a longer search"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("directory", metavar="DIR", help="run directory of a study or a search")
    add_options(
        parser, Extension, ("--draws", "N", "draws a cell and task, those that there are included")
    )
    parser.add_argument(
        "--cells", default="", metavar="CELLS", help="cells to add, or sets of them"
    )
    parser.add_argument(
        "--tasks", default="", metavar="TASKS", help="tasks to add, or sets of them"
    )
    add_options(
        parser,
        Extension,
        ("--candidates", "N", "of a search: candidates, those that there are included"),
    )
    add_moved(parser, resumed=False)
    add_running(parser, fresh=False)


def run(args: argparse.Namespace) -> None:
    """Gives the run its larger study, and runs what it lacks, or says what that would be."""
    options = options_of(RunnerOptions, args)
    extension = options_of(Extension, args, cells=listed(args.cells), tasks=listed(args.tasks))
    extended = begin_extension(args.directory, extension, options, dry=args.dry_run)
    if extended.mixed and extended.left.left:
        before, now = extended.mixed
        print(f"the run was made by {before}; this is {now}: see docs/studies.md", file=sys.stderr)
    if args.dry_run and args.json:
        print_json(extended.data())
        return
    if not args.json:
        _print_changes(extended)
    if not args.dry_run:
        search.work(extended.run, options, as_json=args.json)


def _print_changes(extended: Extended) -> None:
    left = extended.left
    for name, before, now in extended.rows:
        print(f"{name}: {before} -> {now}")
    if not extended.rows:
        print(f"nothing to add: {extended.run.store.path} has all of it in its study")
    print(f"{left.what} left: {left.left:,} of {left.total:,}")
