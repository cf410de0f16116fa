"""LaTeX and HTML of equations."""

import re

import numpy as np
import pytest
from matplotlib.mathtext import MathTextParser
from support.random_cells import random_cell
from support.representatives import REPRESENTATIVES

from odyssey.expr import parse_cell
from odyssey.expr.notation import to_html
from odyssey.specs import VARIANTS, get_cell


def latex_of(expression):
    text = f"cell t1\ninput x\nstate h, c\nq = {expression}\n"
    text += "c[t] = c[t-1]\nh[t] = W @ x[t] + q + h[t-1]\noutput h\n"
    lines = parse_cell(text).latex().splitlines()
    return lines[1].removeprefix("q_{t} &= ").removesuffix(" \\\\")


@pytest.mark.parametrize(
    ("expression", "latex"),
    [
        ("tanh(W @ x[t] + U @ h[t-1] + b_h)", r"\tanh(W \, x_{t} + U \, h_{t-1} + b_{h})"),
        ("W_i @ (a * b)", r"W_{i} \, \left(a \odot b\right)"),
        ("a * b * c1", r"a \odot b \odot \mathrm{c1}"),
        ("a * (b + d)", r"a \odot \left(b + d\right)"),
        ("a - (b - d)", r"a - \left(b - d\right)"),
        ("a - 2", "a - 2"),
        ("-a * b", r"\left(-a\right) \odot b"),
        ("2 * a", r"2 \, a"),
        ("a / (1 + b)", r"\frac{a}{1 + b}"),
        ("a / (b * d) / e", r"\frac{\frac{a}{b \odot d}}{e}"),
        ("a * (b / d)", r"a \odot \frac{b}{d}"),
        ("identity(a + b) * d", r"\operatorname{id}(a + b) \odot d"),
        ("sigmoid(alpha_1) + lambda_max", r"\sigma(\alpha_{1}) + \lambda_{max}"),
        ("maximum(a, b)", r"\max(a, b)"),
        ("square(a)", "(a)^2"),
        ("abs(a)", r"\left|a\right|"),
    ],
)
def test_latex(expression, latex):
    assert latex_of(expression) == latex


def test_latex_of_a_published_cell():
    lines = get_cell("lstm").latex().splitlines()
    assert lines[0] == r"\begin{aligned}"
    assert lines[5] == r"c_{t} &= f_{t} \odot c_{t-1} + i_{t} \odot g_{t} \\"
    assert lines[6] == r"h_{t} &= o_{t} \odot \tanh(c_{t})"
    assert lines[7] == r"\end{aligned}"


def balanced(text):
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    return depth == 0 and text.count(r"\left") == text.count(r"\right")


@pytest.mark.parametrize("spec", [*REPRESENTATIVES, *VARIANTS])
def test_named_cells_print(spec):
    cell = get_cell(spec)
    assert balanced(cell.latex())
    rows = to_html(cell).count("<tr")
    declared = (*cell.state_sizes, *cell.weights, *(e for e in cell.equations if e.size))
    said = (*cell.inits, *cell.starts, *cell.constants, *declared)
    assert rows == len(cell.equations) + len(said)
    parser = MathTextParser("path")
    for line in cell.latex().splitlines()[1:-1]:
        plain = line.removesuffix("\\\\").replace("&", "").replace(r"\operatorname", r"\mathrm")
        parser.parse(f"${plain.strip()}$")  # raises where it is not TeX


def test_random_cells_print():
    for seed in range(60):
        cell = random_cell(np.random.default_rng(seed), size=3 + seed % 23)
        assert balanced(cell.latex())
        assert to_html(cell).count("<tr>") == len(cell.equations)


def test_html_shows_initial_values_and_nothing_active():
    page = to_html(get_cell("lstm:forget_bias=1"))
    assert "<i>b</i><sub>f</sub></td><td>←</td><td>1 at the start" in page
    assert "<b>U</b><sub>f</sub>&#8202;<i>h</i><sub>t−1</sub>" in page
    assert "script" not in page


def without(page, tag):
    """Takes out what a tag marks, and the marks that are left."""
    return re.sub("</?(ins|del)>", "", re.sub(f"<{tag}>.*?</{tag}>", "", page))


CHANGED = ["NFG", "NIAF", "CIFG", "NP", "FGR", "lstm_peephole:forget_bias=1", "gru"]


@pytest.mark.parametrize("spec", CHANGED)
def test_marks_hold_both_cells(spec):
    before, after = get_cell("lstm_peephole"), get_cell(spec)
    marked = to_html(after, against=before)
    rows = r"<tr[^>]*>(.*?)</tr>"
    for cell, tag in ((after, "del"), (before, "ins")):
        kept = {row for row in re.findall(rows, without(marked, tag)) if re.search("<i>|<b>", row)}
        assert kept == set(re.findall(rows, to_html(cell)))
    changed = re.findall(r'<tr class="[^"]*changed">(.*?)</tr>', marked)
    assert changed
    assert all("<ins>" in row or "<del>" in row for row in changed)
    assert marked.count("<ins>") + marked.count("<del>") == sum(
        row.count("<ins>") + row.count("<del>") for row in changed
    )


def test_marks_are_where_the_change_is():
    base = get_cell("lstm_peephole")
    marked = to_html(get_cell("NFG"), against=base)
    assert "<del><i>f</i><sub>t</sub> ⊙ </del><i>c</i><sub>t−1</sub>" in marked
    assert "<ins>" not in marked
    assert "changed" not in to_html(base, against=base)
    # An expression that was replaced is struck out whole, not letter by letter.
    coupled = to_html(get_cell("CIFG"), against=base)
    assert "<ins>1 − <i>i</i><sub>t</sub></ins>" in coupled
