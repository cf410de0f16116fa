"""The contract of primitives: their columns agree with each other."""

from __future__ import annotations

import ast
import importlib.util
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import torch
from numpy.typing import NDArray

from odyssey.contracts.cells import check_printed
from odyssey.contracts.finding import Checks, Missing, expect
from odyssey.contracts.native import check_c
from odyssey.contracts.onnx_formula import by_onnx
from odyssey.expr.arithmetic import read_formula
from odyssey.expr.cell import parse_cell
from odyssey.expr.forms import computed
from odyssey.expr.primitives import ANYTHING, PRIMITIVES, Primitive

Array = NDArray[np.float64]

POINTS = np.array([-3.1, -1.3, -0.4, -0.01, 0.02, 0.3, 1.1, 2.7])  # away from kinks
_EXACT = (Fraction(0), Fraction(-3, 4), Fraction(5, 2), Fraction(1), Fraction(-7))


def points_of(row: Primitive) -> list[Array]:
    """Gives arguments (N,) at which a primitive is tried: where it has values, away from 0."""
    if row.arity == 1:
        return [np.abs(POINTS) if row.edge == "end" else POINTS]
    return list(np.stack(np.meshgrid(POINTS, POINTS + 0.137)).reshape(2, -1))


def in_torch(row: Primitive, tensors: list[torch.Tensor]) -> torch.Tensor:
    """Applies the torch column to tensors."""
    if "{" in row.torch:
        source = row.torch.format(*(f"args[{k}]" for k in range(row.arity)))
        value: torch.Tensor = eval(source, {"args": tensors, "torch": torch})
        return value
    function: Any = torch
    for part in row.torch.split(".")[1:]:
        function = getattr(function, part)
    applied: torch.Tensor = function(*tensors)
    return applied


def _formula(text: str, names: Mapping[str, Array]) -> Array:
    value: Array = read_formula(
        text, names=names, number=lambda v: np.asarray(float(v)), apply=computed
    )
    return value


def _named(args: list[Array]) -> dict[str, Array]:
    return dict(zip("ab", args, strict=False))


def _close(found: Any, wanted: Array, *, rtol: float, atol: float, what: str) -> None:
    values = np.broadcast_to(np.asarray(found, dtype=np.float64), wanted.shape)
    far = ~np.isclose(values, wanted, rtol=rtol, atol=atol, equal_nan=True)
    if far.any():
        at = int(np.argmax(far))
        place = f"{int(far.sum())} of {far.size} points"
        expect(False, f"{what} at {place}: {values.flat[at]:.9g}, not {wanted.flat[at]:.9g}")


def check_complete(name: str, row: Primitive) -> None:
    """Checks names, arity and the words that print it."""
    expect(bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)), "use ASCII letters, digits and _")
    expect(row.arity in (1, 2), f"derivative has {row.arity} formulas: one an argument, 1 or 2")
    expect(row.parity in (-1, 0, 1), f"parity is -1, 0 or 1, not {row.parity!r}")
    expect(row.edge in ("", "jump", "end"), f"edge is '', 'jump' or 'end', not {row.edge!r}")
    expect(0 <= row.share <= 1, f"share is a number from 0 to 1, not {row.share!r}")
    expect(not row.share or row.arity == 1, "share is for functions of one argument")
    expect(bool(row.torch), "torch is empty")
    if not row.surrogate and not row.internal and not row.edge:
        expect(not row.is_flat, "the derivative is 0 everywhere: a gradient never passes")
    printed = row.latex.format(*"uv"[: row.arity])
    expect(all(letter in printed for letter in "uv"[: row.arity]), "latex does not name {0}")


def check_formulas(name: str, row: Primitive) -> None:
    """Checks that its formulas can be read and call nothing unknown."""
    known = {*"aby", *PRIMITIVES}
    for text in (*row.derivative, row.same_as, row.surrogate):
        names = {n.id for n in ast.walk(ast.parse(text or "0")) if isinstance(n, ast.Name)}
        if unknown := sorted(names - known):
            expect(
                False,
                f"the formula {text!r} names {unknown[0]}; formulas have a, b, y and primitives",
            )


