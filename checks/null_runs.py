"""Counts how often runs of one truth are called different, and one cell under two names worse.

    python checks/null_runs.py [--studies 400] [--draws 8 16 50 200] [--out FILE]

Simulated studies (`statistics.simulation`) of two cells that are one cell, with next to no luck in
common and with half of it, each with draws of its own. Cochran's Q compares the difference of the
cells over three such runs (`statistics.synthesis`); the test of independent draws compares one cell
of a run with the other one of another run (`statistics.permutation`). A row says in which share of
the studies each rejects at 5 %, and how often the test sees a cell that is 0.06 bits worse.

Prints Markdown.
"""

from __future__ import annotations

import argparse
import platform
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from odyssey.speed.machine import describe_machine
from odyssey.statistics.comparison import difference_error, pair_of, paired_test
from odyssey.statistics.draws import task_draws
from odyssey.statistics.estimates import top_count
from odyssey.statistics.permutation import Pair, permutation_p
from odyssey.statistics.ranking import with_labels
from odyssey.statistics.simulation import SimulatedCell, simulate_results
from odyssey.statistics.synthesis import heterogeneity

RUNS, ALPHA, WORSE = 3, 0.05, 0.06


def pairs(rng: np.random.Generator, draws: int, shared: float, worse: float) -> list[Pair]:
    """Gives baseline and variant of several runs."""
    cells = {"base": SimulatedCell(), "variant": SimulatedCell(shift=worse)}
    found = []
    for _ in range(RUNS):
        results = with_labels(simulate_results(cells, rng=rng, draws=draws, shared=shared))
        found.append(pair_of(task_draws(results)[0], "base", "variant"))
    return found


def independent_p(of: list[Pair], seed: int) -> float:
    """Tests the variant of one run against the baseline of another."""
    one, other = of[0], of[1]
    pair = Pair(*(np.stack([a[0], b[1]]) for a, b in zip(one[:2], other[:2], strict=True)), True)
    return permutation_p(pair, top=top_count(pair.valid.shape[1]), seed=seed, swaps=2_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--draws", type=int, nargs="+", default=[8, 16, 50, 200])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = [
        "| draws | luck in common | Q rejects | independent draws reject | see 0.06 bits |",
        "|---:|---:|---:|---:|---:|",
    ]
    rng = np.random.default_rng(1)
    for draws in options.draws:
        for shared in (0.05, 0.5):
            q, null, seen = 0, 0, 0
            for study in range(options.studies):
                of = pairs(rng, draws, shared, 0.0)
                differences = [paired_test(p, seed=0, resamples=0).difference for p in of]
                errors = [difference_error(p, seed=study, resamples=500) for p in of]
                q += heterogeneity(differences, errors).p <= ALPHA
                null += independent_p(of, study) <= ALPHA
                seen += independent_p(pairs(rng, draws, shared, WORSE), study) <= ALPHA
            shares = " | ".join(f"{count / options.studies:.1%}" for count in (q, null, seen))
            lines.append(f"| {draws} | {shared:.0%} | {shares} |")
            print(lines[-1], flush=True)
    machine = describe_machine()
    text = "\n".join(
        [
            f"# Runs of one truth, and independent draws: {datetime.now(UTC):%Y-%m-%d}",
            "",
            f"{options.studies} studies of {RUNS} runs a row. {machine['processor']},"
            f" {machine['target']}; Python {platform.python_version()}. Made by"
            " `python checks/null_runs.py`.",
            "",
            *lines,
            "",
        ]
    )
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
