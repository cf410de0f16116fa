"""Names may be anything, and reach a line, a file, a figure and a page as what they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odyssey.names import (
    file_name,
    paths_in,
    printable,
    renamed,
    short_names,
    split_cell,
    split_text,
)

HOSTILE = [
    "cost $x^$ 5.txt",
    "$",
    "a\\$b$c",
    "_hidden",
    "a|b & c # d % e ~ f {g} \\h",
    "<script>alert(1)</script>",
    "[red]markup[/red]",
    "line\nbreak\r\ttab",
    "\x1b[31mred\x07\x00",
    "left\u202eright\u2066",
    "\u4e2d\u6587 \u0627\u0644\u0639 \U0001f600 e\u0301",
    "..",
    "con.txt",
    "x" * 5_000,
    "\ud800",
    " ",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_line_and_a_file_name_hold_nothing_that_steers(name):
    line, file = printable(name), file_name(name)
    assert line.isprintable()
    assert len(line) < 2_000
    assert printable(line) == line
    assert file not in ("", ".", "..")
    assert not set(file) & set('/\\\0:*?"<>|\n')
    assert len(file.encode()) <= 61
    assert file.split(".")[0].lower() not in ("con", "nul", "aux", "prn")


@given(st.text())
def test_any_text_is_one_line_and_a_file_name(name):
    assert printable(name).isprintable()
    assert file_name(name).strip(".")


def test_short_names_lose_their_folders_unless_they_clash():
    names = {
        "lstm": "lstm",
        "/a/my.cell:no_gate": "my.cell:no_gate",
        "text:/x/b.txt": "text:b.txt",
        "text:/x/c.txt@split=80/10/10": "text:c.txt@split=80/10/10",
        "tinyshakespeare@split=80/10/10": "tinyshakespeare@split=80/10/10",
        "/home/ann/c/e.cell": "c/e.cell",
        "/home/ann/d/e.cell": "d/e.cell",
        "text:/p/q/r.txt": "text:p/q/r.txt",
        "text:/s/q/r.txt": "text:s/q/r.txt",
    }
    assert short_names(names) == names


@given(st.lists(st.sampled_from([*HOSTILE, *(f"text:/a/{h}" for h in HOSTILE)]), max_size=8))
def test_short_names_stay_different(specs):
    names = short_names(specs)
    assert set(names) == set(specs)
    assert len(set(names.values())) == len(names)
    assert all(name.isprintable() for name in names.values())


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("a.txt", ("a.txt", "")),
        ("a@b.txt", ("a@b.txt", "")),
        ("a@b.txt@split=80/10/10", ("a@b.txt", "split=80/10/10")),
        ("a.txt@unit=bytes,split=1/2/97", ("a.txt", "unit=bytes,split=1/2/97")),
    ],
)
def test_options_of_a_text_are_what_follows_the_last_at(spec, parts):
    assert split_text(spec) == parts


def test_a_cell_ends_with_its_file():
    assert split_cell("a:b/c.cell:NFG+x=1") == ("a:b/c.cell", "NFG+x=1")
    assert split_cell("lstm:NFG") == ("lstm", "NFG")
    assert split_cell("lstm") == ("lstm", None)
    assert split_cell("lstm:") == ("lstm", "")


def test_paths_are_found_and_renamed_wherever_they_stand():
    data = {
        "tasks": {"text:/home/ann/b.txt": {"path": "/home/ann/b.txt", "n": 3}},
        "cells": ["gru", "/home/ann/x.cell:NFG"],
        "description": "80/10/10, and so on\n/home",
    }
    found = paths_in(data)
    assert found == ["text:/home/ann/b.txt", "/home/ann/b.txt", "/home/ann/x.cell:NFG"]
    assert "ann" not in str(renamed(data, short_names(found)))


def test_folders_of_pictures_are_shown_without_their_folders():
    specs = ["captions:/home/a/icons@look=every", "captions:/srv/b/icons", "icons"]
    assert short_names(specs) == {
        specs[0]: "captions:icons@look=every",
        specs[1]: "captions:icons",
        specs[2]: "icons",
    }
    assert paths_in(specs) == specs[:2]
