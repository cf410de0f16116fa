"""Medians of candidates that take turns in one process."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

Contender = Callable[[], object]

SAMPLE_SECONDS = 0.002  # a sample of a candidate that is quicker repeats it


@contextmanager
def without_collection() -> Iterator[None]:
    """Keeps Python's garbage collector from running inside."""
    before = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Lets torch have one thread inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def sample_seconds(step: Contender, repeats: int = 1) -> float:
    """Gives the mean seconds of a call over some calls, after one that does not count.

    Whoever had the turn before has left the caches full of its own data, and a call that brings its
    own back can take three times as long as the next: as does none but the first of a training.
    """
    step()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def repeats_for(step: Contender) -> int:
    """Warms a candidate up and says how often a sample should repeat it."""
    step()
    step()
    return max(1, math.ceil(SAMPLE_SECONDS / max(sample_seconds(step), 1e-9)))


def interleaved(candidates: Mapping[str, Contender], *, rounds: int) -> dict[str, float]:
    """Gives the median seconds of a call of each candidate.

    In every round each candidate is sampled once, so that what slows the machine down for a while
    slows all of them. A sample of a quick candidate repeats it for about 2 ms.
    """
    repeats = {name: repeats_for(step) for name, step in candidates.items()}
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    with without_collection():
        for _ in range(rounds):
            for name, step in candidates.items():
                seconds[name].append(sample_seconds(step, repeats[name]))
    return {name: statistics.median(s) for name, s in seconds.items()}


def geometric_mean(values: Sequence[float]) -> float:
    """Gives the geometric mean of positive numbers."""
    return math.exp(statistics.fmean(math.log(v) for v in values))
