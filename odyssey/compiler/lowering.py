"""Lowering: Cell -> Program, as an ordered list of named passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import sympy as sp

from odyssey.compiler.passes import drop_dead, fold_constants, hoist, order_sums, stack_maps
from odyssey.compiler.verify import verify_program
from odyssey.errors import OdysseyError, suggest
from odyssey.expr.cell import Cell
from odyssey.expr.primitives import BY_FUNCTION
from odyssey.expr.program import Node, Program
from odyssey.expr.terms import (
    Current,
    Input,
    Named,
    Previous,
    Vector,
    is_negation,
    is_reciprocal,
    matmul,
)
from odyssey.expr.verify import infer_shapes

PASSES: tuple[tuple[str, Callable[[Program], Program]], ...] = (
    ("fold_constants", fold_constants),
    ("drop_dead", drop_dead),
    ("order_sums", order_sums),
    ("hoist", hoist),
    ("stack_maps", stack_maps),
)
STAGES = ("translate", *(name for name, _ in PASSES))


def lower(cell: Cell, *, after: str | None = None) -> Program:
    """Lowers a cell.

    Args:
        cell: The cell.
        after: Stop after this pass (one of `STAGES`) and give the program as it is there.

    Raises:
        OdysseyError: There is no such pass.
    """
    if after is not None and after not in STAGES:
        raise OdysseyError(suggest(after, STAGES, what="pass"))
    program = translate(cell)
    verify_program(program, final=False)
    for name, apply in PASSES if after != "translate" else ():
        program = apply(program)
        verify_program(program, final=False)
        if name == after:
            return program
    if after is None:
        verify_program(program, final=True)
    return program


class _Translator:
    """Writes the equations down as SSA code; equal values are computed once."""

    def __init__(self, cell: Cell) -> None:
        self.shapes = infer_shapes(cell)
        self.nodes: list[Node] = []
        self.numbers: dict[Node, int] = {}
        self.values: dict[str, int] = {}
        for equation in cell.equations:
            number = self.translate(equation.value)
            self.values[equation.label] = number
            node = self.nodes[number]
            if not node.label and node.op not in ("input", "previous", "vector"):
                self.nodes[number] = replace(node, label=equation.label)

    def emit(self, node: Node) -> int:
        if node not in self.numbers:
            self.numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return self.numbers[node]

    def translate(self, expr: sp.Expr) -> int:
        if isinstance(expr, Named | Current):
            return self.values[expr.name]
        if isinstance(expr, Input):
            return self.emit(Node("input", size="I"))
        if isinstance(expr, Previous):
            return self.emit(Node("previous", name=expr.name.removesuffix("[t-1]")))
        if isinstance(expr, Vector):
            return self.emit(Node("vector", name=expr.name, size=self.shapes.vectors[expr.name]))
        if isinstance(expr, sp.Rational):
            return self.emit(Node("constant", value=float(expr), size="1"))
        if isinstance(expr, matmul):
            name = expr.args[0].name
            operand = self.translate(expr.args[1])
            return self.emit(
                Node("matmul", (operand,), name=name, size=self.shapes.matrices[name][0])
            )
        if is_negation(expr):
            return self._apply("neg", expr.args[1])
        if isinstance(expr, sp.Add):
            left, right = expr.args
            if is_negation(right):
                return self._apply("sub", left, right.args[1])
            return self._apply("add", left, right)
        if isinstance(expr, sp.Mul):
            left, right = expr.args
            if is_reciprocal(right):
                return self._apply("div", left, right.args[0])
            return self._apply("mul", left, right)
        if type(expr) in BY_FUNCTION:
            return self._apply(BY_FUNCTION[type(expr)].name, *expr.args)
        # what the lowering does not recognise it must refuse, never guess
        raise OdysseyError(f"the compiler does not know {type(expr).__name__}: {expr}")

    def _apply(self, op: str, *args: sp.Expr) -> int:
        numbers = tuple(self.translate(a) for a in args)
        sizes = [self.nodes[a].size for a in numbers if self.nodes[a].size != "1"]
        return self.emit(Node(op, numbers, size=sizes[0] if sizes else "1"))


def translate(cell: Cell) -> Program:
    """Writes a cell down as a program before any pass."""
    t = _Translator(cell)
    label = f"{cell.output}[t]" if cell.output in cell.states else cell.output
    return Program(
        name=cell.name,
        states=cell.states,
        nodes=tuple(t.nodes),
        updates=tuple(t.values[f"{s}[t]"] for s in cell.states),
        output=t.values[label],
        matrices={n: t.shapes.matrices[n] for n in cell.matrices},
        vectors={n: t.shapes.vectors[n] for n in cell.vectors},
        square=t.shapes.square,
        text=cell.text,
    )
