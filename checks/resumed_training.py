"""Shows that a training that is ended at any moment goes on to the same weights, to the bit.

    python checks/resumed_training.py [--moments 20] [--out FILE]

A training with dropout, input noise and two layers is run to its end, and its time taken. Then it
is begun again and again and ended at random moments of that time, by SIGKILL and SIGTERM in turn,
in every second round a second time while it goes on, and gone on with by `odyssey train --resume`.
Weights, results and curves are compared with those of the whole one.

Prints a row a round, in Markdown. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from odyssey.storage import RunStore
from odyssey.storage.schema import VOLATILE_COLUMNS

TRAINING = (
    *("lstm", "--task", "arithmetic@digits=3", "--hidden-size", "48", "--num-layers", "2"),
    *("--dropout", "0.2", "--input-noise", "0.1", "--epochs", "10", "--updates-per-epoch", "150"),
    *("--checkpoint-every", "100"),
)
RESUME = ("--checkpoint-every", "100", "--resume")


def command(*arguments: str) -> list[str]:
    """Gives a command line of `odyssey train`."""
    return [sys.executable, "-m", "odyssey", "train", *arguments, "--sample", "0"]


def run(arguments: list[str], *, after: float | None = None, number: int = 0) -> None:
    """Runs a command to its end, or ends it after so many seconds."""
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        child.wait(timeout=after)
    except subprocess.TimeoutExpired:
        child.send_signal(number)
        child.wait()


def differences(one: Path, other: Path) -> list[str]:
    """Names what differs between two trainings."""
    found = []
    mine, theirs = (np.load(run / "weights.npz") for run in (one, other))
    if mine.files != theirs.files or any(
        not np.array_equal(mine[n], theirs[n]) for n in mine.files
    ):
        found.append("weights")
    for table in ("results", "curves"):
        a, b = (getattr(RunStore.open(run), table)() for run in (one, other))
        volatile = [c for c in VOLATILE_COLUMNS if c in a]
        if not a.drop(columns=volatile).equals(b.drop(columns=volatile)):
            found.append(table)
    return found


def main() -> None:
    """Runs the rounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = [
        f"{platform.machine()}, Python {platform.python_version()}",
        "",
        "| round | signals | ended after, s | begun again at update | differs |",
        "|---:|---|---|---|---|",
    ]
    rng, failed = random.Random(0), 0
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        start = time.monotonic()
        run(command(*TRAINING, "--out", str(whole)))
        seconds = time.monotonic() - start
        for k in range(options.moments):
            out = Path(folder) / f"run{k}"
            number = (signal.SIGKILL, signal.SIGTERM)[k % 2]
            moments, at = [], []
            arguments = command(*TRAINING, "--out", str(out))
            for _ in range(1 + k // 2 % 2):
                moments.append(rng.uniform(0.1, 1.0) * seconds)
                run(arguments, after=moments[-1], number=number)
                if not (out / "run.json").is_file():
                    continue  # before it had begun
                at.append(_updates(out))
                arguments = command(*RESUME, str(out))
            if not (out / "run.json").is_file():
                run(command(*TRAINING, "--out", str(out)))
            elif not RunStore.open(out).finished():
                run(command(*RESUME, str(out)))
            found = differences(out, whole)
            failed += bool(found)
            lines.append(
                f"| {k + 1} | {signal.Signals(number).name} |"
                f" {', '.join(f'{m:.1f}' for m in moments)} |"
                f" {', '.join(map(str, at)) or 'anew'} | {', '.join(found) or 'nothing'} |"
            )
            print(lines[-1], flush=True)
    lines += ["", f"{options.moments - failed} of {options.moments} rounds ended alike."]
    print(lines[-1])
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.exit(bool(failed))


def _updates(run: Path) -> str:
    """Says at which update the checkpoint of a run is."""
    from odyssey.studies.checkpoints import RunCheckpoints

    found = RunCheckpoints(RunStore.open(run), every=1).load()
    return str(found.facts["updates"]) if found else "none"


if __name__ == "__main__":
    main()
