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
from types import SimpleNamespace

import pytest
from support.driving import HANGS

from odyssey.errors import ConfigError, OdysseyError, RunFailedError
from odyssey.studies.runners import local as local_runner
from odyssey.studies.runners.contract import OverLimitError, processor_limit
from odyssey.studies.trial import Trial, TrialResult

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
        self.unmeasured = []
        self.thread = threading.get_ident()

    @property
    def out(self):
        ended = len(self.results) + len(self.failures) + len(self.unmeasured)
        return len(self.started) - ended

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

    def on_unmeasured(self, trial):
        assert trial.index not in {*self.results, *self.failures}
        self.unmeasured.append(trial.index)

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
    from odyssey.studies.runners import ray as ray_runner

    recorder = Recorder()
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
    return OwnRun(recorder, folders, changed, terminal.read_text())


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster on this machine that is not the runner's own, and counts one GPU."""
    from ray.cluster_utils import Cluster

    options = {
        "num_cpus": 2,
        "num_gpus": 1,
        "object_store_memory": 100 * 2**20,
        "include_dashboard": False,
    }
    cluster = Cluster(initialize_head=True, head_node_args=options)
    yield cluster
    cluster.shutdown()


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def runner(request):
    """Each runner as a function of (trials, work, listener), and its number of workers."""
    if request.param == "local":
        run = functools.partial(local_runner.run_trials, workers=1, address=None)
    else:
        from odyssey.studies.runners import ray as ray_runner

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
    for options in ({"workers": 2}, {"address": "10.0.0.1:6379"}, {"gpus": 0.5}):
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
    from odyssey.studies.runners import ray as ray_runner

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
        2: "its worker died in every attempt: it was killed, crashed or ran out of memory"
    }
    attempts = {int(file.name): len(file.read_text()) for file in tmp_path.iterdir()}
    # a death that another one shared counts for none
    assert attempts.pop(2) in (3, 4)
    assert attempts == {0: 1, 1: 2, 3: 1, 4: 1, 5: 1}
    assert capfd.readouterr() == ("", "")


def where(trial):
    import ray

    time.sleep(0.5)
    row = {"node": ray.get_runtime_context().get_node_id()}
    return TrialResult(trial.id, trial.index, rows=(row,))


@pytest.mark.ray
def test_a_node_lost_mid_run_costs_no_trial(cluster):
    """The other nodes are busy, so that its worker has nowhere to start again."""
    from odyssey.studies.runners import ray as ray_runner

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


class Pipe:
    """The runner as the desk sees it: it gives trials, and keeps what it hears."""

    def __init__(self, count):
        self.trials = [*map(make_trial, range(count))]
        self.heard = []

    def send(self, message):
        kind, trial, *rest = message
        if kind != "next":
            self.heard.append((kind, trial.index, *rest))

    def recv(self):
        return self.trials.pop(0) if self.trials else "end"


@dataclasses.dataclass
class TuneTrial:
    trial_id: str


class Office:
    """A desk, the workers in front of it, and what they were sent."""

    def __init__(self, folder, *, trials):
        from odyssey.studies.runners import ray_driver

        self.pipe, self.sent, self.count = Pipe(trials), [], 0
        put = SimpleNamespace(remote=lambda token, payload: self._send(token, payload))
        self.desk = ray_driver._Desk(self.pipe, mailbox=SimpleNamespace(put=put), marks=folder)
        self.tokens = {}

    def _send(self, token, payload):
        self.sent.append((token, payload and payload["index"]))

    def comes_up(self, name):
        self.count += 1
        self.tokens[name] = f"{name}{self.count}"
        self.desk.on_trial_result(None, TuneTrial(name), {"token": self.tokens[name]})

    def dies(self, name):
        self.desk.on_trial_error(None, TuneTrial(name))

    def ends(self, name, outcome=("failure", "so it is")):
        result = {"token": self.tokens[name], "outcome": pickle.dumps(outcome)}
        self.desk.on_trial_result(None, TuneTrial(name), result)


