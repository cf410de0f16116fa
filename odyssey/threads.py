"""Threads and cores: how many there are, and numbers that do not depend on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Lets products of matrices run on one thread; also a decorator.

    With more, BLAS cuts sums into other pieces, and they round otherwise: the same records would
    make other numbers elsewhere. The products of a report are small, so that nothing is lost.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


def hold_to_one_thread() -> None:
    """Lets BLAS and torch have one thread; they read it when they are loaded, so before that."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def count_cores() -> int:
    """Counts the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
