"""What a legal cell is, and the reason when it is not."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.equations import (
    Equations,
    IllegalCellError,
    IllegalEquationError,
    Init,
)
from odyssey.expr.forms import BY_FUNCTION, computed
from odyssey.expr.initial import INITIAL_VALUES, NEGATED
from odyssey.expr.limits import (
    LARGEST,
    MAX_CELL_NAME,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_LINE,
    MAX_LINES,
    MAX_NODES,
    check_name,
)
from odyssey.expr.shapes import Shapes, infer_shapes
from odyssey.expr.terms import (
    Current,
    Input,
    Leaf,
    Matrix,
    Named,
    Previous,
    Vector,
    constant,
    exact_value,
    is_constant,
    is_reciprocal,
    leaves,
    matmul,
)
from odyssey.expr.text import format_cell

_CELL_NAME = re.compile(r"[A-Za-z_][\w:+=.~/\-]*\Z", re.ASCII)


class Verified(NamedTuple):
    """What verification works out on its way.

    Attributes:
        text: The cell in the language's normal layout.
        shapes: The sizes of all that the cell holds.
    """

    text: str
    shapes: Shapes


def verify(cell: Equations) -> Verified:
    """Raises `CellError` with the reason unless the cell is legal.

    Every state is updated once, every name is defined before it is used, the output reaches the
    input, every state carries something from step to step, shapes agree, and the cell's text is
    short enough to be read back.
    """
    if len(cell.name) > MAX_CELL_NAME or not _CELL_NAME.match(cell.name):
        raise IllegalCellError(
            f"cell name {cell.name[:60]!r} is not allowed; use at most {MAX_CELL_NAME}"
            " ASCII letters, digits and _",
            "cell",
        )
    if cell.citation != cell.citation.strip() or not cell.citation.isprintable():
        raise IllegalCellError("the citation must be one line of printable text", "cite")
    _check_declarations(cell)
    _check_targets(cell)
    nodes = 0
    defined: set[str] = set()
    targets = {e.target for e in cell.equations}
    for index, equation in enumerate(cell.equations):
        nodes += _check_expression(cell, index, defined=defined, targets=targets)
        if nodes > MAX_NODES:
            raise IllegalEquationError(cell, index, f"more than {MAX_NODES} operations in one cell")
        defined.add(equation.label)
    _check_reach(cell)
    shapes = infer_shapes(cell)
    _check_inits(cell, shapes)
    text = format_cell(cell)
    _check_text(cell, text)
    return Verified(text, shapes)


def _check_declarations(cell: Equations) -> None:
    for part, what, names in (
        ("input", "the input", [cell.input]),
        ("state", "a state", cell.states),
    ):
        for name in names:
            try:
                check_name(name, what=what)
            except CellError as error:
                raise IllegalCellError(str(error), part) from None
    if len(set(cell.states)) != len(cell.states):
        raise IllegalCellError(f"a state is declared twice: {', '.join(cell.states)}", "state")
    if cell.input in cell.states:
        raise IllegalCellError(f"{cell.input!r} is both the input and a state", "state")


def _check_targets(cell: Equations) -> None:
    declared = f"states: {', '.join(cell.states) or 'none'}"
    seen: set[str] = set()
    for index, equation in enumerate(cell.equations):
        target = equation.target
        reason = ""
        try:
            check_name(target, what="an equation")
        except CellError as error:
            reason = str(error)
        if target == cell.input:
            reason = f"{target!r} is the input; it cannot be assigned"
        elif target in seen:
            reason = "a state is updated once" if equation.updates_state else "it is defined twice"
        elif equation.updates_state and target not in cell.states:
            reason = f"{target!r} is not a declared state ({declared})"
        elif not equation.updates_state and target in cell.states:
            reason = f"{target!r} is a state: write {target}[t] = ..."
        if reason:
            raise IllegalEquationError(cell, index, reason)
        seen.add(target)
    for state in cell.states:
        if state not in seen:
            raise IllegalCellError(
                f"state {state!r} is never updated: add {state}[t] = ...", "state"
            )
    if cell.output not in seen:
        raise IllegalCellError(
            f"output {cell.output[:60]!r} is neither a state nor a named equation", "output"
        )


def _check_expression(cell: Equations, index: int, *, defined: set[str], targets: set[str]) -> int:
    """Raises `CellError` unless the right-hand side is of the language; counts its operations."""
    count = 0
    stack: list[tuple[sp.Expr, int, sp.Expr | None]] = [(cell.equations[index].value, 1, None)]
    while stack:
        node, depth, above = stack.pop()
        count += 1
        reason = ""
        if count > MAX_NODES:
            reason = f"more than {MAX_NODES} operations in one cell"
        elif depth > MAX_DEPTH:
            reason = f"nested deeper than {MAX_DEPTH}"
        elif isinstance(node, Leaf):
            reason = _reason_against_leaf(cell, node, above, defined=defined, targets=targets)
        else:
            reason = _reason_against_node(node, above)
        if reason:
            raise IllegalEquationError(cell, index, reason)
        stack.extend((arg, depth + 1, node) for arg in node.args if not is_minus_one(node, arg))
    return count


def _reason_against_node(node: sp.Expr, above: sp.Expr | None) -> str:
    """Gives the reason why a number or an operation is not of the language; empty if it is."""
    if isinstance(node, sp.Rational):
        return _reason_against_constant(node)
    if isinstance(node, matmul):
        if not isinstance(node.args[0], Matrix):
            return "the left of @ must be the name of a weight matrix"
    elif is_reciprocal(node):
        if not (isinstance(above, sp.Mul) and node is above.args[1]):
            return "a reciprocal is written 1 / v"
    elif type(node) in BY_FUNCTION:
        if BY_FUNCTION[type(node)].internal:
            return f"{BY_FUNCTION[type(node)].name!r} is not a function of the language"
    elif not (isinstance(node, sp.Add | sp.Mul) and len(node.args) == 2):
        return f"{type(node).__name__} is not an operation of the language"
    if node.args and is_constant(node) and not math.isfinite(_constant(node)):
        return "a constant is not finite (division by zero, or too large)"
    return ""


def is_minus_one(node: sp.Expr, arg: sp.Expr) -> bool:
    """Says whether an argument is only the exponent of a reciprocal."""
    return is_reciprocal(node) and arg is node.args[1]


def _reason_against_constant(node: sp.Rational) -> str:
    if abs(node) > LARGEST or (node != 0 and abs(node) * LARGEST < 1):
        return f"constant {float(node):g}: a constant lies between 1e-30 and 1e30, or is 0"
    if constant(exact_value(node)) != node:
        return f"constant {node}: it has no short decimal form; write it as a quotient"
    return ""


def _reason_against_leaf(
    cell: Equations, node: Leaf, above: sp.Expr | None, *, defined: set[str], targets: set[str]
) -> str:
    """Gives the reason why a leaf may not stand where it stands; empty when it may."""
    if isinstance(node, Matrix) != (isinstance(above, matmul) and node is above.args[0]):
        return f"{node.name!r}: a matrix, and nothing else, may stand on the left of @"
    name = node.stem
    if isinstance(node, Input):
        legal = node.name == f"{cell.input}[t]"
        return "" if legal else f"{node.name}: the input is written {cell.input}[t]"
    if isinstance(node, Previous):
        legal = name in cell.states and node.name == f"{name}[t-1]"
        known = ", ".join(cell.states) or "none"
        return "" if legal else f"{node.name}: {name!r} is not a declared state (states: {known})"
    if isinstance(node, Current | Named):
        if node.name in defined:
            return ""
        hint = "move its equation up" if name in targets else "there is no such equation"
        return f"{node.name} is used before it is defined; {hint}"
    if not isinstance(node, Vector | Matrix):
        return f"{node.name!r} has no meaning here"
    try:
        check_name(node.name, what="a parameter")
    except CellError as error:
        return str(error)
    if name in targets and name not in cell.states and isinstance(node, Vector):
        return f"{name} is used before it is defined; move its equation up"
    if name in targets or name in cell.states or name == cell.input:
        return f"{name!r} is both a parameter and a variable"
    return ""


def _constant(expr: sp.Expr) -> float:
    """Evaluates a constant expression; NaN where it has no value."""
    if isinstance(expr, sp.Rational):
        return float(expr)
    values = [_constant(a) for a in expr.args]
    if isinstance(expr, sp.Add):
        return sum(values)
    if isinstance(expr, sp.Mul):
        return values[0] * values[1]
    if isinstance(expr, sp.Pow):
        return 1.0 / values[0] if values[0] else float("nan")
    with np.errstate(all="ignore"):
        return float(computed(BY_FUNCTION[type(expr)].name, *(np.asarray(v) for v in values)))


def _check_text(cell: Equations, text: str) -> None:
    lines = text.splitlines()
    labels = [e.label for e in cell.equations]
    for line in lines:
        if len(line) > MAX_LINE:
            reason = f"it prints to {len(line):,} characters; at most {MAX_LINE:,} are read"
            label = line.split(" ", 1)[0]
            if label in labels:
                raise IllegalEquationError(cell, labels.index(label), reason)
            raise IllegalCellError(f"{label}: {reason}", label)
    for what, size, limit in (
        ("characters", len(text), MAX_CHARACTERS),
        ("lines", len(lines), MAX_LINES),
    ):
        if size > limit:
            raise CellError(f"the cell prints to {size:,} {what}; at most {limit:,} are read")


def dependencies(cell: Equations) -> dict[str, set[str]]:
    """Gives for each equation's label the labels, input and previous states it reads."""
    return {e.label: {leaf.name for leaf in leaves(e.value)} for e in cell.equations}


