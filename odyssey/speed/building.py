"""Section `compile`: from a cell to code that runs, in an empty cache and in a full one.

Seconds of a compiler say little of another machine, so they are also told in files of one line:
what the same compiler takes, with the same flags, where it has next to nothing to do.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from odyssey.compiler import lower
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.plan import make_plan
from odyssey.compiler.backends.native.source.shared import write_shared
from odyssey.compiler.backends.native.source.writer import generate
from odyssey.compiler.backends.native.targets import TARGETS
from odyssey.expr import Cell
from odyssey.specs import get_cell
from odyssey.speed.cells import count_operations, random_cells
from odyssey.speed.section import Case, Finding, Measurement, Settings

ROUNDS = 5  # at most: a cold build takes long enough to be measured
ONE_LINE = "int odyssey_one_line(void) { return 1; }\n"
SHARED = "(shared by all cells)"
_Source = tuple[str, int, Callable[[], str], Sequence[str]]
"""A name, its operations, what writes the C, and the functions of the library."""


@contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    """Makes a folder the cache of built libraries, inside."""
    before = os.environ.get("ODYSSEY_CACHE")
    os.environ["ODYSSEY_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["ODYSSEY_CACHE"]
        else:
            os.environ["ODYSSEY_CACHE"] = before


def _cell_source(cell: Cell) -> str:
    return generate(make_plan(lower(cell)), dtype="float32", target=toolchain.target())


def _shared_source() -> str:
    """The matrix products, which are compiled once on a machine and belong to no cell."""
    target = toolchain.target()
    return write_shared(dtype="float32", target=target, tiling=TARGETS[target].tilings[0])


def _once(write: Callable[[], str], entries: Sequence[str], folder: Path) -> dict[str, float]:
    """Seconds of generating, of compiling and loading, of loading from the cache, of one line."""
    before = time.perf_counter()
    toolchain.compile_source(ONE_LINE, folder / "one_line.so")
    start = time.perf_counter()
    source = write()
    generated = time.perf_counter()
    with cache_in(folder / "cold"):
        toolchain.load(source, entries)
    compiled = time.perf_counter()
    # a copy: the loader would take the file that is loaded already for the same library
    shutil.copytree(folder / "cold", folder / "warm")
    began = time.perf_counter()
    with cache_in(folder / "warm"):
        toolchain.load(source, entries)
    ended = time.perf_counter()
    return {
        "generate": generated - start,
        "compile and load": compiled - generated,
        "cold": compiled - start,
        "one line": start - before,
        "warm load": ended - began,
    }


def _measure(
    name: str, operations: int, write: Callable[[], str], entries: Sequence[str], rounds: int
) -> Measurement:
    found: list[dict[str, float]] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="odyssey-bench-") as folder:
            found.append(_once(write, entries, Path(folder)))
    medians = {key: 1e3 * statistics.median(f[key] for f in found) for key in found[0]}
    lines = medians["cold"] / medians["one line"]
    return {"cell": name, "operations": operations, **medians, "cold / one line": lines}


def build_cases(settings: Settings) -> list[Case]:
    """Lists what all cells share, lstm, the largest random cell of the comparison, and one of 40.

    The cells' times are without what they share: that is built already where a cell is built.
    """
    drawn = sorted(random_cells().values(), key=count_operations)
    cells = {"lstm": get_cell("lstm"), **{c.name: c for c in drawn[-2:]}}
    rounds = min(settings.rounds, 1 if settings.quick else ROUNDS)
    sources: list[_Source] = [(SHARED, 0, _shared_source, ())]
    for name, cell in cells.items():
        write = partial(_cell_source, cell)
        sources.append((name, count_operations(cell), write, toolchain.LOOP_ENTRIES))
    return [Case(s[0], 500 * rounds, partial(_measure, *s, rounds)) for s in sources]


def build_findings(rows: Sequence[Measurement]) -> list[Finding]:
    """Asks for the cold build of lstm and of a cell of 40 operations, and for the warm load."""
    found = []
    for row in rows:
        bound = {"lstm": 6.0}.get(str(row["cell"]), 15.0 if row["operations"] == 40 else None)
        name = f"{row['cell']}: generate, compile, load, in files of one line"
        found.append(Finding(name, float(row["cold / one line"]), bound, at_most=True))
    slowest = max(float(row["warm load"]) for row in rows)
    return [*found, Finding("slowest warm load, ms", slowest, 10.0, at_most=True)]
