"""The same records make the same numbers, to the bit, on any number of threads."""

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from odyssey.statistics import aggregate, comparison, estimates, importance, ranking
from odyssey.statistics.simulation import SimulatedCell, simulate_results


@pytest.fixture(scope="module")
def results():
    cells = {"lstm": SimulatedCell(), "gru": SimulatedCell(shift=0.1)}
    frame = simulate_results(cells, rng=np.random.default_rng(0), tasks=("a", "b"), draws=300)
    return ranking.with_labels(frame)


def best_of_n(results):
    return estimates.best_of_n_frame(results, rng=np.random.default_rng(1))


def effects(results):
    one = results[(results["task"] == "a") & (results["label"] == "lstm")]
    return importance.importance(one, seed=1, halves=2).effects


@pytest.mark.parametrize(
    "make",
    [
        best_of_n,
        effects,
        lambda frame: comparison.compare(frame, seed=1),
        lambda frame: comparison.difference_by_budget(frame, seed=1),
        lambda frame: aggregate.aggregate_scores(frame, seed=1),
        lambda frame: aggregate.performance_profiles(frame, seed=1),
    ],
    ids=["best of n", "importance", "comparison", "budget", "scores", "profiles"],
)
def test_threads_change_no_bit(results, make):
    frames = []
    for threads in (1, 4):
        with threadpool_limits(threads, user_api="blas"):
            assert {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"} == {
                threads
            }
            frames.append(make(results))
    pd.testing.assert_frame_equal(*frames, check_exact=True)
