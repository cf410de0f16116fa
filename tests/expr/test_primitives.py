"""The table of primitives: every row is complete and its columns agree with each other."""

import ast
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch

from odyssey.expr.forms import BY_FUNCTION, LANGUAGE
from odyssey.expr.primitives import ANYTHING, PRIMITIVES
from odyssey.expr.terms import Vector, add, constant, div, fold, mul, neg, sub

ROWS = list(PRIMITIVES.values())
POINTS = np.array([-3.1, -1.3, -0.4, -0.01, 0.02, 0.3, 1.1, 2.7])  # away from kinks
A, B, C = Vector("a"), Vector("b"), Vector("c")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_precise_function_is_numpys(row):
    context = mpmath.MPContext()
    context.prec = 100
    given = arguments(row)
    wanted = row.numpy(*given)
    for *point, value in zip(*(a.tolist() for a in given), wanted.tolist(), strict=True):
        found = row.mpmath(context, *map(context.mpf, point))
        assert float(found) == pytest.approx(value, rel=1e-15, abs=1e-16)


UNARY = [r for r in ROWS if not r.internal and r.arity == 1]


@pytest.mark.parametrize("row", UNARY, ids=lambda r: r.name)
def test_a_function_that_jumps_or_ends_at_zero_says_so(row):
    with np.errstate(invalid="ignore"):
        low, high = row.numpy(np.array([-1e-12, 1e-12]))
    ends, jumps = np.isnan(low), abs(high - low) > 1e-3
    assert row.edge == ("end" if ends else "jump" if jumps else "")
    if row.edge == "end":
        with np.errstate(invalid="ignore"):
            assert np.isnan(row.numpy(-abs(POINTS))).all()
        assert all(mpmath.isnan(row.mpmath(mpmath.mp, mpmath.mpf(-abs(p)))) for p in POINTS)


