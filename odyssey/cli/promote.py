"""`odyssey promote`: train the best cells of a search again, beside known ones."""

from __future__ import annotations

import argparse

from odyssey.cli import search
from odyssey.cli.arguments import (
    add_options,
    add_pilot,
    add_running,
    add_settings,
    listed,
    options_of,
)
from odyssey.studies.make.promotion import BASELINES, PromotionOptions, promotion_study

EXAMPLES = (
    ("odyssey promote results/runs/evolve", "its best cells on fresh seeds"),
    ("odyssey promote results/runs/evolve --top 3 --tasks memorization", "three of them on a task"),
    ("odyssey promote results/runs/evolve --against gru,mgu", "beside these cells"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("run_dir", metavar="DIR", help="run directory of a search")
    add_options(parser, PromotionOptions, ("--top", "N", "cells ({})"))
    parser.add_argument(
        "--against",
        default="",
        metavar="CELLS",
        help=f"known cells to train beside them and compare with ({','.join(BASELINES)})",
    )
    parser.add_argument(
        "--tasks",
        default="",
        metavar="TASKS",
        help="tasks; without it those of the search and one that it has not seen",
    )
    add_options(
        parser,
        PromotionOptions,
        ("--draws", "N", "draws a cell and task (16, or the next multiple of its grids)"),
        (
            "--parameters",
            "N",
            "of every model; without it those of the search, or of an LSTM of its hidden size",
        ),
        ("--seed", "N", "seed (made of the search's, and another one)"),
    )
    add_settings(parser, "override a field of the study, as in epochs=40")
    add_running(parser)
    add_pilot(parser)


def run(args: argparse.Namespace) -> None:
    """Makes the study and runs it as `odyssey search` would."""
    lists = {"tasks": listed(args.tasks), "against": listed(args.against)}
    options = options_of(PromotionOptions, args, **lists)
    search.run_or_estimate(promotion_study(args.run_dir, options), args)
