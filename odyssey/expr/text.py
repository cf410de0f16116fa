"""Cell <-> text, and the difference of two cells.

The text follows Python's grammar line by line and is read with `ast` and a whitelist of nodes:
nothing is ever evaluated. See docs/language.md for the language with examples.
"""

from __future__ import annotations

import ast
import difflib
import itertools
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import NoReturn

import sympy as sp

from odyssey.errors import CellError, suggest
from odyssey.expr.equations import (
    Declaration,
    Equation,
    Equations,
    IllegalCellError,
    Init,
    Start,
)
from odyssey.expr.initial import INITIAL_VALUES, NEGATED, format_init
from odyssey.expr.limits import (
    KEYWORDS,
    MAX_CHARACTERS,
    MAX_DELAY,
    MAX_DEPTH,
    MAX_LINE,
    MAX_LINES,
    check_name,
)
from odyssey.expr.primitives import ARITHMETIC, BY_SYNTAX, LANGUAGE, PRIMITIVES
from odyssey.expr.properties import PROPERTIES
from odyssey.expr.reductions import REDUCTIONS
from odyssey.expr.sizes import ONE, PLAIN, UNITS, format_size, multiple, parts
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
    apply,
    const,
    constant,
    exact_value,
    leaves,
    matmul,
    neg,
    term,
    transposed,
)

_REPEATED = ("init", "size", "const", "state", "weight", "start")  # lines that may repeat
INIT_KINDS = tuple(kind for kind in INITIAL_VALUES if kind != "constant")  # that text names


def delay_state(name: str, number: int) -> str:
    """Names the state that holds what a state or the input was so many steps earlier."""
    return f"{name}_lag{number}" if number else name


@dataclass(frozen=True)
class CellSource:
    """What stands in a cell text.

    Attributes:
        cell: The fields of the cell.
        lines: Where each part of it stands: a keyword, or "equation 0" or "init 0" by number.
    """

    cell: Equations
    lines: Mapping[str, int]

    @contextmanager
    def located(self) -> Iterator[None]:
        """Puts the number of the line before what is said against a part of the cell."""
        try:
            yield
        except IllegalCellError as error:
            line = self.lines.get(error.part, 0)
            raise CellError(f"line {line}: {error}" if line else str(error)) from None


