"""Cells built in code obey the same rules as cells read from text; shapes follow from use."""

import dataclasses

import numpy as np
import pytest
import sympy as sp
from support.random_cells import random_cell

from odyssey.cells import LIBRARY, library_cell
from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.expr.equations import Equation, Init
from odyssey.expr.limits import MAX_DEPTH, check_name
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.shapes import infer_shapes
from odyssey.expr.terms import (
    Current,
    Input,
    Leaf,
    Matrix,
    Named,
    Previous,
    Vector,
    add,
    div,
    matmul,
    mul,
)

ELMAN = library_cell("elman")
X, H = Input("x[t]"), Previous("h[t-1]")
tanh, heaviside = PRIMITIVES["tanh"].function, PRIMITIVES["heaviside"].function


def with_term(term):
    return ELMAN.replace(
        equations=(Equation("h", add(add(matmul(Matrix("W"), X), H), term), updates_state=True),)
    )


def test_a_legal_term_is_legal():
    assert with_term(mul(Vector("p"), H)).text.count("p * h[t-1]") == 1


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        (sp.Symbol("q"), "Symbol"),
        (Leaf("q"), "'q'"),
        (sp.sin(H), "sin"),
        (sp.Pow(H, 2), "Pow"),
        (sp.Pow(H, -1), "1 / v"),
        (sp.Float(0.5), "Float"),
        (sp.nan, "NaN"),
        (sp.oo, "Infinity"),
        (sp.pi, "Pi"),
        (sp.Rational(1, 3), "quotient"),
        (sp.Rational(10**31), "between"),
        (sp.Add(H, H, X, evaluate=False), "Add"),
        (heaviside(H), "'heaviside' is not a function of the language"),
        (Matrix("W"), "on the left of @"),
        (matmul(Vector("b"), H), "the left of @ must be"),
        (matmul(add(Matrix("W"), H), H), "left of @"),
        (Named("g"), "there is no such equation"),
        (Current("h[t]"), "move its equation up"),
        (Current("c[t]"), "there is no such equation"),
        (Previous("c[t-1]"), "not a declared state"),
        (Previous("h[t-2]"), "not a declared state"),
        (Input("y[t]"), "the input is written x[t]"),
        (Vector("h"), "both a parameter and a variable"),
        (Vector("tanh"), "the language uses it"),
        (Vector("b c"), "cannot name a parameter"),
        (div(H, sp.Integer(0)), "not finite"),
    ],
)
def test_what_is_not_of_the_language_is_refused(term, reason):
    with pytest.raises(CellError) as caught:
        with_term(term)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_depth_is_bounded_and_what_is_built_reads_back():
    deep = H
    for _ in range(MAX_DEPTH - 4):
        deep = tanh(deep)
    cell = with_term(deep)
    assert parse_cell(cell.text) == cell
    with pytest.raises(CellError, match="nested deeper"):
        with_term(tanh(tanh(tanh(deep))))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "two words"}, "cell name"),
        ({"name": "n" * 401}, "cell name"),
        ({"citation": "two\nlines"}, "citation"),
        ({"citation": " padded "}, "citation"),
        ({"input": "tanh"}, "the language uses it"),
        ({"states": ("h", "h")}, "declared twice"),
        ({"output": "y"}, "neither a state nor"),
        ({"recurrent": False}, "not recurrent"),
        ({"inits": (Init("b_h", "constant", (float("nan"),)),)}, "init b_h"),
        ({"inits": (Init("b_h", "constant", (float("inf"),)),)}, "init b_h"),
        ({"inits": (Init("b_h", "constant", (1e-40,)),)}, "init b_h"),
        ({"inits": (Init("b_h", "constant"),)}, "init b_h"),
        ({"inits": (Init("b_h", "glorot", (1.0,)),)}, "glorot"),
        ({"inits": (Init("b_x", "constant", (1.0,)),)}, "no such parameter"),
    ],
)
def test_illegal_cells_cannot_be_built(changes, reason):
    with pytest.raises(CellError, match=reason):
        dataclasses.replace(ELMAN, **changes)


@pytest.mark.parametrize(
    "name", ["", "1a", "a-b", "a b", "é", "t", "nan", "inf", "state", "x" * 41]
)
def test_names_that_are_refused(name):
    with pytest.raises(CellError):
        check_name(name, what="a parameter")


def test_a_text_of_too_many_lines_to_read_back_is_refused():
    equations = tuple(Equation(f"e{k}", Vector("b")) for k in range(395))
    with pytest.raises(CellError, match="prints to 403 lines; at most 400"):
        ELMAN.replace(equations=(*equations, *ELMAN.equations))


