"""`odyssey ablate`: the table of a cell's ablations, from one command."""

from __future__ import annotations

import argparse

from odyssey.cli import search
from odyssey.errors import ConfigError
from odyssey.studies.make.ablation import ablation_study


def run(args: argparse.Namespace) -> None:
    """Makes the study and runs it as `odyssey search` would."""
    sets = [setting for setting in args.settings if "=" not in setting]
    if len(sets) > 1:
        raise ConfigError(f"--set takes one set of cells, got {', '.join(sets)}")
    study = ablation_study(
        args.spec,
        tasks=_listed(args.tasks),
        draws=args.draws,
        variants=_listed(args.variants),
        cell_set=sets[0] if sets else "",
        match=args.match,
        seed=args.seed,
        settings=[setting for setting in args.settings if "=" in setting],
    )
    search.run_study(study, args)


def _listed(text: str) -> list[str]:
    """Splits a list at its commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
