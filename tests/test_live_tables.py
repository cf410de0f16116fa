"""Tables that grow, and what is computed from them."""

import pytest

from odyssey.errors import ConfigError
from odyssey.expr.forms import ALL_FUNCTIONS, BY_FUNCTION, LANGUAGE
from odyssey.expr.primitives import PRIMITIVES
from odyssey.registry import Registry, View, of_type, subset
from odyssey.transforms.ablations import ABLATIONS, SHORT, Ablation


def numbers() -> Registry[int]:
    return Registry("number", {"one": 1, "two": 2}, problem=of_type(int, "a whole number"))


def test_views_follow_their_tables():
    table = numbers()
    even = subset(table, lambda name, row: row % 2 == 0)
    names = View(lambda: {row: name for name, row in table.items()}, table)
    table.add("four", 4, source="my.py")
    assert even == {"two": 2, "four": 4}
    assert names[4] == "four"
    del table["four"]
    assert even == {"two": 2}
    assert 4 not in names


def test_rows_know_where_they_come_from():
    table = numbers()
    table.add("four", 4, source="my.py")
    assert (table.source("one"), table.source("four")) == ("odyssey", "my.py")
    assert table.added == ("four",)
    del table["four"]
    assert table.added == ()


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("one", 1, "'one' is already a number of odyssey; give yours another name"),
        ("half", 0.5, "'half' must be a whole number, got float"),
    ],
)
def test_what_is_no_row_is_refused(name, row, message):
    table = numbers()
    with pytest.raises(ConfigError, match=message):
        table.add(name, row, source="my.py")
    assert table == {"one": 1, "two": 2}


def test_what_is_computed_from_the_tables_of_the_package_is_live():
    before = {**ALL_FUNCTIONS}
    row = PRIMITIVES["tanh"]
    PRIMITIVES["another"] = row
    try:
        assert ALL_FUNCTIONS["another"] is LANGUAGE["another"] is row
    finally:
        del PRIMITIVES["another"]
    assert before == ALL_FUNCTIONS
    assert BY_FUNCTION[row.function] is row
    ABLATIONS.add("nothing", Ablation(lambda cell: cell, (), "none", "NONE"), source="my.py")
    assert SHORT["NONE"] == "nothing"
    del ABLATIONS["nothing"]
    assert "NONE" not in SHORT
