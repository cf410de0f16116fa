"""The arithmetic of the language, and formulas of it and of functions, as the tables have them."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Operator:
    """An operation of arithmetic.

    Attributes:
        symbol: As Python and C write it.
        apply: The operation on numbers, arrays and tensors of any kind.
        onnx: The operator of ONNX.
        arity: Number of operands.
    """

    symbol: str
    apply: Callable[..., Any]
    onnx: str
    arity: int = 2


ARITHMETIC: dict[str, Operator] = {
    "add": Operator("+", operator.add, "Add"),
    "sub": Operator("-", operator.sub, "Sub"),
    "mul": Operator("*", operator.mul, "Mul"),
    "div": Operator("/", operator.truediv, "Div"),
    "neg": Operator("-", operator.neg, "Neg", arity=1),
}


# As the language and derivatives, both read as Python, write them.
BY_SYNTAX: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
}


def read_formula(
    text: str,
    *,
    names: Mapping[str, Value],
    number: Callable[[Fraction], Value],
    apply: Callable[..., Value],
) -> Value:
    """Reads a formula of the table: a derivative, or what a primitive is the same as.

    Args:
        text: Numbers, names, arithmetic and calls of primitives, in Python's grammar.
        names: What the names stand for.
        number: Makes a constant.
        apply: Applies an operation, given its name and its operands.
    """

    def walk(tree: ast.expr) -> Value:
        match tree:
            case ast.Constant(value=float() | int() as value):
                return number(Fraction(str(value)))
            case ast.Name(id=name):
                return names[name]
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=float() | int() as value)):
                return number(-Fraction(str(value)))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return apply("neg", walk(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return apply(BY_SYNTAX[type(op)], walk(left), walk(right))
            case ast.Call(func=ast.Name(id=name), args=args):
                return apply(name, *map(walk, args))
        raise AssertionError(f"cannot read the formula {text!r}")

    return walk(ast.parse(text, mode="eval").body)
