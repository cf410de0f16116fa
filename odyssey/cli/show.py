"""`odyssey show`: one cell in any of its forms."""

from __future__ import annotations

import argparse

from odyssey.cli.cells import parameter_formula
from odyssey.cli.printing import print_json
from odyssey.errors import ConfigError
from odyssey.expr.jacobian import format_jacobian
from odyssey.expr.text import diff
from odyssey.expr.verify import infer_shapes
from odyssey.specs import get_cell


def run(args: argparse.Namespace) -> None:
    """Prints the cell."""
    cell = get_cell(args.spec)
    if args.after and args.form != "program":
        raise ConfigError("--after goes with --as program")
    if args.against and args.form != "text":
        raise ConfigError("--against goes with --as text")
    if args.against:
        print("\n".join(diff(get_cell(args.against), cell)))
    elif args.form == "text":
        print(cell.text, end="")
    elif args.form == "latex":
        print(cell.latex(), end="")
    elif args.form == "jacobian":
        print(format_jacobian(cell), end="")
    elif args.form == "canonical":
        print(cell.canonical_text, end="")
    elif args.form == "json":
        shapes = infer_shapes(cell)
        print_json(
            {
                "name": cell.name,
                "text": cell.text,
                "key": cell.key,
                "fingerprint": cell.fingerprint,
                "canonical": cell.canonical_text,
                "latex": cell.latex(),
                "lineage": cell.lineage,
                "citation": cell.citation,
                "states": cell.states,
                "recurrent": cell.recurrent,
                "needs_input_size_equal_hidden_size": shapes.square,
                "parameters": {**shapes.matrices, **{n: [s] for n, s in shapes.vectors.items()}},
                "parameter_count": parameter_formula(cell),
            }
        )
    else:
        from odyssey.compiler.backends import BACKENDS, build_layer
        from odyssey.compiler.lowering import lower
        from odyssey.compiler.program import format_program

        if args.form == "program":
            print(format_program(lower(cell, after=args.after)), end="")
        else:
            names = (name for name, row in BACKENDS.items() if row.language == args.form)
            backend = next(names, args.form)
            layer = build_layer(lower(cell), backend, population=False, masked=False)[1]
            print(layer.source, end="")
