"""`odyssey report`: write the report of a run and print its tables."""

from __future__ import annotations

import argparse
from pathlib import Path

from odyssey.cli.printing import print_json


def run(args: argparse.Namespace) -> None:
    """Writes and prints the report."""
    show(Path(args.directory), as_json=args.json)


def show(directory: Path, *, as_json: bool) -> None:
    """Writes the report of a run directory, and prints the leaderboard and where the page is."""
    from rich.console import Console

    from odyssey.report.search.content import is_search
    from odyssey.report.tables import leaderboard, overall, print_table
    from odyssey.report.write import write_all
    from odyssey.storage.store import RunStore

    facts = RunStore.open(directory).run
    if is_search(facts):
        _show_search(directory, as_json=as_json)
        return
    written = write_all(directory)
    results = RunStore.open(directory).results()
    board = leaderboard(results)
    if as_json:
        print_json(
            {
                "leaderboard": board.to_dict("records"),
                "overall": overall(results).to_dict("records"),
                "files": {name: str(path) for name, path in written.items()},
            }
        )
        return
    console = Console()
    print_table(board, console)
    if results["task"].nunique() > 1:
        print_table(overall(results), console)
    print(f"report: {written['report']}")


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
