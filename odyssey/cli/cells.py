"""`odyssey cells`: the library, the variants of the papers, the ablations."""

from __future__ import annotations

import argparse

from odyssey.cli.arguments import add_json
from odyssey.cli.printing import print_json, print_rows
from odyssey.jobs import cells


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--ablations", action="store_true", help="list the ablations instead")
    other.add_argument("--variants", action="store_true", help="list the papers' variants and sets")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Prints the chosen list."""
    if args.ablations:
        rows = cells.ablation_rows()
    else:
        rows = cells.variant_rows() if args.variants else cells.cell_rows()
    (print_json if args.json else print_rows)(rows)
