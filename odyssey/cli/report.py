"""`odyssey report`: write the report of a run and print its tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.cli.printing import console, print_json
from odyssey.errors import StoreError
from odyssey.storage.places import Place, local_copy, place

if TYPE_CHECKING:
    from rich.console import Console

    from odyssey.report.study.baseline import BaselineComparison


def run(args: argparse.Namespace) -> None:
    """Writes and prints the report."""
    show(place(args.directory), as_json=args.json, to=Path(args.to) if args.to else None)


def show(run: Place, *, as_json: bool, to: Path | None = None) -> None:
    """Writes the report of a run, and prints its tables and where the page is.

    It is written into the run, or into the directory `to`. A study with a baseline shows every cell
    beside it; any other one its leaderboards.
    """
    from odyssey.report.page.units import counting
    from odyssey.report.search.content import is_search
    from odyssey.storage.store import RunStore

    facts = RunStore.open(run).run
    write = _show_search if is_search(facts) else _show_study
    with counting(facts), local_copy(run) as directory:
        written = write(directory, as_json=as_json, run=run, to=to)
    if not as_json and written:
        print(f"report: {_there(written['report'], directory, run)}")


def _there(path: Path, directory: Path, run: Place) -> str:
    """Names a file of a run, of which `directory` may be a copy."""
    if directory == run or not path.is_relative_to(directory):
        return str(path)
    return str(run / path.relative_to(directory).as_posix())


def _unless_read_only(write: Callable[[], dict[str, Path]]) -> dict[str, Path]:
    """Writes a report; says in a line where it cannot, for a run can be looked at all the same."""
    try:
        return write()
    except StoreError as error:
        print(f"odyssey: {error}; only its tables are shown", file=sys.stderr)
        return {}


def _files(written: Mapping[str, Path], directory: Path, run: Place) -> dict[str, str]:
    return {name: _there(path, directory, run) for name, path in written.items()}


def _show_study(directory: Path, *, as_json: bool, run: Place, to: Path | None) -> dict[str, Path]:
    from odyssey.report.page.tables import print_table
    from odyssey.report.study.files import write_content
    from odyssey.report.study.page import read_content
    from odyssey.statistics.ranking import overall

    content = read_content(directory)
    written = _unless_read_only(lambda: write_content(content, to=to))
    found = content.ablation
    if as_json:
        print_json(
            {
                "leaderboard": content.board.to_dict("records"),
                "overall": overall(content.results).to_dict("records"),
                "comparison": found.compared.to_dict("records") if found else [],
                "further": {f.baseline: f.compared.to_dict("records") for f in content.further},
                "beside": {b.name: b.table.to_dict("records") for b in content.beside},
                "files": _files(written, directory, run),
            }
        )
        return written
    screen = console()
    if found:
        for compared in (found, *content.further):
            _print_comparison(compared, screen)
    else:
        print_table(content.board, screen)
        if content.overall is not None:
            print_table(content.overall, screen)
    for beside in content.beside if found else ():
        print_table(beside.table, screen)
        print(f"{beside.caption}\n")
    return written


def _print_comparison(found: BaselineComparison, screen: Console) -> None:
    from odyssey.report.page import tables
    from odyssey.report.study import protocol

    tables.print_table(tables.comparison_table(found.compared), screen)
    if found.scores is not None:
        tables.print_table(tables.aggregate_table(found.scores, found.compared), screen)
    for line in protocol.claims(found.compared, found.baseline):
        print(f"{line.task}: {line.claim} {line.rest}\n")
    if note := protocol.power_note(found.compared):
        print(f"{note}\n")


def _show_search(directory: Path, *, as_json: bool, run: Place, to: Path | None) -> dict[str, Path]:
    from odyssey.report.search.content import read_search
    from odyssey.report.search.page import best_table, print_search, verdict, write_search

    content = read_search(directory)
    written = _unless_read_only(lambda: write_search(content, to=to))
    if as_json:
        print_json(
            {
                "verdict": verdict(content),
                "best": best_table(content).to_dict("records"),
                "arms": content.arms.to_dict("records"),
                "operators": content.operators.to_dict("records"),
                "refused": content.refused.to_dict("records"),
                "files": _files(written, directory, run),
            }
        )
    else:
        print_search(content, console())
    return written
