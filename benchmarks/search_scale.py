"""Memory, files and resuming of a search of many candidates, whose trials train nothing.

    python benchmarks/search_scale.py [--candidates 10000] [--out DIR]

Prints the growth of the driver's memory over the search, the number of files, the time of a
candidate, and how long it takes from opening the directory until a resumed search hands out its
first trial.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from odyssey.storage.candidates import load_candidates
from odyssey.storage.store import RunStore
from odyssey.studies.engine import execute, prepare, reopen
from odyssey.studies.study import parse_study
from odyssey.studies.trial import TrialResult
from odyssey.studies.work import failed_rows

STUDY = """
name = "scale"
cells = ["gru", "lstm"]
tasks = ["arithmetic", "xml"]
runner = "local"

[strategy]
name = "aging"
candidates = {candidates}

[constraints]
max_nodes = 40
max_states = 3

[[stages]]
name = "short"
gate = 0.7

[[stages]]
name = "full"
keep = 0.25
"""


def uniform(*parts):
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@dataclass(frozen=True)
class Nothing:
    """Trains nothing and writes what a trial would."""

    directory: Path

    def __call__(self, trial):
        rows = []
        for row in failed_rows(trial, "", commit=""):
            nats = 1.0 + uniform(trial.cell_text, trial.task, row["member"], trial.group)
            rows.append(
                {**row, "status": "ok", "reason": "", "valid_nats": nats, "valid_accuracy": 0.5}
            )
        curves = [
            {"task": trial.task, "member": r["member"], "update": u, "metric": "valid_nats"}
            for r in rows
            for u in range(5)
        ]
        RunStore.open(self.directory).write(trial.id, rows, curves)
        return TrialResult(trial.id, trial.index, tuple(rows))


class Watch:
    """Notes the memory of this process as the search goes on, and when it begins to work."""

    def __init__(self):
        self.start, self.began = time.monotonic(), 0.0
        self.megabytes, self.times = [], []

    def begin(self, board):
        self.began = time.monotonic() - self.start

    def done(self, board, rows):
        (row,) = rows
        if board.told_now == 1 or row["number"] % 200 == 0:
            self.megabytes.append(memory_mb())
            self.times.append(time.monotonic() - self.start)
        if row["number"] % 1000 == 0:
            print(f"{row['number']:>6} told, {self.megabytes[-1]:.0f} MB", flush=True)

    def tick(self, board):
        pass


def memory_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resume-only", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder = args.out or Path(tempfile.mkdtemp()) / "run"
    watch = Watch()
    if args.resume_only:
        execute(reopen(folder), watch, work=Nothing(folder.absolute()))
        print(f"resuming: {watch.began:.1f} s until the first trial can be handed out")
        return
    study = parse_study(STUDY.format(candidates=args.candidates))
    summary = execute(prepare(study, folder), watch, work=Nothing(folder.absolute()))
    files = sum(1 for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    rows = load_candidates(folder)
    proposals = int(rows["attempts"].sum())
    print(
        f"{summary.told:,} candidates, {summary.ran:,} trials, {proposals:,} proposals in "
        f"{summary.seconds:,.0f} s: {summary.seconds / summary.told * 1000:.1f} ms a candidate"
    )
    first, last = watch.megabytes[0], max(watch.megabytes)
    print(
        f"memory of the driver: {first:.0f} MB at first, {last:.0f} MB at most, "
        f"{last - first:+.0f} MB"
    )
    print(f"files: {files:,}, {size / 2**20:.0f} MB")
    command = [sys.executable, __file__, "--resume-only", "--out", str(folder)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
