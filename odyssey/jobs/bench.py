"""How fast cells are on this machine, beside the best that torch offers."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError

if TYPE_CHECKING:
    from odyssey.speed.registry import Progress, Result


@dataclass(frozen=True)
class BenchOptions:
    """What is measured.

    Attributes:
        rounds: Samples of each candidate; None for 9, or 2 of what is quick.
        steps: Time steps of a sequence; None for 128, or 8 of what is quick.
        hidden: Hidden sizes of dense, classes, cells and sgemm, instead of their own.
        batch: Batch sizes of the same.
        quick: Whether sizes are tiny, to see that all of it runs.
        out: A file for the tables as Markdown.
    """

    rounds: int | None = None
    steps: int | None = None
    hidden: tuple[int, ...] = ()
    batch: tuple[int, ...] = ()
    quick: bool = False
    out: str | None = None


@dataclass(frozen=True)
class BenchReport:
    """What was measured: the machine, a result a section, and a row a finding."""

    machine: dict[str, str]
    results: tuple[Result, ...]
    findings: list[dict[str, Any]]


def bench(
    sections: Sequence[str] = (),
    options: BenchOptions | None = None,
    *,
    progress: Callable[[Progress], None] = lambda progress: None,
    measured: Callable[[Result], None] = lambda result: None,
) -> BenchReport:
    """Measures speed side by side, with one thread.

    Threads are counted when torch is loaded, so that what loaded it before must have said one.

    Args:
        sections: Their names; all of them if empty.
        options: What is measured.
        progress: Hears of every case before it is measured.
        measured: Hears of every section when it is.

    Raises:
        ConfigError: There is no such section, no C compiler, or the file cannot be written.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read when the libraries are loaded, which is below

    from odyssey.speed.document import finding_rows, write_document
    from odyssey.speed.machine import describe_machine
    from odyssey.speed.registry import run_sections
    from odyssey.speed.section import Settings

    options = options or BenchOptions()
    settings = Settings(
        rounds=(2 if options.quick else 9) if options.rounds is None else options.rounds,
        steps=(8 if options.quick else 128) if options.steps is None else options.steps,
        hidden=options.hidden,
        batch=options.batch,
        quick=options.quick,
    )
    out = Path(options.out) if options.out else None
    if out and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise ConfigError(f"--out {out}: name a file in a folder that exists")
    results = []
    for result in run_sections(sections, settings, progress=progress):
        results.append(result)
        measured(result)
    machine = describe_machine()
    if out:
        text = write_document(results, settings, machine=machine, date=datetime.date.today())
        try:
            out.write_text(text, "utf-8")
        except OSError as error:
            raise ConfigError(f"--out {out}: cannot be written ({error.strerror})") from None
    findings = [dict(row) for row in finding_rows(results, settings)]
    return BenchReport(machine, tuple(results), findings)
