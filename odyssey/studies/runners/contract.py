"""The contract of a runner: it pulls trials, works them, and tells a listener what came of them.

A runner pulls the next trial only when a worker is free, so that a source which learns from results
(a search) decides as late as it can. All that happens in the driver happens in one thread.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from odyssey.studies.trial import Trial, TrialResult

# Works one trial. It is called in the worker and must be picklable: a module's function, or a
# functools.partial of one.
Work = Callable[[Trial], TrialResult]


class Listener(Protocol):
    """Hears what happens to trials: in the driver, one call at a time."""

    def on_start(self, trial: Trial) -> None:
        """Is told that a worker was given the trial; a retry is not told again."""

    def on_result(self, trial: Trial, result: TrialResult) -> None:
        """Is told what the trial left behind, before the freed worker is given another."""

    def on_failure(self, trial: Trial, reason: str) -> None:
        """Is told in one line why there will be no result."""

    def on_unmeasured(self, trial: Trial) -> None:
        """Is told that the trial was stopped at its limit; the source may give it again."""

    def on_tick(self, running: int) -> None:
        """Is told how many trials run, at most four times a second, for a live display."""


class Runner(Protocol):
    """Works through the trials of a source: the signature of `run_trials` in every runner."""

    def __call__(
        self,
        trials: Iterator[Trial | None],
        *,
        work: Work,
        workers: int,
        gpus: float,
        address: str | None,
        listener: Listener,
    ) -> None:
        """Runs every trial of the source once.

        Args:
            trials: The source, pulled exactly when a worker is free. `None` means that there is
                nothing to start before another result is in; its end is the end of the run.
            work: What is done with a trial, in the worker. What it raises fails that trial only.
            workers: How many trials run at a time.
            gpus: How many GPUs each worker has, a whole number or a share of one.
            address: A cluster to join instead of using this machine alone.
            listener: Told what happens, in the driver.

        Raises:
            ConfigError: The runner cannot work with these workers, GPUs or this address.
            RunFailedError: The workers could not be started.
        """


class OverLimitError(BaseException):
    """Says that a trial used up its limit; no `except Exception` in the trial keeps it."""


@contextmanager
def processor_limit(seconds: float) -> Iterator[None]:
    """Raises `OverLimitError` after so many seconds of this process's processor time; 0: never.

    Processor time, because what a busy or a suspended machine does in the meantime is no fault of
    the trial's. Works in a process's main thread, between two steps of Python: what hangs in C is
    for a runner with processes of its own to end.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise OverLimitError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Ticker:
    """Passes ticks on to a listener, at most four times a second."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._last = float("-inf")

    def tick(self, running: int) -> None:
        """Passes the number of running trials on if the last tick is long enough ago."""
        now = time.monotonic()
        if now - self._last >= 0.25:
            self._last = now
            self._listener.on_tick(running)


def reason_of(error: BaseException) -> str:
    """Gives an exception in one line: `ValueError: the first line of its message`."""
    lines = str(error).strip().splitlines()
    name = type(error).__name__
    return f"{name}: {lines[0]}" if lines else name


def stalled() -> RuntimeError:
    """Gives the error for a source that waits for a result while nothing runs."""
    return RuntimeError(
        "the source of trials waits for a result, but no trial is running: it would wait for ever"
    )
