"""Runs trials in parallel under Ray Tune: the only file that imports ray.

A Tune trial is a *worker*, and each of its steps works one Odyssey trial: a class trainable whose
actor lives as long as the run. Tune keeps every Tune trial (its state, its directory) for ever and
walks through all of them at every event, and a Tune trial that waits for a result of another gives
its actor up; with a trial a step, memory does not grow with the run, a worker imports torch
once, and a trial costs a few milliseconds.

    source -pull-> _Desk (driver) -put-> mailbox (actor) -take-> _Worker.step (actors)
                     ^------------------ Tune: result of the step --------'

The first step of a worker only says that it is there. A worker that dies is restarted by Tune,
where there is room for it; its trial goes to whoever is free first.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from odyssey.errors import ConfigError, RunFailedError
from odyssey.evaluation.runner import Listener, Ticker, Work, limit_of, reason_of, stalled
from odyssey.evaluation.trial import Trial, TrialResult

# A trial is started at most this often, if its worker dies; so is a worker that does not come up.
MAX_ATTEMPTS = 3

# Seconds that a worker has beyond its trial's limit (and a fifth of it) before it ends itself.
GRACE = 2.0

_CAUSES = "it was killed, crashed or ran out of memory"

_OBJECT_STORE_BYTES = 128 * 1024**2

_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the newer output engine prints a header even at verbose=0
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in every process
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Tune's would swallow Ctrl-C
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # the run store is what a resumed run reads
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


def run_trials(
    trials: Iterator[Trial | None],
    *,
    work: Work,
    workers: int,
    address: str | None = None,
    listener: Listener,
) -> None:
    """Runs every trial of the source, `workers` at a time; see `runner.Runner`.

    Without an address the run has a Ray cluster of its own, which ends with it. With one it joins
    the cluster there, where Odyssey and its data must be at the same paths, and only leaves it.

    Raises:
        ConfigError: Fewer than one worker, or an address that a driver cannot join.
        RunFailedError: The cluster could not be reached, or the workers did not come up.
    """
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more, not {workers}")
    if address is not None and address.startswith("ray://"):
        raise ConfigError(
            f"{address!r} is the address of a Ray client server; "
            "give that of the head node instead, HOST:PORT (see: ray start --head)"
        )
    if ray.is_initialized():
        raise ConfigError(
            "Ray runs in this process already; call ray.shutdown() first, "
            "and give its address to join that cluster"
        )
    pickled_work = ray.cloudpickle.dumps(work)
    with ExitStack() as stack:
        folder = stack.enter_context(_temporary_folder())
        stack.enter_context(_quiet())
        stack.enter_context(_environment(_ENVIRONMENT))
        stack.enter_context(_signal_handlers_kept())
        stack.callback(ray.shutdown)  # only disconnects from a cluster that was joined
        _connect(address, workers=workers, folder=folder)
        name = f"odyssey-{uuid.uuid4().hex}"
        mailbox = _open_mailbox(name, pickled_work=pickled_work, workers=workers)
        desk = _Desk(trials, mailbox=mailbox, listener=listener, limit=limit_of(work))
        error: Exception | None = None
        try:
            tune.run(
                _Worker,
                name="run",
                config={"mailbox": name},
                num_samples=workers,
                resources_per_trial={"cpu": 1},
                scheduler=desk,
                stop=_WhenFinished(desk),
                callbacks=[_Ticks(desk, Ticker(listener))],
                max_failures=-1,  # the desk counts: a worker may outlive many bad trials
                storage_path=str(folder / "tune"),
                verbose=0,
                raise_on_failed_trial=False,
            )
        except _Abort as abort:
            error = abort.error
        if error is not None:  # raised out here, it keeps its own cause and context
            raise error
        if not desk.finished:  # SIGUSR1 makes Tune stop
            raise RunFailedError("Ray Tune ended before every trial had its outcome")


class _Abort(BaseException):
    """Carries an error through Tune, which would catch and wrap an `Exception`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


# In the worker


class _Worker(tune.Trainable):
    """Works one trial a step, for as long as the run lasts."""

    def setup(self, config: dict[str, Any]) -> None:
        """Finds the mailbox."""
        self._mailbox = ray.get_actor(config["mailbox"])
        self._token = uuid.uuid4().hex  # a restarted worker is another one
        self._work: Work | None = None
        self._arrived = False

    def step(self) -> dict[str, Any]:
        """Says hello the first time; then takes a trial and returns what came of it."""
        if not self._arrived:
            self._arrived = True
            return {"token": self._token}
        payload = ray.get(self._mailbox.take.remote(self._token))
        if payload is None:
            return {"token": self._token, tune.result.DONE: True}
        # bytes: Tune looks into results, and keeps the last one of every Tune trial
        return {"token": self._token, "outcome": self._outcome(payload)}

    def _outcome(self, payload: dict[str, Any]) -> bytes:
        """Gives the pickled `TrialResult`, or the reason for which there is none."""
        try:
            if self._work is None:
                self._work = pickle.loads(ray.get(self._mailbox.work.remote()))
            with _deadline(limit_of(self._work)):
                return pickle.dumps(self._work(Trial.from_dict(payload)))
        except Exception as error:
            return pickle.dumps(reason_of(error))


