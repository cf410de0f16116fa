"""Measures what the Ray runner costs: start-up, seconds a trial, and growth of the driver's memory.

    python benchmarks/engine_overhead.py [--trials 200] [--workers 2]

Trials do no work: all that is measured is the engine. The bar is 0.15 s a trial on 2 workers.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from odyssey.studies.trial import Trial, TrialResult

ROW = {"cell": "lstm", "task": "arithmetic", "member": 0, "valid_nats": 1.0, "status": "ok"}


def no_work(trial: Trial) -> TrialResult:
    return TrialResult(trial.id, trial.index, rows=(ROW,) * 4, curves=(ROW,) * 100)


def trials(count: int) -> Iterator[Trial]:
    text = "h' = tanh(W @ x + U @ h + b)"
    members = tuple({"member": m, "seed": m, "learning_rate": 0.1} for m in range(4))
    for index in range(count):
        yield Trial(
            index=index,
            spec="elman",
            cell_text=text,
            cell_key="k",
            lineage=(),
            task="arithmetic",
            members=members,
            training={"seed": index},
        )


class Clock:
    """Notes when trials start and end, and how large the driver is."""

    def __init__(self) -> None:
        self.first_start = 0.0
        self.last_end = 0.0
        self.done = 0
        self.mib_after_10 = 0.0
        self.mib = 0.0

    def on_start(self, trial: Trial) -> None:
        self.first_start = self.first_start or time.perf_counter()

    def on_result(self, trial: Trial, result: TrialResult) -> None:
        assert len(result.curves) == 100
        self.done += 1
        self.last_end = time.perf_counter()
        if self.done == 10:
            self.mib_after_10 = resident_mib()
        self.mib = resident_mib()

    def on_failure(self, trial: Trial, reason: str) -> None:
        raise SystemExit(f"trial {trial.index} failed: {reason}")

    def on_tick(self, running: int) -> None:
        pass


def resident_mib() -> float:
    """Gives this process's resident memory in MiB; 0 where /proc does not say."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0.0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    began = time.perf_counter()
    from odyssey.studies.runners.ray import run_trials

    clock = Clock()
    run_trials(trials(args.trials), work=no_work, workers=args.workers, listener=clock)
    ended = time.perf_counter()

    packages = ", ".join(f"{name} {version(name)}" for name in ("ray", "torch"))
    print(f"{processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, {packages}")
    print(f"{args.trials} trials of no work on {args.workers} workers, 1 thread each")
    print(f"start-up      {clock.first_start - began:8.2f} s")
    print(f"a trial       {(clock.last_end - clock.first_start) / args.trials:8.4f} s")
    print(f"shutting down {ended - clock.last_end:8.2f} s")
    growth = clock.mib - clock.mib_after_10
    print(f"driver memory {clock.mib:8.1f} MiB, {growth:+.1f} since the tenth trial")


if __name__ == "__main__":
    main()