def check_numpy(name: str, row: Primitive) -> None:
    """Checks that NumPy's function gives float64 arrays of the shape of its arguments."""
    args = points_of(row)
    value = row.numpy(*args)
    expect(
        isinstance(value, np.ndarray) and value.shape == args[0].shape, "numpy changes the shape"
    )
    expect(value.dtype == np.float64, f"numpy gives {value.dtype}, not float64")
    expect(bool(np.isfinite(value).all()), "numpy gives values that are not finite near 0")


def check_precise(name: str, row: Primitive) -> None:
    """Checks the function of any precision beside NumPy's."""
    context = mpmath.MPContext()
    context.prec = 100
    args = points_of(row)
    found = [
        float(row.mpmath(context, *map(context.mpf, point)))
        for point in zip(*(a.tolist() for a in args), strict=True)
    ]
    _close(found, row.numpy(*args), rtol=1e-14, atol=1e-15, what="mpmath differs from numpy")


def check_torch(name: str, row: Primitive) -> None:
    """Checks torch's function beside NumPy's."""
    args = points_of(row)
    got = in_torch(row, [torch.tensor(a, dtype=torch.float64) for a in args])
    _close(got.numpy(), row.numpy(*args), rtol=1e-13, atol=1e-14, what="torch differs from numpy")


def check_not_a_number(name: str, row: Primitive) -> None:
    """Checks that what is not a number stays so."""
    if row.internal:
        return
    args = [np.array([np.nan, np.nan])] * row.arity
    with np.errstate(invalid="ignore"):
        expect(bool(np.isnan(row.numpy(*args)).all()), "numpy makes a number of NaN")
    got = in_torch(row, [torch.tensor(a) for a in args])
    expect(bool(got.isnan().all()), "torch makes a number of NaN")


def check_derivative(name: str, row: Primitive) -> None:
    """Checks the derivative beside finite differences."""
    args, step = points_of(row), 1e-6
    names = _named(args) | {"y": row.numpy(*args)}

    def value(*given: Array) -> Array:
        return _formula(row.surrogate, _named(list(given))) if row.surrogate else row.numpy(*given)

    for k, text in enumerate(row.derivative):
        up = [a + step * (j == k) for j, a in enumerate(args)]
        down = [a - step * (j == k) for j, a in enumerate(args)]
        slope = (value(*up) - value(*down)) / (2 * step)
        what = f"the derivative by {'ab'[k]} differs from the slope"
        _close(_formula(text, names), slope, rtol=1e-6, atol=1e-8, what=what)


def check_gradient(name: str, row: Primitive) -> None:
    """Checks torch's gradient beside the derivative."""
    args = points_of(row)
    tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in args]
    value = in_torch(row, tensors)
    if not value.requires_grad:
        expect(row.is_flat, "torch passes no gradient on, and the derivative is not 0")
        return
    names = _named(args) | {"y": row.numpy(*args)}
    gradients = torch.autograd.grad(value.sum(), tensors)
    for k, (text, gradient) in enumerate(zip(row.derivative, gradients, strict=True)):
        wanted = np.broadcast_to(_formula(text, names), args[0].shape)
        what = f"torch's gradient by {'ab'[k]} differs from the derivative"
        _close(gradient.numpy(), wanted, rtol=1e-12, atol=1e-13, what=what)


def check_parity(name: str, row: Primitive) -> None:
    """Checks that an even or odd function says so, and no other."""
    args = points_of(row)
    with np.errstate(all="ignore"):
        value, mirrored = row.numpy(*args), row.numpy(*(-a for a in args))
        zero = row.numpy(*[np.zeros(1)] * row.arity)
    even, odd = np.allclose(value, mirrored), np.allclose(value, 2 * zero - mirrored)
    if row.parity:
        holds = even if row.parity > 0 else odd
        expect(holds, f"parity {row.parity} does not hold")
    expect(bool(row.parity) or not even, "the function is even: parity must be 1")
    expect(bool(row.parity) or not odd, "the function is odd about its value at 0: parity is -1")


