"""`odyssey doctor`: what works on this machine, and what to do about what does not."""

from __future__ import annotations

import argparse

from odyssey.cli.arguments import add_json
from odyssey.cli.printing import print_json, print_rows
from odyssey.jobs.doctor import examine

EXAMPLES = (("odyssey doctor", "a line for everything that matters"),)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the checks; gives 1 if something that is needed does not work."""
    rows = [checkup._asdict() for checkup in examine()]
    if args.json:
        print_json(rows)
    else:
        print_rows([{**row, "works": "yes" if row["works"] else "NO"} for row in rows])
    return 0 if all(row["works"] for row in rows) else 1
