"""Equations as the papers print them: LaTeX, and HTML that needs no script.

A state or named equation `c[t]` prints as c with subscript t, `c[t-1]` as c with t-1; a parameter
`W_i` as W with subscript i. Products of vectors print as the circled dot, `@` as juxtaposition.
"""

from __future__ import annotations

import html
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TypeVar

import sympy as sp

from odyssey.expr.equations import Equations, Start
from odyssey.expr.forms import ALL_FUNCTIONS
from odyssey.expr.initial import format_init
from odyssey.expr.primitives import Function
from odyssey.expr.reductions import OVER_UNITS
from odyssey.expr.sizes import format_size
from odyssey.expr.terms import Const, Leaf, Matrix, Vector, format_number, term

_GREEK = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "theta",
    "lambda",
    "mu",
    "sigma",
    "phi",
    "tau",
)


@dataclass(frozen=True)
class _Style:
    """The marks of one output format."""

    times: str
    minus: str
    open: str
    close: str
    space: str
    top: str  # marks what is transposed
    above: int  # how tightly the parts of a quotient must bind to go without parentheses
    below: int

    def name(self, name: str, when: str) -> str:
        raise NotImplementedError

    def call(self, function: Function, args: list[str]) -> str:
        raise NotImplementedError

    def quotient(self, above: str, below: str) -> str:
        raise NotImplementedError


class _Latex(_Style):
    def name(self, name: str, when: str) -> str:
        base, _, sub = name.partition("_")
        base = f"\\{base}" if base in _GREEK else base if len(base) == 1 else f"\\mathrm{{{base}}}"
        subscripts = [s.replace("_", ",") for s in (sub, when) if s]
        return f"{base}_{{{','.join(subscripts)}}}" if subscripts else base

    def call(self, function: Function, args: list[str]) -> str:
        return function.latex.format(*args)

    def quotient(self, above: str, below: str) -> str:
        return f"\\frac{{{above}}}{{{below}}}"


class _Html(_Style):
    def name(self, name: str, when: str) -> str:
        base, _, sub = name.partition("_")
        base = f"&{base};" if base in _GREEK else html.escape(base)
        base = f"<b>{base}</b>" if base.isupper() and not when else f"<i>{base}</i>"
        subscript = ",".join(s for s in (html.escape(sub), when.replace("-", "−")) if s)
        return f"{base}<sub>{subscript}</sub>" if subscript else base

    def call(self, function: Function, args: list[str]) -> str:
        return f"{function.html or function.name}({', '.join(args)})"

    def quotient(self, above: str, below: str) -> str:
        return f"{above} / {below}"


_SUM, _PRODUCT, _ATOM = 1, 2, 3

LATEX = _Latex(r" \odot ", "-", r"\left(", r"\right)", r" \, ", r"^\top", above=_SUM, below=_SUM)
HTML = _Html(" ⊙ ", "−", "(", ")", "&#8202;", "<sup>⊤</sup>", above=_PRODUCT, below=_ATOM)


def _print(expr: sp.Expr, style: _Style) -> tuple[str, int]:
    """Prints an expression; the number says how tightly it binds."""

    def wrap(inner: sp.Expr, strength: int) -> str:
        text, own = _print(inner, style)
        return text if own >= strength else f"{style.open}{text}{style.close}"

    op, args, name = term(expr)
    match op:
        case "constant" if isinstance(expr, Const):
            return style.name(expr.stem, ""), _ATOM
        case "constant":
            text = format_number(float(abs(expr)))
            return (text, _ATOM) if expr >= 0 else (style.minus + text, _SUM)
        case "matmul":
            return f"{style.name(name, '')}{style.space}{wrap(args[0], _ATOM)}", _ATOM
        case "read" | "read_transposed":
            inner, mark = wrap(args[0], _ATOM), style.top if op == "read_transposed" else ""
            return f"{inner}{mark}{style.space}{wrap(args[1], _ATOM)}", _PRODUCT
        case "outer":
            left, right = wrap(args[0], _ATOM), wrap(args[1], _ATOM)
            return f"{left}{style.space}{right}{style.top}", _PRODUCT
        case "transposed":
            return f"{style.name(name, '')}{style.top}{style.space}{wrap(args[0], _ATOM)}", _ATOM
        case "sub":
            return f"{wrap(args[0], _SUM)} {style.minus} {wrap(args[1], _PRODUCT)}", _SUM
        case "add" if args[1].is_Rational and args[1] < 0:
            return f"{wrap(args[0], _SUM)} {style.minus} {format_number(float(-args[1]))}", _SUM
        case "add":
            return f"{wrap(args[0], _SUM)} + {wrap(args[1], _PRODUCT)}", _SUM
        case "neg":
            return f"{style.minus}{wrap(args[0], _ATOM)}", _SUM
        case "div":
            above, below = wrap(args[0], style.above), wrap(args[1], style.below)
            return style.quotient(above, below), _PRODUCT
        case "mul":
            joint = style.space if args[0].is_Rational else style.times  # 2 a, but a (.) b
            return f"{wrap(args[0], _PRODUCT)}{joint}{wrap(args[1], _PRODUCT)}", _PRODUCT
    if isinstance(expr, Leaf):
        when = expr.name.partition("[")[2].rstrip("]")
        timed = "" if isinstance(expr, Vector | Matrix) else "t"
        return style.name(expr.stem, when or timed), _ATOM
    row = OVER_UNITS.get(op) or ALL_FUNCTIONS[op]
    return style.call(row, [_print(a, style)[0] for a in args]), _ATOM