def _last_second(limit: float) -> float:
    """Gives the seconds after which a worker that does not end its trial ends itself."""
    return limit * 1.2 + GRACE


@contextmanager
def _deadline(limit: float) -> Iterator[None]:
    """Ends this process if a trial is still there some time after its limit; 0 is no limit.

    For what the work cannot interrupt itself: the timer is a thread of C that needs no interpreter.
    """
    if not limit:
        yield
        return
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(_last_second(limit), exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _open_mailbox(name: str, *, pickled_work: bytes, workers: int) -> Any:
    """Starts the actor through which trials reach workers; an idle worker waits at it."""

    class Mailbox:  # defined here so that its process need not import this module, and so Tune
        def __init__(self, pickled_work: bytes) -> None:
            self._work = pickled_work
            self._boxes: dict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)

        async def work(self) -> bytes:
            return self._work

        async def put(self, token: str, payload: Any) -> None:
            self._boxes[token].put_nowait(payload)

        async def take(self, token: str) -> Any:
            return await self._boxes[token].get()

    # on the driver's own node: no other that is lost can take it along
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {
        "name": name,
        "num_cpus": 0,
        "max_concurrency": 1000 + 2 * workers,
        "scheduling_strategy": here,
    }
    return ray.remote(Mailbox).options(**options).remote(pickled_work)


# In the driver


@dataclass
class _Seat:
    """One worker as the desk sees it.

    Attributes:
        token: Which process sits here; empty while none does.
        trial: What it works on.
        failed_starts: How many processes in a row died before they said hello.
        sent: When it was given the trial, seconds on the monotonic clock.
    """

    token: str = ""
    trial: Trial | None = None
    sent: float = 0.0
    failed_starts: int = 0


class _Desk(FIFOScheduler):
    """Hands trials out to workers that are free and passes their results on to the listener."""

    def __init__(
        self, trials: Iterator[Trial | None], *, mailbox: Any, listener: Listener, limit: float
    ) -> None:
        super().__init__()
        self._limit = limit
        self._trials = trials
        self._mailbox = mailbox
        self._listener = listener
        self._seats: dict[str, _Seat] = defaultdict(_Seat)
        self._exhausted = False
        self._orphans: list[Trial] = []  # their workers died; the next that is free takes them
        self._deaths: Counter[str] = Counter()  # of workers, by the trial they died of

    @property
    def running(self) -> int:
        """The number of trials that were given out and have no outcome yet."""
        busy = sum(seat.trial is not None for seat in self._seats.values())
        return busy + len(self._orphans)

    @property
    def finished(self) -> bool:
        """Whether every trial of the source has its outcome."""
        return self._exhausted and not self.running

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Hears from a worker: it has come up, or has worked a trial."""
        seat = self._seats[trial.trial_id]
        with _aborting():
            if seat.token != result["token"]:
                seat.token, seat.failed_starts = result["token"], 0
            elif "outcome" in result:
                trial_done, seat.trial = seat.trial, None
                assert trial_done is not None, "an outcome without a trial"
                self._finish(trial_done, pickle.loads(result["outcome"]))
            self._hand_out()
        decision: str = TrialScheduler.STOP if self.finished else TrialScheduler.CONTINUE
        return decision

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Hears that a worker has died; Tune restarts it."""
        seat = self._seats[trial.trial_id]
        with _aborting():
            if not seat.token:
                seat.failed_starts += 1
                if seat.failed_starts == MAX_ATTEMPTS:
                    raise RunFailedError(
                        f"a Ray worker did not come up in {MAX_ATTEMPTS} attempts; odyssey must "
                        "be importable on every machine of the cluster (see: odyssey doctor)"
                    )
                return
            lost, seat.token, seat.trial = seat.trial, "", None
            if lost is None:
                return
            self._deaths[lost.id] += 1
            if self._limit and time.monotonic() - seat.sent >= _last_second(self._limit):
                self._finish(lost, f"it hung beyond the limit of {self._limit:g} s; worker killed")
            elif self._deaths[lost.id] == MAX_ATTEMPTS:
                self._finish(lost, f"worker died in each of {MAX_ATTEMPTS} attempts: {_CAUSES}")
            else:
                self._orphans.append(lost)
            self._hand_out()

    def _finish(self, trial: Trial, outcome: TrialResult | str) -> None:
        del self._deaths[trial.id]
        if isinstance(outcome, str):
            self._listener.on_failure(trial, outcome)
        else:
            self._listener.on_result(trial, outcome)

    def _hand_out(self) -> None:
        """Pulls a trial for each free worker, until the source has none for now."""
        free = [seat for seat in self._seats.values() if seat.token and seat.trial is None]
        for seat in free:
            if self._orphans:
                self._send(seat, self._orphans.pop(0))
                continue
            if self._exhausted:
                break
            try:
                trial = next(self._trials)
            except StopIteration:
                self._exhausted = True
                break
            if trial is None:
                if not self.running:
                    raise stalled()
                break
            self._listener.on_start(trial)
            self._send(seat, trial)
        if self.finished:  # wakes the idle workers up, so that Tune can stop them
            for seat in self._seats.values():
                if seat.token:
                    self._mailbox.put.remote(seat.token, None)

    def _send(self, seat: _Seat, trial: Trial) -> None:
        seat.trial, seat.sent = trial, time.monotonic()
        self._mailbox.put.remote(seat.token, trial.to_dict())