def influences(cell: Equations, start: str) -> set[str]:
    """Gives everything that a label depends on, through this step and the steps before."""
    return _reach(dependencies(cell), start)


def _reach(reads: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        for name in reads.get(todo.pop(), ()):
            earlier = name.endswith("[t-1]")
            for label in (name, name.replace("[t-1]", "[t]") if earlier else name):
                if label not in found:
                    found.add(label)
                    todo.append(label)
    return found


def _check_reach(cell: Equations) -> None:
    output = f"{cell.output}[t]" if cell.output in cell.states else cell.output
    reads = dependencies(cell)
    reached = _reach(reads, output)
    if f"{cell.input}[t]" not in reached:
        raise IllegalCellError(
            f"the output {output} does not depend on the input {cell.input}[t]", "output"
        )
    previous = {f"{s}[t-1]" for s in cell.states}
    if not cell.recurrent:
        used = sorted(previous & set().union(*reads.values()))
        if used:
            raise IllegalCellError(f"the cell says 'not recurrent' but reads {used[0]}", "not")
        return
    if not previous & reached:
        raise IllegalCellError(
            f"the output {output} does not depend on any previous state;"
            " if that is meant, say 'not recurrent'",
            "output",
        )
    everything = set().union(*reads.values())
    for state in cell.states:
        carried = f"{state}[t-1]" in everything  # a delay line is a memory as well
        if not carried and not previous & _reach(reads, f"{state}[t]"):
            index = [e.label for e in cell.equations].index(f"{state}[t]")
            raise IllegalEquationError(
                cell,
                index,
                f"state {state!r} carries nothing from step to step;"
                f" make it a plain equation: {state} = ...",
            )


def _check_inits(cell: Equations, shapes: Shapes) -> None:
    seen: set[str] = set()
    for index, init in enumerate(cell.inits):
        reason = _reason_against_init(cell, init, shapes)
        if init.parameter in seen:
            reason = "it is given twice"
        if reason:
            raise IllegalCellError(f"init {init.parameter[:60]}: {reason}", f"init {index}")
        seen.add(init.parameter)


def _reason_against_init(cell: Equations, init: Init, shapes: Shapes) -> str:
    """Gives the reason why an initialisation makes no sense; empty when it does."""
    name, kind, args = init.parameter, init.kind, init.args
    if name not in shapes.matrices and name not in shapes.vectors:
        return "there is no such parameter"
    if kind == NEGATED:
        if args:
            return f"{kind} with {len(args)} numbers is no initialisation"
        if not {init.source, name} <= shapes.vectors.keys() or init.source == name:
            return f"-{init.source}: a copy needs two vectors of the cell"
        if any(i.parameter == init.source and i.kind == NEGATED for i in cell.inits):
            return f"-{init.source}: {init.source} is itself a copy"
        return ""
    row = INITIAL_VALUES.get(kind)
    if row is None or len(args) != max(row.counts):
        return f"{kind} with {len(args)} numbers is no initialisation"
    if not all(a == 0 or 1 / LARGEST <= abs(a) <= LARGEST for a in args):
        return "a number lies between 1e-30 and 1e30, or is 0"
    is_matrix = name in shapes.matrices
    if not (row.vectors or is_matrix):
        return f"{kind} is for matrices; {name} is a vector"
    if row.square and len(set(shapes.matrices[name])) > 1 and not shapes.square:
        return f"{kind} is for square matrices; this one is (H, I)"
    if row.for_biases and is_matrix:
        return f"{kind} is for gate biases; {name} is a matrix"
    return row.objection(args)
