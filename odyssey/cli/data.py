"""`odyssey data`: what there is to learn from, and getting it."""

from __future__ import annotations

import argparse

from odyssey.cli.printing import print_json, print_rows
from odyssey.errors import ConfigError
from odyssey.tasks.download import data_dir, dataset_path, list_datasets
from odyssey.tasks.registry import describe_tasks


def run(args: argparse.Namespace) -> None:
    """Lists or gets data."""
    if args.action == "get":
        if not args.name:
            raise ConfigError("name a data set: odyssey data get NAME (see: odyssey data list)")
        path = dataset_path(args.name)
        print_json({"name": args.name, "path": str(path)}) if args.json else print(path)
        return
    if args.name:
        raise ConfigError("odyssey data list takes no name")
    sets, tasks = list(list_datasets()), list(describe_tasks())
    if args.json:
        print_json({"directory": str(data_dir()), "datasets": sets, "tasks": tasks})
        return
    print_rows(tasks, title="Tasks (--task NAME@option=value,...)")
    print()
    columns = ("name", "bytes", "present", "licence")
    print_rows([{c: s[c] for c in columns} for s in sets], title=f"Data sets in {data_dir()}")
    print("\nGet one with: odyssey data get NAME. Another folder: set ODYSSEY_DATA.")
