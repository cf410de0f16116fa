"""What a training tells who watches it; a study and a search have `studies.source.Watcher`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odyssey.tasks.base import Task
    from odyssey.training.results import Epoch


class TrainWatcher:
    """Sees a training go by; this one looks away.

    Attributes:
        whole: Whether the result is kept.
    """

    whole = False

    def begin(self, task: Task) -> None:
        """Called once, before anything is written."""

    def epoch(self, epoch: Epoch, seconds_left: float) -> None:
        """Called after every epoch."""

    def tick(self, updates: int, total: int, seconds_left: float) -> None:
        """Called between updates, at most four times a second."""

    def sampled(self, updates: int, text: str) -> None:
        """Called with a sample, with `sample_every`."""

    def recorded(self) -> None:
        """Called when the result is kept; what may follow is the last sample."""
        self.whole = True
