"""Section `compile`: from a cell to code that runs, in an empty cache and in a full one."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from odyssey.compiler import lower
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.plan import make_plan
from odyssey.compiler.backends.native.source.writer import generate
from odyssey.expr import Cell
from odyssey.specs import get_cell
from odyssey.speed.cells import count_operations, random_cells
from odyssey.speed.section import Case, Finding, Measurement, Settings

ROUNDS = 5  # at most: a cold build takes long enough to be measured


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


def _once(cell: Cell, folder: Path) -> dict[str, float]:
    """Seconds of generating, of compiling and loading, and of loading what is in the cache."""
    start = time.perf_counter()
    source = generate(make_plan(lower(cell)), dtype="float32", target=toolchain.target())
    generated = time.perf_counter()
    with cache_in(folder / "cold"):
        toolchain.load(source)
    compiled = time.perf_counter()
    # a copy: the loader would take the file that is loaded already for the same library
    shutil.copytree(folder / "cold", folder / "warm")
    began = time.perf_counter()
    with cache_in(folder / "warm"):
        toolchain.load(source)
    ended = time.perf_counter()
    return {
        "generate": generated - start,
        "compile and load": compiled - generated,
        "cold": compiled - start,
        "warm load": ended - began,
    }


def _measure(name: str, cell: Cell, rounds: int) -> Measurement:
    found: list[dict[str, float]] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="odyssey-bench-") as folder:
            found.append(_once(cell, Path(folder)))
    medians = {key: 1e3 * statistics.median(f[key] for f in found) for key in found[0]}
    return {"cell": name, "operations": count_operations(cell), **medians}


def build_cases(settings: Settings) -> list[Case]:
    """Lists lstm, the largest random cell of the comparison, and one of 40 operations."""
    drawn = sorted(random_cells().values(), key=count_operations)
    cells = {"lstm": get_cell("lstm"), **{c.name: c for c in drawn[-2:]}}
    rounds = min(settings.rounds, 1 if settings.quick else ROUNDS)
    return [
        Case(name, 500 * rounds, partial(_measure, name, cell, rounds))
        for name, cell in cells.items()
    ]


def build_findings(rows: Sequence[Measurement]) -> list[Finding]:
    """Asks for the cold build of lstm and of a cell of 40 operations, and for the warm load."""
    found = []
    for row in rows:
        bound = {"lstm": 500.0}.get(str(row["cell"]), 1500.0 if row["operations"] == 40 else None)
        name = f"{row['cell']}: generate, compile, load, ms"
        found.append(Finding(name, float(row["cold"]), bound, at_most=True))
    slowest = max(float(row["warm load"]) for row in rows)
    return [*found, Finding("slowest warm load, ms", slowest, 10.0, at_most=True)]
