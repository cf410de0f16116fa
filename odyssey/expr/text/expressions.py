"""Reads expressions: what stands right of `=`, by a whitelist of nodes of Python's grammar."""

from __future__ import annotations

import ast
import warnings
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import NoReturn

import sympy as sp

from odyssey.errors import CellError, suggest
from odyssey.expr.arithmetic import BY_SYNTAX
from odyssey.expr.equations import Declaration, Equation
from odyssey.expr.forms import ALL_FUNCTIONS, LANGUAGE
from odyssey.expr.limits import LARGEST, MAX_DELAY, MAX_DEPTH, check_name
from odyssey.expr.reductions import OVER_UNITS
from odyssey.expr.terms import (
    Const,
    Current,
    Input,
    Matrix,
    Named,
    Previous,
    Vector,
    apply,
    constant,
    matmul,
    neg,
    transposed,
)


def delay_state(name: str, number: int) -> str:
    """Names the state that holds what a state or the input was so many steps earlier."""
    return f"{name}_lag{number}" if number else name


class ExpressionReader:
    """Reads expressions; knows the line it is at, and what stands above it."""

    def __init__(self) -> None:
        self.line = 0
        self.source = ""  # of the statement being read
        self.input = ""
        self.further_inputs: list[Declaration] = []
        self.states: list[str] = []
        self.constants: dict[str, Const] = {}
        self.delays: dict[str, int] = {}  # state or input -> steps back that are read, at most
        self.equations: list[Equation] = []

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all inputs so far, the main one first."""
        return (self.input, *(d.name for d in self.further_inputs))

    def fail(self, reason: str) -> NoReturn:
        """Raises `CellError`, with the line."""
        raise CellError(f"line {self.line}: {reason}" if self.line else reason)

    def _name(self, name: str, what: str) -> None:
        try:
            check_name(name, what=what)
        except CellError as error:
            self.fail(str(error))

    def _parse(self, source: str) -> ast.stmt:
        self.source = source
        try:
            with warnings.catch_warnings():  # Python warns of "1if" and the like; we refuse it
                warnings.simplefilter("ignore")
                body = ast.parse(source).body
        except SyntaxError as error:
            self.fail(f"not an equation ({error.msg}): {source[:60]}")
        except (RecursionError, MemoryError):
            self.fail(f"nested deeper than {MAX_DEPTH}")
        except ValueError as error:  # null bytes, integers of thousands of digits
            self.fail(str(error).split(";")[0])
        if len(body) != 1:
            self.fail("one equation per line")
        return body[0]

    def _quote(self, node: ast.expr) -> str:
        # not ast.unparse: it recurses, and what is quoted may be nested a thousand deep
        # a statement is one line of ASCII, so that offsets count characters
        return (self.source[node.col_offset : node.end_col_offset] or self.source)[:60]

    def _expression(self, node: ast.expr, depth: int) -> sp.Expr:
        if depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH}")
        match node:
            case ast.Constant():
                return self._number(node)
            case ast.Name():
                return self._bare(node.id)
            case ast.Subscript():
                return self._indexed(node)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant() as number):
                return -self._number(number)  # counts as one level, as in the expression
            case ast.UnaryOp(op=ast.USub()):
                return neg(self._expression(node.operand, depth + 1))
            case ast.BinOp(op=ast.MatMult()):
                return self._map(node, depth)
            case ast.BinOp() if type(node.op) in BY_SYNTAX:
                left = self._expression(node.left, depth + 1)
                return apply(
                    BY_SYNTAX[type(node.op)], left, self._expression(node.right, depth + 1)
                )
            case ast.BinOp(op=ast.Pow()):
                self.fail("** is not an operation of the language; write square(v)")
            case ast.Call():
                return self._call(node, depth)
        self.fail(f"{type(node).__name__} is not part of the language: {self._quote(node)}")

    def _number(self, node: ast.Constant) -> sp.Expr:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(f"{str(value)[:40]!r} is not a number")
        try:
            exact = Fraction(Decimal(repr(value)))
        except (InvalidOperation, OverflowError, ValueError):
            self.fail(f"{value} is not a finite number")
        if abs(exact) > LARGEST or 0 < abs(exact) < Fraction(1, LARGEST):
            self.fail("a constant must lie between 1e-30 and 1e30")
        return constant(exact)

    def _bare(self, name: str) -> sp.Expr:
        if name in self.inputs:
            self.fail(f"write {name}[t] for the input")
        if name in self.states:
            self.fail(f"{name!r} is a state: write {name}[t-1], or {name}[t] after its update")
        if name in ALL_FUNCTIONS or name in OVER_UNITS:
            self.fail(f"{name!r} is a function: write {name}(...)")
        if name in self.constants:
            return self.constants[name]
        if any(e.target == name for e in self.equations):
            return Named(name)
        self._name(name, "a parameter")
        return Vector(name)

    def _indexed(self, node: ast.Subscript) -> sp.Expr:
        if not isinstance(node.value, ast.Name):
            self.fail(f"only names can be indexed by time: {self._quote(node)}")
        name = node.value.id
        when = "".join(self._quote(node.slice).split())[:40]
        is_input = name in self.inputs
        if not is_input and name not in self.states:
            self.fail(
                suggest(name, [*self.inputs, *self.states], what="input or state")
                + f"; it stands in {name[:40]}[{when}]"
            )
        if when == "t":
            return Input(f"{name}[t]") if is_input else Current(f"{name}[t]")
        if when == "t-1" and name in self.states:
            return Previous(f"{name}[t-1]")
        back = int(when[2:]) if when.startswith("t-") and when[2:].isdecimal() else 0
        if 1 <= back <= MAX_DELAY:
            number = back if is_input else back - 1
            self.delays[name] = max(number, self.delays.get(name, 0))
            return Previous(f"{delay_state(name, number)}[t-1]")
        self.fail(f"{name}[{when}]: what can be read is {name}[t] to {name}[t-{MAX_DELAY}]")

    def _map(self, node: ast.BinOp, depth: int) -> sp.Expr:
        left, kind = node.left, matmul
        if isinstance(left, ast.Attribute) and left.attr == "T":
            left, kind = left.value, transposed
        named = isinstance(left, ast.Name) and any(e.target == left.id for e in self.equations)
        if named or isinstance(left, ast.Subscript):
            value = self._expression(left, depth + 1)  # a matrix of the cell's own making
            read = "read" if kind is matmul else "read_transposed"
            return apply(read, value, self._expression(node.right, depth + 1))
        if not isinstance(left, ast.Name):
            self.fail(
                "the left of @ must be the name of a weight matrix or a matrix state, or their"
                " transpose W.T;"
                f" write a * (W @ v): {self._quote(node)}"
            )
        name = left.id
        if name in self.inputs or name in self.states:
            self.fail(f"the left of @ must be a weight matrix; {name!r} is a variable")
        self._name(name, "a weight matrix")
        return kind(Matrix(name), self._expression(node.right, depth + 1))

    def _call(self, node: ast.Call, depth: int) -> sp.Expr:
        if not isinstance(node.func, ast.Name):
            self.fail(f"only functions of the language can be called: {self._quote(node)}")
        name = node.func.id
        function = LANGUAGE.get(name) or OVER_UNITS.get(name)
        if function is None:
            known = [*LANGUAGE, *OVER_UNITS]
            self.fail(suggest(name, known, what="function", see="docs/language.md"))
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            self.fail(f"{name} takes plain arguments only")
        if len(node.args) != function.arity:
            self.fail(f"{name} takes {function.arity} argument(s), got {len(node.args)}")
        return function.function(*(self._expression(a, depth + 1) for a in node.args))
