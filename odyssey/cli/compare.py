"""`odyssey compare`: the cells of several runs in one table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from odyssey.cli.arguments import add_json
from odyssey.cli.printing import print_json, print_rows
from odyssey.errors import StoreError
from odyssey.jobs.compare import ComparedRuns, compare_runs
from odyssey.progress.output import console

EXAMPLES = (
    ("odyssey compare results/runs/tour results/runs/tour-2", "the cells of two runs in one table"),
    ("odyssey compare runs/a runs/b --baseline gru --out build/both", "each beside a GRU, as CSV"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("directories", metavar="DIR", nargs="+", help="runs, two or more")
    parser.add_argument(
        "--baseline",
        default="",
        metavar="SPEC",
        help="the cell that all are compared with, of the first run that has it (that run's own)",
    )
    parser.add_argument("--out", metavar="DIR", help="folder for runs.csv and agreement.csv")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Compares the runs and prints what came of it."""
    found = compare_runs(args.directories, baseline=args.baseline)
    files = _write(found, Path(args.out)) if args.out else {}
    if args.json:
        print_json(found.data() | {"files": files})
        return
    _print_table(found)
    _print_agreement(found)
    for path in files.values():
        print(f"table: {path}")


def _write(found: ComparedRuns, folder: Path) -> dict[str, str]:
    """Writes both tables as CSV."""
    from odyssey.report.page.tables import to_csv

    files = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in (("runs", found.table), ("agreement", found.agreement)):
            path = folder / f"{name}.csv"
            path.write_text(to_csv(frame), encoding="utf-8")
            files[name] = str(path)
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}") from error
    return files


def _print_table(found: ComparedRuns) -> None:
    from odyssey.report.page.tables import comparison_table, print_table
    from odyssey.report.page.units import counting

    table = found.table
    compared = table[table["differs"] == ""]
    with counting({"tasks": {t: r for run in found.runs for t, r in run.facts["tasks"].items()}}):
        if not compared.empty:
            print_table(comparison_table(compared), console())
        others = compared[compared["draws_are"] == "others"]
        if not others.empty:
            print(
                "Other draws than the baseline's, so compared without pairs:"
                f" {', '.join(dict.fromkeys(others['run']))}\n"
            )
        for (run, task, differs), part in table[table["differs"] != ""].groupby(
            ["run", "task", "differs"], sort=False
        ):
            print(f"{task} of {run} is not compared: {differs}")
            scores = zip(part["cell"], part["top_score"], part["draws"], strict=True)
            for cell, score, draws in scores:
                print(f"  {cell}: {score:.3f} by its best draws of {draws}")
            print()


def _print_agreement(found: ComparedRuns) -> None:
    rows: list[dict[str, Any]] = []
    for row in found.agreement.to_dict("records"):
        pooled = row["pooled"] == row["pooled"]
        interval = f"{row['pooled']:+.3f} ({row['pooled_low']:+.3f} to {row['pooled_high']:+.3f})"
        rows.append(
            {
                "task": row["task"],
                "cell": row["label"],
                "runs": row["runs"],
                "difference": f"{row['least']:+.3f} to {row['most']:+.3f}",
                "Q": _shown(row["q"], ".2f"),
                "p": _shown(row["p"], ".3f"),
                "I2": _shown(row["i2"], ".0%"),
                "mean": interval if pooled else "-",
            }
        )
    if rows:
        title = f"Do the runs agree on the difference to {found.baseline}?"
        print_rows(rows, title=title, right=("Q", "p", "I2"))
        if found.shared:
            print("(some of the runs have draws in common, and so agree more than by chance)")


def _shown(value: float, how: str) -> str:
    return format(value, how) if value == value else "-"
