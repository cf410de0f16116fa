"""Checkpoints: all that a training goes on from, in its run directory.

    DIR/checkpoint.npz                      of a single training (`odyssey train`)
    DIR/checkpoints/TRIAL-GROUP.npz         of a trial of a study that takes long, while it runs

Both hold weights, what the optimiser keeps, states, streams, curves and the time spent, sealed. A
file takes the place of the one before in one piece.

A single training writes one every so many updates, at the end, and when a signal asks it to end:
then at once, between two updates, before the signal does what it does. A second signal does that
without waiting.

A trial trains its members in groups of like size, one after the other, and writes one for the group
that it is at every few minutes, and for a group that is done; so a trial that is killed, with its
worker or with the whole run, loses these minutes. Its files go when its results are written.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey.errors import StoreError
from odyssey.storage import files
from odyssey.storage.files import DamagedFileError
from odyssey.storage.places import Place
from odyssey.storage.store import RunStore
from odyssey.studies.weights import read_weights, write_arrays

if TYPE_CHECKING:
    from odyssey.training.snapshots import Snapshot

_log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.npz"
FOLDER = "checkpoints"
EVERY = 300.0
"""Seconds between the checkpoints of a trial."""
SHORT = 20.0
"""Seconds of a group that is done; with fewer it is rather trained again."""
SHARE = 0.02
"""Of the time of a trial, at most, that goes to writing."""

_FACTS = "facts"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _read(path: Place) -> Snapshot:
    """Reads a checkpoint; raises OSError, `DamagedFileError`, KeyError or ValueError."""
    from odyssey.training.snapshots import Snapshot

    arrays = read_weights(path, "", sealed=True)
    return Snapshot(arrays, json.loads(bytes(arrays.pop(_FACTS)).decode()))


def _write(path: Place, snapshot: Snapshot, **further: Any) -> None:
    text = json.dumps({**snapshot.facts, **further})
    facts = np.frombuffer(text.encode(), dtype=np.uint8)
    write_arrays(path, {**snapshot.arrays, _FACTS: facts})


class _Spent:
    """The time that a training has taken, in this process and in those before it."""

    def __init__(self) -> None:
        self.earlier = (0.0, 0.0)
        self._start = self._now()

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def goes_on(self, snapshot: Snapshot) -> None:
        """Takes note of what was spent before a checkpoint; older ones do not say."""
        before = snapshot.facts.get("spent", self.earlier)
        self.earlier = max(self.earlier, (float(before[0]), float(before[1])))

    def so_far(self) -> tuple[float, float]:
        """Gives seconds and processor seconds."""
        times = zip(self._now(), self._start, self.earlier, strict=True)
        seconds, processor = (now - start + earlier for now, start, earlier in times)
        return seconds, processor


class RunCheckpoints:
    """Keeps the checkpoint of a training in its run; see `training.snapshots.Checkpoints`.

    Args:
        store: The run.
        every: Updates between checkpoints.
    """

    def __init__(self, store: RunStore, *, every: int) -> None:
        self.path = store.path / CHECKPOINT
        self.every = every
        self.written: int | None = None  # updates of the last one
        self.spent = _Spent()
        self._signal: int | None = None
        self._handlers: dict[int, Any] = {}

    def load(self) -> Snapshot | None:
        """Reads the checkpoint; None where there is none.

        Raises:
            StoreError: It is damaged.
        """
        if not self.path.is_file():
            return None
        try:
            snapshot = _read(self.path)
        except (OSError, DamagedFileError, KeyError, ValueError) as error:
            raise StoreError(
                f"{self.path} is damaged ({error}); delete it, and the training begins anew"
            ) from None
        self.written = int(snapshot.facts["updates"])
        self.spent.goes_on(snapshot)
        return snapshot

    def passing(self, updates: int, take: Callable[[], Snapshot], *, last: bool) -> None:
        """Writes a checkpoint where one is due; then lets a signal through that came meanwhile."""
        due = last or self.written is None or updates - self.written >= self.every
        if (due or self._signal is not None) and updates != self.written:
            _write(self.path, take(), spent=self.spent.so_far())
            self.written = updates
        if self._signal is not None:
            number, self._signal = self._signal, None
            self._pass_on(number)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Lets the first signal wait until a checkpoint is written."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS}
        # what is ignored stays ignored; None is a handler that is not Python's
        heard = {n: h for n, h in before.items() if h not in (signal.SIG_IGN, None)}
        self._handlers = heard
        for number in heard:
            signal.signal(number, self._hear)
        try:
            yield
        finally:
            for number, handler in heard.items():
                if signal.getsignal(number) == self._hear:
                    signal.signal(number, handler)
            if self._signal is not None:  # nothing came after it that could have passed it on
                late, self._signal = self._signal, None
                self._pass_on(late)

    def _hear(self, number: int, frame: object) -> None:
        if self._signal is None:
            self._signal = number
            return
        self._signal = None
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        """Does what the signal would have done."""
        handler = self._handlers[number]
        for other, before in self._handlers.items():
            signal.signal(other, before)
        if callable(handler):
            handler(number, None)
        else:
            signal.raise_signal(number)


class TrialCheckpoints:
    """Keeps the checkpoints of a trial of a study; see `training.snapshots.KeptGroups`.

    They are a convenience: what cannot be read or written, or is another version's, is as if it
    were not there.

    Args:
        run: The run directory.
        trial: The trial's id.
        made: The versions that results may depend on; of others nothing is taken over.
    """

    def __init__(self, run: Place, trial: str, *, made: str) -> None:
        self.folder, self.trial, self.made = run / FOLDER, trial, made
        self.spent = _Spent()
        self.pause = EVERY
        self.there: set[int] = set()  # groups with a file

    @property
    def earlier(self) -> tuple[float, float]:
        """See `training.snapshots.KeptGroups`."""
        return self.spent.earlier

    def group(self, number: int, *, of: int) -> _GroupCheckpoints:
        """See `training.snapshots.KeptGroups`."""
        return _GroupCheckpoints(self, number, is_last=number == of - 1)

    def path(self, group: int) -> Place:
        """Names the file of a group."""
        return self.folder / f"{self.trial}-{group}.npz"

    def write(self, group: int, snapshot: Snapshot) -> None:
        """Writes the file of a group, and sees to it that this takes a small share of the time."""
        start = time.monotonic()
        try:
            _write(self.path(group), snapshot, spent=self.spent.so_far(), made=self.made)
        except StoreError as error:
            _log.warning("no checkpoint of trial %s: %s", self.trial, error)
        else:
            self.there.add(group)
        self.pause = max(EVERY, (time.monotonic() - start) / SHARE)

    def remove(self) -> None:
        """Removes the files; the trial's results are written."""
        for group in self.there:
            with contextlib.suppress(OSError):
                self.path(group).unlink(missing_ok=True)


