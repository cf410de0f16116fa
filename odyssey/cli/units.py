"""`odyssey units`: what the units and gates of a trained model do while it reads."""

from __future__ import annotations

import argparse
from typing import Any

from odyssey.cli.arguments import add_choice, add_device, add_json, add_options, options_of
from odyssey.cli.printing import print_json, print_rows, teller
from odyssey.jobs.choice import ModelChoice
from odyssey.jobs.units import UnitOptions, study_units
from odyssey.wording import plural

EXAMPLES = (("odyssey units runs/book", "what units and gates follow"),)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "directory", metavar="RUN", help="what odyssey train --out DIR has kept, or a study"
    )
    add_choice(
        parser,
        text="read a file instead of the task's test data; of the run's own text, wherever it lies"
        " now, the test data",
    )
    add_options(
        parser,
        UnitOptions,
        ("--characters", "N", "symbols to read ({})"),
        ("--page-characters", "N", "symbols on the page ({}); 0 writes none"),
        ("--probes", "FILE.py", "more probes: functions of a text, a number a symbol"),
        ("--shifts", "N", "shifts of the null ({})"),
        ("--lstmvis", "DIR", "export for LSTMVis as well (needs h5py)"),
        ("--seed", "N", "seed of the shifts ({})"),
        ("--out", "DIR", "where the files go (RUN/units)"),
    )
    add_device(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Prints the best unit of each probe, and where the files are."""
    options, choice = options_of(UnitOptions, args), options_of(ModelChoice, args)
    study = study_units(args.directory, options, choice=choice, progress=teller(quiet=args.json))
    best = study.best.to_dict("records")
    if args.json:
        print_json({"best": best, "absent": study.absent, "files": study.files})
        return
    recording = study.reading.recording
    print(
        f"{recording.name} read {len(study.reading.codes):,} symbols:"
        f" {plural(recording.num_units, 'unit')} in {plural(len(recording.tracks), 'value')}"
    )
    print_rows([_row(row) for row in best])
    if study.absent:
        print(f"not scored, for this text does not vary in them: {', '.join(study.absent)}")
    print(
        "the unit chosen on the first half of the text, judged on the second; p corrected for all"
        " units; found: p <= 0.05\nand better than the current symbol alone; what it means:"
        " docs/diagnostics.md"
    )
    for kind, path in study.files.items():
        print(f"{kind}: {path}")


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    auc = row["auc"]
    return {
        "probe": row["probe"],
        "unit": f"{row['track']}[{row['unit']}] of layer {row['layer']}",
        "rho": f"{row['rho']:.3f}",
        "auc": f"{auc:.3f}" if auc == auc else "",
        "p": f"{row['p']:.3g}",
        "95 % of chance": f"{row['null_95']:.3f}",
        "symbol alone": f"{row['symbol_rho']:.3f}",
        "found": int(row["units"]),
    }
