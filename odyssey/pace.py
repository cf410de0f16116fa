"""How long what is left will take: told from what each job should cost and from what was seen.

A job says how much work it is, in any unit that compares jobs (operations, updates), and of which
kind it is. Work is turned into seconds by

* the pace of this run of the command: seconds of work seen, finished or on its way, over the work
  it was;
* what each kind has cost beside that, for a model of work is wrong by another factor for each;
* how much slower or faster than that told the last minute was: the machine may have changed;
* before anything was seen, an earlier run of the command or a timed moment, which a few seconds
  outweigh: this machine may be slower than that was.

A job that is on its way says how far it is, or runs over what was expected of it, which is news
too. Work of which it is not known yet what jobs it will be is told as a sum (`expect`). Nothing
here decides a result.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odyssey.wording import duration

EARLIER_SECONDS = 5.0
"""How much of this run of the command weighs as much as all that was seen before it."""

LATELY_SECONDS = 60.0
"""How long what a job took stays news, or as many average jobs as `_LATELY_JOBS`, if longer."""

SAID_EVERY = 10.0
"""Seconds from a word of a course of many short steps to the next."""

WORTH_SAYING = 5.0
"""Seconds; what takes no longer needs no word on it."""

_OWN_JOBS = 0.5  # of average work that a kind is taken to be like the others
_LATELY_JOBS = 16
_SETTLED_SECONDS = 20.0  # until it is told from what was seen how many jobs run at a time
_POINTS = 200  # words of a job on how far it is that are kept, at most
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
    """A job on its way: when it began, and how far it was when."""

    began: float
    points: deque[tuple[float, float]] = field(default_factory=deque)

    def note(self, now: float, share: float) -> None:
        """Notes how far it is; forgets what is older than half of the time since the beginning."""
        points = self.points
        if len(points) > 2 and now - points[-2][0] < (now - self.began) / _POINTS:
            points.pop()  # as many as tell how it went are enough
        points.append((now, share))
        while len(points) > 2 and now - points[1][0] > max((now - self.began) / 2, LATELY_SECONDS):
            points.popleft()

    @property
    def last(self) -> tuple[float, float] | None:
        """Gives when it was last heard of, and the share that was done."""
        return self.points[-1] if self.points else None

    @property
    def measured(self) -> tuple[float, float]:
        """Gives the seconds and the share of the job lately; zeros where unknown."""
        if not self.points:
            return 0.0, 0.0
        first, last = self.points[0], self.points[-1]
        return last[0] - first[0], last[1] - first[1]


class _Lately:
    """The last jobs, and what they took; what is old fades."""

    def __init__(self) -> None:
        self._ended: deque[tuple[float, Job, float]] = deque(maxlen=4 * _LATELY_JOBS)

    def add(self, now: float, job: Job, seconds: float) -> None:
        self._ended.append((now, job, seconds))

    def beside(self, rate: Callable[[Hashable], float], now: float, *, workers: int) -> float:
        """Gives by which factor these jobs took longer than is told of them."""
        if not self._ended:
            return 1.0
        average = sum(seconds for _, _, seconds in self._ended) / len(self._ended)
        memory = max(LATELY_SECONDS, _LATELY_JOBS * average / workers)
        told = took = EARLIER_SECONDS
        for at, job, seconds in self._ended:
            weight = math.exp((at - now) / memory)
            told, took = told + weight * job.work * rate(job.kind), took + weight * seconds
        return took / told


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
        self._left: dict[Hashable, Job] = {}
        self._expected: dict[Hashable, float] = {}
        self._workers, self._clock = max(workers, 1), clock
        self._lately = _Lately()
        self._since, self._busy, self._noted = math.nan, 0.0, 0.0
        self._running: dict[Hashable, _Running] = {}
        self._now, self._before = _Seen(), _Seen()
        self._jobs, self._work = 0, 0.0
        for key, job in jobs.items():
            self.add(key, job)

    def add(self, key: Hashable, job: Job) -> None:
        """Hears of a job that is to be done beside the others."""
        self._left[key] = job
        self._jobs, self._work = self._jobs + 1, self._work + job.work

    def expect(self, work: Mapping[Any, float]) -> None:
        """Hears how much work there will be beside the jobs, by kind, instead of what was said."""
        self._expected = {kind: amount for kind, amount in work.items() if amount > 0}

    def learn(self, job: Job, seconds: float) -> None:
        """Hears what a job of an earlier run of the command took, or a moment of one."""
        if job.work > 0 and seconds > 0:
            self._before.add(job.kind, job.work, seconds)

    def start(self, key: Hashable) -> None:
        """Hears that a job begins."""
        self._note_busy()
        self._running[key] = _Running(self._clock())

    def progress(self, key: Hashable, share: float) -> None:
        """Hears which share of a job is done; what was done before the first word is not timed."""
        self._running[key].note(self._clock(), share)

    def finish(self, key: Hashable, *, counts: bool = True) -> None:
        """Hears that a job is over.

        Args:
            key: Which.
            counts: Whether it was done whole, so that its time says something.
        """
        self._note_busy()
        job, running = self._left.pop(key, None), self._running.pop(key, None)
        if not (job and running and counts):
            return
        now = self._clock()
        self._lately.add(now, job, now - running.began)
        self._now.add(job.kind, job.work, now - running.began)

    def _note_busy(self) -> None:
        """Adds up for how long jobs were running."""
        now = self._clock()
        if math.isnan(self._since):
            self._since = self._noted = now
        self._busy += len(self._running) * (now - self._noted)
        self._noted = now

    @property
    def _at_a_time(self) -> float:
        """Gives how many jobs run at a time: the workers, or fewer where they had to wait."""
        self._note_busy()
        past = self._noted - self._since
        if past < _SETTLED_SECONDS or not self._busy:
            return self._workers
        return min(self._busy / past, self._workers)

    @property
    def seconds_left(self) -> float:
        """Gives the seconds until all jobs are over; NaN where nothing is known."""
        rate = self._rates()
        kinds = [job.kind for job in self._left.values()] or list(self._expected)
        if not kinds:
            return 0.0
        if math.isnan(rate(kinds[0])):
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
        if self._expected:
            waiting += [work * rate(kind) for kind, work in self._expected.items()]
            return max((sum(ends) + sum(waiting)) / self._at_a_time, *ends, 0.0)
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
        now, late = self._clock(), seen.copy()
        rate = self._rates_of(seen)
        factor = self._lately.beside(rate, now, workers=self._workers)
        for key, running in self._running.items():
            late_job, past = self._left.get(key), now - running.began
            if late_job is None or running.measured[1]:
                continue
            if past > late_job.work * rate(late_job.kind) * factor:
                late.add(late_job.kind, late_job.work, past / factor)
        rate = self._rates_of(late)
        return lambda kind: rate(kind) * factor

    def _rates_of(self, seen: _Seen) -> Callable[[Hashable], float]:
        """Gives the seconds a unit of work of a kind, by what was seen alone."""
        before, average = self._before.rate, self._work / max(self._jobs, 1)
        known = not math.isnan(before)

        def usual(kind: Hashable) -> float:
            """What a kind cost before, beside the others."""
            return _beside(self._before, kind, before, average) / before if known else 1.0

        weighed = sum(work * usual(kind) for kind, (work, _) in seen.sums.items())
        seconds = sum(s for _, s in seen.sums.values())
        if known:
            weighed, seconds = weighed + EARLIER_SECONDS / before, seconds + EARLIER_SECONDS
        pace = seconds / weighed if weighed > 0 else math.nan
        return lambda kind: _beside(seen, kind, pace * usual(kind), average)


@dataclass(frozen=True)
class Part:
    """A part of a course: like steps.

    Attributes:
        steps: How many there are.
        seconds: What all of them should take, from a timed moment or from recorded rates; NaN where
            nothing is known.
    """

    steps: float
    seconds: float = math.nan


class Course:
    """A course of steps, one after the other: says in words how long it takes, and still takes.

    Args:
        parts: The number of steps; or parts of like steps by name, in order, whose seconds are
            told beforehand.
        every: Seconds from a word to the next, at least; the first one comes after the first step.
        clock: Gives seconds.
    """

    def __init__(
        self,
        parts: float | Mapping[str, Part],
        *,
        every: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = parts if isinstance(parts, Mapping) else {"": Part(parts)}
        self._every, self._clock = every, clock
        self._said = -math.inf
        told = [part.seconds for part in self._parts.values()]
        self._seconds = sum(told)
        self._pace = Pace(
            {
                name: Job(name, part.steps if math.isnan(self._seconds) else part.seconds)
                for name, part in self._parts.items()
            },
            clock=clock,
        )
        if self._seconds > 0:
            self._pace.learn(Job("", self._seconds), self._seconds)
        self._left = list(self._parts)
        self._begin()

    def _begin(self) -> None:
        if self._left:
            self._pace.start(self._left[0])
            self._pace.progress(self._left[0], 0.0)

    def before(self) -> str:
        """Gives how long it should take in all, `about 3 min 00 s`.

        Nothing where it is over at once, or where nothing is known.
        """
        return f"about {duration(self._seconds)}" if self._seconds >= WORTH_SAYING else ""

    def after(self, done: float, part: str = "") -> str:
        """Gives the end of a line, `  about 3 min 00 s left`.

        Nothing where it is over at once, or where it has been said lately.

        Args:
            done: Steps of the part that are done.
            part: Which; those before it are over.
        """
        while self._left and self._left[0] != part:
            self._pace.finish(self._left.pop(0))
            self._begin()
        self._pace.progress(part, done / max(self._parts[part].steps, 1))
        left, now = self._pace.seconds_left, self._clock()
        if not left >= WORTH_SAYING or now - self._said < self._every:
            return ""
        self._said = now
        return f"  about {duration(left)} left"


def moment(run: Callable[[], object], *, clock: Callable[[], float] = time.perf_counter) -> float:
    """Times a small part of what is to be done: its seconds, the second time it runs.

    The first time compiles, reads and imports, which happens once.

    Args:
        run: Does it; changes nothing.
        clock: Gives seconds.
    """
    run()
    began = clock()
    run()
    return clock() - began


def _beside(seen: _Seen, kind: Hashable, expected: float, average: float) -> float:
    """Gives the rate of a kind: what was seen of it, and some of what is expected of it."""
    work, seconds = seen.sums.get(kind, (0.0, 0.0))
    own = _OWN_JOBS * average
    return (seconds + own * expected) / (work + own) if work + own > 0 else expected
