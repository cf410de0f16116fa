"""Injects faults into searches, and prints what each cost: lost, repeated, time to recover.

    python checks/faults.py [--only NAME,NAME] [--out FILE]

Each fault meets a search of 20 candidates, whose trials train nothing and take a tenth of a second,
under Ray with two workers; what was told and what was trained is compared to the bit with a search
that nothing happened to, where the fault leaves that possible. A worker lists the trials that it
begins and ends. Lost is a trial that ended and is not in the results; repeated is one that ended
twice; cut off is one that was begun and never ended, and it is begun again.

Recovery is counted from the fault until the trial that was cut off is begun again; where the run
ended, from the start of the resuming process until its first trial; of faults that belong to some
candidates it is the longest pause between two trials that end. The disk that is full is a tmpfs of
half a megabyte, which takes a root to mount.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.driving import kill_all, session_members, start
from support.fake_training import TRAINING, listed, study_text

from odyssey.storage import load_results
from odyssey.storage.candidates import VOLATILE_CANDIDATE_COLUMNS, load_candidates
from odyssey.storage.schema import VOLATILE_COLUMNS
from odyssey.studies.evolve.candidate import OVER_LIMIT

TESTS = Path(__file__).resolve().parents[1] / "tests"
CANDIDATES = 20
PATIENCE = 600.0


@dataclass(frozen=True)
class Row:
    """What a fault did."""

    fault: str
    then: str
    lost: int
    repeated: int
    cut: int
    seconds: float
    same: str

    def __str__(self) -> str:
        shown = f"{self.seconds:.1f}" if self.seconds == self.seconds else "-"
        cells = (self.fault, self.then, self.lost, self.repeated, self.cut, shown, self.same)
        return "| " + " | ".join(map(str, cells)) + " |"


@dataclass
class Search:
    """One search of the fault table, in a folder of its own."""

    folder: Path
    reference: Path
    shared: Path | None = None

    def start(self, *more: object, runner: str = "ray", workers: int = 2) -> subprocess.Popen:
        options = ["--runner", runner, "--workers", workers, "--list", self.calls]
        options += ["--seconds", 0.1, *more]
        arguments = [self.folder, "aging", CANDIDATES, *options]
        return start(TESTS / "support/fake_search.py", *arguments, cwd=self.folder.parent)

    @property
    def calls(self) -> Path:
        return self.shared or self.folder.with_name(self.folder.name + ".calls")

    def counts(self) -> tuple[int, int]:
        """Trials begun and ended, repetitions counted."""
        begun, ended = listed(self.calls)
        return sum(begun.values()), sum(ended.values())

    def wait(self, process: subprocess.Popen, *, ended: int = 0, begun: int = 0) -> float:
        """Waits until so many trials ended and were begun; gives the time that took."""
        start, deadline = time.monotonic(), time.monotonic() + PATIENCE
        while True:
            now = self.counts()
            if now[0] >= begun and now[1] >= ended:
                return time.monotonic() - start
            if process.poll() is not None:
                raise SystemExit(f"the search ended early: {process.stderr.read()}")
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.folder.name}: nothing happened in {PATIENCE:.0f} s")
            time.sleep(0.01)

    def wait_again(self, process: subprocess.Popen) -> float:
        """Waits until a trial is begun for the second time; NaN if none had to be."""
        start = time.monotonic()
        while process.poll() is None:
            if max(listed(self.calls)[0].values()) > 1:
                return time.monotonic() - start
            time.sleep(0.01)
        return float("nan")

    def finish(self, process: subprocess.Popen) -> str:
        """Waits for a search that must come to its end; gives what it wrote on standard error."""
        process.wait(PATIENCE)
        text = process.stderr.read()
        if process.returncode:
            raise SystemExit(f"{self.folder.name}: {text}")
        return text

    def resume(self, *more: object) -> float:
        """Goes on to the end; gives the time until the first trial was begun."""
        before = self.counts()[0]
        process = self.start(*more)
        seconds = self.wait(process, begun=before + 1)
        self.finish(process)
        return seconds

    def row(self, fault: str, then: str, seconds: float, *, same: str = "") -> Row:
        begun, ended = listed(self.calls)
        lost = len(set(ended) - set(load_results(self.folder)["trial"]))
        repeated = sum(n - 1 for n in ended.values())
        cut = sum(begun.values()) - sum(ended.values())
        return Row(fault, then, lost, repeated, cut, seconds, same or self.same())

    def row_after_resume(self, fault: str) -> Row:
        seconds = self.resume()
        return self.row(fault, "resumed", seconds)

    def same(self) -> str:
        for load, volatile in (
            (load_candidates, VOLATILE_CANDIDATE_COLUMNS),
            (load_results, VOLATILE_COLUMNS),
        ):
            one, other = (
                load(p).drop(columns=list(volatile)) for p in (self.folder, self.reference)
            )
            if not one.equals(other):
                return "NO"
        return "yes"

    def reasons(self, text: str, status: str) -> str:
        """Candidates whose record names the cause."""
        rows = load_candidates(self.folder)
        found = rows[rows["reason"].str.contains(text, regex=False, na=False)]
        if not len(found) or set(found["status"]) != {status}:
            raise SystemExit(f"{self.folder.name}: no record says {status}, {text!r}")
        many = f"{len(found)} candidate{'s' * (len(found) > 1)}"
        return f"{many} {status}: '{text}'; the search went on"

    def blamed(self) -> int:
        """Trials booked as failed; none of those that only fail to learn."""
        rows = load_results(self.folder)
        return int(rows[rows["status"] == "failed"]["trial"].nunique())


# What the command line of each kind of process of a run holds; but for the first, all are Ray's.
KINDS = {
    "odyssey": "fake_search.py",
    "ray-driver": "odyssey.studies.runners.ray_driver",
    "worker": "ray::_Worker",
    "mailbox": "Mailbox",
    "raylet": "raylet/raylet ",
    "gcs_server": "gcs/gcs_server ",
    "log-monitor": "log_monitor",
    "monitor": "monitor.py",
    "dashboard-agent": "ray::DashboardAgent",
    "runtime-env-agent": "ray::RuntimeEnvAgent",
    "idle-worker": "ray::IDLE",
}


def processes_of(process: subprocess.Popen) -> dict[int, str]:
    """The living processes of a search with their command lines."""
    found = {}
    for pid in session_members(process.pid):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            found[pid] = line.replace(b"\0", b" ").decode(errors="replace")
    return found


def of_kind(process: subprocess.Popen, kind: str) -> list[int]:
    """The processes of a search of one of `KINDS`."""
    return [pid for pid, line in processes_of(process).items() if KINDS[kind] in line + " "]


def workers_of(process: subprocess.Popen) -> list[int]:
    """The processes of a search that are Ray workers at work."""
    return of_kind(process, "worker")


# The faults


def driver_killed(search: Search) -> Row:
    process = search.start()
    search.wait(process, ended=12)
    process.kill()
    process.wait()
    end = time.monotonic()
    while left := workers_of(process):  # Ray's own agents may take minutes to see that it is over
        if time.monotonic() - end > PATIENCE:
            raise SystemExit(f"workers {left} outlived their driver")
        time.sleep(0.05)
    gone = time.monotonic() - end
    process.stderr.close()
    seconds = search.resume()
    return search.row("SIGKILL of the driver", f"workers gone after {gone:.1f} s; resumed", seconds)


def workers_killed(search: Search) -> Row:
    process = search.start()
    search.wait(process, ended=12)
    victims = workers_of(process)
    assert len(victims) == 2, victims
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    seconds = search.wait_again(process)
    search.finish(process)
    return search.row("SIGKILL of both workers", "restarted; the run went on", seconds)


def killed(search: Search, kind: str, times: int = 3) -> Row:
    """SIGKILL of every process of a kind, again and again; what has ended is resumed."""
    hits, ends, seconds = 0, [], 0.0
    for session in range(20):
        process = search.start()
        done = search.counts()[1]
        while hits < times:
            search.wait(process, ended=min(done + 4, 40))
            victims = of_kind(process, kind)
            if not victims:
                break
            begin = time.monotonic()
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            hits += 1
            done = search.counts()[1]
            if ended_by(process, search, done + 4):
                break
        if hits == times and process.poll() is None:
            process.wait(PATIENCE)
        if process.poll() is None:  # there is no such process, or it was not needed to the end
            process.wait(PATIENCE)
        text = process.stderr.read().strip()
        process.stderr.close()
        seconds = max(seconds, time.monotonic() - begin) if hits else seconds
        if process.returncode == 0:
            break
        if process.returncode > 0:  # not killed itself: it must have said why, in one line
            line = text.splitlines()[-1] if text else ""
            assert line.startswith("odyssey.errors.RunCutShortError: "), text
            ends.append(line.partition(": ")[2])
        del session
    else:
        raise SystemExit(f"{kind}: the search never ended")
    if not hits:
        return Row(f"SIGKILL of {kind}", "no such process", 0, 0, 0, float("nan"), search.same())
    blamed = search.blamed()
    assert not blamed, f"{blamed} trials are booked as failed"
    then = f"killed {hits} times; " + (f"'{ends[0]}', resumed" if ends else "the run went on")
    if kind == "odyssey":
        then = f"killed {hits} times; resumed"
    return search.row(f"SIGKILL of {kind}", f"{then}; no trial booked as failed", seconds)


def ended_by(process: subprocess.Popen, search: Search, ended: int) -> bool:
    """Waits until a search has ended, or so many trials have: gives which."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None:
        if search.counts()[1] >= ended:
            return False
        if time.monotonic() > deadline:
            raise SystemExit(f"{search.folder.name}: neither ends nor goes on")
        time.sleep(0.01)
    return True


