"""How long what is left will take: told from what each job should cost and from what was seen.

A job says how much work it is, in any unit that compares jobs (operations, updates), and of which
kind it is. Work is turned into seconds by

* the pace of this session: seconds of work seen, finished or on its way, over the work it was;
* what each kind has cost beside that, for a model of work is wrong by another factor for each;
* before anything was seen, an earlier session or a timed moment, which a few seconds outweigh: this
  machine may be slower than that was.

A job that is on its way says how far it is, or runs over what was expected of it, which is news
too. Nothing here decides a result.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

EARLIER_SECONDS = 5.0
"""How much of this session weighs as much as all that was seen before it."""

_OWN_JOBS = 0.5  # of average work that a kind is taken to be like the others
_MOST_PLACED = 300  # jobs that are placed one by one; of more, only the sum counts


@dataclass(frozen=True)
class Job:
    """What there is to do.

    Attributes:
        kind: Jobs of one kind cost alike for their work.
        work: How much it is.
    """

    kind: Hashable
    work: float


@dataclass
class _Running:
    """A job on its way: when it began, and how far it was at first and last."""

    began: float
    first: tuple[float, float] | None = None
    last: tuple[float, float] | None = None

    @property
    def measured(self) -> tuple[float, float]:
        """Gives the seconds and the share of the job between the two; zeros where unknown."""
        if self.first is None or self.last is None:
            return 0.0, 0.0
        return self.last[0] - self.first[0], self.last[1] - self.first[1]


class _Seen:
    """Work and the seconds it took, by kind."""

    def __init__(self) -> None:
        self.sums: dict[Hashable, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))

    def add(self, kind: Hashable, work: float, seconds: float) -> None:
        before = self.sums[kind]
        self.sums[kind] = before[0] + work, before[1] + seconds

    def copy(self) -> _Seen:
        other = _Seen()
        other.sums.update(self.sums)
        return other

    @property
    def rate(self) -> float:
        """Gives seconds a unit of work; NaN where none was seen."""
        work = sum(w for w, _ in self.sums.values())
        return sum(s for _, s in self.sums.values()) / work if work > 0 else math.nan


class Pace:
    """Tells the time that jobs take.

    Args:
        jobs: All jobs that are not finished, in the order in which they will be begun.
        workers: How many run at a time.
        clock: Gives seconds.
    """

    def __init__(
        self,
        jobs: Mapping[Hashable, Job],
        *,
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._left = dict(jobs)
        self._workers, self._clock = max(workers, 1), clock
        self._running: dict[Hashable, _Running] = {}
        self._now, self._before = _Seen(), _Seen()
        total = sum(job.work for job in jobs.values())
        self._average = total / max(len(jobs), 1)

    def learn(self, job: Job, seconds: float) -> None:
        """Hears what a job of an earlier session took, or a moment of one."""
        if job.work > 0 and seconds > 0:
            self._before.add(job.kind, job.work, seconds)

    def start(self, key: Hashable) -> None:
        """Hears that a job begins."""
        self._running[key] = _Running(self._clock())

    def progress(self, key: Hashable, share: float) -> None:
        """Hears which share of a job is done; what was done before the first word is not timed."""
        running, now = self._running[key], self._clock()
        running.first = running.first or (now, share)
        running.last = now, share

    def finish(self, key: Hashable, *, counts: bool = True) -> None:
        """Hears that a job is over.

        Args:
            key: Which.
            counts: Whether it was done whole, so that its time says something.
        """
        job, running = self._left.pop(key, None), self._running.pop(key, None)
        if job and running and counts:
            self._now.add(job.kind, job.work, self._clock() - running.began)

    @property
    def seconds_left(self) -> float:
        """Gives the seconds until all jobs are over; NaN where nothing is known."""
        rate = self._rates()
        if not self._left:
            return 0.0
        if math.isnan(rate(next(iter(self._left.values())).kind)):
            return math.nan
        now = self._clock()
        ends = [
            self._rest(self._left[key], running, rate, now)
            for key, running in self._running.items()
            if key in self._left
        ]
        waiting = [
            job.work * rate(job.kind) for key, job in self._left.items() if key not in self._running
        ]
        if len(waiting) > _MOST_PLACED:
            return (sum(ends) + sum(waiting)) / self._workers
        free = [*ends, *[0.0] * (self._workers - len(ends))]
        heapq.heapify(free)
        for seconds in waiting:
            heapq.heappush(free, heapq.heappop(free) + seconds)
        return max(free)

    def _rest(
        self,
        job: Job,
        running: _Running,
        rate: Callable[[Hashable], float],
        now: float,
    ) -> float:
        """Gives the seconds that a running job still takes."""
        seconds, share = running.measured
        if running.last and share > 0:
            return max(seconds / share * (1 - running.last[1]) - (now - running.last[0]), 0.0)
        past = now - running.began
        # one that runs over what was expected goes on for a while
        return max(job.work * rate(job.kind) - past, 0.1 * past)

    def _rates(self) -> Callable[[Hashable], float]:
        """Gives the seconds a unit of work of a kind."""
        seen = self._now.copy()
        for key, running in self._running.items():
            seconds, share = running.measured
            if key in self._left and share > 0:
                job = self._left[key]
                seen.add(job.kind, job.work * share, seconds)
        rate = self._rates_of(seen)
        now, late = self._clock(), seen.copy()
        for key, running in self._running.items():
            late_job, past = self._left.get(key), now - running.began
            if late_job is None or running.measured[1]:
                continue
            if past > late_job.work * rate(late_job.kind):
                late.add(late_job.kind, late_job.work, past)
        return self._rates_of(late)

    def _rates_of(self, seen: _Seen) -> Callable[[Hashable], float]:
        before = self._before.rate
        known = not math.isnan(before)

        def usual(kind: Hashable) -> float:
            """What a kind cost before, beside the others."""
            return _beside(self._before, kind, before, self._average) / before if known else 1.0

        weighed = sum(work * usual(kind) for kind, (work, _) in seen.sums.items())
        seconds = sum(s for _, s in seen.sums.values())
        if known:
            weighed, seconds = weighed + EARLIER_SECONDS / before, seconds + EARLIER_SECONDS
        pace = seconds / weighed if weighed > 0 else math.nan
        return lambda kind: _beside(seen, kind, pace * usual(kind), self._average)


def _beside(seen: _Seen, kind: Hashable, expected: float, average: float) -> float:
    """Gives the rate of a kind: what was seen of it, and some of what is expected of it."""
    work, seconds = seen.sums.get(kind, (0.0, 0.0))
    own = _OWN_JOBS * average
    return (seconds + own * expected) / (work + own) if work + own > 0 else expected
