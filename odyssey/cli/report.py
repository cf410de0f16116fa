"""`odyssey report`: write the report of a run and print its tables."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.cli.printing import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from odyssey.report.ablation import Ablation


def run(args: argparse.Namespace) -> None:
    """Writes and prints the report."""
    show(Path(args.directory), as_json=args.json)


def show(directory: Path, *, as_json: bool) -> None:
    """Writes the report of a run directory, and prints its tables and where the page is.

    A study with a baseline shows every cell beside it; any other one its leaderboards.
    """
    from rich.console import Console

    from odyssey.report.html import read_content
    from odyssey.report.search.content import is_search
    from odyssey.report.tables import overall, print_table
    from odyssey.report.write import write_content
    from odyssey.storage.store import RunStore

    facts = RunStore.open(directory).run
    if is_search(facts):
        _show_search(directory, as_json=as_json)
        return
    content = read_content(directory)
    written = write_content(content)
    found = content.ablation
    if as_json:
        print_json(
            {
                "leaderboard": content.board.to_dict("records"),
                "overall": overall(content.results).to_dict("records"),
                "comparison": found.compared.to_dict("records") if found else [],
                "beside": {b.name: b.table.to_dict("records") for b in content.beside},
                "files": {name: str(path) for name, path in written.items()},
            }
        )
        return
    console = Console()
    if found:
        _print_comparison(found, console)
    else:
        print_table(content.board, console)
        if content.overall is not None:
            print_table(content.overall, console)
    for beside in content.beside if found else ():
        print_table(beside.table, console)
        print(f"{beside.caption}\n")
    print(f"report: {written['report']}")


def _print_comparison(found: Ablation, console: Console) -> None:
    from odyssey.report import protocol, tables

    tables.print_table(tables.comparison_table(found.compared), console)
    if found.scores is not None:
        tables.print_table(tables.aggregate_table(found.scores), console)
    for line in protocol.findings(found.compared, found.baseline):
        print(f"{line.task}: {line.claim} {line.rest}\n")
    if note := protocol.power_note(found.compared):
        print(f"{note}\n")


def _show_search(directory: Path, *, as_json: bool) -> None:
    from rich.console import Console

    from odyssey.report.search.content import read_search
    from odyssey.report.search.page import best_table, print_search, verdict, write_search

    written = write_search(directory)
    if as_json:
        content = read_search(directory)
        print_json(
            {
                "verdict": verdict(content),
                "best": best_table(content).to_dict("records"),
                "arms": content.arms.to_dict("records"),
                "operators": content.operators.to_dict("records"),
                "refused": content.refused.to_dict("records"),
                "files": {name: str(path) for name, path in written.items()},
            }
        )
        return
    print_search(directory, Console())
    print(f"report: {written['report']}")
