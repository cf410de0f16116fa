"""Both runners keep one contract; the Ray runner survives what happens to processes."""

import contextlib
import dataclasses
import functools
import itertools
import logging
import os
import pickle
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest
from driving import HANGS

from odyssey.errors import ConfigError, OdysseyError, RunFailedError
from odyssey.evaluation import local_runner
from odyssey.evaluation.trial import Trial, TrialResult

WORKERS = {"local": 1, "ray": 2}


def make_trial(index):
    return Trial(
        index=index,
        spec="lstm",
        cell_text="h' = tanh(W @ x + U @ h)",
        cell_key="key",
        lineage=("lstm",),
        task="arithmetic",
        members=({"member": 0, "seed": index, "learning_rate": 0.1},),
    )


# What workers do: functions of this module, which they import.


def report(trial):
    row = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "folder": os.getcwd(),
        "trial": trial,
    }
    return TrialResult(trial.id, trial.index, rows=(row,))


def report_some(trial):
    if trial.index % 4 == 3:
        raise ValueError(f"trial {trial.index} makes no sense\nsecond line")
    if trial.index == 5:
        raise KeyError
    return report(trial)


def report_slowly_from_1(trial):
    time.sleep(0.3 if trial.index else 0)
    return report(trial)


def die(trial, folder):
    """Trial 1 kills its worker the first time, trial 2 every time."""
    attempts = Path(folder, str(trial.index))
    with attempts.open("a") as file:
        file.write("x")
    if trial.index == 2 or (trial.index == 1 and len(attempts.read_text()) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return report(trial)


def hang(trial, folder):
    Path(folder, str(trial.index)).write_text(str(os.getpid()))
    time.sleep(HANGS)
    return report(trial)


# The driver's side


class Recorder:
    """A listener that keeps all it hears, and a source that knows how many trials are out."""

    def __init__(self):
        self.started, self.results, self.failures, self.ticks = [], {}, {}, []
        self.thread = threading.get_ident()

    @property
    def out(self):
        return len(self.started) - len(self.results) - len(self.failures)

    def on_start(self, trial):
        assert threading.get_ident() == self.thread
        self.started.append(trial.index)

    def on_result(self, trial, result):
        assert result.trial_id == trial.id
        assert trial.index not in {*self.results, *self.failures}
        self.results[trial.index] = result

    def on_failure(self, trial, reason):
        assert trial.index not in {*self.results, *self.failures}
        self.failures[trial.index] = reason

    def on_tick(self, running):
        assert running == self.out
        self.ticks.append(time.monotonic())

    def source(self, count, *, workers, lag=None):
        """Gives `count` trials; with a lag, trial i waits for the outcome of trial i - lag."""
        for index in range(count):
            while lag and index >= lag and index - lag not in {*self.results, *self.failures}:
                yield None
            assert self.out < workers, "pulled while no worker was free"
            yield make_trial(index)

    def rows(self):
        return [result.rows[0] for result in self.results.values()]


@dataclasses.dataclass
class OwnRun:
    """A run of the Ray runner on a cluster of its own, and what it left behind."""

    recorder: Recorder
    folders: list[str]
    changed: list[str]
    printed: str
    auth_mode: str | None


def surroundings():
    """Gives what a run must leave as it was."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    return {
        "environment": dict(os.environ),
        "signal handlers": [signal.getsignal(s) for s in signals],
        "log level": logging.getLogger("ray").level,
        "folder": os.getcwd(),
    }


@contextlib.contextmanager
def printed_to(path):
    """Sends what this process and its children print to a file."""
    kept = [os.dup(1), os.dup(2)]
    with path.open("w") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    from odyssey.evaluation import ray_runner

    class ModeRecorder(Recorder):
        auth_mode = None

        def on_start(self, trial):
            super().on_start(trial)
            self.auth_mode = os.environ.get("RAY_AUTH_MODE")

    recorder = ModeRecorder()
    folders = []
    make = tempfile.mkdtemp
    terminal = tmp_path_factory.mktemp("own") / "terminal"
    with pytest.MonkeyPatch.context() as patch, printed_to(terminal):
        patch.setattr(tempfile, "mkdtemp", lambda **k: folders.append(make(**k)) or folders[-1])
        patch.setenv("OMP_NUM_THREADS", "7")
        patch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # a cluster that is not ours to use
        before = surroundings()
        ray_runner.run_trials(
            recorder.source(8, workers=2), work=report_slowly_from_1, workers=2, listener=recorder
        )
        after = surroundings()
    changed = [name for name in before if before[name] != after[name]]
    return OwnRun(recorder, folders, changed, terminal.read_text(), recorder.auth_mode)


@pytest.fixture(scope="module")
def cluster(own_run):
    """A Ray cluster on this machine that is not the runner's own."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Ray settles for a process whether it shows a token when it starts its first cluster
        if own_run.auth_mode is not None:
            patch.setenv("RAY_AUTH_MODE", own_run.auth_mode)
        options = {"num_cpus": 2, "object_store_memory": 100 * 2**20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=options)
        yield cluster
        cluster.shutdown()


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def runner(request):
    """Each runner as a function of (trials, work, listener), and its number of workers."""
    if request.param == "local":
        run = functools.partial(local_runner.run_trials, workers=1, address=None)
    else:
        from odyssey.evaluation import ray_runner

        address = request.getfixturevalue("cluster").address
        run = functools.partial(ray_runner.run_trials, workers=2, address=address)
    run.workers = WORKERS[request.param]
    return run


def test_every_trial_has_one_outcome_and_failures_do_not_stop_the_run(runner):
    recorder = Recorder()
    runner(recorder.source(12, workers=runner.workers), work=report_some, listener=recorder)
    assert recorder.started == list(range(12))
    assert recorder.failures == {
        3: "ValueError: trial 3 makes no sense",
        5: "KeyError",
        7: "ValueError: trial 7 makes no sense",
        11: "ValueError: trial 11 makes no sense",
    }
    assert sorted(recorder.results) == [0, 1, 2, 4, 6, 8, 9, 10]
    for index, result in recorder.results.items():
        assert result.index == index
        assert result.rows[0]["trial"] == make_trial(index)
    assert len({row["pid"] for row in recorder.rows()}) <= runner.workers


def test_a_source_may_wait_for_results(runner):
    recorder = Recorder()
    trials = recorder.source(10, workers=runner.workers, lag=1)
    runner(trials, work=report_slowly_from_1, listener=recorder)
    assert sorted(recorder.results) == list(range(10))
    assert len({row["pid"] for row in recorder.rows()}) <= runner.workers
    gaps = [b - a for a, b in zip(recorder.ticks, recorder.ticks[1:], strict=False)]
    assert gaps
    assert min(gaps) >= 0.25


def test_a_source_that_waits_for_nothing_is_an_error(runner):
    recorder = Recorder()
    with pytest.raises(RuntimeError, match="no trial is running"):
        runner(
            itertools.chain([make_trial(0)], itertools.repeat(None)), work=report, listener=recorder
        )


def test_no_trials_is_no_error(runner):
    recorder = Recorder()
    runner(iter([]), work=report, listener=recorder)
    assert not recorder.started


def test_what_the_driver_raises_ends_the_run_as_it_is(runner):
    class Full(Recorder):
        def on_result(self, trial, result):
            raise OSError("disk full") from KeyError("why")

    recorder = Full()
    with pytest.raises(OSError, match="disk full") as raised:
        runner(recorder.source(5, workers=runner.workers), work=report, listener=recorder)
    assert isinstance(raised.value.__cause__, KeyError)
    assert len(recorder.started) <= runner.workers

    def broken():
        yield make_trial(0)
        raise OdysseyError("no more ideas")

    with pytest.raises(OdysseyError, match="no more ideas"):
        runner(broken(), work=report, listener=Recorder())


def test_local_runner_says_who_can_do_more():
    for options in ({"workers": 2}, {"address": "10.0.0.1:6379"}):
        with pytest.raises(ConfigError, match="use the ray runner"):
            local_runner.run_trials(iter([]), work=report, listener=Recorder(), **options)


def test_local_runner_lets_ctrl_c_through():
    def interrupted(trial):
        raise KeyboardInterrupt

    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt):
        local_runner.run_trials(recorder.source(2, workers=1), work=interrupted, listener=recorder)
    assert recorder.started == [0]
    assert not recorder.failures


