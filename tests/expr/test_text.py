"""Reading and printing cell text."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from support.random_cells import cells, random_cell

from odyssey.cells import LIBRARY, library_cell
from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.expr.terms import format_number
from odyssey.expr.text import diff, format_expression, share_that_differs
from odyssey.specs import VARIANTS, get_cell

NAMED = [*LIBRARY, *VARIANTS]
HEAD = "cell t1\ninput x\nstate h, c\n"
TAIL = "\nc[t] = c[t-1] + W @ x[t]\nh[t] = h[t-1] + q + c[t]\noutput h\n"


def check_round_trip(cell):
    again = parse_cell(cell.text)
    assert again == cell
    assert again.text == cell.text
    assert again.key == cell.key
    assert again.fingerprint == cell.fingerprint


@pytest.mark.parametrize("spec", NAMED)
def test_round_trip_of_named_cells(spec):
    check_round_trip(get_cell(spec))


def test_round_trip_of_92_random_cells():
    for seed in range(92):  # four of every size
        check_round_trip(random_cell(np.random.default_rng(seed), size=3 + seed % 23))


@settings(max_examples=50, deadline=None)
@given(cells())
def test_round_trip(cell):
    check_round_trip(cell)


@pytest.mark.parametrize("spec", ["lstm", "elman_relu", "lstm_peephole:FGR+forget_bias=2"])
def test_cells_survive_pickle_and_copy(spec):
    cell = get_cell(spec)
    for again in (pickle.loads(pickle.dumps(cell)), copy.deepcopy(cell)):
        assert again == cell
        assert again.text == cell.text
        assert again.lineage == cell.lineage


def value_of(expression):
    """Reads `q = expression` and prints it."""
    cell = parse_cell(f"{HEAD}q = {expression}{TAIL}")
    check_round_trip(cell)
    return format_expression(cell.equation("q").value)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("a+b+c1", "a + b + c1"),
        ("a+(b+c1)", "a + (b + c1)"),
        ("a-(b-c1)", "a - (b - c1)"),
        ("a-b-c1", "a - b - c1"),
        ("(a-b)+c1", "a - b + c1"),
        ("a*b*c1", "a * b * c1"),
        ("a*(b*c1)", "a * (b * c1)"),
        ("a*(b+c1)", "a * (b + c1)"),
        ("a/b/c1", "a / b / c1"),
        ("a/(b*c1)", "a / (b * c1)"),
        ("a*(b/c1)", "a * (b / c1)"),
        ("a/b*c1", "a / b * c1"),
        ("1/a", "1 / a"),
        ("-a", "-a"),
        ("--a", "-(-a)"),
        ("-a*b", "(-a) * b"),
        ("-(a*b)", "-(a * b)"),
        ("-(a+b)", "-(a + b)"),
        ("-a+b", "-a + b"),
        ("a+-b", "a - b"),
        ("a-(-b)", "a - (-b)"),
        ("a*-b", "a * (-b)"),
        ("a/-b", "a / (-b)"),
        ("-a/b", "(-a) / b"),
        ("-(a/b)", "-(a / b)"),
        ("a-3", "a - 3"),
        ("a+-3", "a - 3"),
        ("a--3", "a + 3"),
        ("-3+a", "-3 + a"),
        ("-3*a", "(-3) * a"),
        ("a*-3", "a * (-3)"),
        ("(-1)*3*a", "(-1) * 3 * a"),
        ("-1/a", "(-1) / a"),
        ("a-(-1)*3", "a - (-1) * 3"),
        ("a+(-1)*b", "a - b"),
        ("U@h[t-1]*a", "(U @ h[t-1]) * a"),
        ("a*(U@h[t-1])", "a * (U @ h[t-1])"),
        ("U@(V@h[t-1])", "U @ (V @ h[t-1])"),
        ("U@-h[t-1]", "U @ (-h[t-1])"),
        ("-(U@h[t-1])", "-(U @ h[t-1])"),
        ("U@tanh(a)", "U @ tanh(a)"),
        ("maximum(a,minimum(b,c1))", "maximum(a, minimum(b, c1))"),
        ("tanh((a+b))", "tanh(a + b)"),
        ("h [ t - 1 ]+a", "h[t-1] + a"),
    ],
)
def test_precedence(written, printed):
    assert value_of(written) == printed


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("0", "0"),
        ("1.0", "1"),
        ("0.50", "0.5"),
        ("1e3", "1000"),
        ("0.1", "0.1"),
        ("1e-05", "1e-05"),
        ("1_000", "1000"),
        ("123456789012345678901", "123456789012345678901"),
        ("0.1234567890123456789", "0.12345678901234568"),
        ("1e30", "1" + "0" * 30),
        ("3.14159", "3.14159"),
    ],
)
def test_constants(written, printed):
    assert value_of(f"{written} * a") == f"{printed} * a"


def test_numbers_of_init_lines_read_back():
    rng = np.random.default_rng(0)
    values = [0.0, 1.0, -2.0, 0.1, 1e15, 1e20, -1e-9, 1 / 3, *rng.normal(size=50) * 1e3]
    for value in values:
        assert float(format_number(float(value))) == float(value)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("1", "1"),
        ("-1", "-1"),
        ("uniform(0.1)", "uniform(-0.1, 0.1)"),
        ("uniform(-1, 2)", "uniform(-1, 2)"),
        ("normal(0.1)", "normal(0, 0.1)"),
        ("normal(1, 0.1)", "normal(1, 0.1)"),
        ("identity", "identity"),
        ("identity(0.5)", "identity(0.5)"),
        ("orthogonal", "orthogonal"),
        ("orthogonal(1)", "orthogonal"),
    ],
)
def test_init_lines(written, printed):
    text = library_cell("elman").text.replace("output", f"init U_h = {written}\noutput")
    cell = parse_cell(text)
    assert f"init U_h = {printed}\n" in cell.text
    check_round_trip(cell)


def test_layout_comments_and_white_space_do_not_matter():
    text = (
        "# a comment\n\n  cell   elman   # its name\n\tinput x\nstate  h\ncite Elman # 1990\n"
        "  h[t]=tanh( W_h@x[t]+U_h@h[t-1]+b_h )# the update\r\noutput\th"
    )
    cell = parse_cell(text)
    assert cell.equations == library_cell("elman").equations
    assert cell.citation == "Elman # 1990"
    assert cell.name == "elman"
    check_round_trip(cell)


def refusal(*equations, head=("cell t1", "input x", "state h"), tail=("output h",)):
    with pytest.raises(CellError) as caught:
        parse_cell("\n".join([*head, *equations, *tail]))
    return str(caught.value)


GOOD = "h[t] = tanh(W @ x[t] + U @ h[t-1] + b)"


@pytest.mark.parametrize(
    ("equations", "line", "reason"),
    [
        ([GOOD, GOOD], 5, "updated once"),
        (["i = x[t]", "i = x[t]", "h[t] = W @ i + h[t-1]"], 5, "defined twice"),
        (["h[t] = tanh(W @ x[t] + g)", "g = h[t-1]"], 4, "g is used before it is defined"),
        (["h[t] = tanh(W @ x[t] + U @ h[t])"], 4, "h[t] is used before it is defined"),
        (["h[t] = W @ x[t] + h[t-1] + tnah(b)"], 4, "no function called 'tnah'; closest: tanh"),
        (["h[t] = W @ x[t] + k[t-1]"], 4, "no input or state called 'k'"),
        (["h[t] = W @ x[t+1] + h[t-1]"], 4, "what can be read is x[t] to x[t-64]"),
        (["h[t] = W @ x[t] + h[t-65]"], 4, "what can be read is h[t] to h[t-64]"),
        (["h[t] = W @ x + h[t-1]"], 4, "write x[t] for the input"),
        (["h[t] = W @ x[t] + h"], 4, "'h' is a state"),
        (["h = W @ x[t] + h[t-1]"], 4, "write h[t] = ..."),
        (["k[t] = W @ x[t] + h[t-1]", GOOD], 4, "'k' is not a declared state (states: h)"),
        (["x[t] = h[t-1]", GOOD], 4, "'x' is the input"),
        (["h[t] = W @ x[t] + tanh * h[t-1]"], 4, "'tanh' is a function: write tanh(...)"),
        (["h[t] = W @ x[t] + tanh(h[t-1], b)"], 4, "takes 1 argument(s), got 2"),
        (["h[t] = W @ x[t] + h[t-1]**2"], 4, "write square(v)"),
        (["h[t] = 2 * W @ x[t] + h[t-1]"], 4, "the left of @ must be the name of a weight matrix"),
        (["g = h[t-1]", "h[t] = g @ x[t] + g"], 5, "'g' is a variable"),
        (["h[t] = W @ 2 + x[t] + h[t-1]"], 4, "right of @ must be a vector"),
        (["h[t] = tanh(W @ x[t] + W @ h[t-1])"], 4, "shapes of 'W' disagree"),
        (["g = W @ h[t-1]", "h[t] = tanh(W @ x[t] + g)"], 5, "(H, H) in g, (H, I) in h[t]"),
        (["g = tanh(v * x[t])", "h[t] = W @ g + v * h[t-1]"], 5, "shapes of 'v' disagree"),
        (["g = W + h[t-1]", "h[t] = W @ x[t] + g"], 5, "both with @ and without"),
        (["h[t] = W @ x[t] + U @ h[t-1]", "U = 3"], 4, "both a parameter and a variable"),
        (["h[t] = x[t] if b else h[t-1]"], 4, "IfExp is not part of the language"),
        (["h[t] += x[t]"], 4, "expected 'name = expression'"),
        (["h[t] = (x[t]"], 4, "not an equation"),
        (["1 = x[t]"], 4, "not an equation"),
        (["h[t] = x[t]; y = 2"], 4, "one equation per line"),
        (["h[t] = 1e31 * x[t] + h[t-1]"], 4, "between 1e-30 and 1e30"),
        (["h[t] = 1e999 * x[t] + h[t-1]"], 4, "not a finite number"),
        (["h[t] = x[t] / 0 + h[t-1]"], 4, "division by zero"),
        ([GOOD, "cell t2"], 5, "a second 'cell' line"),
        ([GOOD, "state h"], 3, "declared twice"),
        ([GOOD, "not recurrent"], 5, "says 'not recurrent' but reads h[t-1]"),
        ([GOOD, "not a cell"], 5, "did you mean 'not recurrent'?"),
        ([GOOD, "init b = glorot(2)"], 5, "no initialisation called 'glorot'"),
        ([GOOD, "init b = uniform(1, 2, 3)"], 5, "takes 1 or 2 numbers"),
        ([GOOD, "init b = uniform(2, 1)"], 5, "is empty"),
        ([GOOD, "init b = normal(-1)"], 5, "is negative"),
        ([GOOD, "init b = W"], 5, "expected a number or one of"),
        ([GOOD, "init q = 1"], 5, "there is no such parameter"),
        ([GOOD, "", "init b = 1", "init b = 2"], 7, "given twice"),
        ([GOOD, "init b = orthogonal"], 5, "b is a vector"),
        ([GOOD, "init W = identity"], 5, "identity is for square matrices"),
        ([GOOD, "init U = chrono(9)"], 5, "U is a matrix"),
        ([GOOD, "init b = chrono(2)"], 5, "at least 3 steps"),
        ([GOOD, "init b = -b"], 5, "two vectors"),
        ([GOOD, "init b = -U"], 5, "two vectors"),
        (["h[t] = tanh(U @ h[t-1])"], 5, "does not depend on the input x[t]"),
        (["h[t] = tanh(W @ x[t])"], 5, "say 'not recurrent'"),
        (["g = \u03c3(x[t])", GOOD], 4, "use ASCII"),
        (["step = 3", GOOD], 4, "'step' cannot name an equation"),
    ],
)
def test_refusals_name_line_and_reason(equations, line, reason):
    message = refusal(*equations)
    assert message.startswith(f"line {line}: "), message
    assert reason in message


@pytest.mark.parametrize(
    ("head", "tail", "message"),
    [
        (["input x", "state h"], ["output h"], "the cell text has no line 'cell NAME'"),
        (["cell a", "state h"], ["output h"], "'input x' must come before the equations"),
        (["cell a", "input x", "state h"], [], "the cell text has no line 'output h'"),
        (["cell a", "input x", "state h, c"], ["output h"], "state 'c' is never updated"),
        (["cell a", "input x", "state h, h"], ["output h"], "line 3: a state is declared twice"),
        (["cell a", "input x", "state h, x"], ["output h"], "'x' is both the input and a state"),
        (["cell a b", "input x", "state h"], ["output h"], "line 1: cell name 'a b'"),
        (["cell a", "input x", "state h"], ["output g"], "line 5: output 'g' is neither"),
        (["cell a", "input x", "state 1h"], ["output h"], "'1h' cannot name a state"),
        (["cell a", "input x", "state h", "cite"], ["output h"], "cite needs one line"),
    ],
)
def test_header_refusals(head, tail, message):
    assert message in refusal(GOOD, head=head, tail=tail)


def test_a_state_that_carries_nothing_is_named_at_its_line():
    message = refusal(
        "g[t] = tanh(W @ x[t])", "h[t] = g[t] + h[t-1]", head=("cell a", "input x", "state h, g")
    )
    assert message == (
        "line 4: g[t]: state 'g' carries nothing from step to step;"
        " make it a plain equation: g = ..."
    )


def test_a_dense_line_that_prints_too_long_is_refused_at_reading():
    dense = "+".join(["q" * 38] * 49)  # fits the limit as written, not as printed
    message = refusal(f"h[t]=W@x[t]+h[t-1]+{dense}")
    assert message.startswith("line 4: h[t]: it prints to ")


def test_diff_shows_what_changed():
    before, after = get_cell("lstm"), get_cell("lstm:no_forget_gate")
    lines = diff(before, after)
    assert [line for line in lines if line.startswith("-")] == [
        "- f = sigmoid(W_f @ x[t] + U_f @ h[t-1] + b_f)",
        "- c[t] = f * c[t-1] + i * g",
    ]
    assert [line for line in lines if line.startswith("+")] == ["+ c[t] = c[t-1] + i * g"]
    assert not [line for line in diff(before, before) if line[0] in "+-"]


def test_the_share_that_differs_is_that_of_the_lines_of_diff():
    first = library_cell("lstm_peephole")
    for other in map(library_cell, LIBRARY):
        lines = diff(other, first)
        share = sum(line[0] in "+-" for line in lines) / len(lines)
        assert share_that_differs(other, first) == share
    assert share_that_differs(first, first) == 0
