"""Two runs compared to the bit, but for what may differ: wall time and the like."""

from __future__ import annotations

from functools import partial

import pandas as pd

from odyssey.storage import load_curves, load_results
from odyssey.storage.candidates import VOLATILE_CANDIDATE_COLUMNS, load_candidates
from odyssey.storage.schema import VOLATILE_COLUMNS


def assert_same_study(path, expected):
    """Compares the results and curves of two runs, of a ladder those of every rung."""
    _assert_same(path, expected, partial(load_results, every_rung=True), VOLATILE_COLUMNS)
    _assert_same(path, expected, partial(load_curves, every_rung=True))


def assert_same_search(path, expected):
    """Compares the candidates and results of two searches."""
    _assert_same(path, expected, load_candidates, VOLATILE_CANDIDATE_COLUMNS)
    _assert_same(path, expected, load_results, VOLATILE_COLUMNS)


def _assert_same(path, expected, load, volatile=()):
    one, other = (load(p).drop(columns=list(volatile)) for p in (path, expected))
    try:
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    except AssertionError as error:
        if one.shape != other.shape or list(one) != list(other):
            raise
        # pandas names one column: all of them tell training from measuring, one cell from all
        unequal = one.compare(other, result_names=("here", "expected"))
        raise AssertionError(f"{error}\n{unequal.to_string()}") from None
