"""`odyssey check`: put a plug-in to the contract tests."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from odyssey.cli.arguments import add_json
from odyssey.cli.printing import print_json
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


def run(args: argparse.Namespace) -> int:
    """Prints what the contracts say of every row; fails where something is wrong."""
    checked = check_plugin_file(args.plugin)
    if args.json:
        print_json(checked.data())
    else:
        _print(checked)
    return 0 if checked.passes else 1


def _print(checked: CheckedPlugin) -> None:
    rows = checked.rows
    for (table, row), found in rows.items():
        if table:
            print(f"{table} {row}: {_verdict(found)}")
        for finding in found:
            if finding.verdict != "ok":
                print(f"  {finding.verdict:<8} {finding.check}: {finding.message}")
    count = plural(sum(table != "" for table, _ in rows), "row")
    if not checked.passes:
        print(f"{checked.plugin}: {count}, {plural(len(checked.wrong), 'fault')}")
    elif checked.missing:
        optional = plural(len(checked.missing), "optional part")
        print(f"{checked.plugin}: {count}, nothing wrong; {optional} missing")
    else:
        print(f"{checked.plugin}: {count}, nothing wrong, nothing missing")


def _verdict(found: list[Finding]) -> str:
    passed = sum(finding.verdict == "ok" for finding in found)
    return f"{passed} of {plural(len(found), 'check')} passed"
