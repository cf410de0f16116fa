"""`odyssey export`: a cell or a trained model in a form that does not need Odyssey."""

from __future__ import annotations

import argparse

from odyssey.cli.arguments import add_choice, add_options, options_of
from odyssey.errors import ConfigError
from odyssey.jobs.choice import ModelChoice
from odyssey.jobs.export import EXPORT_FORMS, ExportOptions, export_cell

EXAMPLES = (
    ("odyssey export lstm --to torch", "a module that needs torch alone"),
    ("odyssey export results/runs/evolve --to torch", "the best of a search, with its weights"),
    ("odyssey export gru:no_bias --to onnx", "a graph of any length and batch"),
    ("odyssey export mine.cell --to svg", "a diagram; also mermaid, latex, json"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "source", metavar="CELL|RUN", help="a cell, or a run: its best model that has kept weights"
    )
    parser.add_argument(
        "--to", choices=EXPORT_FORMS, required=True, help="a module in torch alone, or another form"
    )
    parser.add_argument(
        "-o", "--out", metavar="FILE|DIR", help="where to write it; texts are printed without"
    )
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    add_options(
        parser,
        ExportOptions,
        ("--input", "N", "of a cell: how many numbers it reads"),
        ("--hidden", "N", "of a cell: how many units it has"),
        ("--layers", "N", "of a cell: how many layers (1)"),
        ("--seed", "N", "of a cell to onnx: draws its weights ({})"),
    )
    add_choice(parser)


def run(args: argparse.Namespace) -> None:
    """Writes the files, or prints the text."""
    if args.force and not args.out:
        raise ConfigError("--force overwrites a file: name it with -o")
    exported = export_cell(
        args.source,
        args.to,
        options_of(ExportOptions, args),
        choice=options_of(ModelChoice, args),
    )
    if not args.out:
        print(exported.text, end="")
        return
    for path in exported.save(args.out, force=args.force):
        print(f"wrote {path}")
