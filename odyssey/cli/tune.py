"""`odyssey tune`: which tilings of matrix products are fastest here."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from odyssey.cli.arguments import add_json, add_numbers, add_options, options_of
from odyssey.cli.printing import print_json, print_rows
from odyssey.cli.signals import ending
from odyssey.jobs.tune import BATCH, DTYPES, HIDDEN, TuneOptions, forget_tunings, tune
from odyssey.wording import duration

if TYPE_CHECKING:
    from odyssey.speed.tuning import Progress, Tuned


EXAMPLES = (("odyssey tune", "all sizes that the benchmark uses"),)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add_options(parser, TuneOptions, ("--seconds", "S", "about how long to measure ({:g})"))
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default=TuneOptions.dtype,
        help="the type of the numbers (float32)",
    )
    for flag, usual in (("hidden", HIDDEN), ("batch", BATCH)):
        add_numbers(parser, f"--{flag}", f"{flag} sizes ({', '.join(map(str, usual))})")
    parser.add_argument(
        "--forget", action="store_true", help="go back to the built-in tilings; measure nothing"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Measures and prints a row a size; or forgets what was measured."""
    if args.forget:
        _forget(json=args.json)
        return
    options = options_of(TuneOptions, args)
    with ending("nothing is written; tilings stay as they were"):
        report = tune(options, progress=_tell)
    rows = [_row(row) for row in report.rows]
    if args.json:
        files = [str(path) for path in report.files]
        print_json({"machine": report.machine, "sizes": rows, "files": files})
        return
    columns = [name for name, v in rows[0].items() if not isinstance(v, str)]
    shown = [{n: f"{v:.1f}" if isinstance(v, float) else v for n, v in r.items()} for r in rows]
    print_rows(shown, right=columns)
    print("\nGFLOP/s of whole layers of lstm and elman, forward and backward, with the tiling and")
    print("with the built-in one; of their matrix products alone, by us (built in) and by torch.")
    print("\n" + "; ".join(f"{name}: {value}" for name, value in report.machine.items()))
    for path in report.files:
        print(f"written: {path}")


def _row(row: Tuned) -> dict[str, str | int | float]:
    return {
        **{"dtype": row.size.dtype, "H": row.size.hidden, "B": row.size.batch},
        "tiling": row.tiling.name,
        "GFLOP/s": row.rate,
        "built in": row.built_in,
        "products": row.products,
        "torch": row.torch,
        "rounds": row.rounds,
    }


def _tell(progress: Progress) -> None:
    size = progress.size
    text = f"{progress.done + 1:>3}/{progress.sizes}  {size.dtype}  H={size.hidden} B={size.batch}"
    print(f"{text}  about {duration(progress.seconds_left)} left", file=sys.stderr, flush=True)


def _forget(*, json: bool) -> None:
    removed = [str(path) for path in forget_tunings()]
    if json:
        print_json({"removed": removed})
        return
    for path in removed:
        print(f"removed: {path}")
    if not removed:
        print("nothing was measured on this processor; tilings are those built in")