@pytest.mark.ray
def test_ray_runner_has_a_cluster_of_its_own_and_leaves_nothing(own_run):
    assert sorted(own_run.recorder.results) == list(range(8))
    rows = own_run.recorder.rows()
    assert len({row["pid"] for row in rows}) == 2
    assert {row["threads"] for row in rows} == {"1"}
    assert {row["folder"] for row in rows} == {os.getcwd()}
    for process in {row[key] for row in rows for key in ("pid", "parent")}:
        assert gone(process)
    assert own_run.folders
    assert not any(Path(folder).exists() for folder in own_run.folders)
    assert own_run.changed == []
    assert own_run.printed == ""


@pytest.mark.ray
def test_a_trial_whose_worker_died_is_tried_again_but_not_for_ever(cluster, tmp_path, capfd):
    from odyssey.evaluation import ray_runner

    recorder = Recorder()
    ray_runner.run_trials(
        recorder.source(6, workers=2),
        work=functools.partial(die, folder=str(tmp_path)),
        workers=2,
        address=cluster.address,
        listener=recorder,
    )
    assert recorder.started == list(range(6))
    assert sorted(recorder.results) == [0, 1, 3, 4, 5]
    assert recorder.failures == {
        2: "worker died in each of 3 attempts: it was killed, crashed or ran out of memory"
    }
    attempts = {int(file.name): len(file.read_text()) for file in tmp_path.iterdir()}
    assert attempts == {0: 1, 1: 2, 2: 3, 3: 1, 4: 1, 5: 1}
    assert capfd.readouterr() == ("", "")


