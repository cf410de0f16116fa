"""The Ray side of `ray`, in a process of its own: the only file that imports ray.

A Tune trial is a *worker*, and each of its steps works one Odyssey trial: a class trainable whose
actor lives as long as the run. Tune keeps every Tune trial (its state, its directory) for ever and
walks through all of them at every event, and a Tune trial that waits for a result of another gives
its actor up; with a trial a step, memory does not grow with the run, a worker imports torch
once, and a trial costs a few milliseconds.

    ray <-pipe-> _Desk (this process) -put-> mailbox (actor) -take-> _Worker.step (actors)
                          ^------------------- Tune: result of the step --------'

The first step of a worker only says that it is there. A worker that dies is restarted by Tune,
where there is room for it; its trial goes to whoever is free first. Where another process of Ray's
dies, this one ends too: what is lost then is no trial's fault, and a resumed run goes on.
"""

from __future__ import annotations

import asyncio
import faulthandler
import math
import os
import pickle
import resource
import signal
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayActorError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from odyssey.studies.runners.contract import (
    OverLimitError,
    Ticker,
    Work,
    processor_limit,
    reason_of,
)
from odyssey.studies.runners.ray import HELPERS
from odyssey.studies.runners.shares import workers_on
from odyssey.studies.trial import Trial

# A trial is started at most this often, if its worker dies; so is a worker that does not come up.
MAX_ATTEMPTS = 3
# Deaths that others shared count for no trial, but so many end it all the same.
MAX_DEATHS = 10

# Seconds of processor time beyond its limit (and a fifth of it) before a trial's worker is killed.
GRACE = 2.0

_UNMEASURED = pickle.dumps(("unmeasured",))
_CAUSES = "it was killed, crashed or ran out of memory"
_OBJECT_STORE_BYTES = 128 * 1024**2


def main(pipe: int, folder: str, workers: int, gpus: float, address: str | None) -> None:
    """Runs the trials that come through a pipe; see `ray`.

    Args:
        pipe: The file descriptor.
        folder: For the files of Ray and Tune.
        workers: Trials at a time.
        gpus: GPUs of each worker.
        address: A cluster to join.
    """
    connection = Connection(pipe)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ignore)  # the runner decides; a handler is not inherited
    for attempt in range(MAX_ATTEMPTS):
        try:
            place = Path(folder) / str(attempt)
            _connect(address, workers=workers, gpus=gpus, folder=place)
            break
        except Exception as error:
            # Ray waits half a minute for its own processes; how long to wait is the runner's to say
            slow = address is None and "timed out" in str(error)
            if not slow or attempt + 1 == MAX_ATTEMPTS:
                connection.send(("broken", reason_of(error)))
                return
            ray.shutdown()
    signal.signal(signal.SIGTERM, _ignore)  # Ray has set its own
    try:
        with suppress(_Abort), _watched():
            _run(connection, folder=Path(folder), workers=workers, gpus=gpus)
    except (EOFError, ConnectionError):
        pass  # the runner has ended, or wants this to end
    finally:
        ray.shutdown()  # only disconnects from a cluster that was joined


def _ignore(number: int, frame: object) -> None:
    """Does nothing."""


def _run(connection: Connection, *, folder: Path, workers: int, gpus: float) -> None:
    connection.send(("ready",))
    pickled_work = connection.recv()
    if lacking := _lacking(workers, gpus):  # Tune would wait for them for ever
        connection.send(("broken", lacking))
        return
    name = f"odyssey-{uuid.uuid4().hex}"
    mailbox = _open_mailbox(name, pickled_work=pickled_work, workers=workers)
    marks = folder / "marks"
    marks.mkdir()
    desk = _Desk(connection, mailbox=mailbox, marks=marks)
    try:
        tune.run(
            _Worker,
            name="run",
            config={"mailbox": name, "marks": str(marks)},
            num_samples=workers,
            resources_per_trial={"cpu": 1, "gpu": gpus},
            scheduler=desk,
            stop=_WhenFinished(desk),
            callbacks=[_Ticks(desk, connection)],
            max_failures=-1,  # the desk counts: a worker may outlive many bad trials
            storage_path=str(folder / "tune"),
            verbose=0,
            raise_on_failed_trial=False,
        )
    except _Abort as abort:
        if abort.why:
            connection.send(("broken", abort.why))
        return
    if desk.finished:
        connection.send(("done",))
    else:  # SIGUSR1 makes Tune stop
        connection.send(("broken", "Ray Tune ended before every trial had its outcome"))


