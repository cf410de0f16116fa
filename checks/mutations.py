"""Mutates in chains from the library and checks every result; prints the table of operators.

    python checks/mutations.py [--mutations 10000] [--oracle 500] [--max-nodes 40] [--out FILE]
                                   [--keep FOLDER]

Chains of 25 mutants start at each library cell in turn, each with a random stream of its own; a
mutant beyond the limit of nodes, or a degenerate one, is checked like the others, but the chain
goes on from its parent. Checked of every mutant: it is legal, its text reads back the same, its
key is no parent's, and every backend that says it runs it writes and compiles it; of the C compiler
only the front end runs, which sees every error, unless --build asks for the library (1 s each).
Values and gradients of a sample, built in full, are compared with the oracle of the tests. Keys,
fingerprints and the rest are timed. With --keep a run that was stopped goes on behind its last
whole block of 20 chains.
"""

from __future__ import annotations

import argparse
import os
import pickle
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.judge import check, refused
from support.wide_forms import wide_forms

from odyssey.cells import LIBRARY, library_cell
from odyssey.compiler.backends import BACKENDS, build_layer
from odyssey.compiler.backends.native.toolchain import FLAGS, TUNING, compile_source, compiler
from odyssey.compiler.lowering import lower
from odyssey.expr import Cell, parse_cell
from odyssey.storage.files import write_atomically
from odyssey.transforms.constraints import Constraints, nodes, reject
from odyssey.transforms.crossover import CROSSOVERS
from odyssey.transforms.degenerate import degenerate
from odyssey.transforms.mutations import (
    MUTATIONS,
    NotApplicable,
    apply_operator,
    check_weights,
    draw_operator,
)

CHAIN = 25
BLOCK = 20  # chains that are kept together
SIZES = {"input_size": 8, "hidden_size": 16}


