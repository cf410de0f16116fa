"""`odyssey promote`: train the best cells of a search again, beside LSTM and GRU."""

from __future__ import annotations

import argparse

from odyssey.cli import search
from odyssey.studies.make.promotion import promotion_study


def run(args: argparse.Namespace) -> None:
    """Makes the study and runs it as `odyssey search` would."""
    study = promotion_study(
        args.run_dir,
        top=args.top,
        tasks=[part.strip() for part in args.tasks.split(",") if part.strip()],
        draws=args.draws,
        parameters=args.parameters,
        seed=args.seed,
        settings=args.settings,
    )
    search.run_study(study, args)
