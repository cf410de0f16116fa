"""`odyssey bench`: how fast cells are here, beside the best that torch offers."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from pathlib import Path

from odyssey.cli.printing import duration, print_json, print_rows
from odyssey.errors import ConfigError


def run(args: argparse.Namespace) -> None:
    """Measures the chosen sections, prints their tables and keeps them as Markdown."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read when the libraries are loaded, which is below

    from odyssey.speed.document import finding_rows, format_measurement, write_document
    from odyssey.speed.machine import describe_machine
    from odyssey.speed.registry import Progress, Result, run_sections
    from odyssey.speed.section import Settings

    settings = Settings(
        rounds=(2 if args.quick else 9) if args.rounds is None else args.rounds,
        steps=(8 if args.quick else 128) if args.steps is None else args.steps,
        hidden=tuple(args.hidden or ()),
        batch=tuple(args.batch or ()),
        quick=args.quick,
    )
    out = Path(args.out) if args.out else None
    if out and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise ConfigError(f"--out {args.out}: name a file in a folder that exists")

    def tell(progress: Progress) -> None:
        left = progress.seconds_left
        text = f"{progress.done + 1:>3}/{progress.cases}  {progress.section}  {progress.case}"
        more = "" if left is None else f"  about {duration(left)} left"
        print(text + more, file=sys.stderr, flush=True)

    found: list[Result] = []
    for result in run_sections(args.sections, settings, progress=tell):
        found.append(result)
        if not args.json:
            rows = [{name: format_measurement(v) for name, v in row.items()} for row in result.rows]
            numbers = [name for name, v in result.rows[0].items() if not isinstance(v, str)]
            print(f"{result.section.title}\n{result.section.note}\n")
            print_rows(rows, right=numbers)
            print(flush=True)
    machine = describe_machine()
    if args.json:
        tables = {r.name: [dict(row) for row in r.rows] for r in found}
        figures = finding_rows(found, settings)
        print_json({"machine": machine, "found": figures, "sections": tables})
    else:
        print_rows(finding_rows(found, settings), right=["measured"])
        print("\n" + "; ".join(f"{name}: {value}" for name, value in machine.items()))
    if out:
        text = write_document(found, settings, machine=machine, date=datetime.date.today())
        try:
            out.write_text(text, "utf-8")
        except OSError as error:
            raise ConfigError(f"--out {args.out}: cannot be written ({error.strerror})") from None
