"""What there is to see of a study while it runs: how far it is, and the best of every cell."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odyssey.pace import Pace
from odyssey.storage.schema import DIVERGED, FAILED, FIRST


@dataclass
class BestMember:
    """The best member of one cell on one task so far."""

    bpc: float = math.inf
    accuracy: float = math.nan
    members: int = 0
    diverged: int = 0
    failed: int = 0
    rung: int = FIRST


@dataclass
class StudyBoard:
    """Counts what a study does.

    Attributes:
        tasks: What the tasks say of themselves, by spec: what a loss is counted by.
        total: Trials in all.
        finished: Trials that are finished, those of earlier commands too.
        finished_now: Trials of this command.
        running: Trials that run.
        pace: What tells the time that is left.
        characters: That were trained on since this command began.
        best: Task -> spec -> its best member, of a ladder on the last rung that it has reached.
        climbs: Of a ladder: cells times tasks.
        climbed: Of a ladder: how many of these have finished each rung.
    """

    tasks: Mapping[str, Mapping[str, Any]]
    total: int
    finished: int
    finished_now: int = 0
    running: int = 0
    pace: Pace = field(default_factory=lambda: Pace({}))
    characters: int = 0
    began: float = field(default_factory=time.monotonic)
    best: dict[str, dict[str, BestMember]] = field(default_factory=dict)
    climbs: int = 0
    climbed: list[int] = field(default_factory=list)

    def take(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Counts a trial of this command."""
        rows = list(rows)
        self.finished += 1
        self.finished_now += 1
        self.characters += sum(int(row.get("characters") or 0) for row in rows)
        self.include(rows)

    def include(self, rows: Iterable[Mapping[Any, Any]]) -> None:
        """Takes rows into the best; also those of an earlier command."""
        for row in rows:
            entry = self.best.setdefault(row["task"], {}).setdefault(row["spec"], BestMember())
            rung = int(row.get("rung") or FIRST)
            if rung > entry.rung:
                entry.rung, entry.bpc, entry.accuracy = rung, math.inf, math.nan
            entry.members += rung == FIRST
            entry.diverged += row["status"] == DIVERGED
            entry.failed += row["status"] == FAILED
            bpc = row.get("valid_bpc", math.nan)
            if bpc is not None and rung == entry.rung and bpc < entry.bpc:
                entry.bpc, entry.accuracy = bpc, row["valid_accuracy"]

    @property
    def seconds(self) -> float:
        """Wall time of this command."""
        return time.monotonic() - self.began

    @property
    def seconds_left(self) -> float:
        """How long the rest will take; NaN where nothing is known."""
        return self.pace.seconds_left

    @property
    def per_second(self) -> float:
        """Characters a second since this command began."""
        return self.characters / max(self.seconds, 1e-9)
