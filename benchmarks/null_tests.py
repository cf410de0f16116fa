"""Measures how often the comparisons cry wolf, how often they see a wolf, and what intervals hold.

    python benchmarks/null_tests.py [--studies 1000]

Studies are simulated (`odyssey.report.simulation`): the same cell under several names must come out
different in 5 % of them. Prints Markdown; takes about half an hour on one idle core.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version

import numpy as np
from scipy import stats

from odyssey.report import aggregate, comparison
from odyssey.report.comparison import Pair, bonferroni, holm, odyssey_test, permutation_p
from odyssey.report.draws import task_draws, top_count, top_scores
from odyssey.report.simulation import Cell, simulate_results

PERMUTATIONS = 999
LEVEL = 0.05


def pairs(cells: Mapping[str, Cell], *, seed: int, draws: int, shared: float) -> list[Pair]:
    """Simulates a study and gives the comparisons of all cells with the first."""
    rng = np.random.default_rng([seed, draws])
    made = task_draws(simulate_results(cells, rng=rng, draws=draws, shared=shared))[0]
    return [comparison.pair_of(made, made.labels[0], label) for label in made.labels[1:]]


def ours(pair: Pair, *, seed: int, shift: float = 0.0) -> float:
    top = top_count(pair.valid.shape[1])
    rng = np.random.default_rng(seed)
    return permutation_p(pair, top=top, rng=rng, permutations=PERMUTATIONS, shift=shift)


def share(hits: object) -> str:
    """Writes a share with its exact 95 % interval (Clopper & Pearson 1934)."""
    found = np.asarray(hits, dtype=bool)
    ends = stats.binomtest(int(found.sum()), found.size).proportion_ci(method="exact")
    return f"{100 * found.mean():.1f} % ({100 * ends.low:.1f} to {100 * ends.high:.1f})"


def one_comparison(studies: int) -> None:
    print("## One comparison of a cell with itself, rejected at 5 %\n")
    print("| draws | luck that seeds share | ours | the Odyssey's | draws lost |")
    print("|---:|---:|---:|---:|---:|")
    rows = ((200, None), (200, 0.0), (200, 0.5), (200, 0.9), (50, 0.5), (20, 0.5), (8, 0.5))
    for draws, shared in rows:
        mine, theirs, lost = [], [], []
        for seed in range(studies):
            cells = {"a": Cell(), "b": Cell()}
            (pair,) = pairs(cells, seed=seed, draws=draws, shared=shared or 0.0)
            if shared is None:  # the second cell from a study with hyperparameters of its own
                (other,) = pairs(cells, seed=10**6 + seed, draws=draws, shared=0.0)
                halves = zip(pair, other, strict=True)
                pair = Pair(*(np.stack([a[0], b[1]]) for a, b in halves))
            mine.append(ours(pair, seed=seed) <= LEVEL)
            theirs.append(odyssey_test(pair) <= LEVEL)
            lost.append(np.isinf(pair.valid).mean())
        luck = "own draws" if shared is None else f"{100 * shared:.0f} %"
        print(
            f"| {draws} | {luck} | {share(mine)} | {share(theirs)} | {100 * np.mean(lost):.0f} % |",
            flush=True,
        )


def family(studies: int) -> None:
    print("\n## A cell under nine names: any of eight comparisons rejected after correction\n")
    print("| draws | luck that seeds share | ours, Holm | the Odyssey's, Bonferroni |")
    print("|---:|---:|---:|---:|")
    cells = {f"{i}": Cell() for i in range(9)}
    for draws, shared in ((200, 0.0), (200, 0.5)):
        mine, theirs = [], []
        for seed in range(studies):
            here = pairs(cells, seed=seed, draws=draws, shared=shared)
            mine.append((holm([ours(p, seed=seed) for p in here]) <= LEVEL).any())
            theirs.append((bonferroni([odyssey_test(p) for p in here]) <= LEVEL).any())
        print(f"| {draws} | {100 * shared:.0f} % | {share(mine)} | {share(theirs)} |", flush=True)


def power(studies: int) -> None:
    print("\n## Cells that do differ: how often one comparison sees it at 5 %\n")
    print("| the variant | draws | luck that seeds share | ours | the Odyssey's |")
    print("|---|---:|---:|---:|---:|")
    variants = {
        "0.03 bits worse at every draw": Cell(shift=0.03),
        "0.06 bits worse at every draw": Cell(shift=0.06),
        "diverges at a third of the learning rate": Cell(cliff=-1.5),
    }
    for name, cell in variants.items():
        for draws, shared in ((200, 0.0), (200, 0.5), (50, 0.5)):
            mine, theirs = [], []
            for seed in range(studies):
                (pair,) = pairs({"a": Cell(), "b": cell}, seed=seed, draws=draws, shared=shared)
                mine.append(ours(pair, seed=seed) <= LEVEL)
                theirs.append(odyssey_test(pair) <= LEVEL)
            row = f"| {name} | {draws} | {100 * shared:.0f} % | {share(mine)} | {share(theirs)} |"
            print(row, flush=True)


def true_difference(cell: Cell, *, draws: int) -> float:
    """Gives the mean difference of the best draws over many studies of that size."""
    found = []
    for seed in range(1000):
        (pair,) = pairs({"a": Cell(), "b": cell}, seed=10**6 + seed, draws=draws, shared=0.5)
        best = top_scores(pair.valid, pair.test, top_count(draws)).mean(axis=1)
        found.append(best[1] - best[0])
    return float(np.mean(found))


def coverage(studies: int) -> None:
    print("\n## How often the 95 % interval of the difference holds the true one\n")
    print("| the variant | draws | true difference | holds it |")
    print("|---|---:|---:|---:|")
    variants = {
        "the same cell": Cell(),
        "0.06 bits worse at every draw": Cell(shift=0.06),
        "best at three times the learning rate": Cell(best_rate=-1.5),
        "diverges at a tenth of the learning rate": Cell(cliff=-2.0),
    }
    for name, cell in variants.items():
        for draws in (200, 50):
            true = true_difference(cell, draws=draws)
            held = []
            for seed in range(studies):
                (pair,) = pairs({"a": Cell(), "b": cell}, seed=seed, draws=draws, shared=0.5)
                # The interval holds a shift exactly when the test does not reject it.
                held.append(ours(pair, seed=seed, shift=true) > LEVEL)
            print(f"| {name} | {draws} | {true:+.3f} | {share(held)} |", flush=True)


def over_tasks(studies: int) -> None:
    print("\n## Interquartile mean over three tasks: interval of a difference that is nought\n")
    print("| draws | holds it |")
    print("|---:|---:|")
    cells = {"a": Cell(), "b": Cell()}
    for draws in (200, 50):
        held = []
        for seed in range(studies // 5):
            rng = np.random.default_rng([seed, draws])
            frame = simulate_results(cells, rng=rng, draws=draws, tasks=("x", "y", "z"))
            row = aggregate.aggregate_scores(frame, seed=seed, resamples=300).iloc[1]
            held.append(row["difference_low"] <= 0 <= row["difference_high"])
        print(f"| {draws} | {share(held)} of {len(held)} studies |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    began = time.perf_counter()
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))
    print("# Null tests of the comparisons\n")
    print(
        f"{studies:,} simulated studies a row, {PERMUTATIONS} permutations a comparison, shares\n"
        "with exact 95 % intervals. The best draws: the best tenth by validation, at least five.\n"
        "Ours: paired permutation test with the choice inside. The Odyssey's: Welch's test on the\n"
        f"best draws. Python {platform.python_version()}, {packages}.\n"
        "Own draws: the two cells share no hyperparameters and seeds, as in the paper.\n"
    )
    for table in (one_comparison, family, power, coverage, over_tasks):
        table(studies)
    minutes = (time.perf_counter() - began) / 60
    print(f"\n{minutes:.0f} minutes of wall time on one of {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
