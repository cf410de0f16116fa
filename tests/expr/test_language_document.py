"""docs/language.md says what is true: its cells are legal, its tables are those of the code."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from odyssey.cells import LIBRARY, library_cell
from odyssey.errors import CellError
from odyssey.expr import limits, parse_cell
from odyssey.expr.forms import NAMED_FORMS, computed
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.properties import PROPERTIES
from odyssey.expr.reductions import MATRIX_FORMS, REDUCTIONS, RESHAPINGS, UNIT_FORMS
from odyssey.expr.shapes import infer_shapes
from odyssey.expr.text import INIT_KINDS
from odyssey.specs import CELL_SETS, VARIANTS, get_cell
from odyssey.transforms.ablations import ABLATIONS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "language.md").read_text()
EXAMPLES = re.findall(r"```cell\n(.*?)```", DOCUMENT, re.DOTALL)


def section(title):
    return DOCUMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def table(title, subtitle=""):
    """The rows of the table of a section, before its subsections, or of a subsection."""
    parts = re.split(r"^### (.*)$", section(title), flags=re.MULTILINE)
    text = dict(zip(["", *parts[1::2]], parts[::2], strict=True))[subtitle]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return cells[2:]


def code(cell):
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("text", EXAMPLES, ids=[e.split()[1] for e in EXAMPLES])
def test_an_example_is_a_legal_cell_in_normal_layout(text):
    cell = parse_cell(text)
    assert cell.text == text
    assert len(cell.key) == 64
    if cell.name in LIBRARY:
        original = library_cell(cell.name)
        expected = original.replace(inits=cell.inits)
        assert cell.key == expected.key


def test_the_examples_are_numbered_and_differ():
    cells = [parse_cell(text) for text in EXAMPLES]
    numbers = [int(n) for n in re.findall(r"^\*\*(\d+)\. ", DOCUMENT, re.MULTILINE)]
    # a first one and those of matrix states and further inputs have no number, one of sugar is no
    # cell in normal layout
    assert len(cells) == len({c.key for c in cells}) == len(numbers) + 2
    assert numbers == [*range(1, len(numbers) + 1)]
    assert sum(not c.recurrent for c in cells) == 1
    assert sum(infer_shapes(c).square for c in cells) == 1
    assert sum(c.output not in c.states for c in cells) == 3
    assert any(c.inits for c in cells)


def test_the_example_of_delays_is_read_as_the_document_says():
    (sugar,) = re.findall(r"```text\n(cell .*?)```", DOCUMENT, re.DOTALL)
    cell = parse_cell(sugar)
    assert cell.states == ("h", "c", "x_lag1", "h_lag1", "h_lag2")
    assert "h_lag1[t] = h[t-1]" in cell.text
    assert parse_cell(cell.text) == cell


def test_the_table_of_functions_of_matrices():
    rows = {code(row[0])[0]: code(row[2]) for row in table("Matrix states")}
    assert list(rows) == [*RESHAPINGS, *MATRIX_FORMS]
    for name, form in MATRIX_FORMS.items():
        assert rows[name][0] == form.same_as


def test_the_table_of_properties():
    rows = [code(row[0])[0].partition("(")[0] for row in table("Properties of weights")]
    assert rows == list(PROPERTIES)


def test_the_table_of_reductions():
    rows = {code(row[0])[0]: row for row in table("Reductions over units") if code(row[0])}
    assert list(rows) == [*REDUCTIONS, *UNIT_FORMS]
    for name, row in REDUCTIONS.items():
        assert (rows[name][2] == "1") != row.keeps_size
    for name, form in UNIT_FORMS.items():
        assert code(rows[name][1]) == [form.same_as]


def test_the_table_of_functions():
    rows = {code(row[0])[0]: row for row in table("Functions")}
    assert list(rows) == [n for n, row in PRIMITIVES.items() if not row.internal]
    for name, (_, arity, _, derivative, parity, at_zero) in rows.items():
        row = PRIMITIVES[name]
        assert int(arity) == row.arity
        assert tuple(code(derivative)) == row.derivative
        about = f" about {row.at_zero}" if row.at_zero else ""
        assert parity == {-1: f"odd{about}", 1: "even", 0: "-"}[row.parity]
        assert (None if at_zero == "-" else Fraction(at_zero)) == row.at_zero


def test_the_table_of_named_forms():
    rows = {code(row[0])[0]: row for row in table("Functions", "Named forms")}
    assert list(rows) == list(NAMED_FORMS)
    for name, (_, arity, formula, parity, cite) in rows.items():
        row = NAMED_FORMS[name]
        assert int(arity) == row.arity
        assert code(formula) == [row.same_as]
        assert cite == row.cite
        middle = Fraction(float(computed(name, *[np.zeros(1)] * row.arity)[0]))
        about = f" about {middle}" if middle else ""
        assert parity == {-1: f"odd{about}", 1: "even", 0: "-"}[row.parity]


def test_the_table_of_ablations():
    rows = {code(row[0])[0]: row for row in table("Ablations")}
    assert list(rows) == list(ABLATIONS)
    for name, (_, arguments, short, _) in rows.items():
        assert tuple(code(arguments)) == ABLATIONS[name].arguments
        assert (short if short != "-" else "") == ABLATIONS[name].short


def test_the_table_of_lines():
    words = {code(row[0])[0].split()[0] for row in table("Lines")}
    assert set(limits.KEYWORDS) == words - {"NAME", "NAME[t]"}


def test_the_limits_that_are_stated():
    text = section("Lines")
    for number in (limits.MAX_CHARACTERS, limits.MAX_LINES, limits.MAX_LINE, limits.MAX_NODES):
        assert f"{number:,}" in text
    assert f"at most {limits.MAX_DEPTH} deep" in text
    assert f"at most {limits.MAX_NAME} characters" in text


def test_the_table_of_initial_values():
    numbers = {"r": "0.1", "a": "0.1", "b": "0.2", "s": "0.1", "m": "0.3", "T": "50", "g": "4"}
    kinds = set()
    for row in table("Initial values"):
        weight = "b_i" if "vectors" in row[2] else "U_i"
        for value in code(row[0]):
            value = re.sub(r"\b[rabsmTg]\b", lambda letter: numbers[letter[0]], value)
            line = f"init {weight} = {value}\noutput h"
            text = library_cell("lstm").text.replace("output h", line)
            kinds.add(parse_cell(text).inits[0].kind)
    assert kinds == {*INIT_KINDS, "constant", "negated"}


def test_the_specs_that_are_shown():
    specs = [spec for row in table("Specs") for spec in code(row[0])]
    assert len(specs) >= 7
    for spec in specs:
        if spec.startswith("path/"):
            with pytest.raises(CellError, match="there is no such file"):
                get_cell(spec)
        else:
            assert get_cell(spec)
    named = set(code(section("Specs").split("The variants are")[1]))
    assert set(VARIANTS) | set(CELL_SETS) <= named


def test_what_the_text_says_about_operators():
    def update(value):
        return parse_cell(f"cell a\ninput x\nstate h\nh[t] = {value} + W @ x[t] + h[t-1]\noutput h")

    assert update("W @ x[t] * a").equations == update("(W @ x[t]) * a").equations
    with pytest.raises(CellError, match="write a"):
        update("a * W @ x[t]")
    with pytest.raises(CellError, match="square"):
        update("a ** 2")
    shapes = infer_shapes(update("W @ (sigmoid(V @ h[t-1]) * x[t])"))
    assert shapes.matrices == {"W": ("H", "I"), "V": ("I", "H")}
    one, other = update("tanh(b)"), update("(2 * sigmoid(2 * b) - 1)")
    assert one.fingerprint == other.fingerprint
    assert one.key != other.key
