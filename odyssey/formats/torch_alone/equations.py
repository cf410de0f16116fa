"""Equations as lines of Python that call torch, as a person would write them.

An expression is printed as it stands. A part of it that does not fit into a line gets a name of its
own first, and what torch has not in one call a function. So every line is short, and a formatter
finds nothing to do.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterable
from itertools import count

import sympy as sp

from odyssey.expr.arithmetic import ARITHMETIC
from odyssey.expr.forms import ALL_FUNCTIONS, NamedForm, computed
from odyssey.expr.primitives import Function, Primitive
from odyssey.expr.reductions import OVER_UNITS, Reduction
from odyssey.expr.sizes import is_matrix
from odyssey.expr.terms import (
    MAPS,
    Const,
    Named,
    apply,
    constant,
    exact_value,
    format_number,
    is_constant,
    term,
)
from odyssey.formats.torch_alone.text import INDENT, WIDTH

_SUM, _PRODUCT, _MAP, _ATOM = 1, 2, 3, 4
IMPORTED = ("torch", "torch.nn.functional")
"""Modules whose functions a file calls by their own names."""
# A primitive of a value and a number, which torch's function does not take.
_BOUNDED = {"minimum": "{0}.clamp(max={1})", "maximum": "{0}.clamp(min={1})"}


class Lines:
    """Writes the lines of a function.

    Args:
        leaf: Writes a leaf of an expression.
        size: Gives the size of an expression; None where all are vectors.
        numbers: Writes how many numbers a size is; None where sizes are not known.
        taken: Names that mean something there.
        depth: How far lines are indented, in steps.
    """

    def __init__(
        self,
        *,
        leaf: Callable[[str, str], str],
        size: Callable[[sp.Expr], str] | None,
        taken: Iterable[str],
        depth: int,
        numbers: Callable[[str], str] | None = None,
    ) -> None:
        self.leaf, self.size, self.depth, self.numbers = leaf, size, depth, numbers
        self.taken = set(taken)
        self.named: dict[sp.Expr, str] = {}
        self.functions: dict[str, Function] = {}
        self.imports: set[tuple[str, str]] = set()
        self.lines: list[str] = []

    def emit(self, line: str) -> None:
        """Writes a line as it is."""
        self.lines.append(f"{INDENT * self.depth}{line}" if line else "")

    def assign(self, name: str, expr: sp.Expr) -> None:
        """Writes `name = expr`, with what is too long for a line before it."""
        self._statement(f"{name} = ", expr, stem=name)

    def give(self, expr: sp.Expr) -> None:
        """Writes `return expr`."""
        self._statement("return ", expr, stem="")

    def _statement(self, opening: str, expr: sp.Expr, *, stem: str) -> None:
        room = WIDTH - len(INDENT) * self.depth
        while len(opening) + len(self.text(expr)[0]) > room:
            part = self._part(expr, room - len(self._part_name(stem)) - len(" = "))
            if part is None:
                break
            name = self._part_name(stem)
            self.taken.add(name)
            self.emit(f"{name} = {self.text(part)[0]}")
            self.named[part] = name
        self.emit(f"{opening}{self.text(expr)[0]}")

    def _part_name(self, stem: str) -> str:
        numbered = (f"{stem}_part{number}".lstrip("_") for number in count(1))
        return next(name for name in numbered if name not in self.taken)

    def _part(self, expr: sp.Expr, room: int) -> sp.Expr | None:
        """Finds the longest part of an expression that fits into a line of its own."""
        parts: dict[sp.Expr, int] = {}
        todo = [*term(expr)[1]]
        while todo:
            part = todo.pop()
            args = term(part)[1]
            if args and part not in self.named and not is_constant(part):
                length = len(self.text(part)[0])
                todo += args if length > room else []
                parts |= {part: length} if 12 < length <= room else {}
        return max(parts, key=lambda part: parts[part], default=None)

    def text(self, expr: sp.Expr) -> tuple[str, int]:
        """Prints an expression; the number says how tightly it binds."""
        if expr in self.named:
            return self.named[expr], _ATOM
        op, args, name = term(expr)
        if isinstance(expr, Const):
            return self.leaf(op, name), _ATOM
        if is_constant(expr):
            text = _written(_number(expr))
            return text, (_SUM if text.startswith("-") else _ATOM)
        if not args:
            return self.leaf(op, name), _ATOM

        def wrap(inner: sp.Expr, strength: int) -> str:
            text, own = self.text(inner)
            text = f"({text})" if own < strength or (own, strength) == (_MAP, _PRODUCT) else text
            return self._widened(expr, inner, text)

        match op:
            case "matmul" | "transposed":
                weight = self.leaf("matrix", name) + (".mT" if op == "matmul" else "")
                return f"{wrap(args[0], _ATOM)} @ {weight}", _MAP
            case "neg":
                return f"-{wrap(args[0], _ATOM)}", _PRODUCT
            case "add" if is_constant(args[1]) and _number(args[1]) < 0:
                return f"{wrap(args[0], _SUM)} - {_written(-_number(args[1]))}", _SUM
            case "add" | "sub":  # a map needs no parentheses in a sum
                right = wrap(args[1], _MAP if term(args[1]).op in MAPS.values() else _PRODUCT)
                return f"{wrap(args[0], _SUM)} {ARITHMETIC[op].symbol} {right}", _SUM
            case "mul" | "div":
                left, right = wrap(args[0], _PRODUCT), wrap(args[1], _ATOM)
                return f"{left} {ARITHMETIC[op].symbol} {right}", _PRODUCT
        return self._call(expr, op, args)

    def _widened(self, expr: sp.Expr, arg: sp.Expr, text: str) -> str:
        """Gives a number of a row as it meets a matrix: one of all the matrix."""
        if self.size is None or is_constant(arg):
            return text
        if is_matrix(self.size(expr)) and not is_matrix(self.size(arg)):
            bare = text if text.isidentifier() or text.endswith(")") else f"({text})"
            return f"{bare}.unsqueeze(-1)"
        return text

    def _call(self, expr: sp.Expr, op: str, args: tuple[sp.Expr, ...]) -> tuple[str, int]:
        row = OVER_UNITS.get(op) or ALL_FUNCTIONS[op]
        texts = [self.text(a)[0] for a in args]
        elementwise = op not in OVER_UNITS  # others take rows and matrices as they are
        if elementwise:
            texts = [self._widened(expr, *pair) for pair in zip(args, texts, strict=True)]
        template: str = getattr(row, "torch", "")
        counted = "{1}" in template and row.arity == 1
        if not template or _is_long(row) or (counted and self.numbers is None):
            self.functions[op] = row
            return f"{op}({', '.join(texts)})", _ATOM
        if op in _BOUNDED and any(map(is_constant, args)):
            args = args if is_constant(args[1]) else args[::-1]
            template = _BOUNDED[op]
            texts = [self._widened(expr, a, self.text(a)[0]) for a in args]
        if template == "{0}":
            return self.text(args[0])
        if "{" not in template:
            return f"{self._imported(template)}({', '.join(texts)})", _ATOM
        if template.startswith("{0}") and self.text(args[0])[1] != _ATOM:
            texts[0] = f"({texts[0]})"
        if counted and self.numbers is not None and self.size is not None:
            texts.append(self.numbers(self.size(args[0])))
        function, opening, rest = template.partition("(")
        if "{" not in function:
            template = self._imported(function) + opening + rest
        return template.format(*texts), _ATOM

    def _imported(self, dotted: str) -> str:
        """Gives a function of torch by its own name, and notes from where it is."""
        module, _, name = dotted.rpartition(".")
        if module not in IMPORTED:
            return dotted
        if hasattr(builtins, name):  # `abs`
            return name
        self.imports.add((module, name))
        return name


def _is_long(row: Function) -> bool:
    """Says whether a function would be more than one call."""
    template = str(getattr(row, "torch", ""))
    return (isinstance(row, Reduction) and "{1}" in template) or template.count("{0}") > 1


def imported_names() -> set[str]:
    """Gives all names that functions of the language may have in a file."""
    rows = (*ALL_FUNCTIONS.values(), *OVER_UNITS.values())
    calls = (str(getattr(row, "torch", "")).partition("(")[0].rpartition(".") for row in rows)
    return {name for module, _, name in calls if module in IMPORTED}


def _written(number: float) -> str:
    return format_number(number) if math.isfinite(number) else f'float("{number}")'


def _number(expr: sp.Expr) -> float:
    op, args, _ = term(expr)
    if op == "constant":
        return float(exact_value(expr))
    return float(computed(op, *map(_number, args)))  # type: ignore[arg-type]


def _function_lines(row: Function) -> tuple[list[str], Lines]:
    """Writes a function of the language that torch does not have in one call.

    Returns:
        Its lines, and the writer of its body, which knows what that calls.
    """
    names = "ab"[: row.arity]
    head = f"def {row.name}({', '.join(f'{n}: Tensor' for n in names)}) -> Tensor:"
    writer = Lines(leaf=lambda op, name: name, size=None, taken=names, depth=1)
    if getattr(row, "torch", ""):
        assert isinstance(row, Primitive | Reduction | NamedForm)
        body = getattr(row, "torch_body", "") or f"return {row.torch}"
        body = body.format(*names, *(["a.shape[-1]"] if row.arity == 1 else []))
        for line in body.splitlines():
            writer.emit(line.replace("torch.nn.", "nn."))
    else:
        assert isinstance(row, NamedForm)
        writer.give(row.expand(*map(Named, names), number=constant, apply=apply))
    return [head, *writer.lines], writer


def defined(step: Lines) -> tuple[list[list[str]], set[tuple[str, str]]]:
    """Writes the functions that a step calls and those that they call, what is called first.

    Returns:
        The lines of each, and what all of them and the step import, as (module, name).
    """
    written: dict[str, list[str]] = {}
    imports = set(step.imports)

    def write(row: Function) -> None:
        if row.name not in written:
            lines, body = _function_lines(row)
            for called in body.functions.values():
                write(called)
            imports.update(body.imports)
            written[row.name] = lines

    for row in step.functions.values():
        write(row)
    return list(written.values()), imports
