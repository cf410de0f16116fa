"""`odyssey report`: write the report of a run and print its tables."""

from __future__ import annotations

import argparse
import sys
import textwrap
from typing import TYPE_CHECKING

from odyssey.cli.arguments import add_json
from odyssey.cli.printing import console, print_json
from odyssey.jobs.report import report_run
from odyssey.storage.places import Place

if TYPE_CHECKING:
    from rich.console import Console

    from odyssey.report.study.baseline import BaselineComparison
    from odyssey.report.study.page import Content


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
    with report_run(run, to=to, margin=margin) as reported:
        if reported.refusal:
            print(f"odyssey: {reported.refusal}; only its tables are shown", file=sys.stderr)
        if as_json:
            print_json(reported.data())
        elif reported.search:
            from odyssey.report.search.page import print_search

            print_search(reported.content, console())
        else:
            _print_study(reported.content)
    if not as_json and reported.files:
        print(f"report: {reported.files['report']}")


def _print_study(content: Content) -> None:
    """Prints every cell beside the baseline; without one, the leaderboards."""
    from odyssey.report.page.tables import print_table
    from odyssey.report.study.floors import floors_text, learned_text, not_learned
    from odyssey.report.study.spread import component_lines, transfer_lines

    screen = console()
    for line in not_learned(content.learning, content.run):
        _print_lines(line)
    for task in dict.fromkeys(content.floors["task"]):
        learned = learned_text(content.learning, task, content.run)
        _print_lines(f"{task}: {floors_text(content.floors, task, content.run)} {learned}")
    if not content.ablation:
        print_table(content.board, screen)
        if content.overall is not None:
            print_table(content.overall, screen)
        return
    for line in (*transfer_lines(content.transfer), *component_lines(content.components)):
        _print_lines(line)
    if content.steps is not None:
        from odyssey.report.study.steps import STEPS_CAPTION, steps_table

        print_table(steps_table(content.steps), screen)
        _print_lines(STEPS_CAPTION)
    if content.factorial is not None:
        from odyssey.report.study.factorial import FACTORIAL_CAPTION, effects_table

        print_table(effects_table(content.factorial.effects), screen)
        _print_lines(FACTORIAL_CAPTION)
    for compared in (content.ablation, *content.further):
        _print_comparison(compared, screen)
    for beside in content.beside:
        print_table(beside.table, screen)
        print(f"{beside.caption}\n")


def _print_lines(text: str) -> None:
    """Prints a paragraph in lines of a hundred characters, and an empty one."""
    print(textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False), end="\n\n")


def _print_comparison(ablation: BaselineComparison, screen: Console) -> None:
    from odyssey.report.page import tables
    from odyssey.report.study import protocol

    tables.print_table(tables.comparison_table(ablation.compared), screen)
    if ablation.scores is not None:
        tables.print_table(tables.aggregate_table(ablation.scores, ablation.compared), screen)
    for line in protocol.claims(*ablation.claimed):
        print(f"{line.task}: {line.claim} {line.rest}\n")
    if note := protocol.power_note(ablation.compared):
        print(f"{note}\n")
