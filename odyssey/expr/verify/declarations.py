"""What a cell declares: names, sizes, inputs, constants, starting and initial values."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from odyssey.errors import CellError
from odyssey.expr.equations import Equations, IllegalCellError, IllegalEquationError, Init
from odyssey.expr.initial import INITIAL_VALUES, NEGATED
from odyssey.expr.limits import LARGEST, MAX_FURTHER_INPUTS, check_further_input, check_name
from odyssey.expr.shapes import Shapes
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
from odyssey.expr.terms import Matrix, leaves
from odyssey.expr.verify.expressions import reason_against_number


def check_declarations(cell: Equations) -> None:
    """Raises `CellError` unless names are given once, and sizes and inputs are declared rightly."""
    _check_variables(cell)
    _check_targets(cell)
    _check_sizes(cell)
    _check_further_inputs(cell)


def _variables(cell: Equations) -> set[str]:
    """Gives the names of inputs, states and equations."""
    return {*cell.inputs, *cell.states, *(e.target for e in cell.equations)}


def _check_variables(cell: Equations) -> None:
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
    others = _variables(cell) | {*cell.parameters}
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
    if not cell.further_inputs:
        return
    if len(cell.further_inputs) > MAX_FURTHER_INPUTS:
        reason = f"a cell has at most {MAX_FURTHER_INPUTS} inputs besides {cell.input}"
        raise IllegalCellError(reason, f"input {MAX_FURTHER_INPUTS}")
    sizes, read = {d.name for d in cell.sizes}, cell.inputs_read
    taken = {cell.input, *cell.states, *(e.target for e in cell.equations), *cell.parameters}
    taken |= sizes
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
        _check_size(cell, declaration.sizes[0], part, names=sizes)
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


def check_constants(cell: Equations, values: Mapping[str, Fraction]) -> None:
    """Raises `CellError` unless named numbers have names of their own."""
    if not values:
        return
    taken = _variables(cell) | {*cell.parameters, *(d.name for d in cell.sizes)}
    for name in values:
        reason = _reason_against_name(name, "a constant", taken=taken)
        if reason:
            raise IllegalCellError(reason, f"const {name}")


def check_starts(cell: Equations) -> None:
    """Raises `CellError` unless what states start at makes sense."""
    if not cell.starts:
        return
    seen: set[str] = set()
    within = {n.name for e in cell.equations for n in leaves(e.value, Matrix)}
    taken = _variables(cell) | within
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
            reason = reason_against_number(start.value)
        if reason:
            raise IllegalCellError(f"start {start.state[:60]}: {reason}", f"start {number}")
        seen.add(start.state)


def check_inits(cell: Equations, shapes: Shapes) -> None:
    """Raises `CellError` unless what parameters start at makes sense."""
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