def _lacking(workers: int, gpus: float) -> str:
    """Says which GPUs the cluster lacks for so many workers; nothing where it has them."""
    there = [int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"]]
    room = sum(workers_on(count, gpus) for count in there) if gpus else workers
    if workers <= room:
        return ""
    return (
        f"{workers} workers with gpus_per_worker = {gpus:g} are too many for the {sum(there)} GPUs"
        f" of the cluster: at most {room}"
    )


class _Abort(BaseException):
    """Ends the run through Tune, which would catch and wrap an `Exception`."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


# In the worker


class _Worker(tune.Trainable):
    """Works one trial a step, for as long as the run lasts."""

    def setup(self, config: dict[str, Any]) -> None:
        """Finds the mailbox."""
        self._mailbox = ray.get_actor(config["mailbox"])
        self._token = uuid.uuid4().hex  # a restarted worker is another one
        self._mark = Path(config["marks"]) / self._token
        self._work: Work | None = None
        self._arrived = False
        # Ray lets a worker import from the folder of our package, where `statistics` is ours
        package = Path(__file__).parents[2]
        sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != package]
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    def step(self) -> dict[str, Any]:
        """Says hello the first time; then takes a trial and returns what came of it."""
        if not self._arrived:
            self._arrived = True
            return {"token": self._token}
        try:
            payload = ray.get(self._mailbox.take.remote(self._token))
            if self._work is None and payload is not None:
                self._work = pickle.loads(ray.get(self._mailbox.work.remote()))
        except RayActorError:
            return {"token": self._token, "lost": True}
        if payload is None:
            return {"token": self._token, tune.result.DONE: True}
        # bytes: Tune looks into results, and keeps the last one of every Tune trial
        return {"token": self._token, "outcome": self._outcome(Trial.from_dict(payload))}

    def _outcome(self, trial: Trial) -> bytes:
        """Gives what came of a trial, pickled: the end of a message to the runner."""
        assert self._work is not None
        try:
            with _last_resort(trial.limit, self._mark), processor_limit(trial.limit):
                return pickle.dumps(("result", pickle.dumps(self._work(trial))))
        except OverLimitError:
            return _UNMEASURED
        except Exception as error:
            return pickle.dumps(("failure", reason_of(error)))


@contextmanager
def _last_resort(limit: float, mark: Path) -> Iterator[None]:
    """Lets the system kill this process if a trial goes on some time after its limit; 0: never.

    For what the work cannot interrupt itself: the limit is the kernel's, and what writes the mark
    by which the desk knows is a handler of C that needs no interpreter.
    """
    if not limit:
        yield
        return
    before, most = resource.getrlimit(resource.RLIMIT_CPU)
    last = math.ceil(time.process_time() + limit * 1.2 + GRACE)
    with open(mark if mark.parent.is_dir() else os.devnull, "w") as file:
        faulthandler.register(signal.SIGXCPU, file=file, all_threads=False, chain=True)
        resource.setrlimit(
            resource.RLIMIT_CPU, (last if most == resource.RLIM_INFINITY else min(last, most), most)
        )
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_CPU, (before, most))
            faulthandler.unregister(signal.SIGXCPU)


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
    """

    token: str = ""
    trial: Trial | None = None
    failed_starts: int = 0


class _Desk(FIFOScheduler):
    """Hands trials out to workers that are free and passes their results on to the runner.

    A trial is failed for the deaths of its workers only where they died alone: where another one
    that was at work dies before anything else is heard, both died of something else.
    """

    def __init__(self, connection: Connection, *, mailbox: Any, marks: Path) -> None:
        super().__init__()
        self._runner = connection
        self._mailbox = mailbox
        self._marks = marks
        self._seats: dict[str, _Seat] = defaultdict(_Seat)
        self._exhausted = False
        self._orphans: list[Trial] = []  # their workers died; the next that is free takes them
        self._alone: Counter[str] = Counter()  # deaths of workers, by the trial they died of
        self._deaths: Counter[str] = Counter()  # the same, with those that others shared
        self._dying: list[str] = []  # trials whose workers died since anything else was heard

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
            if result.get("lost"):
                raise _Abort(
                    "Ray ended, for the process that hands trials out died;"
                    " what is finished is kept"
                )
            self._dying.clear()
            self._judge()
            if seat.token != result["token"]:
                seat.token, seat.failed_starts = result["token"], 0
            elif "outcome" in result:
                trial_done, seat.trial = seat.trial, None
                assert trial_done is not None, "an outcome without a trial"
                self._finish(trial_done, result["outcome"])
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
                    raise _Abort(
                        f"a Ray worker did not come up in {MAX_ATTEMPTS} attempts; odyssey must "
                        "be importable on every machine of the cluster (see: odyssey doctor)"
                    )
                return
            lost, token = seat.trial, seat.token
            seat.token, seat.trial = "", None
            if lost is None:
                return
            if (self._marks / token).exists() and (self._marks / token).stat().st_size:
                self._finish(lost, _UNMEASURED)
            else:
                self._count_death(lost.id)
                self._orphans.append(lost)
            self._hand_out()

    def on_tick(self) -> None:
        """Judges what is left when nobody is at work who could be heard."""
        if all(seat.trial is None for seat in self._seats.values()):
            self._judge()

    def _count_death(self, trial_id: str) -> None:
        self._deaths[trial_id] += 1
        if not set(self._dying) - {trial_id}:
            self._alone[trial_id] += 1
        elif len(set(self._dying)) == 1:  # so the last one did not die alone
            self._alone[self._dying[-1]] -= 1
        self._dying.append(trial_id)

    def _judge(self) -> None:
        """Fails the trials that have cost too many workers."""
        for trial in list(self._orphans):
            if self._guilty(trial):
                self._orphans.remove(trial)
                # how often depends on who died beside it, and so on the clock: not for a record
                reason = f"its worker died in every attempt: {_CAUSES}"
                self._finish(trial, pickle.dumps(("failure", reason)))

    def _guilty(self, trial: Trial) -> bool:
        return self._alone[trial.id] >= MAX_ATTEMPTS or self._deaths[trial.id] >= MAX_DEATHS

    def _finish(self, trial: Trial, outcome: bytes) -> None:
        """Passes on what came of a trial."""
        del self._deaths[trial.id], self._alone[trial.id]
        kind, *rest = pickle.loads(outcome)
        self._runner.send((kind, trial, *rest))

    def _hand_out(self) -> None:
        """Pulls a trial for each free worker, until the source has none for now."""
        free = [seat for seat in self._seats.values() if seat.token and seat.trial is None]
        for seat in free:
            orphan = next((t for t in self._orphans if not self._guilty(t)), None)
            if orphan is not None:
                self._orphans.remove(orphan)
                self._send(seat, orphan)
                continue
            if self._exhausted:
                break
            self._runner.send(("next", self.running))
            trial = self._runner.recv()
            if trial == "end":
                self._exhausted = True
                break
            if trial is None:
                break
            self._send(seat, trial)
        if self.finished:  # wakes the idle workers up, so that Tune can stop them
            for seat in self._seats.values():
                if seat.token:
                    self._mailbox.put.remote(seat.token, None)

    def _send(self, seat: _Seat, trial: Trial) -> None:
        seat.trial = trial
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

    def __init__(self, desk: _Desk, connection: Connection) -> None:
        self._desk = desk
        self._runner = connection
        self._ticker = Ticker(self)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Is called by Tune after every event, and ten times a second if there is none."""
        with _aborting():
            self._desk.on_tick()
            if self._runner.poll():  # nothing was asked: it is the end of the pipe
                raise _Abort
            self._ticker.tick(self._desk.running)

    def on_tick(self, running: int) -> None:
        """Passes a tick on."""
        self._runner.send(("tick", running))


@contextmanager
def _aborting() -> Iterator[None]:
    """Turns an exception into one that Tune lets pass."""
    try:
        yield
    except (EOFError, ConnectionError):
        raise _Abort from None
    except Exception as error:
        raise _Abort(f"Ray ended: {reason_of(error)}") from error


# Around the run


def _connect(address: str | None, *, workers: int, gpus: float, folder: Path) -> None:
    """Starts a cluster on this machine, or joins the one at the address."""
    common: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address is not None:
        variables = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "PYTHONPATH")}
        ray.init(address=address, runtime_env={"env_vars": variables}, **common)
        return
    # A cluster of our own inherits the environment. Asking for variables would cost it the workers
    # that it starts ahead: they are for jobs that ask for none.
    ray.init(
        address="local",  # never one that RAY_ADDRESS happens to name
        num_cpus=workers,
        num_gpus=None if gpus else 0,  # what Ray finds; workers without a share see none
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        _temp_dir=str(folder / "ray"),
        **common,
    )


@contextmanager
def _watched() -> Iterator[None]:
    """Ends this process at once when a process dies without which its cluster is lost.

    Ray would look for it for a minute, and then abort.
    """
    node: Any = ray._private.worker._global_node
    processes = {
        name: node.all_processes[name][0].process
        for name in HELPERS
        if node is not None and name in node.all_processes
    }
    ending = threading.Event()

    def watch() -> None:
        while not ending.wait(0.1):
            for name, process in processes.items():
                if process.poll() is not None:
                    os._exit(HELPERS[name])

    threading.Thread(target=watch, name="watch", daemon=True).start()
    try:
        yield
    finally:
        ending.set()