def _in_space(sizes: Sequence[str]) -> str:
    size = r" \times ".join(sizes)
    return rf"\in \mathbb{{R}}^{{{size}}}"


def to_latex(cell: Equations) -> str:
    """Prints the equations of a cell as a LaTeX `aligned` block (needs amsmath).

    Below them stand the sizes of further inputs and of weights that are matrices used number by
    number, starting values and constants.
    """
    declared = {d.name: d.sizes for d in cell.state_sizes}
    declared |= {e.target: (e.size,) for e in cell.equations if e.size}
    sizes = {name: f" {_in_space(own)}" for name, own in declared.items()}
    rows = [
        f"{LATEX.name(e.target, 't')} &= {_print(e.value, LATEX)[0]}{sizes.get(e.target, '')}"
        for e in cell.equations
    ]
    rows += [f"{LATEX.name(d.name, 't')} &{_in_space(d.sizes)}" for d in cell.further_inputs]
    rows += [f"{LATEX.name(d.name, '')} &{_in_space(d.sizes)}" for d in cell.weights if d.sizes]
    rows += [f"{LATEX.name(s.state, '0')} &= {_start(s, LATEX)}" for s in cell.starts]
    rows += [
        f"{LATEX.name(name, '')} &= {format_number(float(v))}" for name, v in cell.constants.items()
    ]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}\n"


def to_html(cell: Equations, *, against: Equations | None = None) -> str:
    """Prints the equations and initial values of a cell as one HTML table, class `equations`.

    Args:
        cell: The cell.
        against: Another cell. What is new beside it stands in `ins`, what is gone in `del`, and
            rows with either have the class `changed`.
    """
    new, old = _rows(cell), _rows(cell if against is None else against)
    rows = []
    for key in _merged(list(old), list(new)):
        init, name, arrow = key
        value = _marked(old.get(key, ""), new.get(key, ""))
        if key not in new:
            name = f"<del>{name}</del>"
        elif key not in old:
            name = f"<ins>{name}</ins>"
        kinds = [
            *(["init"] if init else []),
            *(["changed"] if old.get(key) != new.get(key) else []),
        ]
        opening = f'<tr class="{" ".join(kinds)}">' if kinds else "<tr>"
        rows.append(f"{opening}<td>{name}</td><td>{arrow}</td><td>{value}</td></tr>")
    return '<table class="equations">' + "".join(rows) + "</table>"


def _rows(cell: Equations) -> dict[tuple[bool, str, str], str]:
    """Prints what a cell sets, by what is set: whether an initial value, its name, its sign."""
    rows = {
        (False, HTML.name(e.target, "t"), "="): _print(e.value, HTML)[0] for e in cell.equations
    }
    rows |= {
        (False, HTML.name(name, ""), "="): format_number(float(value))
        for name, value in cell.constants.items()
    }
    declared = (*cell.further_inputs, *cell.state_sizes, *cell.weights)
    sized = [(d.name, d.sizes) for d in declared]
    sized += [(e.target, (e.size,)) for e in cell.equations if e.size]
    rows |= {
        (True, HTML.name(name, ""), "size"): " × ".join(map(format_size, map(cell.size, sizes)))
        for name, sizes in sized
    }
    rows |= {
        (True, HTML.name(s.state, "0"), "="): f"{_start(s, HTML)} before the first step"
        for s in cell.starts
    }
    return rows | {
        (True, HTML.name(i.parameter, ""), "←"): f"{html.escape(format_init(i))} at the start"
        for i in cell.inits
    }


def _start(start: Start, style: _Style) -> str:
    return style.name(start.weight, "") if start.weight else format_number(float(start.value))


_Key = TypeVar("_Key", bound=Hashable)


def _merged(old: list[_Key], new: list[_Key]) -> list[_Key]:
    """Merges two orders: that of `new`, with what only `old` has where it stood."""
    merged: list[_Key] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            merged += [key for key in old[a:b] if key not in new]
        merged += new[c:d]
    return merged


_ALIKE = 0.5  # share of tokens from which on two expressions are one that was changed
# A name with its subscript, an entity, a word or number, or any other character.
_TOKEN = re.compile(r"<([bi])>[^<]*</\1>(?:<sub>[^<]*</sub>)?|&[^;]+;|[\w.]+|.", re.DOTALL)


def _marked(old: str, new: str) -> str:
    """Prints an expression with what is gone and what is new beside another one."""
    before, after = ([m.group() for m in _TOKEN.finditer(text)] for text in (old, new))
    found = SequenceMatcher(None, before, after, autojunk=False)
    steps = found.get_opcodes()
    if found.ratio() < _ALIKE:  # shared brackets and signs are no shared expression
        steps = [("replace", 0, len(before), 0, len(after))]
    parts = []
    for kind, a, b, c, d in steps:
        if kind == "equal":
            parts += after[c:d]
            continue
        parts += [f"<del>{''.join(before[a:b])}</del>"] if b > a else []
        parts += [f"<ins>{''.join(after[c:d])}</ins>"] if d > c else []
    return "".join(parts)