class _Reader:
    """Reads the lines of one cell text; knows the line it is at."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.line = 0
        self.source = ""  # of the statement being read
        self.lines: dict[str, int] = {}  # where each part of the cell stands
        self.name = ""
        self.citation = ""
        self.input = ""
        self.states: list[str] = []
        self.sizes: list[Declaration] = []
        self.state_sizes: list[Declaration] = []
        self.weights: list[Declaration] = []
        self.starts: list[Start] = []
        self.constants: dict[str, Const] = {}
        self.delays: dict[str, int] = {}  # state or input -> steps back that are read, at most
        self.equations: list[Equation] = []
        self.inits: list[Init] = []
        self.output = ""
        self.recurrent = True

    def fail(self, reason: str) -> NoReturn:
        raise CellError(f"line {self.line}: {reason}" if self.line else reason)

    def read(self) -> CellSource:
        if len(self.text) > MAX_CHARACTERS:
            self.fail(
                f"cell text of {len(self.text):,} characters; at most {MAX_CHARACTERS:,} are read"
            )
        lines = self.text.splitlines()
        if len(lines) > MAX_LINES:
            self.fail(f"cell text of {len(lines):,} lines; at most {MAX_LINES} are read")
        for number, line in enumerate(lines, start=1):
            self.line = number
            if len(line) > MAX_LINE:
                self.fail(f"line of {len(line):,} characters; at most {MAX_LINE:,} are read")
            self._read_line(line)
        self.line = 0
        for what, found in (
            ("cell NAME", self.name),
            ("input x", self.input),
            ("output h", self.output),
        ):
            if not found:
                self.fail(f"the cell text has no line '{what}'")
        if not self.equations:
            self.fail("the cell text has no equations")
        self._check_constants()
        self._write_delays()
        return CellSource(
            Equations(
                name=self.name,
                input=self.input,
                states=tuple(self.states),
                equations=tuple(self.equations),
                output=self.output,
                inits=tuple(self.inits),
                recurrent=self.recurrent,
                citation=self.citation,
                sizes=tuple(self.sizes),
                state_sizes=tuple(self.state_sizes),
                weights=tuple(self.weights),
                starts=tuple(self.starts),
            ),
            self.lines,
        )

    def _check_constants(self) -> None:
        used = {n.stem for e in self.equations for n in leaves(e.value, Const)}
        for name in self.constants:
            if name not in used:
                self.line = self.lines[f"const {name}"]
                self.fail(f"the constant {name!r} is not used below this line")

    def _write_delays(self) -> None:
        """Adds the states that remember older values, and their updates."""
        sizes = {d.name: d for d in self.state_sizes}
        for name, steps in self.delays.items():
            is_input = name == self.input
            size = ("I",) if is_input else sizes[name].sizes if name in sizes else ()
            newer: sp.Expr = Input(f"{name}[t]") if is_input else Previous(f"{name}[t-1]")
            for number in range(1, steps + 1):
                state = delay_state(name, number)
                if state not in self.states:
                    self._name(state, "a state")
                    self.states.append(state)
                    self.equations.append(Equation(state, newer, updates_state=True))
                    if size:
                        self.state_sizes.append(Declaration(state, size))
                newer = Previous(f"{state}[t-1]")

    def _read_line(self, line: str) -> None:
        if line.split(None, 1)[:1] != ["cite"]:
            line = line.split("#", 1)[0]
            strange = next((c for c in line if c != "\t" and not " " <= c <= "~"), None)
            if strange is not None:
                self.fail(f"character {strange!a} outside a comment; use ASCII")
        word, rest = [*line.split(None, 1), "", ""][:2]
        rest = rest.strip()
        if word in KEYWORDS:
            if rest.startswith("="):
                self.fail(f"{word!r} cannot name an equation: the language uses it")
            if word not in _REPEATED:
                if word in self.lines:
                    self.fail(f"a second '{word}' line")
                self.lines[word] = self.line
            getattr(self, f"_read_{word}")(rest)
        elif word:
            self._read_equation(line.strip())

    def _read_cell(self, rest: str) -> None:
        self.name = rest or self.fail("cell needs a name")

    def _read_cite(self, rest: str) -> None:
        if not rest or not rest.isprintable():
            self.fail("cite needs one line of printable text")
        self.citation = rest

    def _read_input(self, rest: str) -> None:
        self._name(rest, "the input")
        self.input = rest

    def _read_state(self, rest: str) -> None:
        names, colon, size = rest.partition(":")
        states = [part.strip() for part in names.split(",")]
        for state in states:
            self._name(state, "a state")
        self.lines.setdefault("state", self.line)
        self.states += states
        if colon and (written := self._size(self._parsed(size))) != UNITS:
            self.state_sizes += [Declaration(state, (written,)) for state in states]

    def _read_size(self, rest: str) -> None:
        name, value = self._assignment(rest, "size NAME = SIZE, as in size R = H / 4")
        self._name(name, "a size")
        self.lines[f"size {len(self.sizes)}"] = self.line
        written = self._size(value)
        names = {d.name: d.sizes[0] for d in self.sizes}
        self.sizes.append(Declaration(name, (names.get(written, written),)))

    def _read_const(self, rest: str) -> None:
        name, value = self._assignment(rest, "const NAME = NUMBER, as in const dt = 0.1")
        self._name(name, "a constant")
        if name in self.constants:
            self.fail(f"the constant {name!r} is there already")
        self.lines[f"const {name}"] = self.line
        self.constants[name] = const(name, self._signed(value, f"const {name}"))

    def _read_weight(self, rest: str) -> None:
        name, colon, sizes = rest.partition(":")
        if not colon:
            self.fail(
                "expected 'weight NAME : SIZE', of a matrix 'weight NAME : ROWS, COLUMNS', or"
                " a property such as orthogonal"
            )
        self._name(name.strip(), "a weight")
        tree = self._parsed(sizes)
        trees = tree.elts if isinstance(tree, ast.Tuple) else [tree]
        said = [(t, self._property(t)) for t in trees]
        shape = tuple(self._size(t) for t, words in said if not words)
        if len(shape) > 2:
            self.fail(f"weight {name.strip()}: a weight has one size, a matrix two")
        self.lines[f"weight {len(self.weights)}"] = self.line
        words = tuple(words for _, words in said if words)
        self.weights.append(Declaration(name.strip(), shape, words))

    def _property(self, node: ast.expr) -> str:
        """Reads a property of a weight; nothing where it is a size."""
        called = node.func if isinstance(node, ast.Call) else node
        if not isinstance(called, ast.Name) or called.id in {*PLAIN, *(d.name for d in self.sizes)}:
            return ""
        if called.id not in PROPERTIES:
            known = [*PROPERTIES, *(d.name for d in self.sizes), *PLAIN]
            self.fail(suggest(called.id, known, what="size or property of a weight"))
        return "".join(self._quote(node).split())

    def _read_start(self, rest: str) -> None:
        name, value = self._assignment(rest, "start STATE = NUMBER, or = WEIGHT")
        self.lines[f"start {len(self.starts)}"] = self.line
        if isinstance(value, ast.Name):
            self._name(value.id, "a weight")
            self.starts.append(Start(name, weight=value.id))
        else:
            self.starts.append(Start(name, exact_value(self._signed(value, f"start {name}"))))

    def _assignment(self, rest: str, expected: str) -> tuple[str, ast.expr]:
        """Reads `name = value`, of which only the name is looked at."""
        statement = self._parse(rest)
        if not (
            isinstance(statement, ast.Assign)
            and len(statement.targets) == 1
            and isinstance(statement.targets[0], ast.Name)
        ):
            self.fail(f"expected '{expected}': {rest[:60]}")
        return statement.targets[0].id, statement.value

    def _signed(self, node: ast.expr, what: str) -> sp.Expr:
        """Reads a number that may have a sign."""
        negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        number = node.operand if isinstance(node, ast.UnaryOp) and negative else node
        if not isinstance(number, ast.Constant):
            self.fail(f"{what}: expected a number: {self._quote(node)}")
        return -self._number(number) if negative else self._number(number)

    def _parsed(self, source: str) -> ast.expr:
        """Parses what must be an expression."""
        statement = self._parse(source.strip())
        if not isinstance(statement, ast.Expr):
            self.fail(f"expected a size, as R or H / 4: {source.strip()[:60]}")
        return statement.value

    def _size(self, node: ast.expr) -> str:
        """Reads a size: the name of a declared one, or its text."""
        names = {d.name: d.sizes[0] for d in self.sizes}
        if isinstance(node, ast.Name) and node.id in names:
            return node.id
        base, factor = self._multiple(node, names, 1)
        return multiple(base, factor)

    def _multiple(self, node: ast.expr, names: dict[str, str], depth: int) -> tuple[str, Fraction]:
        known = ", ".join([*PLAIN, *names])
        if depth <= MAX_DEPTH:
            match node:
                case ast.Constant(value=int() as value) if type(value) is int and 0 < value < 10**9:
                    return ONE, Fraction(value)
                case ast.Name(id=name) if name in PLAIN:
                    return name, Fraction(1)
                case ast.Name(id=name) if name in names:
                    return parts(names[name])
                case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
                    base, factor = self._multiple(left, names, depth + 1)
                    other, number = self._multiple(right, names, depth + 1)
                    if isinstance(op, ast.Mult) and ONE in (base, other):
                        return (other if base == ONE else base), factor * number
                    if isinstance(op, ast.Div) and other == ONE:
                        return base, factor / number
        self.fail(
            f"a size is a whole number, or one of {known} times or divided by one:"
            f" {self._quote(node)}"
        )

    def _read_output(self, rest: str) -> None:
        self._name(rest, "the output")
        self.output = rest

    def _read_not(self, rest: str) -> None:
        if rest != "recurrent":
            self.fail(f"'not {rest[:40]}': did you mean 'not recurrent'?")
        self.recurrent = False

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

    def _read_equation(self, line: str) -> None:
        statement, size = self._parse(line), ""
        target: ast.expr
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            size, target, tree = self._size(statement.annotation), statement.target, statement.value
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, tree = statement.targets[0], statement.value
        else:
            known = ", ".join(KEYWORDS)
            self.fail(f"expected 'name = expression' or one of {known}: {line[:60]}")
        if isinstance(target, ast.Name):
            name, updates_state = target.id, False
        elif (
            isinstance(target, ast.Subscript)
            and isinstance(target.value, ast.Name)
            and isinstance(target.slice, ast.Name)
            and target.slice.id == "t"
        ):
            name, updates_state = target.value.id, True
        else:
            self.fail(f"the left side must be a name or a state update like h[t]: {line[:60]}")
        if not self.input:
            self.fail("'input x' must come before the equations")
        value = self._expression(tree, 1)
        self.lines[f"equation {len(self.equations)}"] = self.line
        self.equations.append(Equation(name, value, updates_state, size))

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
        if abs(exact) > 10**30 or 0 < abs(exact) < Fraction(1, 10**30):
            self.fail("a constant must lie between 1e-30 and 1e30")
        return constant(exact)

    def _bare(self, name: str) -> sp.Expr:
        if name == self.input:
            self.fail(f"write {name}[t] for the input")
        if name in self.states:
            self.fail(f"{name!r} is a state: write {name}[t-1], or {name}[t] after its update")
        if name in PRIMITIVES or name in REDUCTIONS:
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
        if name != self.input and name not in self.states:
            self.fail(
                suggest(name, [self.input, *self.states], what="input or state")
                + f"; it stands in {name[:40]}[{when}]"
            )
        if when == "t":
            return Input(f"{name}[t]") if name == self.input else Current(f"{name}[t]")
        if when == "t-1" and name in self.states:
            return Previous(f"{name}[t-1]")
        back = int(when[2:]) if when.startswith("t-") and when[2:].isdecimal() else 0
        if 1 <= back <= MAX_DELAY:
            number = back if name == self.input else back - 1
            self.delays[name] = max(number, self.delays.get(name, 0))
            return Previous(f"{delay_state(name, number)}[t-1]")
        self.fail(f"{name}[{when}]: what can be read is {name}[t] to {name}[t-{MAX_DELAY}]")

    def _map(self, node: ast.BinOp, depth: int) -> sp.Expr:
        left, kind = node.left, matmul
        if isinstance(left, ast.Attribute) and left.attr == "T":
            left, kind = left.value, transposed
        if not isinstance(left, ast.Name):
            self.fail(
                "the left of @ must be the name of a weight matrix, or its transpose W.T;"
                f" write a * (W @ v): {self._quote(node)}"
            )
        name = left.id
        if (
            name == self.input
            or name in self.states
            or any(e.target == name for e in self.equations)
        ):
            self.fail(f"the left of @ must be a weight matrix; {name!r} is a variable")
        self._name(name, "a weight matrix")
        return kind(Matrix(name), self._expression(node.right, depth + 1))

    def _call(self, node: ast.Call, depth: int) -> sp.Expr:
        if not isinstance(node.func, ast.Name):
            self.fail(f"only functions of the language can be called: {self._quote(node)}")
        name = node.func.id
        known = {**LANGUAGE, **REDUCTIONS}
        if name not in known:
            self.fail(suggest(name, known, what="function", see="docs/language.md"))
        primitive = LANGUAGE.get(name)
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            self.fail(f"{name} takes plain arguments only")
        arity = primitive.arity if primitive else 1
        if len(node.args) != arity:
            self.fail(f"{name} takes {arity} argument(s), got {len(node.args)}")
        return apply(name, *(self._expression(a, depth + 1) for a in node.args))

    def _read_init(self, rest: str) -> None:
        statement = self._parse(rest)
        if not (
            isinstance(statement, ast.Assign)
            and len(statement.targets) == 1
            and isinstance(statement.targets[0], ast.Name)
        ):
            self.fail(f"expected 'init parameter = value': init {rest[:60]}")
        name = statement.targets[0].id
        self.lines[f"init {len(self.inits)}"] = self.line
        self.inits.append(self._init(name, statement.value))

    def _init(self, name: str, value: ast.expr) -> Init:
        if isinstance(value, ast.UnaryOp) and isinstance(value.operand, ast.Name):
            if not isinstance(value.op, ast.USub):
                self.fail(f"init {name}: only a copy with the other sign is possible")
            return Init(name, NEGATED, source=value.operand.id)
        if isinstance(value, ast.Name) and value.id in INIT_KINDS:
            kind, arguments = value.id, []
        elif (
            isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and not value.keywords
        ):
            kind, arguments = value.func.id, [self._init_number(name, a) for a in value.args]
        else:
            return Init(name, "constant", (self._init_number(name, value),))
        if kind not in INIT_KINDS:
            self.fail(suggest(kind, INIT_KINDS, what="initialisation"))
        row = INITIAL_VALUES[kind]
        if len(arguments) not in row.counts:
            self.fail(f"init {name}: {kind} takes {' or '.join(map(str, row.counts))} numbers")
        return Init(name, kind, row.complete(tuple(arguments)))

    def _init_number(self, name: str, node: ast.expr) -> float:
        sign = 1.0
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            sign, node = -1.0, node.operand
        if not isinstance(node, ast.Constant):
            self.fail(
                f"init {name}: expected a number or one of {', '.join(INIT_KINDS)}:"
                f" {self._quote(node)}"
            )
        return sign * float(self._number(node))


def read_equations(text: str) -> CellSource:
    """Reads the fields of a cell from its text; whether they make a legal cell is not looked at.

    Raises:
        CellError: The text is not of the language; the message names the line and the reason.
    """
    if not isinstance(text, str):
        raise CellError(f"a cell text must be a str, not {type(text).__name__}")
    return _Reader(text).read()


def _format_constant(value: sp.Rational) -> str:
    return str(int(value)) if value.is_Integer else repr(float(value))


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
    return _wrap(expr, _ATOM if type(expr) in MAPS else _PRODUCT)


def format_cell(cell: Equations) -> str:
    """Prints a cell in the normal layout: equations aligned at their `=`."""
    lines = [f"cell {cell.name}"]
    if cell.citation:
        lines.append(f"cite {cell.citation}")
    lines.append(f"input {cell.input}")
    lines += [f"size {d.name} = {format_size(d.sizes[0])}" for d in cell.sizes]
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


def _format_states(cell: Equations) -> list[str]:
    """Prints the states in order, those of one size on one line."""
    sizes = {d.name: d.sizes[0] for d in cell.state_sizes}
    lines: list[str] = []
    for size, group in itertools.groupby(cell.states, lambda s: sizes.get(s, "")):
        names = f"state {', '.join(group)}"
        lines.append(f"{names} : {format_size(size)}" if size else names)
    return lines


_HEADER = re.compile(r"(cell|cite) ")


def diff(before: Equations, after: Equations) -> list[str]:
    """Lists what differs between two cells, as lines that begin with `-`, `+` or a space.

    Names and citations are left out; white space that only aligns is not a difference.
    """

    def lines(cell: Equations) -> list[str]:
        kept = (re.sub(r" += ", " = ", line) for line in format_cell(cell).splitlines())
        return [line for line in kept if line and not _HEADER.match(line)]

    return [line for line in difflib.ndiff(lines(before), lines(after)) if not line.startswith("?")]
