"""Measures how often the comparisons cry wolf, how often they see a wolf, and what intervals hold.

    python checks/null_tests.py [--studies 1000] [--only PART]

Studies are simulated (`odyssey.statistics.simulation`): the same cell under several names must
come out different in 5 % of them. The last part decomposes functions whose importance is known in
closed form, and compares main effects with optuna's. Prints Markdown; takes about an hour on one
idle core, twenty minutes of it for `--only importance`.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy import stats

from odyssey.statistics import aggregate
from odyssey.statistics.comparison import bonferroni, holm, odyssey_test
from odyssey.statistics.draws import top_scores
from odyssey.statistics.estimates import top_count
from odyssey.statistics.importance import InputRange, decompose
from odyssey.statistics.permutation import EXACT_DRAWS, Pair, PermutationTest, decide
from odyssey.statistics.simulation import (
    CHANCE,
    CLOSED_FORMS,
    SimulatedCell,
    simulate_pairs,
    simulate_results,
)

LEVEL = 0.05


def pairs(
    cells: Mapping[str, SimulatedCell], *, seed: int, draws: int, shared: float
) -> list[Pair]:
    """Simulates a study and gives the comparisons of all cells with the first."""
    rng = np.random.default_rng([seed, draws])
    return simulate_pairs(list(cells.values()), rng=rng, draws=draws, shared=shared)


def rejected(tested: Sequence[Pair], *, seed: int, shift: float = 0.0) -> list[bool]:
    """Says which comparisons of a study ours calls different at 5 %, corrected by Holm.

    Swaps are drawn as they are for a page; what a million of them leave open goes by its p-value.
    """
    tests = [
        PermutationTest(p, top=top_count(p.valid.shape[1]), seed=seed, shift=shift) for p in tested
    ]
    verdicts = decide(tests, alpha=LEVEL, adjust=holm)
    by_p = holm([test.p for test in tests]) <= LEVEL
    return [bool(p) if v is None else v for v, p in zip(verdicts, by_p, strict=True)]


def ours(pair: Pair, *, seed: int, shift: float = 0.0) -> bool:
    return rejected([pair], seed=seed, shift=shift)[0]


def share(hits: object) -> str:
    """Writes a share with its exact 95 % interval (Clopper & Pearson 1934)."""
    found = np.asarray(hits, dtype=bool)
    ends = stats.binomtest(int(found.sum()), found.size).proportion_ci(method="exact")
    return f"{100 * found.mean():.1f} % ({100 * ends.low:.1f} to {100 * ends.high:.1f})"


def as_it_is(pair: Pair, rng: np.random.Generator) -> Pair:
    del rng
    return pair


def rounded(pair: Pair, rng: np.random.Generator) -> Pair:
    """Rounds scores to a tenth of a bit, so that many are tied."""
    del rng
    return Pair(pair.valid.round(1), pair.test.round(1))


def broken(pair: Pair, rng: np.random.Generator) -> Pair:
    """Lets 85 % of the draws of each cell diverge at random."""
    lost = rng.random(pair.valid.shape) < 0.85
    return Pair(np.where(lost, np.inf, pair.valid), np.where(lost, CHANCE, pair.test))


CHANGES = {"": as_it_is, "scores in tenths": rounded, "85 % diverge": broken}


def one_comparison(studies: int) -> None:
    print("## One comparison of a cell with itself, rejected at 5 %\n")
    print("| draws | luck that seeds share | ours | the Odyssey's | draws lost |")
    print("|---:|---:|---:|---:|---:|")
    plain = ((200, None), (200, 0.0), (200, 0.5), (200, 0.9), (50, 0.5), (20, 0.5), (16, 0.5))
    rows: list[tuple[int, float | None, str]] = [(*row, "") for row in (*plain, (8, 0.5))]
    rows += [(n, 0.5, name) for name in ("scores in tenths", "85 % diverge") for n in (50, 16)]
    for draws, shared, change in rows:
        mine, theirs, lost = [], [], []
        for seed in range(studies):
            cells = {"a": SimulatedCell(), "b": SimulatedCell()}
            (pair,) = pairs(cells, seed=seed, draws=draws, shared=shared or 0.0)
            if shared is None:  # the second cell from a study with hyperparameters of its own
                (other,) = pairs(cells, seed=10**6 + seed, draws=draws, shared=0.0)
                halves = zip(pair, other, strict=True)
                pair = Pair(*(np.stack([a[0], b[1]]) for a, b in halves))
            pair = CHANGES[change](pair, np.random.default_rng([seed, 7]))
            mine.append(ours(pair, seed=seed))
            theirs.append(odyssey_test(pair) <= LEVEL)
            lost.append(np.isinf(pair.valid).mean())
        luck = "own draws" if shared is None else f"{100 * shared:.0f} %"
        luck += f", {change}" if change else ""
        print(
            f"| {draws} | {luck} | {share(mine)} | {share(theirs)} | {100 * np.mean(lost):.0f} % |",
            flush=True,
        )


def unequal_luck(studies: int) -> None:
    print("\n## Equal tuned scores, luck three times as wide: rejected at 5 %, interval holds 0\n")
    print("This is not what a permutation test promises: the cells differ, their scores do not.\n")
    print("| draws | ours | interval holds 0 |")
    print("|---:|---:|---:|")
    for draws in (16, 50, 200):
        wide = SimulatedCell(luck=3.0)
        wide = SimulatedCell(luck=3.0, shift=-true_difference(wide, draws=draws))
        mine = []
        for seed in range(studies):
            (pair,) = pairs({"a": SimulatedCell(), "b": wide}, seed=seed, draws=draws, shared=0.5)
            mine.append(ours(pair, seed=seed))
        print(f"| {draws} | {share(mine)} | {share(~np.array(mine))} |", flush=True)


def family(studies: int) -> None:
    print("\n## A cell under nine names: any of eight comparisons rejected after correction\n")
    print("| draws | luck that seeds share | ours, Holm | the Odyssey's, Bonferroni |")
    print("|---:|---:|---:|---:|")
    cells = {f"{i}": SimulatedCell() for i in range(9)}
    for draws, shared in ((200, 0.0), (200, 0.5)):
        mine, theirs = [], []
        for seed in range(studies):
            here = pairs(cells, seed=seed, draws=draws, shared=shared)
            mine.append(any(rejected(here, seed=seed)))
            theirs.append((bonferroni([odyssey_test(p) for p in here]) <= LEVEL).any())
        print(f"| {draws} | {100 * shared:.0f} % | {share(mine)} | {share(theirs)} |", flush=True)


def power(studies: int) -> None:
    print("\n## Cells that do differ: how often one comparison sees it at 5 %\n")
    print("| the variant | draws | luck that seeds share | ours | the Odyssey's |")
    print("|---|---:|---:|---:|---:|")
    variants = {
        "0.03 bits worse at every draw": SimulatedCell(shift=0.03),
        "0.06 bits worse at every draw": SimulatedCell(shift=0.06),
        "diverges at a third of the learning rate": SimulatedCell(cliff=-1.5),
    }
    for name, cell in variants.items():
        for draws, shared in ((200, 0.0), (200, 0.5), (50, 0.5)):
            mine, theirs = [], []
            for seed in range(studies):
                (pair,) = pairs(
                    {"a": SimulatedCell(), "b": cell}, seed=seed, draws=draws, shared=shared
                )
                mine.append(ours(pair, seed=seed))
                theirs.append(odyssey_test(pair) <= LEVEL)
            row = f"| {name} | {draws} | {100 * shared:.0f} % | {share(mine)} | {share(theirs)} |"
            print(row, flush=True)


def true_difference(cell: SimulatedCell, *, draws: int) -> float:
    """Gives the mean difference of the best draws over many studies of that size."""
    found = []
    for seed in range(1000):
        (pair,) = pairs(
            {"a": SimulatedCell(), "b": cell}, seed=10**6 + seed, draws=draws, shared=0.5
        )
        best = top_scores(pair.valid, pair.test, top_count(draws)).mean(axis=1)
        found.append(best[1] - best[0])
    return float(np.mean(found))


def coverage(studies: int) -> None:
    print("\n## How often the 95 % interval of the difference holds the true one\n")
    print("| the variant | draws | true difference | holds it |")
    print("|---|---:|---:|---:|")
    variants = {
        "the same cell": SimulatedCell(),
        "0.06 bits worse at every draw": SimulatedCell(shift=0.06),
        "best at three times the learning rate": SimulatedCell(best_rate=-1.5),
        "diverges at a tenth of the learning rate": SimulatedCell(cliff=-2.0),
    }
    for name, cell in variants.items():
        for draws in (200, 50, 16):
            true = true_difference(cell, draws=draws)
            held = []
            for seed in range(studies):
                (pair,) = pairs(
                    {"a": SimulatedCell(), "b": cell}, seed=seed, draws=draws, shared=0.5
                )
                # The interval holds a shift exactly when the test does not reject it.
                held.append(not ours(pair, seed=seed, shift=true))
            print(f"| {name} | {draws} | {true:+.3f} | {share(held)} |", flush=True)


def over_tasks(studies: int) -> None:
    print("\n## Interquartile mean over three tasks: interval of a difference that is nought\n")
    print("| draws | holds it |")
    print("|---:|---:|")
    cells = {"a": SimulatedCell(), "b": SimulatedCell()}
    for draws in (200, 50):
        held = []
        for seed in range(studies // 5):
            rng = np.random.default_rng([seed, draws])
            frame = simulate_results(cells, rng=rng, draws=draws, tasks=("x", "y", "z"))
            row = aggregate.aggregate_scores(frame, seed=seed, resamples=300).iloc[1]
            held.append(row["difference_low"] <= 0 <= row["difference_high"])
        print(f"| {draws} | {share(held)} of {len(held)} studies |", flush=True)


REPEATS = 20  # samples of each function


def closed_forms(studies: int) -> None:
    del studies  # a forest is the same work however many studies the other parts simulate
    print("\n## Importance: shares of variance known in closed form, per cent\n")
    print(
        f"Mean and root mean square error over {REPEATS} samples of three inputs, where one may\n"
        "do nothing; holds: how often the 95 % interval holds the true share.\n"
    )
    print(
        "| function | trials | out-of-bag R² | effect | true | ours | error | holds | optuna"
        " | its error |"
    )
    print("|---|---:|---:|---|---:|---:|---:|---:|---:|---:|")
    inputs = [InputRange(name, "linear", 0.0, 1.0) for name in "abc"]
    for name, form in CLOSED_FORMS.items():
        for trials in (200, 1000):
            frames, theirs, fits = [], [], []
            for seed in range(REPEATS):
                x = np.random.default_rng([seed, trials]).random((trials, len(inputs)))
                y = form.function(x)
                found = decompose(inputs, x, y, seed=seed, halves=20)
                frames.append(found.effects.set_index("inputs")[["share", "low", "high"]])
                theirs.append(optunas(x, y, seed=seed))
                fits.append(found.fit)
            for effect in frames[0].index:
                true = form.shares.get(effect, 0.0)
                rows = np.array([frame.loc[effect] for frame in frames])
                held = (rows[:, 1] <= true + 1e-9) & (true - 1e-9 <= rows[:, 2])
                cells = [name, trials, f"{np.mean(fits):.2f}", effect, f"{100 * true:.1f}"]
                cells += [*mean_and_error(rows[:, 0], true), f"{held.sum()} of {REPEATS}"]
                known = [shares[effect] for shares in theirs if effect in shares]
                cells += mean_and_error(np.array(known), true) if known else ["", ""]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


def optunas(x: np.ndarray, y: np.ndarray, *, seed: int) -> dict[str, float]:
    """Gives optuna's main effects: shares of the variance of a tree, averaged over trees."""
    import optuna
    from optuna.distributions import FloatDistribution
    from optuna.importance import FanovaImportanceEvaluator

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = {name: FloatDistribution(0.0, 1.0) for name in "abc"}
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(zip(space, map(float, row), strict=True)),
                distributions=space,
                value=float(value),
            )
            for row, value in zip(x, y, strict=True)
        ]
    )
    return dict(FanovaImportanceEvaluator(n_trees=64, max_depth=64, seed=seed).evaluate(study))


