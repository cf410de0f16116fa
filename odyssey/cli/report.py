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

    from odyssey.report.tables import leaderboard, overall, print_table
    from odyssey.report.write import write_all
    from odyssey.storage.store import RunStore

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
