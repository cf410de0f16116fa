"""Checkpoints of a single training: all that it goes on from, in its run directory.

    DIR/checkpoint.npz   weights, what the optimiser keeps, states, streams and curves, sealed

A checkpoint is written every so many updates, at the end, and when a signal asks the training to
end: then at once, between two updates, before the signal does what it does. A second signal does
that without waiting. The file takes the place of the one before in one piece.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey.errors import StoreError
from odyssey.storage.files import DamagedFileError
from odyssey.storage.store import RunStore
from odyssey.studies.weights import read_weights, write_arrays

if TYPE_CHECKING:
    from odyssey.training.snapshots import Snapshot

CHECKPOINT = "checkpoint.npz"
_FACTS = "facts"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
        self._signal: int | None = None
        self._handlers: dict[int, Any] = {}

    def load(self) -> Snapshot | None:
        """Reads the checkpoint; None where there is none.

        Raises:
            StoreError: It is damaged.
        """
        from odyssey.training.snapshots import Snapshot

        if not self.path.is_file():
            return None
        try:
            arrays = read_weights(self.path, "", sealed=True)
            facts = json.loads(bytes(arrays.pop(_FACTS)).decode())
        except (OSError, DamagedFileError, KeyError, ValueError) as error:
            raise StoreError(
                f"{self.path} is damaged ({error}); delete it, and the training begins anew"
            ) from None
        self.written = int(facts["updates"])
        return Snapshot(arrays, facts)

    def passing(self, updates: int, take: Callable[[], Snapshot], *, last: bool) -> None:
        """Writes a checkpoint where one is due; then lets a signal through that came meanwhile."""
        due = last or self.written is None or updates - self.written >= self.every
        if (due or self._signal is not None) and updates != self.written:
            self._write(take())
        if self._signal is not None:
            number, self._signal = self._signal, None
            self._pass_on(number)

    def _write(self, snapshot: Snapshot) -> None:
        facts = np.frombuffer(json.dumps(dict(snapshot.facts)).encode(), dtype=np.uint8)
        write_arrays(self.path, {**snapshot.arrays, _FACTS: facts})
        self.written = int(snapshot.facts["updates"])

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