@dataclass
class Tally:
    """What was counted and timed."""

    drawn: Counter[str] = field(default_factory=Counter)
    applied: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, Counter[str]] = field(default_factory=partial(defaultdict, Counter))
    rejected: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=partial(defaultdict, list))
    sizes: list[int] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    fingerprints: set[str] = field(default_factory=set)
    forms: Counter[str] = field(default_factory=Counter)
    square: int = 0
    compiled: int = 0
    judged: int = 0
    gradients: int = 0

    def timed(self, what: str, start: float) -> None:
        self.seconds[what].append(time.process_time() - start)

    def add(self, other: Tally) -> None:
        """Takes over what another block counted."""
        self.drawn.update(other.drawn)
        self.applied.update(other.applied)
        self.rejected.update(other.rejected)
        self.forms.update(other.forms)
        for name, found in other.reasons.items():
            self.reasons[name].update(found)
        for what, seconds in other.seconds.items():
            self.seconds[what] += seconds
        self.sizes += other.sizes
        self.keys |= other.keys
        self.fingerprints |= other.fingerprints
        for name in ("square", "compiled", "judged", "gradients"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def reason(error: NotApplicable) -> str:
    """The reason without the names of one cell."""
    text = str(error).removeprefix("leaves no legal cell: ").split(";")[0]
    return re.sub(r"the output \S+ does", "the output does", text)


def accept(source: str) -> None:
    """Lets the front end of the C compiler read a source; it must find nothing to say.

    It needs the flags of a build: the source is written for the vectors of this processor, and a
    compiler that is not told of them warns of their ABI.
    """
    command = [*compiler(), *FLAGS, TUNING[0], "-fsyntax-only", "-x", "c", "-"]
    done = subprocess.run(command, input=source, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr


def examine(cell: Cell, tally: Tally, folder: Path, *, build: bool) -> None:
    """Checks one mutant; an assertion or an error ends the run."""
    assert parse_cell(cell.text) == cell, cell.text
    start = time.process_time()
    assert parse_cell(cell.text).canonical_text == cell.canonical_text
    tally.timed("canonical form", start)
    start = time.process_time()
    tally.fingerprints.add(cell.identity[1])
    tally.timed("fingerprint", start)
    tally.keys.add(cell.key)
    tally.sizes.append(nodes(cell))
    tally.forms.update(wide_forms(cell))
    program = lower(cell)
    tally.square += program.square
    _, eager = build_layer(program, "eager", population=False, masked=False)
    compile(eager.source, "<eager>", "exec")
    if BACKENDS["native"].supports(program):
        return
    _, native = build_layer(program, "native", population=False, masked=False)
    if build:
        compile_source(native.source, folder / "mutant.so")
    else:
        accept(native.source)
    tally.compiled += 1


def judge(cell: Cell, tally: Tally, *, seed: int) -> None:
    """Compares one mutant with the oracle on every backend that runs it."""
    with np.errstate(all="ignore"):
        for backend in BACKENDS:
            if not refused(cell, backend):
                tally.gradients += check(cell, backend, seed=seed, wild=True)
    tally.judged += 1


def chain(number: int, tally: Tally, options: argparse.Namespace, folder: Path) -> None:
    """Makes and checks the mutants of one chain."""
    library = [library_cell(name) for name in LIBRARY]
    limits = Constraints(max_nodes=options.max_nodes)
    weights = check_weights(None)
    rng = np.random.default_rng([options.seed, number])
    cell = library[number % len(library)]
    done, end = number * CHAIN, min((number + 1) * CHAIN, options.mutations)
    while done < end:
        partner = library[int(rng.integers(len(library)))]
        name = draw_operator(weights, rng, crossing=True)
        tally.drawn[name] += 1
        start = time.process_time()
        try:
            mutant = apply_operator(cell, name, rng, partner=partner)
        except NotApplicable as error:
            tally.reasons[name][reason(error)] += 1
            continue
        tally.timed("mutation", start)
        tally.applied[name] += 1
        assert mutant.key not in {cell.key, partner.key if name in CROSSOVERS else ""}, mutant.text
        examine(mutant, tally, folder, build=options.build)
        before, done = done, done + 1
        if (
            done * options.oracle // options.mutations
            > before * options.oracle // options.mutations
        ):
            judge(mutant, tally, seed=done)
        rejection = reject(mutant, limits, **SIZES)
        if rejection is None:
            start = time.process_time()
            rejection = degenerate(mutant, **SIZES)
            tally.timed("degenerate", start)
        if rejection is None:
            cell = mutant
        else:
            tally.rejected[rejection.code] += 1


def evolve(options: argparse.Namespace, folder: Path) -> Tally:
    """Runs all chains, block by block; blocks that are kept are read instead."""
    total = Tally()
    chains = -(-options.mutations // CHAIN)
    for first in range(0, chains, BLOCK):
        kept = options.keep / f"{first:06d}.pickle" if options.keep else None
        if kept and kept.exists():
            tally = pickle.loads(kept.read_bytes())
        else:
            began = time.perf_counter()
            tally = Tally()
            for number in range(first, min(first + BLOCK, chains)):
                chain(number, tally, options, folder)
            spent = time.perf_counter() - began
            count = sum(tally.applied.values())
            print(f"chains from {first}: {count} mutants, {spent:.0f} s", file=sys.stderr)
            if kept:
                write_atomically(kept, pickle.dumps(tally))
        total.add(tally)
    return total


def table(tally: Tally) -> str:
    """The table of operators in Markdown."""
    total = sum(tally.drawn.values())
    lines = [
        "| operator | drawn | share | applied | why not (most often) |",
        "|---|---:|---:|---:|---|",
    ]
    for name in [*MUTATIONS, *CROSSOVERS]:
        drawn, applied = tally.drawn[name], tally.applied[name]
        why = "; ".join(f"{r} ({c})" for r, c in tally.reasons[name].most_common(2)) or "-"
        rate = f"{applied / drawn:.0%}" if drawn else "-"
        lines.append(f"| `{name}` | {drawn} | {drawn / total:.1%} | {rate} | {why} |")
    return "\n".join(lines)


def summary(tally: Tally, options: argparse.Namespace) -> str:
    applied = sum(tally.applied.values())
    lines = [
        f"# {applied:,} mutations",
        "",
        f"Seed {options.seed}, chains of {CHAIN} from the {len(LIBRARY)} library cells, at most"
        f" {options.max_nodes} nodes to go on. {platform.machine()}, Python"
        f" {platform.python_version()}, one core, CC={os.environ.get('CC', 'cc')!r}.",
        "",
        "* Every mutant is legal, reads back the same, has another key than its parents and is"
        " written by every backend that runs it; the C"
        f" {'compiler built' if options.build else 'front end accepted'} {tally.compiled:,}.",
        f"* {tally.judged} were compared with the oracle on every backend that runs them:"
        f" values, states and {tally.gradients:,} gradients.",
        "* With "
        + ", ".join(f"{name} {count:,}" for name, count in tally.forms.most_common())
        + ".",
        f"* {len(tally.keys):,} different keys, {len(tally.fingerprints):,} different"
        " fingerprints.",
        f"* Nodes: median {int(np.median(tally.sizes))}, largest {max(tally.sizes)};"
        f" {tally.square / applied:.0%} read their input elementwise.",
        "* Not gone on from: "
        + ", ".join(f"{code} {count}" for code, count in tally.rejected.most_common())
        + ".",
        "",
        "| milliseconds of processor time | median | 99 % | largest |",
        "|---|---:|---:|---:|",
    ]
    for what, seconds in tally.seconds.items():
        ms = 1e3 * np.array(seconds)
        lines.append(
            f"| {what} | {np.median(ms):.2f} | {np.percentile(ms, 99):.2f} | {ms.max():.2f} |"
        )
    return "\n".join([*lines, "", table(tally), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--oracle", type=int, default=500, help="mutants compared with the oracle")
    parser.add_argument("--max-nodes", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--build", action="store_true", help="build every library in full")
    parser.add_argument("--out", type=Path, help="keep the report in this file")
    parser.add_argument("--keep", type=Path, help="keep what is counted here, and go on with it")
    options = parser.parse_args()
    if options.keep:
        # what is kept belongs to these options
        options.keep /= "-".join(map(str, (options.mutations, options.oracle, options.seed)))
        options.keep /= f"{options.max_nodes}-{'build' if options.build else 'read'}"
        options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        text = summary(evolve(options, Path(name)), options)
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
