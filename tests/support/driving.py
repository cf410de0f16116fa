"""Runs Python in processes of its own, and kills one with all that it started. Linux only."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HANGS = 200.0  # seconds after which a process is taken to hang, however slow the machine


def environment(**variables):
    """Gives what a process needs to import this checkout, one thread at a time."""
    path = os.pathsep.join(
        [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    ).rstrip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}


def start(*arguments, cwd, **variables):
    """Starts `python ARGUMENTS` in a session of its own.

    What it says so far is in `stderr`, a file: a pipe has no end before the last process that it
    started is gone, and Ray's may outlive it.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env=environment(**variables),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=said,
            text=True,
        )
        process.stderr = Path(f"/proc/self/fd/{said.fileno()}").open()  # noqa: SIM115
    return process


def python(*arguments, cwd, **variables):
    """Runs `python ARGUMENTS` to its end; gives what `subprocess.run` gives."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=HANGS,
    )


def session_members(session):
    """Lists the living processes of a session: a driver, its raylet and its workers."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            process = int(folder.name)
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                found.append(process)
    return found


def kill_all(process, patience=20.0):
    """Kills a process from `start` and all of its session with SIGKILL, and waits for their end."""
    deadline = time.monotonic() + patience
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGSTOP)  # so that it starts no more while we look
    workers = session_members(process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    while left := session_members(process.pid):
        assert time.monotonic() < deadline, f"processes {left} outlived SIGKILL"
        for one in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        time.sleep(0.01)
    process.wait(patience)
    process.stderr.close()
    return len(workers)
