"""Runs trials in this process, one at a time: for tests, debuggers and notebooks."""

from __future__ import annotations

from collections.abc import Iterator

from odyssey.errors import ConfigError
from odyssey.studies.runners.contract import (
    Listener,
    OverLimitError,
    Ticker,
    Work,
    processor_limit,
    reason_of,
    stalled,
)
from odyssey.studies.trial import Trial


def run_trials(
    trials: Iterator[Trial | None],
    *,
    work: Work,
    workers: int = 1,
    gpus: float = 0.0,
    address: str | None = None,
    listener: Listener,
) -> None:
    """Runs every trial of the source in this process; see `runner.Runner`.

    Raises:
        ConfigError: More than one worker, a share of a GPU, or an address was asked for.
    """
    if workers != 1:
        raise ConfigError(
            f"the local runner works in this process, with 1 worker, not {workers}; "
            "use the ray runner for more"
        )
    if gpus:
        raise ConfigError(
            "the local runner gives nobody a share of a GPU; use the ray runner for that"
        )
    if address is not None:
        raise ConfigError(
            f"the local runner cannot join a cluster at {address!r}; use the ray runner"
        )
    ticker = Ticker(listener)
    for trial in trials:
        if trial is None:  # every result is in already
            raise stalled()
        listener.on_start(trial)
        ticker.tick(1)
        try:
            with processor_limit(trial.limit):
                result = work(trial)
        except OverLimitError:
            listener.on_unmeasured(trial)
        except Exception as error:
            listener.on_failure(trial, reason_of(error))
        else:
            listener.on_result(trial, result)
