"""Runs trials in parallel under Ray Tune, which lives in a process of its own (`ray_driver`).

Whatever happens to Ray, this process survives it, and says in one line what it was: Ray ends a
process whose cluster is lost, takes its signal handlers, and waits for minutes for an address where
nobody is. That process asks for trials and sends what came of them, each message a tuple:

    ray_driver                                    ray
    ("ready",)                                    the pickled work
    ("next", running)                             a trial, None where one must end first, or "end"
    ("result", trial, pickled `TrialResult`)
    ("failure", trial, reason)
    ("unmeasured", trial)
    ("tick", running)
    ("broken", why)                               the end of it
    ("done",)

Where either is gone, the other reads the end of the pipe and cleans up; what both leave behind, the
next run sweeps (`storage.scratch`).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from odyssey.errors import ConfigError, RunCutShortError
from odyssey.storage.scratch import scratch_folder
from odyssey.studies.runners.contract import Listener, Ticker, Work, stalled
from odyssey.studies.trial import Trial, TrialResult

# Seconds for Ray to start or to join a cluster, where no process waits for a core.
START = 20.0
REACH = 5.0  # seconds for an address to answer
SHUTDOWN = 10.0  # seconds for Ray to end by itself

MARK = "ODYSSEY_RAY"  # in the environment of every process of ours: the folder of the run
HELPERS = {"gcs_server": 71, "raylet": 72}  # exit status of the driver when one of these has died

_WITHOUT = "; --runner local does without Ray"
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",  # the newer output engine prints a header even at verbose=0
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in every process
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # this process decides when to end
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # the run store is what a resumed run reads
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


def run_trials(
    trials: Iterator[Trial | None],
    *,
    work: Work,
    workers: int,
    gpus: float = 0.0,
    address: str | None = None,
    listener: Listener,
) -> None:
    """Runs every trial of the source, `workers` at a time; see `runner.Runner`.

    Without an address the run has a Ray cluster of its own, which ends with it. With one it joins
    the cluster there, where Odyssey and its data must be at the same paths, and only leaves it.

    Raises:
        ConfigError: Fewer than one worker, or an address that a driver cannot join.
        RunCutShortError: Ray did not start, the cluster could not be reached, the workers did not
            come up, or a process of Ray's died.
    """
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more, not {workers}")
    if address is not None:
        _check_address(address)
    with (
        scratch_folder(_short_place(), before=_end_processes) as folder,
        _driver(folder, workers=workers, gpus=gpus, address=address) as driver,
    ):
        import cloudpickle  # knows functions of a script, too

        pickled = cloudpickle.dumps(work)
        _await_start(driver, address=address)
        try:
            driver.connection.send(pickled)
            _serve(driver.connection, trials, listener)
        except (EOFError, ConnectionError) as error:
            raise RunCutShortError(_epitaph(driver.process)) from error


def _serve(connection: Connection, trials: Iterator[Trial | None], listener: Listener) -> None:
    """Answers the driver until it is done."""
    ticker = Ticker(listener)  # the driver's ticks may come closer together than it sent them
    while True:
        kind, *rest = connection.recv()
        if kind == "next":
            connection.send(_next(trials, listener, running=rest[0]))
        elif kind == "result":
            trial, outcome = rest
            result = pickle.loads(outcome)
            assert isinstance(result, TrialResult), result
            listener.on_result(trial, result)
        elif kind == "failure":
            listener.on_failure(*rest)
        elif kind == "unmeasured":
            listener.on_unmeasured(*rest)
        elif kind == "tick":
            ticker.tick(*rest)
        elif kind == "broken":
            raise RunCutShortError(rest[0])
        else:
            assert kind == "done", kind
            return


def _next(trials: Iterator[Trial | None], listener: Listener, *, running: int) -> Any:
    try:
        trial = next(trials)
    except StopIteration:
        return "end"
    if trial is not None:
        listener.on_start(trial)
    elif not running:
        raise stalled()
    return trial


def _check_address(address: str) -> None:
    """Raises `ConfigError` for what is no address, `RunCutShortError` for one without an answer."""
    if address == "auto":  # what runs on this machine
        return
    found = re.fullmatch(r"\[?([^\[\]/\s]+?)\]?:(\d{1,5})", address)
    if not found or not 0 < int(found[2]) < 2**16:
        raise ConfigError(
            f"{address!r} is no address of a Ray head node: give HOST:PORT, as `ray start --head` "
            "prints it, or auto for the cluster on this machine"
        )
    try:
        socket.create_connection((found[1], int(found[2])), timeout=REACH).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise RunCutShortError(
            f"could not reach a Ray cluster at {address}: {why}{_WITHOUT}"
        ) from error


@dataclass
class _Driver:
    """The process that Ray lives in.

    Attributes:
        process: The process.
        connection: Our end of the pipe.
        ready: Whether Ray has started, and there is something to shut down in order.
    """

    process: subprocess.Popen[bytes]
    connection: Connection
    ready: bool = False


@contextlib.contextmanager
def _driver(folder: Path, *, workers: int, gpus: float, address: str | None) -> Iterator[_Driver]:
    """Starts `ray_driver`; at the end waits until Ray has shut down, and no longer than that."""
    ours, theirs = Pipe()
    call = f"main({theirs.fileno()}, {str(folder)!r}, {workers}, {gpus!r}, {address!r})"
    with (folder / "driver.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", f"from odyssey.studies.runners.ray_driver import main; {call}"],
            pass_fds=[theirs.fileno()],
            env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": _import_path(), MARK: str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    theirs.close()
    driver = _Driver(process, ours)
    try:
        yield driver
    finally:
        ours.close()
        try:
            process.wait(SHUTDOWN if driver.ready else 0)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()
            process.wait()


def _await_start(driver: _Driver, *, address: str | None) -> None:
    """Waits until Ray is there.

    Raises:
        RunCutShortError: It did not start, or not in time.
    """
    what = f"join the Ray cluster at {address}" if address else "start Ray on this machine"
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    try:
        if not driver.connection.poll(START * busy):
            raise RunCutShortError(
                f"could not {what}: nothing happened for {START * busy:.0f} s{_WITHOUT}"
            )
        kind, *rest = driver.connection.recv()
    except (EOFError, ConnectionError) as error:
        raise RunCutShortError(f"could not {what}: {_epitaph(driver.process)}{_WITHOUT}") from error
    if kind == "broken":
        raise RunCutShortError(f"could not {what}: {rest[0]}{_WITHOUT}")
    assert kind == "ready", kind
    driver.ready = True


def _epitaph(process: subprocess.Popen[bytes]) -> str:
    """Says of what the driver died."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(SHUTDOWN)
    for name, status in HELPERS.items():
        if process.returncode == status:
            return f"Ray ended, for its process {name} died; what is finished is kept"
    status = process.returncode
    how = f"signal {-status}" if status is not None and status < 0 else f"exit status {status}"
    return f"Ray ended, for its driver died ({how}); what is finished is kept"


