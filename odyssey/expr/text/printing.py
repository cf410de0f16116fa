"""Prints cells and expressions, and the difference of two cells."""

from __future__ import annotations

import difflib
import itertools
import re
from functools import lru_cache

import sympy as sp

from odyssey.expr.arithmetic import ARITHMETIC
from odyssey.expr.equations import Equations
from odyssey.expr.initial import format_init
from odyssey.expr.sizes import format_size
from odyssey.expr.terms import MAPS, Const, Leaf, constant, term


def _format_constant(value: sp.Rational) -> str:
    return str(int(value)) if value.is_Integer else repr(float(value))


@lru_cache(maxsize=4096)
def format_expression(expr: sp.Expr) -> str:
    """Prints an expression as cell text, with the parentheses that it needs."""
    return _print(expr)[0]


# Binding strength of what was printed: sum, product, anything tighter.
_SUM, _PRODUCT, _ATOM = 1, 2, 3


def _print(expr: sp.Expr) -> tuple[str, int]:
    op, args, name = term(expr)
    match op:
        case "constant" if not isinstance(expr, Const):
            return _format_constant(expr), (_ATOM if expr >= 0 else _SUM)
        case "matmul" | "transposed":
            mark = ".T" if op == "transposed" else ""
            return f"{name}{mark} @ {_wrap(args[0], _ATOM)}", _PRODUCT
        case "read" | "read_transposed" if isinstance(args[0], Leaf):
            mark = ".T" if op == "read_transposed" else ""
            return f"{args[0].name}{mark} @ {_wrap(args[1], _ATOM)}", _PRODUCT
        case "add" if args[1].is_Rational and args[1] < 0:  # a + -2 -> a - 2
            return f"{_wrap(args[0], _SUM)} - {_format_constant(-args[1])}", _SUM
        case "add" | "sub":
            symbol = ARITHMETIC[op].symbol
            return f"{_wrap(args[0], _SUM)} {symbol} {_wrap(args[1], _PRODUCT)}", _SUM
        case "neg":
            return f"-{_wrap(args[0], _ATOM)}", _SUM
        case "mul" | "div":
            symbol = ARITHMETIC[op].symbol
            return f"{_factor(args[0])} {symbol} {_wrap(args[1], _ATOM)}", _PRODUCT
    if isinstance(expr, Const):
        return expr.stem, _ATOM
    if isinstance(expr, Leaf):
        return expr.name, _ATOM
    return f"{op}({', '.join(map(format_expression, args))})", _ATOM


def _wrap(expr: sp.Expr, strength: int) -> str:
    text, own = _print(expr)
    return text if own >= strength else f"({text})"


def _factor(expr: sp.Expr) -> str:
    # W @ v * u would read back as (W @ v) * u, but no reader should have to know that
    is_map = type(expr) in MAPS or term(expr).op in ("read", "read_transposed")
    return _wrap(expr, _ATOM if is_map else _PRODUCT)


def format_cell(cell: Equations) -> str:
    """Prints a cell in the normal layout: equations aligned at their `=`."""
    lines = [*format_head(cell), f"input {cell.input}"]
    lines += [f"size {d.name} = {format_size(d.sizes[0])}" for d in cell.sizes]
    lines += [f"input {d.name} : {format_size(d.sizes[0])}" for d in cell.further_inputs]
    constants = cell.constants.items()
    lines += [f"const {name} = {_format_constant(constant(v))}" for name, v in constants]
    lines += _format_states(cell)
    if not cell.recurrent:
        lines.append("not recurrent")
    for weight in cell.weights:
        said = [*map(format_size, weight.sizes), *weight.properties]
        lines.append(f"weight {weight.name} : {', '.join(said)}")
    lines.append("")
    labels = [f"{e.label} : {format_size(e.size)}" if e.size else e.label for e in cell.equations]
    width = max(map(len, labels))
    lines += [
        f"{label:<{width}} = {format_expression(e.value)}"
        for label, e in zip(labels, cell.equations, strict=True)
    ]
    lines.append("")
    for start in cell.starts:
        value = start.weight or _format_constant(constant(start.value))
        lines.append(f"start {start.state} = {value}")
    lines += [f"init {i.parameter} = {format_init(i)}" for i in cell.inits]
    lines.append(f"output {cell.output}")
    return "\n".join(lines) + "\n"


def format_head(cell: Equations) -> list[str]:
    """Prints the first lines, name and citation, which say nothing of the equations."""
    return [f"cell {cell.name}", *([f"cite {cell.citation}"] if cell.citation else [])]


def _format_states(cell: Equations) -> list[str]:
    """Prints the states in order, those of one size on one line."""
    sizes = {d.name: ", ".join(map(format_size, d.sizes)) for d in cell.state_sizes}
    lines: list[str] = []
    for size, group in itertools.groupby(cell.states, lambda s: sizes.get(s, "")):
        names = f"state {', '.join(group)}"
        lines.append(f"{names} : {size}" if size else names)
    return lines


_HEADER = re.compile(r"(cell|cite) ")


def diff(before: Equations, after: Equations) -> list[str]:
    """Lists what differs between two cells, as lines that begin with `-`, `+` or a space.

    Names and citations are left out; white space that only aligns is not a difference.
    """
    lines = difflib.ndiff(_compared_lines(before), _compared_lines(after))
    return [line for line in lines if not line.startswith("?")]


def share_that_differs(before: Equations, after: Equations) -> float:
    """Gives how many of the lines of `diff` begin with `-` or `+`, as a part of all, from 0 to 1.

    `diff` also looks for lines that are alike, to put them beside each other: most of its time.
    """
    a, b = _compared_lines(before), _compared_lines(after)
    blocks = difflib.SequenceMatcher(None, a, b).get_matching_blocks()
    same = sum(block.size for block in blocks)
    total = len(a) + len(b) - same
    return (total - same) / total


def _compared_lines(cell: Equations) -> list[str]:
    lines = (re.sub(r" += ", " = ", line) for line in format_cell(cell).splitlines())
    return [line for line in lines if line and not _HEADER.match(line)]
