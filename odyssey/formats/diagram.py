"""The flow of data through one step of a cell: boxes, and arrows between them.

A function is a box together with the sum that it reads: maps, elementwise weights and biases are
arrows into it, as in the pictures of papers. Products, sums of their own and quotients are small
boxes; inputs, states before the step and states after it are what all begins and ends in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import sympy as sp

from odyssey.expr.equations import Equation, Equations
from odyssey.expr.forms import ALL_FUNCTIONS
from odyssey.expr.program import live_equations
from odyssey.expr.reductions import OVER_UNITS
from odyssey.expr.sizes import format_size
from odyssey.expr.terms import exact_value, format_number, is_constant, term
from odyssey.expr.text.printing import format_expression

BoxKind = Literal["input", "before", "function", "operation", "after", "output"]
COLOURS: dict[BoxKind, tuple[str, str]] = {
    "input": ("#e8eef7", "#5b7aa8"),
    "before": ("#e8eef7", "#5b7aa8"),
    "function": ("#fdf1d6", "#c9972f"),
    "after": ("#dcebdc", "#4e8a54"),
    "output": ("#dcebdc", "#4e8a54"),
}
"""Of a box and of its border; operations have none of their own."""


@dataclass(frozen=True)
class Box:
    """What is computed, or read.

    Attributes:
        key: Tells it from the others.
        kind: Input, state before the step, function, operation, state after it, or an output that
            is no state.
        label: What it does: the sign of a function or an operation; empty for names alone.
        name: Name of the equation, input or state that it is the value of, or empty.
        about: The equation or expression in the language.
    """

    key: int
    kind: BoxKind
    label: str
    name: str = ""
    about: str = ""

    @property
    def shown(self) -> str:
        """What stands in it, before any typesetting."""
        return beside(self.name, self.label)


@dataclass(frozen=True)
class Flow:
    """The boxes of a step, sources first, and arrows from one to another, by key.

    Attributes:
        title: Name of the cell.
        boxes: The boxes; each comes after those that it reads.
        arrows: (from, to).
    """

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[tuple[int, int], ...]


def beside(name: str, label: str) -> str:
    """Writes what a box does beside its name, or one of both alone."""
    return f"{name} = {label}" if name and label else name or label


def read_flow(cell: Equations) -> Flow:
    """Reads the flow of a cell, without equations that neither the output nor a state needs."""
    sizes = {d.name: format_size(cell.size(d.sizes[0])) for d in cell.further_inputs}
    about = {name: f"a further input, of size {size}" for name, size in sizes.items()}
    reader = _Reader({cell.input: "the input"} | about)
    for equation in live_equations(cell):
        reader.read(equation, is_output=equation.label == cell.output_label)
    return Flow(cell.name, tuple(reader.boxes), tuple(dict.fromkeys(reader.arrows)))


class _Reader:
    """Makes boxes of equations, each expression once.

    Args:
        inputs: What is said of each input.
    """

    def __init__(self, inputs: Mapping[str, str]) -> None:
        self.inputs = inputs
        self.boxes: list[Box] = []
        self.arrows: list[tuple[int, int]] = []
        self.keys: dict[sp.Expr, int] = {}
        self.values: dict[str, int] = {}

    def read(self, equation: Equation, *, is_output: bool) -> None:
        about = f"{equation.label} = {format_expression(equation.value)}"
        key = self._key(equation.value)
        box = self.boxes[key]
        if equation.updates_state:
            key = self._add("after", "", [key], name=equation.label, about=about)
        elif box.kind in ("function", "operation") and not box.name:
            self.boxes[key] = replace(box, name=equation.label, about=about)
        if is_output and not equation.updates_state:
            key = self._add("output", "", [key], name=f"{equation.label}[t]", about=about)
        self.values[equation.label] = key

    def _add(
        self, kind: BoxKind, label: str, reads: Iterable[int], *, name: str = "", about: str = ""
    ) -> int:
        key = len(self.boxes)
        self.boxes.append(Box(key, kind, label, name, about))
        self.arrows += [(source, key) for source in reads]
        return key

    def _key(self, expr: sp.Expr) -> int:
        """Gives the box of an expression."""
        op, _, name = term(expr)
        if op == "value":
            return self.values[name]
        if expr not in self.keys:
            self.keys[expr] = self._box(expr)
        return self.keys[expr]

    def _box(self, expr: sp.Expr) -> int:
        op, args, name = term(expr)
        about = format_expression(expr)
        match op:
            case "input":
                return self._add("input", "", [], name=f"{name}[t]", about=self.inputs[name])
            case "previous":
                return self._add("before", "", [], name=f"{name}[t-1]", about=about)
            case "vector" | "constant":
                return self._add("operation", _name(expr), [], about=about)
            case "matmul" | "transposed":
                turned = "ᵀ" if op == "transposed" else ""
                return self._add("operation", f"{name}{turned}", self._reads(args[0]), about=about)
            case "mul":
                return self._product(expr, about)
            case "div":
                known = [_name(a) if _is_parameter(a) else "" for a in args]
                label = f"{known[0]} ÷ {known[1]}".strip()
                reads = [self._key(a) for a in args if not _is_parameter(a)]
                return self._add("operation", label, reads, about=about)
            case "add" | "sub" | "neg":
                return self._sum(expr, about)
        row = OVER_UNITS.get(op) or ALL_FUNCTIONS[op]
        reads = [key for a in args for key in self._reads(a)]
        return self._add("function", row.html or row.name, reads, about=about)

    def _product(self, expr: sp.Expr, about: str) -> int:
        factors = _factors(expr)
        known = [_name(f) for f in factors if _is_parameter(f)]
        others = [f for f in factors if not _is_parameter(f)]
        sign = "×" if all(is_constant(f) for f in factors if _is_parameter(f)) and known else "⊙"
        label = f"{sign} {' '.join(known)}".strip() if known else "⊙"
        return self._add("operation", label, [self._key(f) for f in others], about=about)

    def _sum(self, expr: sp.Expr, about: str) -> int:
        parts = _terms(expr)
        reads = self._reads(expr)
        if len(parts) == 2 and len(reads) == 1:  # 1 - z
            known = [(sign, part) for sign, part in parts if _is_parameter(part)]
            if known:
                (sign, part), (other, _) = known[0], next(p for p in parts if p not in known)
                first = f"{'− ' if sign < 0 else ''}{_name(part)}"
                label = f"{first} −" if other < 0 else f"+ {first}"
                return self._add("operation", label.replace("+ −", "−"), reads, about=about)
        signs = {sign for sign, part in parts if not _is_parameter(part)}
        label = {frozenset((1,)): "+", frozenset((-1,)): "−"}.get(frozenset(signs), "±")
        return self._add("operation", label, reads, about=about)

    def _reads(self, expr: sp.Expr) -> list[int]:
        """Gives the boxes that a sum of maps and weighted values reads."""
        op, args, _ = term(expr)
        match op:
            case "vector" | "constant":
                return []
            case "add" | "sub" | "neg" | "matmul" | "transposed":
                found = [key for a in args for key in self._reads(a)]
                return list(dict.fromkeys(found))
            case "mul" if any(map(_is_parameter, args)):
                return [key for a in args for key in self._reads(a)]
        return [self._key(expr)]


def _is_parameter(expr: sp.Expr) -> bool:
    """Says whether an expression is a weight or a number."""
    return term(expr).op == "vector" or is_constant(expr)


def _name(expr: sp.Expr) -> str:
    if term(expr).op == "constant" and not hasattr(expr, "stem"):
        return format_number(float(exact_value(expr)))
    return format_expression(expr)


def _factors(expr: sp.Expr) -> list[sp.Expr]:
    op, args, _ = term(expr)
    return [f for a in args for f in _factors(a)] if op == "mul" else [expr]


def _terms(expr: sp.Expr, sign: int = 1) -> list[tuple[int, sp.Expr]]:
    op, args, _ = term(expr)
    signs = {"add": (1, 1), "sub": (1, -1), "neg": (-1,)}.get(op)
    if signs is None:
        if op == "constant" and exact_value(expr) < 0:
            return [(-sign, -expr)]
        return [(sign, expr)]
    return [t for a, s in zip(args, signs, strict=True) for t in _terms(a, sign * s)]
