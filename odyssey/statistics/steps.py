"""A way from one cell to another, step by step: which change brings the gap.

Each step compares a cell with the one before it, and a last row the end with the beginning, by the
permutation test of `comparison.py` on the draws that both have. Steps add up to the whole where all
cells have the same draws; their order matters where changes depend on each other (`factorial.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from odyssey.statistics.comparison import holm, pair_of, paired_test, testable, with_sign
from odyssey.statistics.draws import task_draws
from odyssey.statistics.permutation import MOST_SWAPS, PermutationTest, decide
from odyssey.statistics.verdicts import NO_TEST, verdict_of
from odyssey.storage.guessing import lower_is_better
from odyssey.storage.schema import TEST_BPC, VALID_BPC

STEP_COLUMNS = (
    *("task", "step", "before", "label", "draws", "difference", "low", "high"),
    *("share", "p", "swaps", "exact", "p_holm", "verdict"),
)


def path_steps(
    results: pd.DataFrame,
    path: Sequence[str],
    *,
    seed: int,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
    alpha: float = 0.05,
    permutations: int = MOST_SWAPS,
    resamples: int = 2_000,
) -> pd.DataFrame:
    """Compares every cell of a path with the one before it, and the last with the first.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.
        path: Labels of the cells, in order.
        seed: Of the resamples.
        valid: Column that chooses among draws.
        test: Column that is compared.
        alpha: Level of the verdicts, after Holm's correction over all rows of the table.
        permutations: Random swaps of a comparison, at most.
        resamples: Swaps behind an interval, where there are too many to count all.

    Returns:
        One row a task and step between cells that both have results there: task, step (from 1; 0 is
        the whole way), before, label (the cells), draws, difference (label minus before, in the
        unit of `test`), low, high, share (of the whole difference), p, swaps, exact, p_holm and
        verdict (is the step better or worse).
    """
    rows: list[dict[str, object]] = []
    tests: dict[int, PermutationTest] = {}
    pairs = [(k, path[k - 1], path[k]) for k in range(1, len(path))]
    for draws in task_draws(results, valid=valid, test=test):
        for step, before, label in [*pairs, (0, path[0], path[-1])]:
            if not {before, label} <= set(draws.labels):
                continue
            pair = pair_of(draws, before, label)
            found = paired_test(pair, seed=seed, resamples=resamples)
            if testable(pair):
                tests[len(rows)] = PermutationTest(pair, top=pair.top, seed=seed)
            row = {"task": draws.task, "step": step, "before": before, "label": label}
            rows.append(row | {"draws": pair.valid.shape[1]} | with_sign(found, draws.sign))
    rejected = decide(list(tests.values()), alpha=alpha, adjust=holm, most=permutations)
    verdicts = dict(zip(tests, rejected, strict=True))
    frame = pd.DataFrame(rows).reindex(columns=list(STEP_COLUMNS))
    whole = frame[frame["step"] == 0].set_index("task")["difference"]
    frame["share"] = frame["difference"].astype(float) / frame["task"].map(whole).astype(float)
    for name in ("p", "swaps", "exact"):
        frame[name] = [getattr(tests[k], name) if k in tests else np.nan for k in range(len(rows))]
    frame["p_holm"] = holm(frame["p"])
    gain = frame["difference"] * (1.0 if lower_is_better(test) else -1.0)
    frame["verdict"] = [
        verdict_of(verdicts[k], g) if k in tests else NO_TEST for k, g in enumerate(gain)
    ]
    return frame