class _WhenFinished(tune.Stopper):
    """Ends the run when the desk has finished."""

    def __init__(self, desk: _Desk) -> None:
        self._desk = desk

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False  # the desk decides

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it into a checkpoint that is never read; a desk has no pickle

    def stop_all(self) -> bool:
        """Tells whether every trial has its outcome."""
        return self._desk.finished


class _Ticks(tune.Callback):
    """Turns the steps of Tune's event loop into ticks."""

    def __init__(self, desk: _Desk, ticker: Ticker) -> None:
        self._desk = desk
        self._ticker = ticker

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Is called by Tune after every event, and ten times a second if there is none."""
        with _aborting():
            self._ticker.tick(self._desk.running)


@contextmanager
def _aborting() -> Iterator[None]:
    """Turns an exception of the source's or the listener's into one that Tune lets pass."""
    try:
        yield
    except Exception as error:
        raise _Abort(error) from error


# Around the run


def _connect(address: str | None, *, workers: int, folder: Path) -> None:
    """Starts a cluster on this machine, or joins the one at the address."""
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": _import_path()}
    common: dict[str, Any] = {
        "runtime_env": {"env_vars": variables},
        "log_to_driver": False,
        "configure_logging": False,
    }
    try:
        if address is not None:
            ray.init(address=address, **common)
        else:
            ray.init(
                address="local",  # never one that RAY_ADDRESS happens to name
                num_cpus=workers,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _temp_dir=str(folder / "ray"),
                **common,
            )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        where = f"join the Ray cluster at {address!r}" if address else "start Ray on this machine"
        raise RunFailedError(f"could not {where}: {reason_of(error)}") from error


def _import_path() -> str:
    """Gives what this process can import from outside its installation, for the workers."""
    installed = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    folders = [Path(entry or ".").resolve() for entry in sys.path]
    folders.append(Path(__file__).resolve().parents[2])
    mine = [f for f in folders if f.is_dir() and not installed & {f, *f.parents}]
    return os.pathsep.join(dict.fromkeys(map(str, mine)))


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Makes a folder for the files of Ray and Tune, and removes it with them."""
    # Ray puts sockets 64 characters below it, and the name of a socket may have about 100
    parent = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="odyssey-", dir=parent if len(parent) < 20 else "/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets environment variables for a while, and undoes what Ray sets in the meantime."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Ray's chatter off the terminal: what matters reaches the listener."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    # raylets report every dead worker on our standard output; Ray's debugger stops them like this
    ray_worker: Any = ray._private.worker
    shown, ray_worker._worker_logs_enabled = (
        getattr(ray_worker, "_worker_logs_enabled", True),
        False,
    )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"ray(\.|$)")
            yield
    finally:
        ray_worker._worker_logs_enabled = shown
        logger.setLevel(level)


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Puts back the handlers that Ray (SIGTERM) and Tune (SIGUSR1) replace."""
    if threading.current_thread() is not threading.main_thread():
        yield  # neither replaces any there
        return
    names = [name for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    before = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: not one of Python's
                signal.signal(number, handler)


def probe() -> str:
    """Starts Ray on this machine, runs one task and stops it; says what it found.

    Raises:
        RunFailedError: Ray cannot be started here.
    """
    with _quiet(), _signal_handlers_kept(), _temporary_folder() as folder:
        try:
            _connect(None, workers=1, folder=folder)
            version = ray.get(ray.remote(lambda: ray.__version__).remote())
        finally:
            ray.shutdown()
    return f"{version} starts a worker"
