"""`odyssey report`: write the report of a run and print its tables."""

from __future__ import annotations

import argparse
import sys

from odyssey.cli.arguments import add_json
from odyssey.cli.printing import print_json, teller
from odyssey.jobs.report import print_run, report_run
from odyssey.progress.output import console
from odyssey.storage.places import Place

EXAMPLES = (
    ("odyssey report results/runs/evolve", "its tables; writes its page"),
    ("odyssey report results/runs/evolve --json", "as data"),
    ("odyssey report results/odyssey_2015 --to build/o --margin 0.05", "equal within 0.05 bits"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--to", metavar="DIR", default="", help="where to write it (into the run)")
    parser.add_argument(
        "--margin",
        type=float,
        metavar="BITS",
        help="what differs by less counts as equal to the baseline (what the study declared)",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Writes and prints the report."""
    show(args.directory, as_json=args.json, to=args.to, margin=args.margin)


def show(run: str | Place, *, as_json: bool, to: str = "", margin: float | None = None) -> None:
    """Writes the report of a run, and prints its tables and where the page is."""
    progress = teller(quiet=as_json)
    with report_run(run, to=to, margin=margin, progress=progress) as reported:
        if reported.refusal:
            print(f"odyssey: {reported.refusal}; only its tables are shown", file=sys.stderr)
        if as_json:
            print_json(reported.data())
        else:
            print_run(reported.content, console())
    if not as_json and reported.files:
        print(f"report: {reported.files['report']}")