@pytest.mark.ray
def test_what_a_dead_worker_held_goes_to_the_next_that_is_free(tmp_path):
    office = Office(tmp_path, trials=4)
    office.comes_up("a")
    office.comes_up("b")
    office.dies("a")
    assert office.desk.running == 2
    office.ends("b", ("result", b"done"))
    office.comes_up("a")
    assert office.sent == [("a1", 0), ("b2", 1), ("b2", 0), ("a3", 2)]
    assert office.pipe.heard == [("result", 1, b"done")]
    assert office.desk.running == 2


@pytest.mark.ray
def test_a_death_that_is_shared_is_no_trials_fault(tmp_path):
    from odyssey.studies.runners import ray_driver

    office = Office(tmp_path, trials=2)
    for name in "ab":
        office.comes_up(name)
    for _ in range(2 * ray_driver.MAX_ATTEMPTS):
        for name in "ab":
            office.dies(name)
        for name in "ab":
            office.comes_up(name)
    assert office.pipe.heard == []
    assert office.desk.running == 2
    _, index = office.sent[-1]
    for _ in range(ray_driver.MAX_ATTEMPTS):  # but one that always dies alone is to blame
        assert office.pipe.heard == []
        assert office.sent[-1][1] == index
        office.dies("b")
        office.comes_up("b")
    ((kind, guilty, reason),) = office.pipe.heard
    assert (kind, guilty) == ("failure", index)
    assert "worker died in every attempt" in reason


@pytest.mark.ray
def test_deaths_that_are_always_shared_end_some_time(tmp_path):
    from odyssey.studies.runners import ray_driver

    office = Office(tmp_path, trials=2)
    for name in "ab":
        office.comes_up(name)
    for _ in range(ray_driver.MAX_DEATHS):
        for name in "ab":
            office.dies(name)
        for name in "ab":
            office.comes_up(name)
    assert sorted(heard[:2] for heard in office.pipe.heard) == [("failure", 0), ("failure", 1)]
    assert office.desk.finished


@pytest.mark.ray
def test_a_worker_that_left_a_mark_was_stopped_at_its_limit(tmp_path):
    office = Office(tmp_path, trials=2)
    office.comes_up("a")
    (tmp_path / "a1").write_text("")  # made when a trial with a limit begins
    office.dies("a")
    office.comes_up("a")
    (tmp_path / "a2").write_text("Fatal Python error")
    office.dies("a")
    assert office.pipe.heard == [("unmeasured", 0)]


@pytest.mark.ray
def test_the_death_of_the_mailbox_ends_the_run(tmp_path):
    from odyssey.studies.runners import ray_driver

    office = Office(tmp_path, trials=2)
    office.comes_up("a")
    with pytest.raises(ray_driver._Abort, match="what is finished is kept"):
        office.desk.on_trial_result(None, TuneTrial("a"), {"token": "a1", "lost": True})
    assert office.pipe.heard == []


def test_a_limit_is_of_processor_time():
    def work_for_ever():
        while True:
            with contextlib.suppress(Exception):  # as what is limited may do
                pass

    with pytest.raises(OverLimitError), processor_limit(0.02):
        work_for_ever()
    before = signal.getsignal(signal.SIGPROF)
    with processor_limit(60.0):
        assert signal.getitimer(signal.ITIMER_PROF)[0] > 0
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0
    assert signal.getsignal(signal.SIGPROF) == before


@pytest.mark.ray
def test_ctrl_c_stops_busy_workers_and_leaves_a_joined_cluster(cluster, tmp_path, request):
    from odyssey.studies.runners import ray as ray_runner

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


def seen_gpus(trial):
    return TrialResult(
        trial.id, trial.index, rows=({"gpus": os.environ.get("CUDA_VISIBLE_DEVICES")},)
    )


