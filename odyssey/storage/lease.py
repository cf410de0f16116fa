"""Holding a run: by a lock of the system where there is one, else by a file that is renewed.

Whoever holds a run writes into `.lock` who it is, so that a reader can tell without a lock of its
own, and without writing. On a disk the lock itself is the system's, and ends with its process.

At a place that knows no locks the holder writes the file anew every `BEAT` seconds. A file that was
not renewed for `LEASE` seconds, or whose process is gone from this machine, belongs to nobody: a
run that was killed can be resumed at once where it ran, and after a minute from elsewhere. Clocks
may differ by less than that.

Two processes that begin within the same second may both think that they hold it, in spite of the
second look that each takes. They would do the same work and write the same results.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from odyssey.errors import StoreError
from odyssey.storage.files import DamagedFileError, read_regular, why
from odyssey.storage.places import Place, RemotePath
from odyssey.storage.scratch import is_gone, is_here, mark

BEAT = 15.0
LEASE = 60.0
SETTLE = 1.0  # seconds between writing and the second look
ATTEMPTS, PAUSE = 5, 0.05  # to lock, and seconds between: a reader from elsewhere may be asking
MOST_NAME_BYTES = 1000  # of a name
MOST_LEASE = 10_000  # bytes of a lease


def holder(file: RemotePath) -> dict[str, Any] | None:
    """Gives who holds the lease, as it wrote itself down; None when nobody does.

    Raises:
        StoreError: The file cannot be read.
    """
    try:
        found = json.loads(read_regular(file, most=MOST_LEASE))
        age = time.time() - float(found["time"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {file}: {why(error)}") from error
    except (DamagedFileError, RecursionError, ValueError, TypeError, KeyError):
        return None  # nothing that a holder would write
    return None if is_gone(str(found.get("process"))) or age > LEASE else found


def held(file: Place) -> contextlib.AbstractContextManager[None]:
    """Holds a run by its file as long as the context lasts.

    Raises:
        StoreError: Another process holds it, or the file cannot be written.
    """
    return _leased(file) if isinstance(file, RemotePath) else _locked(file)


def is_held(file: Place) -> bool:
    """Tells whether a process holds a run, and leaves everything as it is.

    Raises:
        StoreError: The file cannot be read.
    """
    if isinstance(file, RemotePath):
        return holder(file) is not None
    try:
        with file.open("rb") as opened:
            name = opened.read(MOST_NAME_BYTES).decode("ascii", "replace")
            if not name or is_gone(name) or is_here(name):
                return bool(name) and not is_gone(name)
            # of another machine: ask the file system that both share, for the shortest of whiles
            try:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"cannot read {file}: {why(error)}") from error


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    run = file.parent
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"cannot lock {run}: {why(error)}") from error
    try:
        for attempt in range(ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt + 1 == ATTEMPTS:
                    raise _busy(run) from None
                time.sleep(PAUSE)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, mark().encode(), 0)
        except OSError as error:
            raise StoreError(f"cannot lock {run}: {why(error)}") from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _busy(run: Place) -> StoreError:
    return StoreError(f"another process is running {run}; wait for it or stop it first")


@contextlib.contextmanager
def _leased(file: RemotePath) -> Iterator[None]:
    """Holds a run as long as the context lasts.

    Raises:
        StoreError: Another process holds it, or the file cannot be written.
    """
    token = uuid.uuid4().hex

    def write() -> None:
        facts = {"token": token, "process": mark(), "time": time.time()}
        file.write_bytes(json.dumps(facts).encode())

    def mine() -> bool:
        found = holder(file)
        return found is not None and found.get("token") == token

    def taken_over() -> bool:
        found = holder(file)
        return found is not None and found.get("token") != token

    run = file.parent
    if holder(file) is not None:
        raise _busy(run)
    try:
        write()
    except OSError as error:
        raise StoreError(f"cannot lock {run}: {why(error)}") from error
    time.sleep(SETTLE)
    if not mine():
        raise _busy(run)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(BEAT):
            # the run itself will find out what is wrong; a process that took the run over while
            # this machine slept keeps it
            with contextlib.suppress(OSError, StoreError):
                if taken_over():
                    return
                write()

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError, StoreError):
            if mine():
                file.unlink(missing_ok=True)
