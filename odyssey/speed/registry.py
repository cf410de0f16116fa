"""The sections, and how they run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from odyssey.compiler.backends.native import toolchain
from odyssey.errors import ConfigError, suggest
from odyssey.speed import building, cells, layers, rates, steps
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
        " gradients of weights, dense input, I = H. Milliseconds.",
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
        " loaded before in this process. Milliseconds.",
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
}


@dataclass(frozen=True)
class Result:
    """What a section found."""

    name: str
    section: Section
    rows: tuple[Measurement, ...]
    findings: tuple[Finding, ...]


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

    Args:
        names: Their names; all of them if empty.
        settings: What to measure.
        progress: Called before every case.

    Raises:
        ConfigError: There is no such section, or there is no C compiler.
    """
    for name in names:
        if name not in SECTIONS:
            raise ConfigError(suggest(name, SECTIONS, what="section of the benchmark"))
    toolchain.compiler()
    return _results([n for n in SECTIONS if not names or n in names], settings, progress)


def _results(
    names: Sequence[str], settings: Settings, progress: Callable[[Progress], None]
) -> Iterator[Result]:
    work = [(name, case) for name in names for case in SECTIONS[name].cases(settings)]
    whole = sum(case.effort for _, case in work)
    threads, start, done = torch.get_num_threads(), time.monotonic(), 0.0
    rows: dict[str, list[Measurement]] = {name: [] for name in names}
    torch.set_num_threads(1)
    try:
        for number, (name, case) in enumerate(work):
            left = (time.monotonic() - start) / done * (whole - done) if done else None
            progress(Progress(name, case.name, number, len(work), left))
            rows[name].append(case.measure())
            done += case.effort
            if number + 1 == len(work) or work[number + 1][0] != name:
                section = SECTIONS[name]
                found = tuple(section.findings(rows[name]))
                yield Result(name, section, tuple(rows[name]), found)
    finally:
        torch.set_num_threads(threads)
