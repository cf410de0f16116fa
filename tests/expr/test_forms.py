"""Named forms: what they are worth, and that name and formula are one cell."""

import ast
import math
import re

import mpmath
import numpy as np
import pytest
import torch
from support.counting import at_most
from support.judge import check
from torch.nn import functional

import odyssey
from odyssey.compiler.backends import BACKENDS
from odyssey.compiler.lowering import lower
from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.expr.arithmetic import ARITHMETIC
from odyssey.expr.bounds import output_is_bounded
from odyssey.expr.forms import ALL_FUNCTIONS, BY_FUNCTION, LANGUAGE, NAMED_FORMS, computed
from odyssey.expr.limits import MAX_DEPTH
from odyssey.expr.notation import to_html, to_latex
from odyssey.expr.primitives import PRIMITIVES

FORMS = list(NAMED_FORMS.values())
POINTS = np.concatenate([np.linspace(-30, 30, 601), np.geomspace(1e-12, 1e3, 40), [0.0]])
each_form = pytest.mark.parametrize("form", FORMS, ids=lambda row: row.name)

# What others say that the functions are.
TORCH = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "elu": functional.elu,
    "softsign": functional.softsign,
    "hard_sigmoid": functional.hardsigmoid,
    "hard_tanh": functional.hardtanh,
    "modrelu": lambda a, b: a / a.abs().clamp(min=1e-300) * (a.abs() + b).relu(),
}


def arguments(form):
    if form.arity == 1:
        return [POINTS]
    return list(np.stack(np.meshgrid(POINTS[::7], POINTS[::11])).reshape(2, -1))


def cell_of(value):
    """A cell with a value of `a`, a sum of maps, and `b`, a vector of weights."""
    lines = ["cell c", "input x", "state h", "a = W @ x[t] + U @ h[t-1] + d", f"h[t] = {value}"]
    return parse_cell("\n".join([*lines, "output h"]) + "\n")


def written(form, *args):
    return f"{form.name}({', '.join(args or 'ab'[: form.arity])})"


@each_form
def test_a_row_is_complete(form):
    assert form.name not in PRIMITIVES
    assert LANGUAGE[form.name] is BY_FUNCTION[form.function] is form
    assert form.arity >= 1
    assert form.cite
    printed = form.latex.format(*"uv"[: form.arity])
    assert all(letter in printed for letter in "uv"[: form.arity])
    names = {node.id for node in ast.walk(ast.parse(form.same_as)) if isinstance(node, ast.Name)}
    assert names <= {*"ab", *LANGUAGE} - {form.name}
    assert form.edge == ""


@each_form
def test_a_form_is_what_torch_says(form):
    args = arguments(form)
    wanted = TORCH[form.name](*map(torch.tensor, args)).numpy()
    np.testing.assert_allclose(computed(form.name, *args), wanted, rtol=1e-14, atol=2e-15)


def test_a_call_of_torch_is_the_one_that_is_checked():
    for form in [row for row in FORMS if row.torch]:
        found = eval(form.torch, {"torch": torch})
        assert found is TORCH[form.name]


