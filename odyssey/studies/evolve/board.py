"""What there is to see of a search while it runs: counts, rates and the best, bounded in size."""

from __future__ import annotations

import json
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odyssey.storage.schema import FINISHED, UNMEASURED

MOST_SHOWN = 10  # cells

_RATE_WINDOW = 100  # candidates that the rate is measured over


@dataclass
class SearchBoard:
    """Counts what a search does; `snapshot` is what is drawn, kept and shown by `odyssey status`.

    Attributes:
        name: Name of the study.
        total: Candidates in all, seeds included.
        stages: Names of the stages.
        workers: Trials at a time.
        left: Gives the seconds until the search is over; NaN where nothing is known.
    """

    name: str
    total: int
    stages: tuple[str, ...]
    workers: int
    told: int = 0
    told_now: int = 0
    running: int = 0
    in_flight: int = 0
    trials: int = 0
    trained_seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)
    left: Callable[[], float] = lambda: math.nan
    first_trial: float = 0.0
    arms: dict[str, Counter[str]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    operators: dict[str, Counter[str]] = field(default_factory=dict)
    top: list[dict[str, Any]] = field(default_factory=list)
    _ranks: dict[int, tuple[int, float]] = field(default_factory=dict, repr=False)
    _names: dict[int, str] = field(default_factory=dict, repr=False)
    _unmeasured: set[int] = field(default_factory=set, repr=False)
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=_RATE_WINDOW), repr=False)

    def trial_started(self) -> None:
        """Notes when work began: starting up is no overhead of trials."""
        self.first_trial = self.first_trial or time.monotonic()

    def trial_done(self, seconds: float) -> None:
        """Counts a trial of this run of the command and its training time."""
        self.trials += 1
        self.trained_seconds += seconds

    def take(self, row: Mapping[str, Any], *, now: bool) -> None:
        """Counts a candidate that was told, in this run of the command or before."""
        self.told += 1
        if now:
            self.told_now += 1
            self._times.append(time.monotonic())
        number, score = int(row["number"]), row["score"]
        counts = self.arms.setdefault(str(row["arm"]), Counter())
        counts["told"] += 1
        counts[str(row["status"])] += 1
        counts["attempts"] += int(row["attempts"])
        self.refused.update(json.loads(row["refused"]))
        self._names[number] = str(row["name"])
        if row["status"] == UNMEASURED:
            self._unmeasured.add(number)
        score = math.nan if score is None else float(score)
        rank = (int(row["passed"]), -math.inf if math.isnan(score) else score)
        parents = [int(p) for p in str(row["parents"] or "").split()]
        self._count_operators(row, rank, parents)
        if row["cell_key"]:
            self._ranks[number] = rank
            self._place(row, rank, parents)

    def revise(self, row: Mapping[str, Any]) -> None:
        """Takes the row of a candidate again that was told as unmeasured."""
        number, counts = int(row["number"]), self.arms[str(row["arm"])]
        if number not in self._unmeasured:  # what was late belongs to an audit
            return
        counts["unmeasured"] -= 1
        counts[str(row["status"])] += 1
        if row["status"] != UNMEASURED:
            self._unmeasured.remove(number)
        score = float(row["score"])
        rank = (int(row["passed"]), -math.inf if math.isnan(score) else score)
        for name in str(row["operators"] or "").split():
            self.operators[name]["finished"] += row["status"] == FINISHED
        self._ranks[number] = rank
        self.top = [entry for entry in self.top if entry["number"] != number]
        self._place(row, rank, [int(p) for p in str(row["parents"] or "").split()])

    @property
    def unmeasured(self) -> int:
        """Candidates without a verdict, for a trial was stopped at its limit."""
        return len(self._unmeasured)

    def _place(self, row: Mapping[str, Any], rank: tuple[int, float], parents: list[int]) -> None:
        """Enters a candidate into the best, if it is new and among them."""
        if row["again"] or row["twin"] is not None:
            return
        number, score = int(row["number"]), rank[1]
        self.top.append(
            {
                "number": number,
                "name": str(row["name"]),
                "arm": str(row["arm"]),
                "passed": rank[0],
                "score": None if math.isinf(score) else score,
                "parameters": row["parameters"],
                "operators": str(row["operators"]),
                "parents": [self._names.get(p, str(p)) for p in parents],
            }
        )
        self.top.sort(key=lambda e: (-e["passed"], -(e["score"] or -math.inf), e["number"]))
        del self.top[MOST_SHOWN:]

    def _count_operators(
        self, row: Mapping[str, Any], rank: tuple[int, float], parents: list[int]
    ) -> None:
        better = any(rank > self._ranks[p] for p in parents if p in self._ranks)
        for name in str(row["operators"] or "").split():
            counts = self.operators.setdefault(name, Counter())
            counts["measured"] += 1
            counts["finished"] += row["status"] == FINISHED
            counts["better"] += better
        for column, what in (("refused_operators", "refused"), ("missed_operators", "missed")):
            for name, times in json.loads(row[column]).items():
                self.operators.setdefault(name, Counter())[what] += times

    @property
    def per_hour(self) -> float:
        """Candidates per hour lately; NaN before there are two."""
        if len(self._times) < 2:
            return math.nan
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9) * 3600

    @property
    def overhead(self) -> float:
        """The share of the workers' time that was not training, since the first trial; or NaN."""
        if not self.first_trial or not self.trials:
            return math.nan
        available = self.workers * (time.monotonic() - self.first_trial)
        return max(0.0, 1.0 - self.trained_seconds / max(available, 1e-9))

    def snapshot(self) -> dict[str, Any]:
        """Gives all of it as plain JSON data."""
        rate = self.per_hour
        known, left = rate == rate, self.left()
        return {
            "study": self.name,
            "told": self.told,
            "total": self.total,
            "told_now": self.told_now,
            "in_flight": self.in_flight,
            "running": self.running,
            "workers": self.workers,
            "trials": self.trials,
            "unmeasured": self.unmeasured,
            "stages": list(self.stages),
            "seconds": time.monotonic() - self.began,
            "candidates_per_hour": rate if known else None,
            "seconds_left": None if math.isnan(left) else left,
            "overhead": self.overhead if self.overhead == self.overhead else None,
            "arms": {arm: dict(counts) for arm, counts in self.arms.items()},
            "refused": dict(self.refused.most_common()),
            "operators": {name: dict(counts) for name, counts in sorted(self.operators.items())},
            "top": self.top,
            "written": time.time(),
        }