def all_killed(search: Search) -> Row:
    process = search.start()
    search.wait(process, ended=12)
    kill_all(process)
    return search.row_after_resume("SIGKILL of driver and workers")


def out_of_memory(search: Search) -> Row:
    return failing(search, "kill", "worker died in every attempt", "worker out of memory")


def memory_error(search: Search) -> Row:
    return failing(search, "memory", "MemoryError", "MemoryError in a worker")


def hanging(search: Search) -> Row:
    return failing(search, "hang", OVER_LIMIT, "candidate hangs in Python", "--least", 1)


def hanging_in_c(search: Search) -> Row:
    return failing(search, "hang_in_c", OVER_LIMIT, "candidate hangs in C", "--least", 1)


def failing(search: Search, what: str, reason: str, label: str, *more: object) -> Row:
    """A fault that belongs to some candidates: those whose key begins with a certain digit."""
    faults = search.folder.with_name(search.folder.name + ".faults")
    faults.mkdir()
    (faults / rare_digit(search.reference)).write_text(what)
    process = search.start("--faults", faults, *more)
    longest, last, count = 0.0, time.monotonic(), 0
    while process.poll() is None:  # the longest pause between two trials that end
        ended = search.counts()[1]
        if ended > count:
            longest = max(longest, time.monotonic() - last) if count else 0.0
            count, last = ended, time.monotonic()
        time.sleep(0.01)
    search.finish(process)
    status = "unmeasured" if reason == OVER_LIMIT else "failed"
    return search.row(label, search.reasons(reason, status), longest, same="but for these")