@each_form
def test_the_formula_loses_few_digits(form):
    context = mpmath.MPContext()
    context.prec = 200

    def precise(op, *args):
        row = ALL_FUNCTIONS.get(op)
        return row.mpmath(context, *args) if row else ARITHMETIC[op].apply(*args)

    args = [a[:: max(1, len(a) // 300)] for a in arguments(form)]
    found = computed(form.name, *args)
    for value, *point in zip(found.tolist(), *(a.tolist() for a in args), strict=True):
        numbers = map(context.mpf, point)
        truth = form.expand(
            *numbers, number=lambda v: context.mpf(v.numerator) / v.denominator, apply=precise
        )
        assert abs(value - truth) <= 4e-16 * max(1, *map(abs, point))


@each_form
def test_parity_holds(form):
    args = arguments(form)
    value, mirrored = computed(form.name, *args), computed(form.name, *(-a for a in args))
    middle = 2 * computed(form.name, *[np.zeros(1)] * form.arity)
    assert np.allclose(value, mirrored) == (form.parity == 1)
    assert np.allclose(value, middle - mirrored) == (form.parity == -1)


@each_form
def test_intervals_hold_the_values(form):
    rng = np.random.default_rng(1)
    for size in (0.1, 1.0, 3.0, 50.0, 2000.0):
        for bounds in np.sort(rng.normal(0.0, size, (200, form.arity, 2)), axis=-1):
            low, high = form.interval(*map(tuple, bounds.tolist()))
            points = [np.concatenate([b, rng.uniform(*b, 40)]) for b in bounds]
            with np.errstate(over="ignore"):
                values = computed(form.name, *points)
            slack = 1e-15 * max(1.0, np.abs(bounds).max())
            assert low - slack <= values.min()
            assert values.max() <= high + slack
    anything = [(-math.inf, math.inf)] * form.arity
    low, high = form.interval(*anything)
    values = computed(form.name, *arguments(form))
    assert low - 1e-15 <= values.min()
    assert values.max() <= high


@each_form
def test_text_latex_and_html_keep_the_name(form):
    cell = cell_of(written(form))
    assert written(form) in cell.text
    assert parse_cell(cell.text) == cell
    assert form.latex.format(*["a_{t}", "b"][: form.arity]) in to_latex(cell)
    assert f"{form.html or form.name}(" in to_html(cell)


@each_form
def test_a_form_is_its_formula(form):
    named, spelled = cell_of(written(form)), cell_of(form.same_as)
    assert named.text != spelled.text
    assert named.key == spelled.key
    assert named.fingerprint == spelled.fingerprint
    own = {node.op for node in lower(named).nodes}
    assert not own & NAMED_FORMS.keys()
    without = sum(not node.is_leaf for node in cell_of("a").live.nodes)
    assert sum(not node.is_leaf for node in named.live.nodes) == without + form.nodes
    again = parse_cell(named.canonical_text)
    assert again.canonical_text == named.canonical_text


@each_form
def test_a_sum_that_is_written_twice_is_in_the_key_only_once(form):
    inner = ["a + 0.5 * h[t-1]", "b"][: form.arity]
    spelled = re.sub(r"\ba\b", f"({inner[0]})", form.same_as)
    assert cell_of(written(form, *inner)).key == cell_of(spelled).key


@pytest.mark.parametrize("backend", BACKENDS)
@each_form
def test_values_and_gradients(form, backend):
    cell = cell_of(f"0.7 * {written(form)} + 0.1 * h[t-1]")
    for sizes in ((4, 3, 3, 5), (2, 2, 4, 18)):
        assert check(cell, backend, seed=3, sizes=sizes)


@pytest.mark.parametrize("name", [n for n, form in NAMED_FORMS.items() if form.arity == 1])
def test_slopes_at_zero_are_torchs(name):
    # where the formula has a kink that the function does not have
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(TORCH[name](x), x)
    text = f"cell c\ninput x\nnot recurrent\ny = {name}(x[t] + 0 * (W @ x[t]))\noutput y\n"
    for backend in BACKENDS:
        model = odyssey.RNN(parse_cell(text), 1, 1, backend=backend, dtype=torch.float64)
        value = x.detach().clone().view(1, 1, 1).requires_grad_()
        (found,) = torch.autograd.grad(model(value)[0].sum(), value)
        assert found.item() == pytest.approx(wanted.item(), rel=1e-6)  # torch has 1/6 in float32


def test_bounded_forms_bound_a_cell():
    for form in FORMS:
        low, high = form.interval(*[(-math.inf, math.inf)] * form.arity)
        finite = math.isfinite(low) and math.isfinite(high)
        assert output_is_bounded(cell_of(written(form))) == finite


@each_form
def test_a_form_in_a_form_in_a_form_grows_by_the_same_every_time(form):
    value, counts = "a", []
    for _ in range(MAX_DEPTH - 10):
        value = written(form, value, "b") if form.arity == 2 else written(form, value)
        if len(value) > 1500:
            break
        counts.append(len(cell_of(value).program.nodes))
    assert len(counts) > 50
    steps = set(np.diff(counts)[1:].tolist())
    assert len(steps) == 1
    assert steps.pop() <= form.nodes


@each_form
def test_a_hostile_nest_of_forms_costs_little(form):
    value = "a"
    while len(value) < 1400 and value.count("(") < MAX_DEPTH - 5:
        value = written(form, value, "b") if form.arity == 2 else written(form, value)
    with at_most(20_000_000):
        cell = cell_of(value)
        assert cell.key
        assert cell.fingerprint
        assert lower(cell).nodes


def test_an_unknown_form_is_refused():
    with pytest.raises(CellError, match="silu"):
        cell_of("sillu(a)")
    with pytest.raises(CellError, match="modrelu takes 2"):
        cell_of("modrelu(a)")
