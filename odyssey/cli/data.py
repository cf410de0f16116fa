"""`odyssey data`: what there is to learn from, and getting it."""

from __future__ import annotations

import argparse

from odyssey.cli.arguments import add_json
from odyssey.cli.printing import print_json, print_rows, teller
from odyssey.errors import ConfigError
from odyssey.jobs.data import get_data, list_data

EXAMPLES = (
    ("odyssey data list", "tasks and data sets"),
    ("odyssey data get tinyshakespeare", "fetch one"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("action", choices=("list", "get"))
    parser.add_argument("name", nargs="?", metavar="DATASET")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Lists or gets data."""
    if args.action == "get":
        if not args.name:
            raise ConfigError("name a data set: odyssey data get NAME (see: odyssey data list)")
        path = get_data(args.name, progress=teller(quiet=args.json))
        print_json({"name": args.name, "path": str(path)}) if args.json else print(path)
        return
    if args.name:
        raise ConfigError("odyssey data list takes no name")
    data = list_data()
    if args.json:
        print_json(vars(data))
        return
    print_rows(data.tasks, title="Tasks (--task NAME@option=value,...)")
    print()
    print_rows(data.sets, title="Sets of tasks (where a study or --tasks lists tasks)")
    print()
    columns = ("name", "bytes", "present", "licence")
    rows = [{c: s[c] for c in columns} for s in data.datasets]
    print_rows(rows, title=f"Data sets in {data.directory}")
    print("\nGet one with: odyssey data get NAME. Another folder: set ODYSSEY_DATA.")
