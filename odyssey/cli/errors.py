"""`odyssey errors`: what trained models get wrong on held-out text, and why."""

from __future__ import annotations

import argparse

from odyssey.cli.arguments import add_choice, add_json, add_options, options_of
from odyssey.cli.printing import print_json, print_rows, teller
from odyssey.jobs.choice import ModelChoice
from odyssey.jobs.mistakes import MistakeOptions, SortedMistakes, sort_mistakes
from odyssey.wording import each

EXAMPLES = (("odyssey errors runs/book", "what a model gets wrong, by category"),)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("directories", metavar="RUN", nargs="+", help="runs that have kept weights")
    add_choice(parser)
    parser.add_argument("--split", choices=("valid", "test"), default="test", help="which data")
    add_options(
        parser,
        MistakeOptions,
        ("--characters", "N", "how many, at most ({})"),
        ("--out", "DIR", "where the files go"),
    )
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Sorts the errors of every model by category and prints one row a model."""
    sorted_ = sort_mistakes(
        args.directories,
        options_of(MistakeOptions, args),
        choice=options_of(ModelChoice, args),
        progress=teller(quiet=args.json),
    )
    if args.json:
        print_json(
            {
                "task": sorted_.task,
                "split": args.split,
                "errors": sorted_.errors.to_dict("records"),
                "brackets": sorted_.brackets.to_dict("records"),
                "files": sorted_.files,
            }
        )
        return
    print_rows(_rows(sorted_))
    print(
        f"{sorted_.read:,} {sorted_.unit} of {sorted_.task} ({args.split})\n"
        "an error has a probability below 1/2; categories: docs/diagnostics.md"
    )
    for kind, path in sorted_.files.items():
        print(f"{kind}: {path}")


def _rows(sorted_: SortedMistakes) -> list[dict[str, str]]:
    return [
        {
            "model": label,
            "errors": f"{wrong:,} ({rate:.1%})",
            f"nats/{each(sorted_.unit, short=True)}": f"{nats:.3f}",
            **{name: f"{share:.1%}" for name, share in shares.items()},
        }
        for label, wrong, rate, nats, shares in sorted_.by_model()
    ]
