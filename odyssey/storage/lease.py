"""Holding a run whose place knows no locks: a file that its holder renews.

The holder writes who it is every `BEAT` seconds. A file that was not renewed for `LEASE` seconds,
or whose process is gone from this machine, belongs to nobody: a run that was killed can be resumed
at once where it ran, and after a minute from elsewhere. Clocks may differ by less than that.

Two processes that begin within the same second may both think that they hold it, in spite of the
second look that each takes. They would do the same work and write the same results.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from odyssey.errors import StoreError
from odyssey.storage.places import RemotePath

BEAT = 15.0
LEASE = 60.0
SETTLE = 1.0  # seconds between writing and the second look


@cache
def _machine() -> str:
    """Names what a process number means something on: the machine, its start, its namespace."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts) if len(parts) == 3 else ""


def holder(file: RemotePath) -> dict[str, Any] | None:
    """Gives who holds the lease, as it wrote itself down; None when nobody does.

    Raises:
        StoreError: The file cannot be read.
    """
    try:
        found = json.loads(file.read_bytes())
        age = time.time() - float(found["time"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError):
        return None  # nothing that a holder would write
    gone = bool(_machine()) and found.get("machine") == _machine() and not _alive(found["pid"])
    return None if gone or age > LEASE else found


def _alive(process: int) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def leased(file: RemotePath) -> Iterator[None]:
    """Holds a run as long as the context lasts.

    Raises:
        StoreError: Another process holds it, or the file cannot be written.
    """
    token = uuid.uuid4().hex

    def write() -> None:
        facts = {"token": token, "machine": _machine(), "pid": os.getpid(), "time": time.time()}
        file.write_bytes(json.dumps(facts).encode())

    def mine() -> bool:
        found = holder(file)
        return found is not None and found.get("token") == token

    run = file.parent
    if holder(file) is not None:
        raise StoreError(f"another process is running {run}; wait for it or stop it first")
    try:
        write()
    except OSError as error:
        raise StoreError(f"cannot lock {run}: {error.strerror or error}") from error
    time.sleep(SETTLE)
    if not mine():
        raise StoreError(f"another process is running {run}; wait for it or stop it first")
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(BEAT):
            with contextlib.suppress(OSError):  # the run itself will find out what is wrong
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
