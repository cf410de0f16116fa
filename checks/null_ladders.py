"""Counts how often one cell under two names is called different at the end of a ladder.

    python checks/null_ladders.py [--studies 300] [--ladder 200,50,12] [--shared 0.5] [--out FILE]

Simulated studies (`statistics.simulation.simulate_ladder`) of two cells whose draws are halved cell
by cell, as a study does. A row says in which share of the studies the permutation test of the best
draws rejects at 5 %, with a half and all of the finalists as the best: for cells that are one (and
one whose luck is wider), and how often it sees a cell that is worse. Beside it the same of a study
that trains all its draws to the end, as many as the characters of the ladder pay for, with budgets
of 1, 4 and 16.

Prints Markdown.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from odyssey.speed.machine import describe_machine
from odyssey.statistics.comparison import pair_of, paired_test
from odyssey.statistics.draws import task_draws
from odyssey.statistics.permutation import Pair, permutation_p
from odyssey.statistics.ranking import with_labels
from odyssey.statistics.simulation import SimulatedCell, simulate_ladder
from odyssey.storage.rungs import table_of_draws

ALPHA, GROWTH = 0.05, 4
CASES = (
    ("one cell", SimulatedCell()),
    ("worse by 0.03", SimulatedCell(shift=0.03)),
)


def pair(rows: pd.DataFrame, rungs: Sequence[int], *, plain: bool = False) -> Pair:
    """Gives baseline and variant; `plain` takes every row for one of a study without a ladder."""
    draws = with_labels(table_of_draws(rows, rungs))
    return pair_of(task_draws(draws.assign(rung=1) if plain else draws)[0], "base", "variant")


def rejected(of: Pair, top: int, study: int) -> bool:
    return permutation_p(of, top=top, seed=study, swaps=1_000) <= ALPHA


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--ladder", action="append", help="draws of each rung")
    parser.add_argument("--shared", action="append", type=float, help="share of luck in common")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = [
        "| ladder | luck in common | cells | best half rejects | all finalists | difference, sd"
        " | all to the end | rejects | difference, sd |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    ladders = options.ladder or ("200,50,12", "100,30,8", "200,60,20", "40,12,4")
    for rungs in (tuple(map(int, ladder.split(","))) for ladder in ladders):
        paid = sum(n * GROWTH**k for k, n in enumerate(rungs)) // GROWTH ** (len(rungs) - 1)
        for shared in options.shared or (0.9, 0.5):
            for name, variant in CASES:
                cells = {"base": SimulatedCell(), "variant": variant}
                counts, found = np.zeros(3, dtype=int), []
                for study in range(options.studies):
                    rng = np.random.default_rng([11, study])
                    rows = simulate_ladder(cells, rng=rng, rungs=rungs, shared=shared)
                    of = pair(rows, rungs)
                    every = (paid,) * len(rungs)
                    rows = simulate_ladder(cells, rng=rng, rungs=every, shared=shared)
                    whole = pair(rows, every, plain=True)
                    counts[0] += rejected(of, of.top, study)
                    counts[1] += rejected(of, rungs[-1], study)
                    counts[2] += rejected(whole, whole.top, study)
                    both = (paired_test(p, seed=0, resamples=0).difference for p in (of, whole))
                    found.append(tuple(both))
                half, finalists, end = (f"{count / options.studies:.1%}" for count in counts)
                ladder, plain = (
                    f"{m:+.3f}, {s:.3f}"
                    for m, s in zip(np.mean(found, axis=0), np.std(found, axis=0), strict=True)
                )
                lines.append(
                    f"| {' > '.join(map(str, rungs))} | {shared:.0%} | {name} | {half}"
                    f" | {finalists} | {ladder} | {paid} draws | {end} | {plain} |"
                )
                print(lines[-1], flush=True)
    machine = describe_machine()
    text = "\n".join(
        [
            f"# One cell under two names at the end of a ladder: {datetime.now(UTC):%Y-%m-%d}",
            "",
            f"{options.studies} studies a row. {machine['processor']},"
            f" {machine['target']}; Python {platform.python_version()}. Made by"
            " `python checks/null_ladders.py`.",
            "",
            *lines,
            "",
        ]
    )
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
