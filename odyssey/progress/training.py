"""Watching a training: its curve in place on a terminal, lines everywhere."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from odyssey.progress.output import print_notices
from odyssey.progress.screen import Screen
from odyssey.progress.watcher import TrainWatcher
from odyssey.wording import duration, in_bits, loss_of

if TYPE_CHECKING:
    from odyssey.tasks.base import Task
    from odyssey.training.results import Epoch

QUIET_SECONDS = 60.0
"""After so many seconds without a line, one says how far training is."""
SETTLED_SECONDS = 5.0  # until the whole time is told
_WIDTH = 60
_BARS = {True: "▁▂▃▄▅▆▇█", False: "_.-=+*%#"}  # whether the terminal knows the first


@dataclass
class LiveTraining(Screen, TrainWatcher):
    """Prints a line an epoch, and samples; on a terminal the curve stands below."""

    _record: dict[str, Any] = field(default_factory=dict)
    _losses: list[float] = field(default_factory=list)
    _spoken: float = 0.0
    _began: float = 0.0
    _told: bool = False

    def begin(self, task: Task) -> None:
        """Notes what the task is."""
        self._record = dict(task.describe())
        self._spoken = self._began = time.monotonic()
        print_notices({task.name: self._record})

    def epoch(self, epoch: Epoch, seconds_left: float) -> None:
        """Prints a line."""
        loss = in_bits(epoch.valid_nats[0], self._record)
        self._losses.append(loss)
        self._say(
            f"epoch {epoch.epoch:>3}/{epoch.epochs}  update {epoch.updates:>6}"
            f"  train {in_bits(epoch.train_nats[0], self._record):.3f}"
            f"  valid {loss:.3f} {loss_of(self._record, short=True)}"
            f"{_smooth(epoch.smooth_nats[0])}{_left(seconds_left)}"
        )

    def tick(self, updates: int, total: int, seconds_left: float) -> None:
        """Draws the curve; says now and then how far an epoch is that takes long."""
        if math.isnan(seconds_left):
            return
        now = time.monotonic()
        if not self._told and now - self._began > SETTLED_SECONDS:
            self._told = True
            if not self._losses:
                self._say(f"about {duration(now - self._began + seconds_left)} in all")
        elif now - self._spoken > QUIET_SECONDS:
            self._say(f"update {updates:,} of {total:,}  {duration(seconds_left)} left")
        self.draw(self._picture(updates, total, seconds_left))

    def sampled(self, updates: int, text: str) -> None:
        """Prints a sample."""
        self._say(f"--- sample after {updates:,} updates\n{text}\n---", sample=True)

    def _say(self, text: str, *, sample: bool = False) -> None:
        self._spoken = time.monotonic()
        if self.live:
            self.live.console.print(Text(text))
        elif self.notebook:
            if sample:  # the curve tells the rest
                print(text)
        else:
            self.line(text)

    def _picture(self, updates: int, total: int, seconds_left: float) -> RenderableType:
        bar = Table.grid()
        bar.add_row(ProgressBar(total=max(total, 1), completed=updates, width=_WIDTH))
        line = Text(f"{updates:,} of {total:,} updates, {duration(seconds_left)} left")
        known = [loss for loss in self._losses if math.isfinite(loss)]
        if not known:
            return Group(bar, line)
        unicode = "utf" in (self.console.encoding or "").lower()
        curve = sparkline(self._losses, bars=_BARS[unicode])
        unit = loss_of(self._record, short=True)
        best = f"best {min(known):.3f}, last {self._losses[-1]:.3f} {unit} on validation"
        return Group(Text(curve), bar, line, Text(best))


def sparkline(values: Sequence[float], *, bars: str, width: int = _WIDTH) -> str:
    """Draws numbers as bars, the largest highest; of more than fit, means of neighbours.

    Args:
        values: The numbers; what is not finite leaves a gap.
        bars: Signs from low to high.
        width: Signs at most.
    """
    share = max(len(values) / width, 1.0)
    edges = [round(k * share) for k in range(round(len(values) / share) + 1)]
    parts = [
        [v for v in values[start:end] if math.isfinite(v)]
        for start, end in itertools.pairwise(edges)
    ]
    means = [sum(part) / len(part) if part else math.nan for part in parts]
    known = [m for m in means if not math.isnan(m)]
    if not known:
        return " " * len(means)
    low, span = min(known), max(known) - min(known)
    most = len(bars) - 1
    return "".join(
        " " if math.isnan(m) else bars[round(most * (m - low) / span) if span else 0] for m in means
    )


def _left(seconds: float) -> str:
    """Says how long it will take; nothing where nothing was timed yet."""
    return "" if math.isnan(seconds) else f"  {duration(seconds)} left"


def _smooth(nats: float) -> str:
    """Writes the smooth loss where it is kept, in the nats of min-char-rnn."""
    return "" if math.isnan(nats) else f"  smooth {nats:.4f} nats"