def _end_processes(folder: Path) -> None:
    """Kills what is left of the Ray of a run, and waits for its end; Linux only."""
    deadline = time.monotonic() + SHUTDOWN
    while time.monotonic() < deadline:
        left = [pid for pid in _processes() if _belongs(pid, folder)]
        if not left:
            return
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _belongs(process: int, folder: Path) -> bool:
    """Tells whether a living process is one of the Ray in a folder.

    By its environment, or, as those that rename themselves write over that, by its logs.
    """
    own = Path(f"/proc/{process}")
    with contextlib.suppress(OSError):
        if f"{MARK}={folder}".encode() in (own / "environ").read_bytes().split(b"\0"):
            return True
        return any(os.readlink(own / "fd" / n).startswith(f"{folder}/") for n in ("1", "2"))
    return False


def _import_path() -> str:
    """Gives what this process can import from outside its installation, for the workers."""
    installed = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    folders = [Path(entry or ".").resolve() for entry in sys.path]
    folders.append(Path(__file__).resolve().parents[2])
    mine = [f for f in folders if f.is_dir() and not installed & {f, *f.parents}]
    return os.pathsep.join(dict.fromkeys(map(str, mine)))


def _short_place() -> str:
    """Gives where temporary folders go.

    Ray puts sockets 64 characters below it, and the name of a socket may have about 100.
    """
    place = tempfile.gettempdir()
    return place if len(place) < 20 else "/tmp"


def _nothing(trial: Trial) -> TrialResult:
    return TrialResult(trial.id, trial.index, ())


class _Silent:
    """A listener that has nothing to hear."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def probe() -> str:
    """Starts Ray and a worker on this machine and stops them; says what it found.

    Raises:
        RunCutShortError: Ray cannot be started here.
    """
    run_trials(iter(()), work=_nothing, workers=1, listener=_Silent())
    return f"{importlib.metadata.version('ray')} starts a worker"
