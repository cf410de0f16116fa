"""Brackets of a text: counted by hand, and against a reading by reduction."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odyssey.diagnostics.brackets import Brackets, count_brackets


@pytest.mark.parametrize(
    ("text", "opened", "closed"),
    [
        ("", 0, 0),
        ("no bracket )]}", 0, 0),
        ("f(a[i], {b})", 3, 3),
        ("if (x { y; }", 2, 1),
        ("{ (a ] }", 2, 1),  # the round one stays open
        ("([)]", 2, 1),
        ("(((", 3, 0),
        ("((a)", 2, 1),
    ],
)
def test_brackets_are_counted(text, opened, closed):
    assert count_brackets(text) == Brackets(opened, closed)


def test_a_share_is_of_those_that_were_opened():
    assert count_brackets("(a) [").share == 0.5
    assert count_brackets("a )").share is None


@given(st.text("()[]{}a", max_size=40))
def test_all_are_closed_where_the_text_reduces_to_nothing(text):
    left, before = re.sub("a", "", text), None
    while left != before:
        left, before = re.sub(r"\(\)|\[\]|\{\}", "", left), left
    found = count_brackets(text)
    assert 0 <= found.closed <= found.opened == sum(c in "([{" for c in text)
    if not left:
        assert found.closed == found.opened
    elif not set(left) & set(")]}"):
        assert found.closed == found.opened - len(left)
