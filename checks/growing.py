"""Shows that a run that is extended and killed is the larger study run from scratch, to the bit.

    python checks/growing.py [--kills 10] [--out FILE] [--dir DIR]

A study of two cells, a task and three draws is run by `odyssey search`, and extended by `odyssey
extend` to three cells, two tasks and nine draws, for real: it trains. The process and all that it
started are killed (SIGKILL) so many times, each at another moment of its session, from its start on
to the writing down of the records; what goes on is `odyssey extend` or `odyssey search --resume`,
by turns. After every kill what is recorded is read, and must hold what was there before. At the end
results, curves, and the tables of the report are compared with those of the larger study run from
scratch, and no draw may have been trained twice after it was recorded.

Prints a row a kill, in Markdown. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.driving import kill_all, start
from support.same_runs import assert_same_study

from odyssey.speed.machine import describe_machine
from odyssey.storage import RunStore, load_results

STUDY = """
name = "grows"
cells = {cells}
tasks = {tasks}
members = {members}
population = 2
baseline = "lstm"
runner = "local"
[training]
epochs = 3
updates_per_epoch = 100
unroll = 20
valid_characters = 2000
test_characters = 2000
[space]
hidden_size = 32
learning_rate = {{ log_uniform = [1e-3, 1e-1] }}
"""
GROWTH = ("--draws", "9", "--cells", "gru", "--tasks", "xml")
ALL = 2 * 5 * 3 + 2  # trials, and the two that have become parts
TABLES = ("leaderboard.csv", "comparison.csv")


def odyssey(*arguments: object, cwd: Path) -> object:
    return start("-m", "odyssey", *arguments, cwd=cwd)


def finish(process: object) -> None:
    if process.wait():
        raise SystemExit(process.stderr.read())


def rows(folder: Path) -> pd.DataFrame:
    """Gives what is recorded of every draw, under what names it the same in both studies."""
    found = load_results(folder)
    assert not found.duplicated(["task", "spec", "member"]).any(), "a draw is there twice"
    return found.set_index(["task", "spec", "member"]).sort_index()


def assert_same(path: Path, expected: Path) -> None:
    assert_same_study(path, expected)
    for name in TABLES:
        assert (path / name).read_bytes() == (expected / name).read_bytes(), name


def killed(process: object, folder: Path, after: int, seconds: float) -> bool:
    """Kills a process when so many trials more are recorded and a while is over."""
    store = RunStore.open(folder)
    wanted = len(store.recorded()) + after
    while len(store.recorded()) < wanted and process.poll() is None:
        time.sleep(0.01)
    time.sleep(seconds)
    alive = process.poll() is None
    kill_all(process)
    return alive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--dir", type=Path)
    options = parser.parse_args()
    folder = (options.dir or Path(tempfile.mkdtemp())).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    small = STUDY.format(cells=["lstm", "elman"], tasks=["arithmetic"], members=3)
    large = STUDY.format(cells=["lstm", "elman", "gru"], tasks=["arithmetic", "xml"], members=9)
    for name, text in (("small", small), ("large", large)):
        (folder / f"{name}.toml").write_text(text)
        finish(odyssey("search", f"{name}.toml", "--out", name, cwd=folder))
    run, rng = folder / "small", random.Random(7)
    lines = [
        "| kill | when | by | draws recorded | then |",
        "|---:|---|---|---:|---|",
    ]
    before, hits = rows(run), 0
    for number in range(options.kills):
        extends = number % 2 == 0
        command = ("extend", "small", *GROWTH) if extends else ("search", "--resume", "small")
        process = odyssey(*command, cwd=folder)
        # the first ones before and while run.json is written anew, the last at the regrouping
        last = number == options.kills - 1
        after = 0 if number < 2 else ALL - len(RunStore.open(run).recorded()) if last else 2
        seconds = 4.0 * rng.random() if number < 2 else 0.6 * rng.random() * (not last)
        alive = killed(process, run, after, seconds)
        hits += alive
        now = rows(run)
        kept = now.loc[before.index].drop(columns=["trial", "trial_index"])
        same = kept.equals(before.drop(columns=["trial", "trial_index"]))
        when = f"{seconds:.2f} s after {after} trials more"
        lines.append(
            f"| {number + 1} | {when} | {command[0]} | {len(now)} |"
            f" {'all kept' if same else 'LOST'}{'' if alive else ', had ended'} |"
        )
        print(lines[-1], flush=True)
        if not same:
            raise SystemExit(1)
        before = now
    finish(odyssey("extend", "small", *GROWTH, cwd=folder))
    assert_same(run, folder / "large")
    machine = describe_machine()
    text = "\n".join(
        [
            f"# A run that grows, killed {options.kills} times: {datetime.now(UTC):%Y-%m-%d}",
            "",
            f"{machine['processor']}, {machine['target']}; Python"
            f" {platform.python_version()}. Made by `python checks/growing.py`.",
            "",
            *lines,
            "",
            f"{hits} of the {options.kills} kills met a living process. What was recorded before a"
            " kill was there after it, unchanged but for the labels of trials. At the end results,"
            f" curves, {' and '.join(TABLES)} were those of the study from scratch, to the bit.",
            "",
        ]
    )
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
