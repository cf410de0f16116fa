"""`odyssey check`: put a plug-in to the contract tests."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from odyssey.cli.arguments import add_json
from odyssey.cli.printing import print_json
from odyssey.errors import RunFailedError
from odyssey.jobs.check import CheckedPlugin, check_plugin_file
from odyssey.wording import plural

if TYPE_CHECKING:
    from odyssey.contracts.finding import Finding

EXAMPLES = (
    ("odyssey check my.py", "what is wrong with each row, and what is missing"),
    ("odyssey check my_package.cells", "a module that is installed"),
    ("odyssey check my.py --json", "every check of every row"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("plugin", metavar="FILE.py", help="a plug-in: its file, or a module")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Prints what the contracts say of every row.

    Raises:
        RunFailedError: Something is wrong.
    """
    checked = check_plugin_file(args.plugin)
    if args.json:
        print_json(checked.data())
    else:
        _print(checked)
    if not checked.passes:
        raise RunFailedError(_failure(checked))


def _print(checked: CheckedPlugin) -> None:
    rows = checked.rows
    for (table, row), found in rows.items():
        if table:
            print(f"{table} {row}: {_verdict(found)}")
            for finding in found:
                if finding.verdict != "ok":
                    print(f"  {finding.verdict:<8} {finding.check}: {finding.message}")
    if checked.passes:
        count = plural(len(checked.missing), "optional part")
        missing = f"{count} missing" if checked.missing else "nothing missing"
        print(f"{checked.plugin}: {_rows(checked)}, nothing wrong; {missing}")


def _failure(checked: CheckedPlugin) -> str:
    """Says in a line what is wrong: why it cannot be loaded, or in how many places."""
    first = checked.wrong[0]
    if not first.table:
        return first.message
    faults = plural(len(checked.wrong), "fault")
    where = f"{first.table} {first.row}, {first.check}: {first.message}"
    return f"{checked.plugin}: {_rows(checked)}, {faults}; the first: {where}"


def _rows(checked: CheckedPlugin) -> str:
    return plural(sum(table != "" for table, _ in checked.rows), "row")


def _verdict(found: list[Finding]) -> str:
    passed = sum(finding.verdict == "ok" for finding in found)
    return f"{passed} of {plural(len(found), 'check')} passed"