def rare_digit(reference: Path) -> str:
    """The first digit of keys that the fewest mutants have, but at least one of the first ten."""
    rows = load_candidates(reference)
    mutants = rows[rows["arm"].ne("seed") & rows["name"].str.startswith("m-")]
    counts = mutants["cell_key"].str[0].value_counts()
    early = set(mutants["cell_key"].str[0].iloc[:10])
    return min(early, key=lambda digit: (counts[digit], digit))


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[str], None]]:
    """Mounts half a megabyte; gives a function that mounts it anew with other options."""
    folder.mkdir()

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        subprocess.run(command, check=True, capture_output=True)

    mount("size=512k")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def full_disk(search: Search) -> Row:
    disk = search.folder.with_name("disk")
    with small_disk(disk) as mount:
        there = Search(disk / "run", search.reference, search.calls)
        process = there.start()
        process.wait(PATIENCE)
        text = process.stderr.read()
        assert process.returncode, "the disk was large enough"
        assert "No space left on device" in text.strip().splitlines()[-1], text
        kept = len(load_results(there.folder)["trial"].unique())
        mount("remount,size=64m")
        seconds = there.resume()
        # what ended while nothing could be kept had to be run again: it never was finished
        then = f"stopped with {kept} trials and 'No space left on device'; resumed with more room"
        return there.row("full disk", then, seconds)


