"""`odyssey compare`: the cells of several runs in one table."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.cli.arguments import add_json
from odyssey.cli.printing import print_json, print_rows
from odyssey.errors import ConfigError, StoreError
from odyssey.jobs.compare import ComparedRuns, compare_runs
from odyssey.jobs.compare_settings import compare_settings
from odyssey.jobs.forest import ChangesOverRuns, changes_over_runs
from odyssey.progress.output import console
from odyssey.wording import plural

if TYPE_CHECKING:
    import pandas as pd

DEPENDS = 0.01  # p-value below which a dependence on the study is shown

EXAMPLES = (
    ("odyssey compare results/runs/tour results/runs/tour-2", "the cells of two runs in one table"),
    ("odyssey compare results/odyssey_2015 results/ablate_lstm --changes", "one row a change"),
    ("odyssey compare runs/a runs/b --baseline gru --out build/both", "each beside a GRU, as CSV"),
    ("odyssey compare runs/plain runs/dropout --settings", "what dropout does to every cell"),
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
    others = parser.add_mutually_exclusive_group()
    others.add_argument(
        "--settings",
        action="store_true",
        help="instead: each cell beside itself in the first run, which has other settings",
    )
    others.add_argument(
        "--changes",
        action="store_true",
        help="instead: what each change of the runs' own baselines does, over all of them",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Compares the runs and prints what came of it."""
    if args.changes:
        if args.baseline:
            raise ConfigError("--changes takes the baseline of each run: leave out --baseline")
        _show_changes(changes_over_runs(args.directories), args.out, as_json=args.json)
        return
    compared = compare_settings if args.settings else compare_runs
    found = compared(args.directories, baseline=args.baseline)
    tables = {"runs": found.table} | ({} if args.settings else {"agreement": found.agreement})
    files = _write(tables, Path(args.out)) if args.out else {}
    if args.json:
        print_json(found.data() | {"files": files})
        return
    _print_table(found)
    _print_agreement(found)
    for path in files.values():
        print(f"table: {path}")


def _show_changes(found: ChangesOverRuns, out: str | None, *, as_json: bool) -> None:
    """Prints what changes do over all runs; writes the tables and a figure."""
    files = {}
    if out:
        tables = {"effects": found.effects, "forest": found.forest, "groups": found.groups}
        files = _write(tables, Path(out))
        from odyssey.report.study.forest_plots import forest_pictures

        for picture in forest_pictures(found.effects, found.forest):
            picture.save(Path(out))
            files[picture.name] = str(Path(out) / f"{picture.name}.png")
    if as_json:
        print_json(found.data() | {"files": files})
        return
    rows = [
        {
            "change": row["change"],
            "estimates": f"{row['estimates']} of {plural(row['runs'], 'run')}",
            "mean": f"{row['mean']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})",
            "next study": _span(row["next_low"], row["next_high"]),
            "tau": _shown(row["tau"], ".3f"),
            "I2": _shown(row["i2"], ".0%"),
            "p": _p(row["p"]),
        }
        for row in found.forest.to_dict("records")
    ]
    print_rows(rows, title="What a change does, over all runs and tasks", right=("tau", "I2", "p"))
    groups = found.groups[found.groups["p_between"] < DEPENDS]
    rows = [
        {
            "change": row["change"],
            "depends on": row["by"],
            "at": row["group"],
            "mean": f"{row['mean']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})",
            "p": _p(row["p_between"]),
        }
        for row in groups.to_dict("records")
    ]
    if rows:
        print()
        print_rows(rows, title=f"Where it depends on the study (p < {DEPENDS:g}, not corrected)")
    for path in files.values():
        print(f"written: {path}")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else _shown(value, ".3f")


def _span(low: float, high: float) -> str:
    return f"{low:+.3f} to {high:+.3f}" if low == low else "-"


def _write(tables: Mapping[str, pd.DataFrame], folder: Path) -> dict[str, str]:
    """Writes tables as CSV."""
    from odyssey.report.page.tables import to_csv

    files = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in tables.items():
            path = folder / f"{name}.csv"
            path.write_text(to_csv(frame), encoding="utf-8")
            files[name] = str(path)
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}") from error
    return files


def _print_table(found: ComparedRuns) -> None:
    from odyssey.report.page.tables import comparison_table, print_table

    compared: pd.DataFrame = found.compared
    for run, what in found.settings.items():
        print(f"{run}: {what}\n")
    with found.counting():
        if found.settings:  # every other row is a baseline of its own
            compared = compared[~compared["baseline"].astype(bool)]
        if not compared.empty:
            print_table(comparison_table(compared), console())
        others = compared[compared["draws_are"] == "others"]
        if not others.empty:
            print(
                "Other draws than the baseline's, so compared without pairs:"
                f" {', '.join(dict.fromkeys(others['run']))}\n"
            )
        groups = found.apart.groupby(["run", "task", "differs"], sort=False)
        for (name, task, differs), part in groups:
            print(f"{task} of {name} is not compared: {differs}")
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
