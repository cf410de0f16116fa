"""Numbers that do not depend on how many threads a machine has."""

from __future__ import annotations

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
