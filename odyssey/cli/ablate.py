"""`odyssey ablate`: the table of a cell's ablations, from one command."""

from __future__ import annotations

import argparse

from odyssey.cli import search
from odyssey.cli.arguments import (
    add_drawn,
    add_pilot,
    add_running,
    add_settings,
    listed,
    options_of,
)
from odyssey.errors import ConfigError
from odyssey.studies.make.ablation import AblationOptions, ablation_study

EXAMPLES = (
    ("odyssey ablate lstm --tasks xml --draws 8", "every single change of an LSTM"),
    ("odyssey ablate gru --variants drop_gate=r,no_bias", "these changes only"),
    ("odyssey ablate lstm --factorial i,f,o", "all combinations: effects and interactions"),
    ("odyssey ablate lstm --dry-run --pilot results/ablate_lstm", "what it could find"),
    ("odyssey ablate lstm_peephole --set odyssey9 --dry-run", "the cells of Greff et al. 2015"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("spec", metavar="SPEC")
    add_drawn(parser)
    parser.add_argument(
        "--variants",
        default="",
        metavar="A,B",
        help="ablations, or specs; without it every single change that the cell admits",
    )
    parser.add_argument(
        "--factorial",
        default="",
        metavar="A,B",
        help="these changes in all combinations: gates, which are dropped, or ablations",
    )
    add_settings(
        parser,
        "a paper's cells (odyssey9, jozefowicz10), or override a field (epochs=40)",
        metavar="SET|KEY=VALUE",
    )
    add_running(parser)
    add_pilot(parser)


def run(args: argparse.Namespace) -> None:
    """Makes the study and runs it as `odyssey search` would."""
    sets = [setting for setting in args.settings if "=" not in setting]
    if len(sets) > 1:
        raise ConfigError(f"--set takes one set of cells, got {', '.join(sets)}")
    options = options_of(
        AblationOptions,
        args,
        tasks=listed(args.tasks),
        variants=listed(args.variants),
        cell_set=sets[0] if sets else "",
        factorial=listed(args.factorial),
        settings=[setting for setting in args.settings if "=" in setting],
    )
    search.run_or_estimate(ablation_study(args.spec, options), args)