def evaluate(text, names):
    """A reader of derivative texts of its own: numbers, names, + - * / and primitives."""

    def walk(node):
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return names[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -walk(operand)
            case ast.BinOp(left=left, op=op, right=right):
                a, b = walk(left), walk(right)
                return {
                    ast.Add: lambda: a + b,
                    ast.Sub: lambda: a - b,
                    ast.Mult: lambda: a * b,
                    ast.Div: lambda: a / b,
                }[type(op)]()
            case ast.Call(func=ast.Name(id=name), args=args):
                return PRIMITIVES[name].numpy(*(walk(a) for a in args))
        raise AssertionError(f"{text}: {ast.dump(node)}")

    return walk(ast.parse(text, mode="eval").body)


def arguments(row):
    if row.arity == 1:
        return [abs(POINTS) if row.edge == "end" else POINTS]
    grid = np.stack(np.meshgrid(POINTS, POINTS + 0.137)).reshape(2, -1)
    return list(grid)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_a_row_is_complete(row):
    assert row.name.isidentifier()
    assert issubclass(row.function, sp.Function)
    assert row.function.__name__ == row.name
    assert BY_FUNCTION[row.function] is row
    assert len(row.derivative) == row.arity >= 1
    assert row.parity in (-1, 0, 1)
    assert row.torch
    printed = row.latex.format(*"uv"[: row.arity])
    assert all(letter in printed for letter in "uv"[: row.arity])


def applied(row, tensors):
    """The torch column on tensors."""
    if "{" in row.torch:
        source = row.torch.format(*(f"args[{k}]" for k in range(row.arity)))
        return eval(source, {"args": tensors, "torch": torch})
    function = torch
    for part in row.torch.split(".")[1:]:
        function = getattr(function, part)
    return function(*tensors)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_torch_agrees_with_numpy(row):
    args = arguments(row)
    got = applied(row, [torch.tensor(a, dtype=torch.float64) for a in args])
    np.testing.assert_allclose(got.numpy(), row.numpy(*args), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_derivatives_agree_with_finite_differences(row):
    args, step = arguments(row), 1e-6
    names = dict(zip("ab", args, strict=False)) | {"y": row.numpy(*args)}

    def value(*args):
        named = dict(zip("ab", args, strict=False))
        return evaluate(row.surrogate, named) if row.surrogate else row.numpy(*args)

    for k, text in enumerate(row.derivative):
        up = [a + step * (j == k) for j, a in enumerate(args)]
        down = [a - step * (j == k) for j, a in enumerate(args)]
        expected = (value(*up) - value(*down)) / (2 * step)
        got = np.broadcast_to(evaluate(text, names), expected.shape)
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_a_surrogate_stands_for_a_derivative_that_is_zero(row):
    if row.surrogate:
        assert set(np.diff(row.numpy(np.linspace(-3, 3, 1001)))) == {0.0, 1.0}
    elif not row.internal and row.name != "sign":
        assert not row.is_flat


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_torchs_gradient_is_the_derivative(row):
    args = arguments(row)
    tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in args]
    value = applied(row, tensors)
    names = dict(zip("ab", args, strict=False)) | {"y": row.numpy(*args)}
    if not value.requires_grad:
        assert row.is_flat
        return
    gradients = torch.autograd.grad(value.sum(), tensors)
    for text, gradient in zip(row.derivative, gradients, strict=True):
        expected = np.broadcast_to(evaluate(text, names), args[0].shape)
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("row", [r for r in ROWS if not r.internal], ids=lambda r: r.name)
def test_what_is_not_a_number_stays_so(row):
    args = [np.array([np.nan, np.nan])] * row.arity
    tensors = [torch.tensor(a) for a in args]
    with np.errstate(invalid="ignore"):
        assert np.isnan(row.numpy(*args)).all()
    assert applied(row, tensors).isnan().all()


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_parity_holds(row):
    if not row.parity:
        args = arguments(row)
        with np.errstate(invalid="ignore"):
            value, mirrored = row.numpy(*args), row.numpy(*(-a for a in args))
        assert not np.allclose(value, mirrored), "the function is even: say so"
        with np.errstate(divide="ignore"):
            about = 2 * row.numpy(*[np.zeros(1)] * row.arity)
        assert not np.allclose(value, about - mirrored), "the function is odd: say so"
        return
    about = 0.0 if row.parity > 0 else 2 * float(row.at_zero)
    np.testing.assert_allclose(row.numpy(-POINTS), about + row.parity * row.numpy(POINTS), 1e-14)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_intervals_hold_the_values(row):
    rng = np.random.default_rng(1)
    for size in (0.1, 3.0, 50.0, 2000.0):
        ends = np.sort(rng.normal(0.0, size, (200, row.arity, 2)), axis=-1)
        for bounds in ends:
            low, high = row.interval(*map(tuple, bounds.tolist()))
            points = [np.concatenate([b, rng.uniform(*b, 20)]) for b in bounds]
            with np.errstate(over="ignore", invalid="ignore"):
                values = row.numpy(*points)
            if row.edge == "end" and np.isnan(values).any():
                assert (low, high) == ANYTHING
                continue
            slack = 1e-15 * np.abs(values[np.isfinite(values)]).max(initial=1.0)
            assert low - slack <= values.min()
            assert values.max() <= high + slack
    low, high = row.interval(*[(-np.inf, np.inf)] * row.arity)
    with np.errstate(divide="ignore"):
        assert low <= row.numpy(*[np.zeros(1)] * row.arity)[0] <= high


@pytest.mark.parametrize("row", [r for r in ROWS if r.same_as], ids=lambda r: r.name)
def test_what_a_function_is_the_same_as(row):
    args = arguments(row)
    got = evaluate(row.same_as, dict(zip("ab", args, strict=False)))
    np.testing.assert_array_equal(got, row.numpy(*args))


@pytest.mark.parametrize(
    "row", [r for r in ROWS if r.arity == 1 and not r.same_as], ids=lambda r: r.name
)
def test_exact_values(row):
    for value in (Fraction(0), Fraction(-3, 4), Fraction(5, 2), Fraction(1), Fraction(-7)):
        exact = row.exact(value)
        if exact is not None:
            got = row.numpy(np.array([float(value)]))[0]
            assert got == pytest.approx(float(exact), rel=1e-15)


def test_random_cells_draw_what_has_a_share():
    drawn = [row for row in LANGUAGE.values() if row.share]
    assert all(0 < row.share <= 1 for row in drawn)
    assert all(row.arity == 1 and row.edge != "end" for row in drawn)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_the_value_at_zero_is_exact(row):
    with np.errstate(divide="ignore"):
        value = float(row.numpy(*[np.zeros(1)] * row.arity)[0])
    if row.at_zero is None:
        assert value not in (0.0, 0.5, 1.0)
    else:
        assert value == float(row.at_zero)


def test_values_far_out_are_finite_where_the_function_is():
    far = np.array([-1e4, 1e4])
    for name in ("sigmoid", "tanh", "softplus"):
        with np.errstate(all="raise", under="ignore"):
            assert np.isfinite(PRIMITIVES[name].numpy(far)).all()


def test_builders_keep_what_is_written():
    assert add(A, A) != mul(constant(2), A)
    assert add(A, B) != add(B, A)
    assert sub(A, constant(2)) == add(A, constant(-2))
    assert neg(constant(2)) == constant(-2)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (mul(constant(1), A), A),
        (mul(A, constant(1)), A),
        (mul(A, constant(0)), sp.Integer(0)),
        (add(A, constant(0)), A),
        (add(constant(0), A), A),
        (sub(constant(1), constant(1)), sp.Integer(0)),
        (mul(sub(constant(1), constant(1)), A), sp.Integer(0)),
        (neg(neg(A)), A),
        (div(A, constant(1)), A),
        (div(constant(1), A), div(constant(1), A)),
        (add(mul(constant(1), A), mul(B, constant(0))), A),
        (mul(A, add(B, C)), mul(A, add(B, C))),
    ],
)
def test_fold(expr, expected):
    assert fold(expr) == expected