def corrupt(search: Search, damage: Callable[[bytes], bytes], label: str) -> Row:
    process = search.start()
    search.wait(process, ended=20)
    kill_all(process)
    shards = sorted((search.folder / "results").glob("*.parquet"))
    shard = random.Random(1).choice(shards)
    shard.write_bytes(damage(shard.read_bytes()))
    row = search.row_after_resume(label)
    assert shard.with_name(shard.name + ".corrupt").exists()
    then = "moved aside as .corrupt, its trial trained again (the one repeated); resumed"
    return Row(**{**vars(row), "then": then})


def truncated(search: Search) -> Row:
    return corrupt(search, lambda data: data[: len(data) // 2], "a shard cut short")


def garbage(search: Search) -> Row:
    return corrupt(search, lambda data: os.urandom(len(data)), "a shard of garbage")


def lost_node(search: Search) -> Row:
    import logging

    from ray.cluster_utils import Cluster

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    common = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=common)
    try:
        node = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
        process = search.start("--address", cluster.address)
        search.wait(process, ended=12)
        cluster.remove_node(node, allow_graceful=False)
        seconds = search.wait_again(process)
        search.finish(process)
    finally:
        cluster.shutdown()
    return search.row("one of two Ray nodes lost", "the other took its trial over", seconds)


def interrupted(search: Search, number: signal.Signals = signal.SIGINT) -> Row:
    """A signal to all that the terminal started: Ctrl-C, or what a scheduler or its end sends."""
    study = search.folder.with_name("study.toml")
    text = study_text(candidates=CANDIDATES, train=True)
    assert TRAINING in text
    study.write_text(text)
    command = [sys.executable, "-m", "odyssey", "search", study, "--out", search.folder]
    process = subprocess.Popen(
        [*command, "--runner", "ray", "--workers", "2"],
        env={**os.environ, "PYTHONPATH": str(TESTS.parent), "COLUMNS": "120"},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + PATIENCE
    while (
        not list(search.folder.glob("candidates/*.parquet"))
        or len(load_candidates(search.folder)) < 6
    ):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, number)
    began = time.monotonic()
    out, err = process.communicate(timeout=PATIENCE)
    seconds = time.monotonic() - began
    assert process.returncode == 128 + number, (out, err)
    assert "best cells" in out, out
    assert f"go on with: odyssey search --resume {search.folder}" in err, err
    assert "Traceback" not in err, err
    assert "***" not in err, err  # of a stack dump
    left = session_members(process.pid)
    assert not left, left
    told = len(load_candidates(search.folder))
    then = f"{told} candidates kept; leaderboard and resume command printed (time until it ended)"
    return Row(number.name, then, 0, 0, 0, seconds, "-")


FAULTS: dict[str, Callable[[Search], Row]] = {
    "driver": driver_killed,
    "workers": workers_killed,
    **{f"kill-{kind}": partial(killed, kind=kind) for kind in KINDS},
    "all": all_killed,
    "oom": out_of_memory,
    "memory": memory_error,
    "hang": hanging,
    "hang-c": hanging_in_c,
    "disk": full_disk,
    "truncated": truncated,
    "garbage": garbage,
    "node": lost_node,
    "ctrl-c": interrupted,
    "sigterm": partial(interrupted, number=signal.SIGTERM),
    "sighup": partial(interrupted, number=signal.SIGHUP),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(FAULTS), help=", ".join(FAULTS))
    parser.add_argument("--out", type=Path, help="keep the report in this file")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="odyssey-", dir="/tmp"))
    lines = [
        "# Faults",
        "",
        f"Searches of {CANDIDATES} candidates with trials of 0.1 s, two Ray workers."
        f" {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},"
        f" ray {version('ray')}.",
        "",
        "| fault | then | finished trials lost | repeated | cut off | recovery, s | same tables |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    print("\n".join(lines), flush=True)
    reference = Search(base / "reference", base / "reference")
    reference.finish(reference.start("--seconds", 0, runner="local", workers=1))
    failed = False
    for name in options.only.split(","):
        search = Search(base / name, reference.folder)
        try:
            row = FAULTS[name](search)
        except (SystemExit, AssertionError) as error:
            print(f"{name}: {error!r}", file=sys.stderr, flush=True)
            failed = True
            continue
        failed |= row.lost > 0 or row.same == "NO"
        lines.append(str(row))
        print(row, flush=True)
        if options.out:
            options.out.write_text("\n".join([*lines, ""]))
    shutil.rmtree(base)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