class _GroupCheckpoints:
    """Keeps the checkpoint of one group of a trial; see `training.snapshots.Checkpoints`."""

    def __init__(self, trial: TrialCheckpoints, number: int, *, is_last: bool) -> None:
        self.trial, self.number, self.is_last = trial, number, is_last
        self.since = time.monotonic()  # the last checkpoint, or the start
        self.written: int | None = None

    def load(self) -> Snapshot | None:
        """Reads the checkpoint; None where there is none that fits."""
        try:
            snapshot = _read(self.trial.path(self.number))
            self.written = int(snapshot.facts["updates"])
        except (OSError, DamagedFileError, KeyError, ValueError):
            return None
        self.trial.there.add(self.number)
        if snapshot.facts.get("made") != self.trial.made:
            self.written = None
            return None
        self.trial.spent.goes_on(snapshot)
        return snapshot

    def passing(self, updates: int, take: Callable[[], Snapshot], *, last: bool) -> None:
        """Writes a checkpoint where one is due."""
        if last and self.is_last:
            return  # the trial is as good as done
        seconds = time.monotonic() - self.since
        if seconds < (SHORT if last else self.trial.pause) or updates in (0, self.written):
            return
        self.trial.write(self.number, take())
        self.since, self.written = time.monotonic(), updates


def remove_checkpoints(store: RunStore) -> None:
    """Removes the checkpoints of all trials; the run is whole."""
    folder = store.path / FOLDER
    with contextlib.suppress(OSError):
        for path in files.listed(folder):
            path.unlink(missing_ok=True)
        if isinstance(folder, Path):
            folder.rmdir()