def check_interval(name: str, row: Primitive) -> None:
    """Checks that its bounds hold its values, on random intervals of four sizes."""
    rng = np.random.default_rng(1)
    for size in (0.1, 3.0, 50.0, 2000.0):
        for bounds in np.sort(rng.normal(0.0, size, (100, row.arity, 2)), axis=-1):
            low, high = row.interval(*map(tuple, bounds.tolist()))
            points = [np.concatenate([b, rng.uniform(b[0], b[1], 20)]) for b in bounds]
            with np.errstate(all="ignore"):
                values = row.numpy(*points)
            if row.edge == "end" and np.isnan(values).any():
                expect((low, high) == ANYTHING, "bounds where it has no value must be ANYTHING")
                continue
            slack = 1e-15 * np.abs(values[np.isfinite(values)]).max(initial=1.0)
            inside = low - slack <= values.min() and values.max() <= high + slack
            expect(
                bool(inside),
                f"interval of {bounds.tolist()} is ({low:.6g}, {high:.6g}), and the values reach"
                f" from {values.min():.6g} to {values.max():.6g}",
            )
    low, high = row.interval(*[(-math.inf, math.inf)] * row.arity)
    with np.errstate(all="ignore"):
        middle = float(row.numpy(*[np.zeros(1)] * row.arity)[0])
    expect(low <= middle <= high, "interval of all numbers does not hold the value at 0")


def check_exact(name: str, row: Primitive) -> None:
    """Checks exact values, and that what is 0, 1/2 or 1 at 0 says so."""
    for value in _EXACT:
        if row.arity == 1 and not row.same_as and (exact := row.exact(value)) is not None:
            with np.errstate(all="ignore"):
                got = float(row.numpy(np.array([float(value)]))[0])
            close = math.isclose(got, float(exact), rel_tol=1e-15)
            expect(close, f"exact({value}) is {exact}, and numpy gives {got:.17g}")
    with np.errstate(all="ignore"):
        zero = float(row.numpy(*[np.zeros(1)] * row.arity)[0])
    if row.at_zero is None:
        expect(zero not in (0.0, 0.5, 1.0), f"exact(0) is None, and the value is {zero:g}")
    else:
        expect(
            zero == float(row.at_zero), f"exact(0) is {row.at_zero}, and numpy gives {zero:.17g}"
        )


def check_edge(name: str, row: Primitive) -> None:
    """Checks that a function that jumps or ends at zero says so."""
    if row.internal or row.arity != 1:
        return
    with np.errstate(all="ignore"):
        low, high = row.numpy(np.array([-1e-12, 1e-12]))
    found = "end" if np.isnan(low) else "jump" if abs(high - low) > 1e-3 else ""
    expect(row.edge == found, f"edge is {row.edge!r}, and the values say {found!r}")


def check_same_as(name: str, row: Primitive) -> None:
    """Checks the formula that is the same function."""
    if row.same_as:
        args = points_of(row)
        _close(
            _formula(row.same_as, _named(args)), row.numpy(*args), rtol=0, atol=0, what="same_as"
        )


def check_text(name: str, row: Primitive) -> None:
    """Checks that a cell with it is read, printed and read again, with one key."""
    if row.internal:
        return
    more = ", W @ x[t]" * (row.arity - 1)
    text = (
        f"cell tried\ninput x\nstate h\nh[t] = {name}(W @ x[t] + U @ h[t-1] + b{more})\noutput h\n"
    )
    cell = parse_cell(text)
    check_printed(cell, what="its cell")
    expect(bool(cell.latex()), "its cell has no LaTeX")


def check_onnx(name: str, row: Primitive) -> None:
    """Checks the ONNX formula."""
    if not row.onnx:
        raise Missing("cells with it are not exported to ONNX")
    if importlib.util.find_spec("onnx") is None:
        raise Missing("not checked here: onnx is not installed (pip install 'odyssey-cells[onnx]')")
    args = [a.astype(np.float32) for a in points_of(row)]
    _close(by_onnx(row.onnx, args), row.numpy(*args), rtol=1e-5, atol=1e-6, what="onnx differs")


CHECKS: Checks = {
    "complete": check_complete,
    "formulas are readable": check_formulas,
    "numpy": check_numpy,
    "mpmath beside numpy": check_precise,
    "torch beside numpy": check_torch,
    "NaN stays NaN": check_not_a_number,
    "derivative beside finite differences": check_derivative,
    "torch's gradient beside the derivative": check_gradient,
    "parity": check_parity,
    "interval holds the values": check_interval,
    "exact values": check_exact,
    "edge at 0": check_edge,
    "same_as": check_same_as,
    "text and LaTeX of a cell": check_text,
    "onnx": check_onnx,
    "c beside numpy, forward and backward": check_c,
}
