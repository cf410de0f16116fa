"""Scores of captions."""

import pytest

from odyssey.jobs.caption import _word_f1


@pytest.mark.parametrize(
    ("pairs", "f1"),
    [
        ([("a b", "b a")], 1.0),
        ([("a", "b")], 0.0),
        ([("", "b")], 0.0),
        ([("a a b", "a c")], 2 / 5),
        ([("a b c", "a b"), ("x", "y")], 4 / 5 / 2),
    ],
)
def test_f1_of_words(pairs, f1):
    assert _word_f1(pairs) == pytest.approx(f1)
