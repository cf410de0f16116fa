"""What a legal cell is, and the reason when it is not."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
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
    MAX_FURTHER_INPUTS,
    MAX_LINE,
    MAX_LINES,
    MAX_NODES,
    check_further_input,
    check_name,
)
from odyssey.expr.reductions import BY_REDUCTION
from odyssey.expr.shapes import Shapes, infer_shapes
from odyssey.expr.sizes import (
    MAX_FACTOR,
    MAX_SIZE,
    ONE,
    PLAIN,
    axes,
    format_size,
    grows,
    multiple,
    parts,
)
from odyssey.expr.terms import (
    MAPS,
    Const,
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
    _check_sizes(cell)
    _check_further_inputs(cell)
    nodes = 0
    names = _Names(targets=frozenset(e.target for e in cell.equations))
    for index, equation in enumerate(cell.equations):
        nodes += _check_expression(cell, index, names)
        if nodes > MAX_NODES:
            raise IllegalEquationError(cell, index, f"more than {MAX_NODES} operations in one cell")
        names.defined.add(equation.label)
    _check_constants(cell, names.constants)
    _check_starts(cell)
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
        if target in cell.inputs:
            which = "the" if target == cell.input else "an"
            reason = f"{target!r} is {which} input; it cannot be assigned"
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


def _check_sizes(cell: Equations) -> None:
    """Checks what is declared: sizes, and what has them."""
    if not (cell.sizes or cell.state_sizes or cell.weights or any(e.size for e in cell.equations)):
        return
    named: set[str] = set()
    others = {*cell.inputs, *cell.states, *(e.target for e in cell.equations), *cell.parameters}
    for number, declaration in enumerate(cell.sizes):
        name, part = declaration.name, f"size {number}"
        reason = _reason_against_name(name, "a size", taken=others)
        if name in named or name in PLAIN:
            reason = f"the size {name!r} is there already"
        if reason or len(declaration.sizes) != 1:
            raise IllegalCellError(reason or f"{name!r} is one size", part)
        _check_size(cell, declaration.sizes[0], part, names=set())
        named.add(name)
    for index, equation in enumerate(cell.equations):
        if equation.size:
            _check_size(cell, equation.size, f"equation {index}", names=named)
            if equation.updates_state:
                reason = "the size of a state stands in its 'state' line"
                raise IllegalEquationError(cell, index, reason)
    for kind, known, counts, declarations in (
        ("state", {*cell.states}, (1, 2), cell.state_sizes),
        ("weight", {*cell.parameters}, (0, 1, 2), cell.weights),
    ):
        seen: set[str] = set()
        for number, declaration in enumerate(declarations):
            part = kind if kind == "state" else f"weight {number}"
            name = declaration.name
            shaped = len(declaration.sizes) in counts
            said = bool(declaration.sizes or declaration.properties)
            if name not in known or name in seen or not (shaped and said):
                reason = "there is no such" if name not in known else "the size is wrong of"
                raise IllegalCellError(f"{reason} {kind}: {name[:60]}", part)
            for size in declaration.sizes:
                _check_size(cell, size, part, names=named)
            seen.add(name)
    used = cell.sizes_in_use
    for number, declaration in enumerate(cell.sizes):
        if declaration.name not in used:
            reason = f"nothing has the size {declaration.name!r}"
            raise IllegalCellError(reason, f"size {number}")


def _check_further_inputs(cell: Equations) -> None:
    """Checks the inputs besides the main one: names, sizes, and that something reads them."""
    if len(cell.further_inputs) > MAX_FURTHER_INPUTS:
        reason = f"a cell has at most {MAX_FURTHER_INPUTS} inputs besides {cell.input}"
        raise IllegalCellError(reason, f"input {MAX_FURTHER_INPUTS}")
    taken = {cell.input, *cell.states, *(e.target for e in cell.equations), *cell.parameters}
    taken |= {d.name for d in cell.sizes}
    read = cell.inputs_read if cell.further_inputs else frozenset()
    for number, declaration in enumerate(cell.further_inputs):
        name, part, reason = declaration.name, f"input {number}", ""
        try:
            check_further_input(name)
        except CellError as error:
            raise IllegalCellError(str(error), part) from None
        if name in taken:
            reason = f"{name!r} is the name of something else"
        elif len(declaration.sizes) != 1 or declaration.properties:
            reason = f"the input {name!r} has one size"
        elif name not in read:
            reason = f"nothing reads the input {name!r}: write {name}[t] in an equation"
        if reason:
            raise IllegalCellError(reason, part)
        _check_size(cell, declaration.sizes[0], part, names={d.name for d in cell.sizes})
        if grows(cell.size(declaration.sizes[0])):
            raise IllegalCellError(
                f"the input {name!r} cannot have a size of H: data know nothing of the number of"
                f" units; give it a number, as in input {name} : 32",
                part,
            )
        taken.add(name)


def _check_size(cell: Equations, written: str, part: str, *, names: set[str]) -> None:
    if written in names:
        return
    try:
        base, factor = parts(written)
        legal = multiple(base, factor) == written
    except (ValueError, ZeroDivisionError):
        legal = False
    if not legal:
        raise IllegalCellError(f"{written[:60]!r} is no size", part)
    most = MAX_SIZE if base == ONE else MAX_FACTOR
    if not (1 if base == ONE else Fraction(1, MAX_FACTOR)) <= factor <= most:
        raise IllegalCellError(
            f"size {format_size(written)[:60]}: a number lies between 1 and {MAX_SIZE:,}, a"
            f" factor between 1 / {MAX_FACTOR:,} and {MAX_FACTOR:,}",
            part,
        )


def _reason_against_name(name: str, what: str, *, taken: set[str]) -> str:
    try:
        check_name(name, what=what)
    except CellError as error:
        return str(error)
    return f"{name!r} is the name of something else" if name in taken else ""


def _check_constants(cell: Equations, values: Mapping[str, Fraction]) -> None:
    if not values:
        return
    taken = {*cell.inputs, *cell.states, *(e.target for e in cell.equations), *cell.parameters}
    taken |= {d.name for d in cell.sizes}
    for name in values:
        reason = _reason_against_name(name, "a constant", taken=taken)
        if reason:
            raise IllegalCellError(reason, f"const {name}")


def _check_starts(cell: Equations) -> None:
    if not cell.starts:
        return
    seen: set[str] = set()
    within = {n.name for e in cell.equations for n in leaves(e.value, Matrix)}
    taken = {*cell.inputs, *cell.states, *(e.target for e in cell.equations), *within}
    for number, start in enumerate(cell.starts):
        reason = ""
        if start.state not in cell.states or start.state in seen:
            reason = "it is no state, or given twice"
        elif start.weight:
            reason = _reason_against_name(start.weight, "a weight", taken=taken)
            if start.value:
                reason = "a state starts at a number or at a weight"
        elif not start.value:
            reason = "states start at 0 where nothing is said"
        else:
            reason = _reason_against_number(start.value)
        if reason:
            raise IllegalCellError(f"start {start.state[:60]}: {reason}", f"start {number}")
        seen.add(start.state)


@dataclass(frozen=True)
class _Names:
    """The names of a cell, as far as its equations have been checked.

    Attributes:
        targets: What equations define.
        defined: The labels of the equations so far.
        constants: Named numbers so far.
    """

    targets: frozenset[str]
    defined: set[str] = field(default_factory=set)
    constants: dict[str, Fraction] = field(default_factory=dict)


def _check_expression(cell: Equations, index: int, names: _Names) -> int:
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
            reason = _reason_against_leaf(cell, node, above, names)
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
    if type(node) in MAPS:
        if not isinstance(node.args[0], Matrix):
            return "the left of @ must be the name of a weight matrix"
    elif is_reciprocal(node):
        if not (isinstance(above, sp.Mul) and node is above.args[1]):
            return "a reciprocal is written 1 / v"
    elif type(node) in BY_FUNCTION:
        if BY_FUNCTION[type(node)].internal:
            return f"{BY_FUNCTION[type(node)].name!r} is not a function of the language"
    elif type(node) in BY_REDUCTION:
        if is_constant(node.args[0]):
            return f"{BY_REDUCTION[type(node)].name} of a constant"
    elif not (isinstance(node, sp.Add | sp.Mul) and len(node.args) == 2):
        return f"{type(node).__name__} is not an operation of the language"
    if node.args and is_constant(node) and not math.isfinite(_constant(node)):
        return "a constant is not finite (division by zero, or too large)"
    return ""


def is_minus_one(node: sp.Expr, arg: sp.Expr) -> bool:
    """Says whether an argument is only the exponent of a reciprocal."""
    return is_reciprocal(node) and arg is node.args[1]


def _reason_against_constant(node: sp.Rational) -> str:
    return _reason_against_number(exact_value(node))


def _reason_against_number(value: Fraction) -> str:
    if abs(value) > LARGEST or (value != 0 and abs(value) * LARGEST < 1):
        return f"constant {float(value):g}: a constant lies between 1e-30 and 1e30, or is 0"
    if exact_value(constant(value)) != value:
        return f"constant {value}: it has no short decimal form; write it as a quotient"
    return ""


def _reason_against_leaf(cell: Equations, node: Leaf, above: sp.Expr | None, names: _Names) -> str:
    """Gives the reason why a leaf may not stand where it stands; empty when it may."""
    if isinstance(node, Const):
        if names.constants.setdefault(node.stem, node.value) != node.value:
            return f"the constant {node.stem!r} has two values"
        return _reason_against_number(node.value)
    mapping = above is not None and type(above) in MAPS and node is above.args[0]
    if isinstance(node, Matrix) != mapping:
        return f"{node.name!r}: a matrix, and nothing else, may stand on the left of @"
    name = node.stem
    if isinstance(node, Input):
        legal = name in cell.inputs and node.name == f"{name}[t]"
        which = " or ".join(f"{n}[t]" for n in cell.inputs)
        return "" if legal else f"{node.name}: the input is written {which}"
    if isinstance(node, Previous):
        legal = name in cell.states and node.name == f"{name}[t-1]"
        known = ", ".join(cell.states) or "none"
        return "" if legal else f"{node.name}: {name!r} is not a declared state (states: {known})"
    if isinstance(node, Current | Named):
        if node.name in names.defined:
            return ""
        hint = "move its equation up" if name in names.targets else "there is no such equation"
        return f"{node.name} is used before it is defined; {hint}"
    if not isinstance(node, Vector | Matrix):
        return f"{node.name!r} has no meaning here"
    try:
        check_name(node.name, what="a parameter")
    except CellError as error:
        return str(error)
    if name in names.targets and name not in cell.states and isinstance(node, Vector):
        return f"{name} is used before it is defined; move its equation up"
    if name in names.targets or name in cell.states or name in cell.inputs:
        return f"{name!r} is both a parameter and a variable"
    return ""


def _constant(expr: sp.Expr) -> float:
    """Evaluates a constant expression; NaN where it has no value."""
    if isinstance(expr, sp.Rational | Const):
        return float(exact_value(expr))
    values = [_constant(a) for a in expr.args]
    if isinstance(expr, sp.Add):
        return sum(values)
    if isinstance(expr, sp.Mul):
        return values[0] * values[1]
    if isinstance(expr, sp.Pow):
        return 1.0 / values[0] if values[0] else float("nan")
    if type(expr) in BY_REDUCTION:  # which is refused when its turn comes
        return 0.0
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
    shape = shapes.matrices.get(name) or axes(shapes.vectors[name])
    is_matrix = len(shape) == 2
    if not (row.vectors or is_matrix):
        return f"{kind} is for matrices; {name} is a vector"
    if row.square and len(set(shape)) > 1 and not shapes.square:
        return f"{kind} is for square matrices; this one is ({', '.join(map(format_size, shape))})"
    if row.only_vectors and is_matrix:
        return f"{kind} is for vectors; {name} is a matrix"
    return row.objection(args)
