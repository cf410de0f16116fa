"""`odyssey show`: one cell in any of its forms."""

from __future__ import annotations

import argparse

from odyssey.cli.printing import print_json
from odyssey.jobs.show import FORMS, cell_facts, show_cell
from odyssey.specs import get_cell

EXAMPLES = (
    ("odyssey show lstm:no_output_gate", "a cell without a part"),
    ("odyssey show NIG --against lstm_peephole", "what differs between two cells"),
    ("odyssey show gru --as latex", "its equations for a paper"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("spec", metavar="SPEC")
    parser.add_argument(
        "--as",
        dest="form",
        choices=FORMS,
        default=FORMS[0],
        help="cell text (default), LaTeX, one-step Jacobian in symbols, IR, JSON, canonical form,"
        " a module in torch alone, C source, or the source that a backend runs",
    )
    parser.add_argument("--after", metavar="PASS", help="with --as program: the IR after this pass")
    parser.add_argument("--against", metavar="SPEC", help="with --as text: what differs from SPEC")


def run(args: argparse.Namespace) -> None:
    """Prints the cell."""
    if args.form == "json" and not args.after and not args.against:
        print_json(cell_facts(get_cell(args.spec)))
    else:
        print(show_cell(args.spec, args.form, after=args.after, against=args.against), end="")