def mean_and_error(shares: np.ndarray, true: float) -> list[str]:
    error = np.sqrt(np.mean((shares - true) ** 2))
    return [f"{100 * shares.mean():.1f}", f"{100 * error:.1f}"]


def machine() -> str:
    """Names the processor and the widest vector instructions that it has."""
    try:
        said = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    facts = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = facts.get("flags", "").split()
    widest = next((f for f in ("avx512f", "avx2", "avx") if f in flags), "no AVX")
    return f"{facts.get('model name', platform.machine())} ({widest})"


PARTS = {
    "one": one_comparison,
    "luck": unequal_luck,
    "family": family,
    "power": power,
    "coverage": coverage,
    "tasks": over_tasks,
    "importance": closed_forms,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--only", choices=PARTS, help="one part instead of all")
    args = parser.parse_args()
    studies = args.studies
    began = time.perf_counter()
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("numpy", "scipy", "scikit-learn", "optuna")
    )
    print("# Null tests of the comparisons\n")
    print(
        f"{studies:,} simulated studies a row, shares with exact 95 % intervals. All swaps are\n"
        f"counted up to {EXACT_DRAWS} draws; with more, swaps are drawn until the\n"
        "verdict is clear. The best draws: the best tenth by validation, at least five.\n"
        "Ours: paired permutation test with the choice inside. The Odyssey's: Welch's test on the\n"
        f"best draws. Python {platform.python_version()}, {packages}; {machine()}.\n"
        "Own draws: the two cells share no hyperparameters and seeds, as in the paper.\n"
    )
    for name, table in PARTS.items():
        if args.only in (None, name):
            table(studies)
    minutes = (time.perf_counter() - began) / 60
    print(f"\n{minutes:.0f} minutes of wall time on one of {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
