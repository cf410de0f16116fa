"""The sections, and how they run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from odyssey.compiler.backends.native import toolchain
from odyssey.errors import ConfigError, suggest
from odyssey.pace import Job, Pace
from odyssey.speed import building, cells, layers, pair, rates, steps, throughput
from odyssey.speed.measure import one_torch_thread
from odyssey.speed.section import Finding, Measurement, Section, Settings

SECTIONS: dict[str, Section] = {
    "dense": Section(
        "Dense input",
        "One layer against the same layer of torch.nn: forward and backward with the gradients of"
        " weights and input, I = H. Milliseconds.",
        layers.dense_cases,
        layers.dense_findings,
    ),
    "classes": Section(
        "Class indices",
        f"One layer that reads {layers.CLASSES} symbols as indices against torch.nn's, which is"
        " given them as one-hot vectors; these are made before the clock starts. Forward and"
        " backward with the gradients of weights. Milliseconds.",
        layers.classes_cases,
        layers.classes_findings,
    ),
    "cells": Section(
        "Cells that torch does not have",
        "One layer against a loop over time as one writes it in torch by hand (input products"
        " of all steps at once, one stacked product a step, one call per gate and operation) and"
        " against backend eager, which also joins activations. Forward and backward with the"
        " gradients of weights, dense input, I = H. Milliseconds. loop / BLAS: the rate of the"
        " loop's matrix products beside that of plain ones, as in section sgemm.",
        cells.cell_cases,
        cells.cell_findings,
    ),
    "sgemm": Section(
        "Rate of a whole step",
        "lstm forward and backward with the gradients of weights and input, I = H, beside plain"
        " matrix products: torch's and scipy's BLAS, each at its better of two shapes. 48 H²"
        " operations a step and row; pointwise work is not counted.",
        rates.rate_cases,
        rates.rate_findings,
    ),
    "compile": Section(
        "From a cell to code that runs",
        "Cold: generate C, compile and load with an empty cache. Warm load: from the cache, not"
        " loaded before in this process. One line: the same compiler and flags on a file of one"
        " line, which is the unit of the figures. The matrix products that all cells share are"
        " compiled once on a machine and are a row of their own. Milliseconds.",
        building.build_cases,
        building.build_findings,
    ),
    "tiny": Section(
        "Tiny work",
        "A whole training step of min-char-rnn's elman, one stream: cell, readout, cross-entropy,"
        " clipping of elements, optimiser. nn.RNN reads ready one-hot vectors and has torch.optim;"
        " next to it the same script with our layer, and an update of odyssey train (which also"
        " draws its batch). Milliseconds.",
        steps.tiny_cases,
        steps.tiny_findings,
    ),
    "step": Section(
        "A training step over its cell",
        "An update of odyssey train, lstm on class indices, H = 128, B = 50, T = 50, adam and"
        " clipped norms, for P members, over forward and backward of the cell alone; then where"
        " the rest goes. Milliseconds.",
        steps.step_cases,
        steps.step_findings,
    ),
    "train": Section(
        "Symbols that a core trains on",
        "Updates of odyssey train, lstm on class indices, 20 streams, unrolled over 35 steps, adam"
        " and clipped norms, and the share that forward and backward of the cell alone have in an"
        " update. Milliseconds, and symbols a second.",
        throughput.throughput_cases,
        throughput.throughput_findings,
    ),
    "pair": Section(
        "Two processes on two cores",
        "The layer of section dense in two processes of one thread each: each of them while the"
        " other waits, then both at once. Calls a second; together / alone is that of the process"
        " that loses more.",
        pair.pair_cases,
        pair.pair_findings,
        pair.lacking_cores,
    ),
}


@dataclass(frozen=True)
class Result:
    """What a section found.

    Attributes:
        name: Name of the section.
        section: The section.
        rows: Its table.
        findings: What the table says.
        skipped: Why nothing was measured; empty where something was.
    """

    name: str
    section: Section
    rows: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    skipped: str = ""


@dataclass(frozen=True)
class Progress:
    """How far the measuring is."""

    section: str
    case: str
    done: int
    cases: int
    seconds_left: float | None


def run_sections(
    names: Sequence[str], settings: Settings, *, progress: Callable[[Progress], None]
) -> Iterator[Result]:
    """Measures sections in the order of `SECTIONS`, with one thread.

    A section that needs what this machine has not comes last, without rows, and says why.

    Args:
        names: Their names; all of them if empty.
        settings: What to measure.
        progress: Called before every case.

    Raises:
        ConfigError: There is no such section, no C compiler, or no instruction set of the name in
            ODYSSEY_TARGET.
    """
    for name in names:
        if name not in SECTIONS:
            raise ConfigError(suggest(name, SECTIONS, what="section of the benchmark"))
    toolchain.compiler()
    toolchain.target()
    return _results([n for n in SECTIONS if not names or n in names], settings, progress)


def _results(
    names: Sequence[str], settings: Settings, progress: Callable[[Progress], None]
) -> Iterator[Result]:
    lacking = {name: reason for name in names if (reason := SECTIONS[name].lacking())}
    names = [name for name in names if name not in lacking]
    work = [(name, case) for name in names for case in SECTIONS[name].cases(settings)]
    pace = Pace({k: Job(name, case.effort) for k, (name, case) in enumerate(work)})
    for name, case in work:  # an effort is in ms, roughly
        pace.learn(Job(name, case.effort), case.effort / 1000)
    rows: dict[str, list[Measurement]] = {name: [] for name in names}
    with one_torch_thread():
        for number, (name, case) in enumerate(work):
            left = pace.seconds_left
            told = None if math.isnan(left) else left
            progress(Progress(name, case.name, number, len(work), told))
            pace.start(number)
            rows[name].append(case.measure())
            pace.finish(number)
            if number + 1 == len(work) or work[number + 1][0] != name:
                section = SECTIONS[name]
                found = tuple(section.findings(rows[name]))
                yield Result(name, section, tuple(rows[name]), found)
    for name, reason in lacking.items():
        yield Result(name, SECTIONS[name], (), (), reason)
