"""`odyssey bench`: how fast cells are here, beside the best that torch offers."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from odyssey.cli.arguments import add_json, add_numbers, add_options, options_of
from odyssey.cli.printing import print_json, print_rows
from odyssey.jobs.bench import BenchOptions, bench
from odyssey.speed.instructions import OTHERS
from odyssey.speed.names import SECTION_NAMES
from odyssey.wording import duration

if TYPE_CHECKING:
    from odyssey.speed.registry import Progress, Result


EXAMPLES = (
    ("odyssey bench", "all sections"),
    ("odyssey bench step", "one of them"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "sections",
        metavar="SECTION",
        nargs="*",
        help=f"{', '.join(SECTION_NAMES)}; all of them if none is named",
    )
    add_options(
        parser,
        BenchOptions,
        ("--rounds", "N", "samples of each candidate (9)"),
        ("--steps", "T", "time steps of a sequence (128)"),
        ("--quick", "", "tiny sizes: see that all of it runs"),
        ("--target", "SET", f"hold all that is measured to {', '.join(OTHERS)}"),
        ("--out", "FILE", "write the tables as Markdown there too"),
        ("--keep", "DIR", "write tables and figures there, named by date and instruction set"),
    )
    of = "of dense, classes, cells, sgemm"
    add_numbers(parser, "--hidden", f"hidden sizes {of}, train and pair, instead of their own")
    add_numbers(parser, "--batch", f"batch sizes {of} and pair, instead of their own")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Measures the chosen sections and prints their tables."""
    measured = bench(
        args.sections,
        options_of(BenchOptions, args),
        progress=_tell,
        measured=_ignore if args.json else _print,
    )
    if args.json:
        tables = {r.name: [dict(row) for row in r.rows] for r in measured.results}
        data = {"machine": measured.machine, "found": measured.findings, "sections": tables}
        print_json(data)
        return
    print_rows(measured.findings, right=["measured"])
    print("\n" + "; ".join(f"{name}: {value}" for name, value in measured.machine.items()))


def _tell(progress: Progress) -> None:
    left = progress.seconds_left
    text = f"{progress.done + 1:>3}/{progress.cases}  {progress.section}  {progress.case}"
    more = "" if left is None else f"  about {duration(left)} left"
    print(text + more, file=sys.stderr, flush=True)


def _ignore(result: Result) -> None:
    """Prints nothing before all is measured."""


def _print(result: Result) -> None:
    from odyssey.speed.document import format_measurement

    print(f"{result.section.title}\n{result.section.note}\n")
    if result.skipped:
        print(f"Skipped: {result.skipped}.\n", flush=True)
        return
    rows = [{name: format_measurement(v) for name, v in row.items()} for row in result.rows]
    numbers = [name for name, v in result.rows[0].items() if not isinstance(v, str)]
    print_rows(rows, right=numbers)
    print(flush=True)