def test_reach_goes_through_earlier_steps():
    text = """
cell deep
input x
state h, k
f = sigmoid(W_f @ x[t] + b_f)
k[t] = W_k @ x[t]
g = tanh(k[t])
h[t] = f * h[t-1] + g + U @ k[t-1]
y = tanh(h[t])
output y
"""
    assert parse_cell(text).after_past == {"h[t]", "y"}
    every = {"i", "f", "o", "g", "c[t]", "h[t]"}
    assert library_cell("lstm").after_past == every


@pytest.mark.parametrize("cell", [library_cell("lstm"), library_cell("grid_lstm"), ELMAN])
def test_a_cell_under_another_name_is_the_cell_that_was_built_under_it(cell):
    cell.key, cell.program
    new = {"name": "other:x+y", "lineage": ("a", "b"), "citation": "Somebody 2020"}
    for some in ({"name": "other"}, {"lineage": ("a",)}, {"citation": ""}, new):
        renamed, built = cell.renamed(**some), cell.replace(**some)
        assert renamed == built
        assert (renamed.lineage, renamed.text) == (built.lineage, built.text)
        for what in ("shapes", "program", "live", "key", "identity", "after_past"):
            assert getattr(renamed, what) == getattr(built, what)
        assert parse_cell(renamed.text) == renamed


@pytest.mark.parametrize(
    "some", [{"name": "1a"}, {"name": "x" * 5000}, {"citation": " a"}, {"citation": "a\nb"}]
)
def test_a_new_name_is_verified(some):
    with pytest.raises(CellError) as renamed:
        ELMAN.renamed(**some)
    with pytest.raises(CellError) as built:
        ELMAN.replace(**some)
    assert str(renamed.value) == str(built.value)


GATED = {"lstm": 4, "lstm_peephole": 4, "lstm_jozefowicz": 4, "gru": 3, "gru_torch": 3}


@pytest.mark.parametrize("name", GATED)
def test_shapes_of_gated_cells(name):
    shapes = infer_shapes(library_cell(name))
    inputs = [n for n, shape in shapes.matrices.items() if shape == ("H", "I")]
    states = [n for n, shape in shapes.matrices.items() if shape == ("H", "H")]
    assert len(inputs) == len(states) == GATED[name]
    assert set(shapes.vectors.values()) == {"H"}
    assert not shapes.square


@pytest.mark.parametrize("name", LIBRARY)
def test_only_a_bare_x_needs_a_square_cell(name):
    says = "x must be embedded at hidden size" in library_cell(name).citation
    assert infer_shapes(library_cell(name)).square == says


def shapes_of(*equations, output="h"):
    lines = ["cell t1", "input x", "state h", *equations, f"output {output}"]
    return infer_shapes(parse_cell("\n".join(lines)))


def test_values_of_input_size_are_possible():
    shapes = shapes_of(
        "m = sigmoid(Q @ h[t-1] + u) * x[t]",
        "h[t] = tanh(W @ m + U @ h[t-1] + b)",
    )
    assert shapes.matrices == {"Q": ("I", "H"), "W": ("H", "I"), "U": ("H", "H")}
    assert shapes.vectors == {"u": "I", "b": "H"}
    assert shapes.equations == {"m": "I", "h": "H"}
    assert not shapes.square


def test_tied_matrices_agree_when_the_cell_is_square():
    shapes = shapes_of("h[t] = tanh(W @ x[t] + W @ h[t-1] + x[t])")
    assert shapes.square
    assert shapes.matrices == {"W": ("H", "H")}


def test_tied_matrices_agree_over_stages():
    shapes = shapes_of("g = tanh(W @ x[t])", "h[t] = U @ g + U @ h[t-1]")
    assert shapes.matrices == {"W": ("H", "I"), "U": ("H", "H")}


def test_a_named_constant_has_no_size():
    shapes = shapes_of("a = 0.5", "h[t] = tanh(W @ (a * x[t]) + a * h[t-1])")
    assert not shapes.square
    assert shapes.matrices["W"] == ("H", "I")
    with pytest.raises(CellError, match="right of @ must be a vector"):
        shapes_of("a = 0.5", "h[t] = tanh(W @ a + x[t] + h[t-1])")


def test_shapes_do_not_change_when_equations_are_inlined():
    from support.rewrites import inline

    for seed in range(100):
        rng = np.random.default_rng(seed)
        cell = random_cell(rng, size=3 + seed % 23)
        try:
            other = inline(cell, rng)
        except CellError:
            continue  # the name was all that read a state
        before, after = infer_shapes(cell), infer_shapes(other)
        assert after.square == before.square
        assert after.matrices == {n: before.matrices[n] for n in after.matrices}
