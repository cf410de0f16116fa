"""Sizes: how many numbers a value has in one row of a batch.

A size is a text: `I` (inputs), `H` (units), `1` (one number, which broadcasts), a number such as
`32`, or a multiple of I or H such as `2*H`, `H/4`, `3*H/2`, rounded down and at least 1. Equal
texts are one size; sizes with other texts are different, whatever they come to. A matrix has two,
rows and columns, with a semicolon between them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache

INPUTS, UNITS, ONE = "I", "H", "1"
MATRIX = ";"
PLAIN = (INPUTS, UNITS)  # what every cell has; others are declared
MAX_SIZE = 65_536  # of a size that is a number
MAX_FACTOR = 1_024  # of a multiple of I or H, or its inverse

_SIZE = re.compile(r"(?:(\d+)\*)?([IH])(?:/(\d+))?\Z")


def multiple(base: str, factor: Fraction) -> str:
    """Gives the text of a multiple of a size: of `I`, of `H`, or of `1`, which is a number."""
    if base == ONE:
        return str(factor)
    above = "" if factor.numerator == 1 else f"{factor.numerator}*"
    below = "" if factor.denominator == 1 else f"/{factor.denominator}"
    return f"{above}{base}{below}"


@lru_cache(maxsize=4096)
def parts(size: str) -> tuple[str, Fraction]:
    """Takes a size apart: `I`, `H` or `1`, and how many of it.

    Raises:
        ValueError: It is no size.
    """
    match = _SIZE.match(size)
    if match is None:
        return ONE, Fraction(int(size))
    above, base, below = match.groups()
    return base, Fraction(int(above or 1), int(below or 1))


def is_matrix(size: str) -> bool:
    """Says whether a size is that of a matrix."""
    return MATRIX in size


def axes(size: str) -> tuple[str, ...]:
    """Gives the sizes of rows and columns of a matrix; of other values the size alone."""
    return tuple(size.split(MATRIX))


def matrix(rows: str, columns: str) -> str:
    """Gives the size of a matrix."""
    return f"{rows}{MATRIX}{columns}"


def meet(sizes: Iterable[str]) -> str:
    """Gives the size of what values of these sizes give elementwise; 1 for none."""
    widest = ONE
    for size in sizes:
        if is_matrix(size):
            pairs = zip(axes(size), axes(widest) if is_matrix(widest) else (ONE, ONE), strict=True)
            widest = matrix(*(a if a != ONE else b for a, b in pairs))
        elif widest == ONE:
            widest = size
    return widest


def resolve(size: str, inputs: int, units: int) -> int:
    """Gives the number that a size comes to, at least 1; of a matrix all its numbers.

    Args:
        size: The size.
        inputs: I.
        units: H.
    """
    if size == UNITS:
        return units
    if size == INPUTS:
        return inputs
    if is_matrix(size):
        return math.prod(resolve(axis, inputs, units) for axis in axes(size))
    base, factor = parts(size)
    whole = {INPUTS: inputs, UNITS: units, ONE: 1}[base]
    return max(1, whole * factor.numerator // factor.denominator)


def grows(size: str) -> bool:
    """Says whether a size depends on the number of units."""
    return any(parts(axis)[0] == UNITS for axis in axes(size))


def source(size: str, *, inputs: str = INPUTS, units: str = UNITS) -> str:
    """Writes a size, which is no matrix's, as a Python expression.

    Args:
        size: The size.
        inputs: How I is called there.
        units: How H is.
    """
    base, factor = parts(size)
    if base == ONE:
        return str(factor)
    name = inputs if base == INPUTS else units
    if factor == 1:
        return name
    if factor.denominator == 1:
        return f"{factor.numerator} * {name}"
    above = "" if factor.numerator == 1 else f" * {factor.numerator}"
    return f"max(1, {name}{above} // {factor.denominator})"


def format_size(size: str) -> str:
    """Prints a size as cell text has it; the name of a declared one as it is."""
    return size.replace("*", " * ").replace("/", " / ").replace(MATRIX, ", ")
