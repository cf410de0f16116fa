"""How fast cells are on this machine, beside the best that torch offers."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError
from odyssey.speed.instructions import hold_to
from odyssey.threads import hold_to_one_thread

if TYPE_CHECKING:
    from odyssey.speed.registry import Progress, Result


@dataclass(frozen=True)
class BenchOptions:
    """What is measured.

    Attributes:
        rounds: Samples of each candidate; None for 9, or 2 of what is quick.
        steps: Time steps of a sequence; None for 128, or 8 of what is quick.
        hidden: Hidden sizes of dense, classes, cells, sgemm, train and pair, instead of their own.
        batch: Batch sizes of the same but train.
        quick: Whether sizes are tiny, to see that all of it runs.
        target: The instruction set that our code and all other libraries are held to, a row of
            `odyssey.speed.instructions.OTHERS`; the widest of the processor if None.
        out: A file for the tables as Markdown.
        keep: A folder for the tables as Markdown and the figures as JSON, in files that are named
            by date and instruction set.
    """

    rounds: int | None = None
    steps: int | None = None
    hidden: tuple[int, ...] = ()
    batch: tuple[int, ...] = ()
    quick: bool = False
    target: str | None = None
    out: str | None = None
    keep: str | None = None


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
        ConfigError: There is no such section or instruction set, no C compiler, a file cannot be
            written, or torch is loaded and cannot be held to an instruction set any more.
    """
    options = options or BenchOptions()
    hold_to_one_thread()  # before the libraries are loaded, which is below
    if options.target is not None:
        hold_to(options.target)

    from odyssey.speed.document import finding_rows, write_document
    from odyssey.speed.machine import describe_machine
    from odyssey.speed.record import write_record
    from odyssey.speed.registry import run_sections
    from odyssey.speed.section import Settings

    settings = Settings(
        rounds=(2 if options.quick else 9) if options.rounds is None else options.rounds,
        steps=(8 if options.quick else 128) if options.steps is None else options.steps,
        hidden=options.hidden,
        batch=options.batch,
        quick=options.quick,
    )
    date = datetime.date.today()
    running = run_sections(sections, settings, progress=progress)
    pages, record = _files(options, date)
    results = []
    for result in running:
        results.append(result)
        measured(result)
    machine = describe_machine()
    facts: dict[str, Any] = {"machine": machine, "date": date}
    for path in pages:
        _write(path, write_document(results, settings, **facts))
    if record:
        _write(record, write_record(results, settings, **facts))
    findings = [dict(row) for row in finding_rows(results, settings)]
    return BenchReport(machine, tuple(results), findings)


def _files(options: BenchOptions, date: datetime.date) -> tuple[list[Path], Path | None]:
    """Gives the files for the tables, and the one for the figures if these are kept."""
    from odyssey.compiler.backends.native import toolchain
    from odyssey.speed.record import record_paths

    pages = [Path(options.out)] if options.out else []
    for out in pages:
        if out.is_dir() or not out.absolute().parent.is_dir():
            raise ConfigError(f"--out {out}: name a file in a folder that exists")
    if not options.keep:
        return pages, None
    folder = Path(options.keep)
    if not folder.is_dir():
        raise ConfigError(f"--keep {folder}: name a folder that exists")
    page, record = record_paths(folder, date=date, target=toolchain.target())
    for path in (page, record):
        if path.exists():
            raise ConfigError(f"--keep {folder}: {path.name} is there already; move it away")
    return [*pages, page], record


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from None
