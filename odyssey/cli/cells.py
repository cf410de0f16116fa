"""`odyssey cells`: the library, one of its cells, the variants of the papers, the ablations."""

from __future__ import annotations

import argparse

from odyssey.cli.arguments import add_json
from odyssey.cli.printing import print_json, print_rows
from odyssey.errors import ConfigError
from odyssey.jobs import cells

EXAMPLES = (
    ("odyssey cells", "the library"),
    ("odyssey cells lem", "one cell: source, equations, ablations"),
    ("odyssey cells --family gated", "the cells of a family"),
    ("odyssey cells --ablations", "what can be taken away or changed"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("name", metavar="CELL", nargs="?", help="a page about this cell")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--family", metavar="FAMILY", default="", help="only the cells of a family")
    other.add_argument("--ablations", action="store_true", help="list the ablations instead")
    other.add_argument("--variants", action="store_true", help="list the papers' variants and sets")
    other.add_argument(
        "--markdown", action="store_true", help="list the cells as docs/cells.md does"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Prints the chosen list, or the page of a cell."""
    listed = args.family or args.ablations or args.variants or args.markdown
    if args.name and listed:
        raise ConfigError(f"a list, or the page of {args.name}: leave out one of them")
    if args.json and args.markdown:
        raise ConfigError("--json or --markdown: leave out one of them")
    if args.name:
        if args.json:
            print_json(cells.cell_page_facts(args.name))
        else:
            print(cells.cell_page(args.name), end="")
    elif args.markdown:
        print(cells.catalogue(), end="")
    elif args.ablations or args.variants:
        rows = cells.ablation_rows() if args.ablations else cells.variant_rows()
        (print_json if args.json else print_rows)(rows)
    else:
        rows = cells.cell_rows(args.family)
        if args.json:
            print_json(rows)
        else:
            print_rows([cells.shown_row(row) for row in rows])
