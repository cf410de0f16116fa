"""Who watches a job: what shows it here, nobody, or a watcher of the caller's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from odyssey.progress.output import print_notices
from odyssey.progress.search import LiveSearch
from odyssey.progress.study import LiveBoard
from odyssey.progress.training import LiveTraining
from odyssey.progress.watcher import TrainWatcher
from odyssey.studies.source import OpenRun, Watcher

RunProgress = bool | Watcher[Any]
"""Whether a run is shown (on a terminal, in a notebook, or as lines in a file), or who sees it."""
TrainProgress = bool | TrainWatcher
"""The same of a training."""


def live_run(run: OpenRun, *, quiet: bool = False) -> LiveBoard | LiveSearch:
    """Gives what shows a run here; a context around its work."""
    return (LiveBoard if run.study.search is None else LiveSearch)(quiet=quiet)


@contextmanager
def watched_run(run: OpenRun, progress: RunProgress) -> Iterator[Watcher[Any] | None]:
    """Gives who watches a run while the context lasts; None for nobody."""
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield None
    else:
        print_notices(run.tasks)
        with live_run(run) as live:
            live.line(f"{run.study.name}: {run.store.path}")
            yield live


@contextmanager
def watched_training(progress: TrainProgress) -> Iterator[TrainWatcher | None]:
    """Gives who watches a training while the context lasts; None for nobody."""
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield None
    else:
        with LiveTraining() as live:
            yield live