@pytest.mark.ray
@pytest.mark.parametrize(("gpus", "seen"), [(0.5, "0"), (0.0, "")])
def test_a_worker_sees_the_gpu_that_it_shares(cluster, gpus, seen):
    from odyssey.studies.runners import ray as ray_runner

    recorder = Recorder()
    ray_runner.run_trials(
        recorder.source(2, workers=2),
        work=seen_gpus,
        workers=2,
        gpus=gpus,
        address=cluster.address,
        listener=recorder,
    )
    assert [r.rows[0]["gpus"] or "" for r in recorder.results.values()] == [seen, seen]


@pytest.mark.ray
@pytest.mark.parametrize(("gpus", "most"), [(0.6, 1), (1.0, 1), (2.0, 0)])
def test_gpus_that_a_cluster_lacks_are_one_line_and_no_wait(cluster, gpus, most):
    from odyssey.studies.runners import ray as ray_runner

    with pytest.raises(RunFailedError, match=f"for the 1 GPUs of the cluster: at most {most}"):
        ray_runner.run_trials(
            iter([]),
            work=report,
            workers=2,
            gpus=gpus,
            address=cluster.address,
            listener=Recorder(),
        )


@pytest.mark.ray
@pytest.mark.parametrize(
    ("address", "error", "says"),
    [
        ("ray://127.0.0.1:10001", ConfigError, "give HOST:PORT"),
        ("http://127.0.0.1:8265", ConfigError, "give HOST:PORT"),
        ("nowhere", ConfigError, "give HOST:PORT"),
        ("", ConfigError, "give HOST:PORT"),
        ("host:0", ConfigError, "give HOST:PORT"),
        ("host:99999", ConfigError, "give HOST:PORT"),
        ("a b:6379", ConfigError, "give HOST:PORT"),
        ("127.0.0.1:1", RunFailedError, "could not reach a Ray cluster at 127.0.0.1:1"),
        ("no-such-host.invalid:6379", RunFailedError, "could not reach a Ray cluster at no-such"),
    ],
)
def test_what_is_no_address_is_refused_before_ray_is_asked(monkeypatch, address, error, says):
    from odyssey.studies.runners import ray as ray_runner

    monkeypatch.setattr(ray_runner.subprocess, "Popen", None)
    with pytest.raises(error, match=says) as raised:
        ray_runner.run_trials(
            iter([]), work=report, workers=1, address=address, listener=Recorder()
        )
    assert "\n" not in str(raised.value)
    assert error is ConfigError or "--runner local" in str(raised.value)


@pytest.mark.ray
@pytest.mark.parametrize(
    ("driver", "says"),
    [
        ("import time; time.sleep(600)", "nothing happened for"),
        ("import os; os.abort()", "signal 6"),
        ("raise SystemExit(3)", "exit status 3"),
    ],
)
def test_a_ray_that_does_not_start_is_one_line(monkeypatch, capfd, driver, says):
    from odyssey.studies.runners import ray as ray_runner

    popen = ray_runner.subprocess.Popen
    monkeypatch.setattr(
        ray_runner.subprocess, "Popen", lambda command, **k: popen([*command[:2], driver], **k)
    )
    monkeypatch.setattr(ray_runner, "START", 0.5)
    with pytest.raises(RunFailedError, match=says) as raised:
        ray_runner.run_trials(iter([]), work=report, workers=1, listener=Recorder())
    assert "could not start Ray on this machine" in str(raised.value)
    assert "--runner local" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_a_run_has_a_worker():
    from odyssey.studies.runners import ray as ray_runner

    with pytest.raises(ConfigError, match="workers must be 1 or more, not 0"):
        ray_runner.run_trials(iter([]), work=report, workers=0, listener=Recorder())


@pytest.mark.ray
def test_workers_that_never_come_up_end_the_run(tmp_path):
    from odyssey.studies.runners import ray_driver

    office = Office(tmp_path, trials=0)
    for _ in range(ray_driver.MAX_ATTEMPTS - 1):
        office.dies("a")
    with pytest.raises(ray_driver._Abort, match="did not come up"):
        office.dies("a")


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
