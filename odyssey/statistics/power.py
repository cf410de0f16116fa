"""What a study can find, before it is run: power by resampling a pilot.

The draws of a pilot are resampled, as many as the study will have, the same ones for both cells;
one cell is the baseline, the other a variant whose difference has been taken out, so that both have
the luck of real cells and no difference. The variant is then made worse by a shift at every draw.
Of every resampled study the least shift is found that the permutation test rejects, by bisection;
the shift that a share `POWER` of them rejects is what the study finds with that chance.

The level is alpha divided by the comparisons of the table: that of Holm's first step, which a
single difference among many equal cells has to pass. A pilot is a sample, too, and resampling
repeats its best draws: on simulated studies the answer is 5 to 10 % too small in the mean, and
varies by a sixth from one pilot of 100 draws to the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from odyssey.errors import ConfigError
from odyssey.statistics.comparison import pair_of, testable
from odyssey.statistics.draws import TaskDraws, first_cell, task_draws, top_scores
from odyssey.statistics.estimates import counted_with
from odyssey.statistics.permutation import Pair, permutation_p

POWER = 0.8
STUDIES = 100  # resampled
_HALVINGS = 7  # of the interval in which the least shift lies
_DOUBLINGS = 12
POWER_COLUMNS = ("task", "draws", "comparisons", "pilot_draws", "pairs", "difference")


def least_shift(
    pair: Pair, *, alpha: float, seed: int, swaps: int, scale: float | None = None
) -> float:
    """Finds the least shift of the variant that the permutation test rejects, by bisection.

    Args:
        pair: Baseline and variant without a difference.
        alpha: Level of the test.
        seed: Of the random swaps.
        swaps: How many, where there are too many to count all.
        scale: About how large it is; the spread of the best scores where it is None.

    Returns:
        Infinite where no shift is rejected.
    """
    top = pair.top

    def rejected(shift: float) -> bool:
        return permutation_p(pair, top=top, seed=seed, swaps=swaps, shift=-shift) <= alpha

    best = top_scores(pair.valid, pair.test, top)
    high = scale or float(best.std()) or float(np.abs(pair.test).max()) or 1.0
    low = 0.0
    for _ in range(_DOUBLINGS):
        if rejected(high):
            break
        low, high = high, 2 * high
    else:
        return float("inf")
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rejected(middle) else (middle, high)
    return high


def smallest_difference(
    pairs: Sequence[Pair],
    *,
    draws: int,
    comparisons: int,
    seed: int,
    counted: int = 0,
    alpha: float = 0.05,
    power: float = POWER,
    studies: int = STUDIES,
) -> float:
    """Gives the difference that a study finds with a chance of `power`.

    Args:
        pairs: Of a pilot: the baseline with each of its variants.
        draws: Draws that the study will have.
        comparisons: That it will make, over which Holm corrects.
        seed: Of the resamples.
        counted: How many draws of the study count as the best; 0 where their share decides.
        alpha: Level of all verdicts together.
        power: The chance to find it.
        studies: How many are resampled.

    Returns:
        In the unit of the test scores; infinite where the draws are too few to find anything, NaN
        without a pair to resample.
    """
    level = alpha / comparisons
    usable = [pair for pair in map(without_difference, pairs) if testable(pair)]
    if not usable:
        return float("nan")
    if 2.0 ** (1 - draws) > level:
        return float("inf")
    swaps = max(1_000, int(np.ceil(10 / level)))
    rng = np.random.default_rng(seed)
    shifts: list[float] = []
    for study in range(studies):
        pair = usable[study % len(usable)]
        chosen = rng.integers(pair.valid.shape[1], size=draws)
        drawn = Pair(pair.valid[:, chosen], pair.test[:, chosen], pair.independent, counted)
        known = [shift for shift in shifts if np.isfinite(shift)]
        scale = float(np.median(known)) if known else None
        shifts.append(least_shift(drawn, alpha=level, seed=seed, swaps=swaps, scale=scale))
    # the least shift that a share `power` of the studies rejects
    return float(np.sort(shifts)[int(np.ceil(power * len(shifts))) - 1])


def without_difference(pair: Pair) -> Pair:
    """Takes the difference of the best draws out of a pair: their luck stays as it is."""
    if not testable(pair):
        return pair
    best = top_scores(pair.valid, pair.test, pair.top).mean(axis=1)
    by = np.array([[0.0], [float(best[1] - best[0])]])
    return pair._replace(valid=pair.valid - by, test=pair.test - by)


def study_power(
    pilot: pd.DataFrame,
    *,
    draws: int,
    comparisons: int,
    seed: int,
    repeats: int = 1,
    tasks: Sequence[str] | None = None,
    baseline: str | None = None,
) -> pd.DataFrame:
    """Says of every task of a pilot which difference a study like it would find.

    Args:
        pilot: Results of a run, one row a member, with two cells or more.
        draws: Draws that the study will have a cell and task.
        comparisons: That it will make.
        seed: Of the resamples.
        repeats: Seeds with which the study will try each setting.
        tasks: The tasks that are asked about; all of the pilot where it is None.
        baseline: Label of the baseline; the first cell where it is None, or has no results.

    Returns:
        One row a task: task, draws, comparisons, pilot_draws, pairs (of cells that were resampled)
        and difference: infinite where the draws are too few to find anything.

    Raises:
        ConfigError: The pilot has fewer than two cells.
    """
    found = task_draws(pilot)
    labels = {label for here in found for label in here.labels}
    if len(labels) < 2:
        raise ConfigError("a pilot needs two cells or more: power is about their differences")
    first = baseline if baseline in labels else first_cell(found)
    counted = counted_with(draws, repeats)
    rows = []
    for here in found:
        if (tasks is not None and here.task not in tasks) or first not in here.labels:
            continue
        pairs = _pairs(here, first)
        difference = smallest_difference(
            pairs, draws=draws, comparisons=comparisons, seed=seed, counted=counted
        )
        most = max((pair.valid.shape[1] for pair in pairs), default=0)
        rows.append((here.task, draws, comparisons, most, len(pairs), difference))
    return pd.DataFrame(rows, columns=list(POWER_COLUMNS))


def _pairs(draws: TaskDraws, baseline: str) -> list[Pair]:
    """Gives the baseline with every variant that has results of its own among its best draws."""
    found = []
    for label in draws.labels:
        pair = pair_of(draws, baseline, label)
        if label == baseline or not testable(pair):
            continue
        lost = draws.guessed[[draws.place(baseline), draws.place(label)]]
        if lost.mean() < 0.5:  # one that is mostly lost has no luck to resample
            found.append(pair)
    return found
