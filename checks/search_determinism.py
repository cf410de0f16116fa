"""Shows that a search is the same whoever runs it and whatever happens to it.

    python checks/search_determinism.py [--candidates 60] [--kills 10] [--out FILE] [--dir DIR]
    python checks/search_determinism.py --busy 8 --slow 10 [--candidates 24]

For each strategy a study of three stages (with next to no training, but it trains) is run by the
local runner, and again: with other values of PYTHONHASHSEED, by Ray with one and two workers, and
killed at random moments (SIGKILL to the driver and all it started), each session by another runner,
with other workers and another PYTHONHASHSEED. Candidates and results are compared with those of the
first run to the last bit, but for the columns that tell the time. A trial that ended must not be
run again; one that was cut off by a kill must.

With --busy and --slow it is run on the machine as it is, beside so many busy loops, and with trials
whose work takes so many times as long, under a time limit that has no minimum (`strategy.limit`).

Prints a row a run, in Markdown. Exits with 1 if anything differs. What is in DIR is not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.driving import kill_all, start
from support.fake_training import listed

from odyssey.storage import RunStore, load_results
from odyssey.storage.candidates import VOLATILE_CANDIDATE_COLUMNS, load_candidates
from odyssey.storage.schema import VOLATILE_COLUMNS
from odyssey.strategies.registry import STRATEGIES

SCRIPT = Path(__file__).resolve().parents[1] / "tests" / "support" / "fake_search.py"
WHOLE = (
    ("local", 1, "0"),
    ("local", 1, "1"),
    ("local", 1, "12345"),
    ("ray", 1, "1"),
    ("ray", 2, "12345"),
)


def session(
    folder: Path, strategy: str, candidates: int, how: tuple[str, int, str], *more: object
) -> object:
    runner, workers, seed = how
    options = ["--train", "--runner", runner, "--workers", workers, "--list", calls(folder)]
    arguments = [folder, strategy, candidates, *options, *more]
    return start(SCRIPT, *arguments, cwd=folder.parent, PYTHONHASHSEED=seed)


def calls(folder: Path) -> Path:
    return folder.with_name(folder.name + ".calls")


def finish(process: object) -> None:
    if process.wait():
        raise SystemExit(process.stderr.read())


def finished_trials(folder: Path) -> int:
    return len(RunStore.open(folder).finished()) if (folder / "run.json").exists() else 0


def whole(folder: Path, candidates: int) -> bool:
    """Tells whether a run has come to its end."""
    return (folder / "run.json").exists() and len(load_candidates(folder)) == candidates + 2


def killed(folder: Path, strategy: str, candidates: int, kills: int, total: int) -> int:
    """Runs a search that is killed again and again; gives how often it was."""
    note = folder.with_name(folder.name + ".kills")  # goes on with what an earlier call did
    done = int(note.read_text()) if note.exists() else 0
    rng = random.Random(f"{strategy} {candidates} {kills} {done}")
    while done < kills and not whole(folder, candidates):
        how = rng.choice([("local", 1), ("ray", 1), ("ray", 2)])
        process = session(folder, strategy, candidates, (*how, str(rng.randrange(10**6))))
        begun = finished_trials(folder)
        # the moments are spread over the run; the rest of the delay falls anywhere in a trial
        target = begun + rng.randint(0, max(2 * (total - begun) // (kills - done + 1), 1))
        while finished_trials(folder) < target and process.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.random() * 0.3)
        if process.poll() is not None:  # it got to its end first
            finish(process)
            break
        kill_all(process)
        done += 1
        note.write_text(str(done))
    if not whole(folder, candidates):
        finish(session(folder, strategy, candidates, ("local", 1, "0")))
    return done


def same(folder: Path, reference: Path) -> str:
    """Says whether candidates and results are equal to the bit, or where they are not."""
    for what, load, volatile in (
        ("candidates", load_candidates, VOLATILE_CANDIDATE_COLUMNS),
        ("results", load_results, VOLATILE_COLUMNS),
    ):
        one, other = (load(p).drop(columns=list(volatile)) for p in (folder, reference))
        try:
            pd.testing.assert_frame_equal(one, other, check_exact=True)
        except AssertionError as error:
            return f"NO, {what}: {' '.join(str(error).split())[:200]}"
    return "yes"


def row(folder: Path, strategy: str, label: str, reference: Path, kills: int) -> str:
    begun, ended = listed(calls(folder))
    twice = sum(n - 1 for n in ended.values())
    verdict = "first run" if folder == reference else same(folder, reference)
    cut = sum(begun.values()) - sum(ended.values())
    told, trials = len(load_candidates(folder)), load_results(folder)["trial"].nunique()
    cells = (strategy, label, told, trials, kills, cut, twice, verdict)
    return "| " + " | ".join(map(str, cells)) + " |"


@contextlib.contextmanager
def busy(loops: int) -> Iterator[None]:
    """Keeps so many processes busy."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def slow_machines(base: Path, options: argparse.Namespace, tell: Callable[[str], None]) -> None:
    """Runs one search as it is, beside busy loops, and slowed down."""
    for strategy in options.strategies.split(","):
        reference = base / f"{strategy}-quiet"
        for name, label, loops, slow in (
            ("quiet", "the machine as it is", 0, 1),
            ("busy", f"beside {options.busy} busy loops", options.busy, 1),
            ("slow", f"trials {options.slow:g} times as long", 0, options.slow),
        ):
            folder = base / f"{strategy}-{name}"
            start = time.monotonic()
            with busy(loops):
                how, more = (options.runner, 1, "1"), ("--least", 0, "--slow", slow)
                if not whole(folder, options.candidates):
                    finish(session(folder, strategy, options.candidates, how, *more))
            seconds = time.monotonic() - start
            lost = int((load_candidates(folder)["status"] == "unmeasured").sum())
            label += f", {seconds:.0f} s, {lost} not measured"
            tell(row(folder, strategy, label, reference, 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=60)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--out", type=Path, help="keep the report in this file")
    parser.add_argument("--dir", type=Path, help="keep the runs here, and go on with them")
    parser.add_argument("--busy", type=int, default=0, help="busy loops beside a search")
    parser.add_argument("--runner", default="local", help="of searches with --busy and --slow")
    parser.add_argument("--slow", type=float, default=1.0, help="how much longer trials take")
    options = parser.parse_args()
    base = options.dir or Path(tempfile.mkdtemp(prefix="odyssey-", dir="/tmp"))
    base.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Same seed, same search",
        "",
        f"{options.candidates} candidates and two seeds a strategy, three stages, with next to no"
        f" training. {platform.machine()}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}, torch {version('torch')}, ray {version('ray')}.",
        "A trial is cut off when its worker is killed: before its record was written, and it is"
        " run again, or between that and the line in the list that says so.",
        "",
        "| strategy | run | candidates | trials | kills | cut off | ended twice | same tables |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    print("\n".join(lines), flush=True)

    def tell(text: str) -> None:
        lines.append(text)
        print(text, flush=True)
        if options.out:
            options.out.write_text("\n".join([*lines, ""]))

    if options.busy or options.slow > 1.0:
        slow_machines(base, options, tell)
        sys.exit(1 if any("| NO, " in line for line in lines) else 0)
    for strategy in options.strategies.split(","):
        reference = base / f"{strategy}-local-1-0"
        for how in WHOLE:
            runner, workers, seed = how
            folder = base / f"{strategy}-{runner}-{workers}-{seed}"
            if not whole(folder, options.candidates):
                finish(session(folder, strategy, options.candidates, how))
            label = f"{runner}, {workers} worker{'s' * (workers > 1)}, hash seed {seed}"
            tell(row(folder, strategy, label, reference, 0))
        folder = base / f"{strategy}-killed"
        total = finished_trials(reference)
        kills = killed(folder, strategy, options.candidates, options.kills, total)
        label = "killed and resumed, runners, workers and hash seeds mixed"
        tell(row(folder, strategy, label, reference, kills))
    bad = [line for line in lines if "| NO, " in line]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