def where(trial):
    import ray

    time.sleep(0.5)
    row = {"node": ray.get_runtime_context().get_node_id()}
    return TrialResult(trial.id, trial.index, rows=(row,))


@pytest.mark.ray
def test_a_node_lost_mid_run_costs_no_trial(cluster):
    """The other nodes are busy, so that its worker has nowhere to start again."""
    from odyssey.evaluation import ray_runner

    node = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    lost = []

    class Careless(Recorder):
        def on_tick(self, running):
            nodes = {row["node"] for row in self.rows()}
            if not lost and running == 3 and node.node_id in nodes:
                lost.append(sorted(self.results))
                cluster.remove_node(node, allow_graceful=False)

    recorder = Careless()
    ray_runner.run_trials(
        recorder.source(18, workers=3),
        work=where,
        workers=3,
        address=cluster.address,
        listener=recorder,
    )
    assert lost
    assert len(lost[0]) < 16
    assert recorder.started == sorted(recorder.results) == list(range(18))
    assert recorder.failures == {}


@pytest.mark.ray
def test_what_a_dead_worker_held_goes_to_the_next_that_is_free():
    from odyssey.evaluation import ray_runner

    sent = []

    class Mailbox:
        class put:  # noqa: N801
            @staticmethod
            def remote(token, payload):
                sent.append((token, payload["index"]))

    @dataclasses.dataclass
    class TuneTrial:
        trial_id: str

    recorder = Recorder()
    trials = iter([make_trial(i) for i in range(4)])
    desk = ray_runner._Desk(trials, mailbox=Mailbox, listener=recorder, limit=0.0)
    one, two = TuneTrial("one"), TuneTrial("two")
    desk.on_trial_result(None, one, {"token": "a"})
    desk.on_trial_result(None, two, {"token": "b"})
    desk.on_trial_error(None, one)
    assert desk.running == 2
    outcome = pickle.dumps(report(make_trial(1)))
    desk.on_trial_result(None, two, {"token": "b", "outcome": outcome})
    desk.on_trial_result(None, one, {"token": "c"})
    assert sent == [("a", 0), ("b", 1), ("b", 0), ("c", 2)]
    assert recorder.started == [0, 1, 2]
    assert desk.running == 2


@pytest.mark.ray
def test_ctrl_c_stops_busy_workers_and_leaves_a_joined_cluster(cluster, tmp_path, request):
    from odyssey.evaluation import ray_runner

    class Interrupted(Recorder):
        def on_tick(self, running):
            if len(list(tmp_path.iterdir())) == 2:  # both workers are at it
                threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

    # a process that a shell started in the background ignores it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(functools.partial(signal.signal, signal.SIGINT, before))
    recorder = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        ray_runner.run_trials(
            recorder.source(9, workers=2),
            work=functools.partial(hang, folder=str(tmp_path)),
            workers=2,
            address=cluster.address,
            listener=recorder,
        )
    assert recorder.results == {}  # nobody waited for their end
    for file in tmp_path.iterdir():
        assert gone(int(file.read_text()))

    again = Recorder()
    ray_runner.run_trials(
        again.source(2, workers=1),
        work=report,
        workers=1,
        address=cluster.address,
        listener=again,
    )
    assert sorted(again.results) == [0, 1]


@pytest.mark.ray
def test_a_driver_cannot_join_what_is_no_cluster(monkeypatch):
    from odyssey.evaluation import ray_runner

    run = functools.partial(ray_runner.run_trials, iter([]), work=report, listener=Recorder())
    with pytest.raises(ConfigError, match="workers must be 1 or more, not 0"):
        run(workers=0)
    with pytest.raises(ConfigError, match="HOST:PORT"):
        run(workers=1, address="ray://127.0.0.1:10001")
    with pytest.raises(RunFailedError, match=r"could not join the Ray cluster at 'nowhere'"):
        run(workers=1, address="nowhere")
    monkeypatch.setattr("ray.is_initialized", lambda: True)  # as in a notebook that uses Ray
    with pytest.raises(ConfigError, match="Ray runs in this process already"):
        run(workers=1)


@pytest.mark.ray
def test_workers_that_never_come_up_end_the_run():
    from odyssey.evaluation import ray_runner

    class TuneTrial:
        trial_id = "a"

    desk = ray_runner._Desk(iter([]), mailbox=None, listener=Recorder(), limit=0.0)
    for _ in range(ray_runner.MAX_ATTEMPTS - 1):
        desk.on_trial_error(None, TuneTrial())
    with pytest.raises(ray_runner._Abort) as raised:
        desk.on_trial_error(None, TuneTrial())
    assert isinstance(raised.value.error, RunFailedError)
    assert "did not come up" in str(raised.value.error)


def gone(process, patience=HANGS / 4):
    """Whether a process ends within the patience in seconds; a zombie has ended."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{process}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
