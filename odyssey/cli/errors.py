"""`odyssey errors`: what trained models get wrong on held-out text, and why."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.cli.printing import print_json, print_rows
from odyssey.errors import ConfigError
from odyssey.wording import each

if TYPE_CHECKING:
    import pandas as pd

MOST_MODELS = 24


def run(args: argparse.Namespace) -> None:
    """Sorts the errors of every model by category and prints one row a category."""
    if args.characters < 1:
        raise ConfigError(f"--characters must be at least 1, got {args.characters}")
    import pandas as pd

    from odyssey.diagnostics.mistakes import (
        AnnotatedText,
        Oracles,
        annotate_text,
        bracket_losses,
        count_errors,
        loss_by_distance,
        ngram_predictions,
        sort_errors,
    )
    from odyssey.diagnostics.predictions import predict
    from odyssey.report.inside.error_plots import write_errors
    from odyssey.studies.trained import load_all_trained

    oracles = Oracles()
    baseline = f"{oracles.contexts}-gram"
    reading: AnnotatedText | None = None
    task_name, unit = "", "characters"
    categories, brackets = [], []
    directories = list(dict.fromkeys(args.directories))
    for directory in directories:
        for trained in load_all_trained(
            directory, cell=args.cell, task=args.task, member=args.member, text=args.text
        ):
            name = str(trained.row["task"])
            if reading is None:
                task_name, unit = name, trained.task.unit
                reading = annotate_text(
                    trained.task, characters=args.characters, split=args.split, oracles=oracles
                )
            if name != task_name:
                raise ConfigError(
                    f"{directory} has learned {name}, the first model {task_name};"
                    " compare models of one task"
                )
            label = str(trained.row["spec"])
            if len(directories) > 1:
                label = f"{Path(directory).name}: {label}"
            found = predict(
                trained.model, trained.task, characters=args.characters, split=args.split
            )
            sorted_ = sort_errors(found, reading, oracles=oracles)
            categories.append(count_errors(sorted_).assign(label=label, characters=len(found)))
            losses = bracket_losses(found, reading.text)
            brackets.append(loss_by_distance(losses).assign(label=label))
            if len(categories) > MOST_MODELS:
                raise ConfigError(f"more than {MOST_MODELS} models; choose some with --cell")
    assert reading is not None
    losses = bracket_losses(ngram_predictions(reading), reading.text)
    brackets.append(loss_by_distance(losses).assign(label=baseline))
    table = pd.concat(categories, ignore_index=True)
    by_distance = pd.concat(brackets, ignore_index=True)
    files = write_errors(table, by_distance, args.out, baseline=baseline)
    if args.json:
        print_json(
            {
                "task": task_name,
                "split": args.split,
                "errors": table.to_dict("records"),
                "brackets": by_distance.to_dict("records"),
                "files": files,
            }
        )
        return
    print_rows(_rows(table, unit))
    print(
        f"{len(reading.text) - 1:,} {unit} of {task_name} ({args.split})\n"
        "an error has a probability below 1/2; categories: docs/diagnostics.md"
    )
    for kind, path in files.items():
        print(f"{kind}: {path}")


def _rows(table: pd.DataFrame, unit: str) -> list[dict[str, str]]:
    """Writes one row a model: errors in all, the loss, and the share of every category."""
    rows = []
    for label, part in table.groupby("label", sort=False):
        wrong = int(part["errors"].sum())
        row = {
            "model": str(label),
            "errors": f"{wrong:,} ({wrong / part['characters'].iloc[0]:.1%})",
            f"nats/{each(unit, short=True)}": f"{part['nats'].sum():.3f}",
        }
        shares = part.groupby("category", sort=False)["share"].sum(min_count=1)
        rows.append(row | {str(n): f"{s:.1%}" for n, s in shares.items() if n != "right"})
    return rows
