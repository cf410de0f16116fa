"""`odyssey mutate`: mutants of a cell, with what differs from it, and the table of mutations."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from odyssey.cli.arguments import add_json, add_options, options_of
from odyssey.cli.printing import print_json, print_rows
from odyssey.errors import ConfigError
from odyssey.jobs.mutate import MutateOptions, mutate_cell, mutation_rows
from odyssey.wording import quoted

EXAMPLES = (
    ("odyssey mutate lstm --count 5", "five mutants"),
    ("odyssey mutate --list", "the mutations there are"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("spec", metavar="SPEC", nargs="?")
    parser.add_argument("--list", action="store_true", help="list the mutations instead")
    add_options(
        parser,
        MutateOptions,
        ("--operator", "NAME", "this mutation only"),
        ("--seed", "N", "seed ({})"),
        ("--count", "N", "different mutants ({})"),
        ("--steps", "N", "mutations one after the other ({})"),
        ("--partner", "SPEC", "a second cell: draw crossovers as well"),
    )
    parser.add_argument(
        "--weights",
        metavar="NAME=W",
        nargs="+",
        action="extend",
        default=[],
        help="draw a mutation more or less often, 0 never",
    )
    parser.add_argument("--save", metavar="DIR", help="write each mutant to DIR as a .cell file")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Prints mutants, or the table of mutations."""
    weights = _weights(args.weights)
    table = mutation_rows(weights)
    if args.list:
        (print_json if args.json else print_rows)(table)
        return
    if args.spec is None:
        raise ConfigError("name a cell to mutate (see: odyssey cells), or say --list")
    drawn = mutate_cell(args.spec, options_of(MutateOptions, args, weights=weights))
    if len(drawn.mutants) < args.count:
        text = f"{len(drawn.mutants)} different mutants in {drawn.draws} draws"
        print(f"odyssey: {text}", file=sys.stderr)
    if args.save:
        drawn.save(Path(args.save))
    rows = drawn.rows()
    if args.json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['name']}: {row['operator']} of {drawn.parent.name}, {row['nodes']} nodes\n")
        print(row["text"])
        print(f"against {drawn.parent.name}:")
        print("\n".join(row["diff"]) + "\n")


def _weights(pairs: list[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            weights[name.strip()] = float(text)
        except ValueError:
            raise ConfigError(f"--weights {quoted(pair)}: write NAME=NUMBER") from None
    return weights
