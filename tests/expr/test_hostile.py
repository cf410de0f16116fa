"""Broken and hostile cell texts: one line of error, little work, no side effect."""

import builtins
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import hostile_cells as hostile
from support.counting import at_most

from odyssey.cells import library_cell
from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.specs import get_cell, read_cell

CALLS = 4_000_000  # of a refusal: the text of 500 equations that is read whole needs half of them


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(call, argument):
    with pytest.raises(CellError) as caught, at_most(CALLS):
        call(argument)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert message.isprintable(), message
    assert len(message) < 600
    assert not os.path.exists(hostile.PWNED)
    return message


@pytest.mark.parametrize(
    ("name", "data"), hostile.HOSTILE_TEXTS, ids=[n for n, _ in hostile.HOSTILE_TEXTS]
)
def test_a_hostile_file_is_refused(name, data, tmp_path):
    path = tmp_path / "bad.cell"
    path.write_bytes(data)
    assert "bad.cell" in refused(read_cell, path)


@pytest.mark.parametrize(
    "spec", hostile.HOSTILE_SPECS, ids=[ascii(s)[:40] for s in hostile.HOSTILE_SPECS]
)
def test_a_hostile_spec_is_refused(spec):
    refused(get_cell, spec)


def test_there_are_enough_of_them():
    assert len({data for _, data in hostile.HOSTILE_TEXTS}) == len(hostile.HOSTILE_TEXTS) >= 50
    assert len(set(hostile.HOSTILE_SPECS)) == len(hostile.HOSTILE_SPECS) >= 50


def test_nothing_is_evaluated(monkeypatch):
    """Parsing never reaches Python's evaluators, whatever the text."""

    def forbidden(*args, **kwargs):
        raise AssertionError("the parser evaluates")

    compiled = builtins.compile

    def only_syntax(source, filename, mode, flags=0, *args, **kwargs):
        assert flags & 0x400, "compile to code, not to a tree"  # ast.PyCF_ONLY_AST
        return compiled(source, filename, mode, flags, *args, **kwargs)

    texts = [data.decode("utf-8", "replace") for _, data in hostile.HOSTILE_TEXTS]
    monkeypatch.setattr(builtins, "eval", forbidden)
    monkeypatch.setattr(builtins, "exec", forbidden)
    monkeypatch.setattr(builtins, "compile", only_syntax)
    for text in texts:
        with pytest.raises(CellError):
            parse_cell(text)
    monkeypatch.undo()


@pytest.mark.parametrize("text", [None, 3, b"cell a", ["cell a"]])
def test_what_is_no_text_is_refused(text):
    refused(parse_cell, text)


SYNTAX = "hcxtWUb01259.+-*/@()[]=,# \t\n'\"\\{}:;lambdinotesgru\0\u00e9"


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=SYNTAX, max_size=60), st.integers(0, 400), st.integers(0, 30))
def test_a_damaged_text_is_read_or_refused(noise, at, length):
    """Nothing but `CellError` comes out, and what is read prints and reads back."""
    text = library_cell("lstm_peephole").text
    at += text.index("state")
    try:
        cell = parse_cell(text[:at] + noise + text[at + length :])
    except CellError:
        return
    assert parse_cell(cell.text) == cell
    assert len(cell.key) == 64
