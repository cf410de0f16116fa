"""The front of loss against cost: no dominated point is on it, and no other is left out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odyssey.statistics.pareto import COSTS, FRONT, PARETO_COLUMNS, is_efficient, pareto
from odyssey.strategies.nsga2 import fronts


def test_known_points():
    #        front, dominated by it, front, same cost and worse, same loss and dearer
    cost = [1.0, 2.0, 3.0, 3.0, 4.0]
    loss = [5.0, 6.0, 4.0, 4.5, 4.0]
    assert is_efficient(cost, loss).tolist() == [True, False, True, False, False]


def test_equal_points_are_on_the_front_together():
    assert is_efficient([1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 2.0, 2.5]).tolist() == [
        *(True, True),
        *(True, False),
    ]


def test_missing_numbers_are_on_no_front_and_hide_nobody():
    cost = [np.nan, 1.0, 2.0, 3.0]
    loss = [0.0, np.nan, 4.0, 3.0]
    assert is_efficient(cost, loss).tolist() == [False, False, True, True]
    assert is_efficient([], []).tolist() == []


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30))
def test_the_front_is_what_nobody_dominates(points):
    cost, loss = np.array(points, float).T
    expected = fronts(-np.stack([cost, loss], 1)) == 0
    assert (is_efficient(cost, loss) == expected).all()


def rows(**columns):
    frame = pd.DataFrame({"task": "xml", "member": range(len(columns["valid_bpc"])), **columns})
    return frame.assign(status=columns.get("status", "ok"), test_bpc=frame["valid_bpc"] + 0.1)


def test_fronts_are_of_a_task_and_a_cost_and_name_their_cells():
    frame = rows(
        label=["a", "b", "c", "d"],
        num_parameters=[10, 20, 30, 5],
        operations=pd.array([50, 20, 90, pd.NA], dtype="Int64"),
        valid_bpc=[3.0, 2.5, 2.6, 4.0],
    )
    found = pareto(frame)
    assert tuple(found.columns) == PARETO_COLUMNS
    assert found["label"].tolist() == ["d", "a", "b", "c"]
    assert found[found[FRONT["num_parameters"]]]["label"].tolist() == ["d", "a", "b"]
    assert found[found[FRONT["operations"]]]["label"].tolist() == ["b"]
    other = pd.concat([frame, frame.assign(task="b", num_parameters=[1, 2, 3, 4])])
    assert pareto(other)["task"].unique().tolist() == ["xml", "b"]


def test_what_has_no_result_is_no_point():
    frame = rows(
        label=["a", "b"],
        num_parameters=[10, 20],
        operations=pd.array([pd.NA, pd.NA], dtype="Int64"),
        valid_bpc=[1.0, 2.0],
        status=["diverged", "ok"],
    )
    found = pareto(frame)
    assert found["label"].tolist() == ["b"]
    assert found[list(FRONT.values())].to_numpy().tolist() == [[True, False]]
    assert pareto(frame.assign(status="failed")).empty
    guessed = pareto(frame.assign(valid_bpc=[1.0, 50.0], num_symbols=16))
    assert guessed["valid_bpc"].tolist() == [4.0]
    assert list(COSTS) == list(FRONT)


@pytest.mark.parametrize("seed", range(5))
def test_a_worse_and_dearer_copy_is_never_on_the_front(seed):
    rng = np.random.default_rng(seed)
    cost, loss = rng.normal(size=(2, 40))
    worse = rng.exponential(size=(2, 40))
    found = is_efficient([*cost, *(cost + worse[0])], [*loss, *(loss + worse[1])])
    assert not found[40:].any()
    assert (found[:40] == is_efficient(cost, loss)).all()
