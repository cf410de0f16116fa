"""The table of primitives: every row is complete and its columns agree with each other."""

import ast

import numpy as np
import pytest
import sympy as sp

from odyssey.contracts.primitives import CHECKS, points_of
from odyssey.expr.forms import BY_FUNCTION, LANGUAGE
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.terms import Vector, add, constant, div, fold, mul, neg, sub

ROWS = list(PRIMITIVES.values())
A, B, C = Vector("a"), Vector("b"), Vector("c")


# C is compiled in tests/compiler, and ONNX stands beside onnx's reference in tests/formats
@pytest.mark.parametrize("says", [n for n in CHECKS if not n.startswith(("c ", "onnx"))])
@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_a_row_keeps_the_contract(row, says):
    CHECKS[says](row.name, row)


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


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_derivatives_agree_with_finite_differences(row):
    args, step = points_of(row), 1e-6
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


def test_random_cells_draw_what_has_a_share():
    drawn = [row for row in LANGUAGE.values() if row.share]
    assert all(0 < row.share <= 1 for row in drawn)
    assert all(row.arity == 1 and row.edge != "end" for row in drawn)


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
