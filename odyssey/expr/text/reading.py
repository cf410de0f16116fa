"""Reads cell texts line by line."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from odyssey.errors import CellError, suggest
from odyssey.expr.equations import Declaration, Equation, Equations, IllegalCellError, Init, Start
from odyssey.expr.initial import INITIAL_VALUES, NEGATED
from odyssey.expr.limits import (
    KEYWORDS,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_LINE,
    MAX_LINES,
    check_further_input,
)
from odyssey.expr.properties import PROPERTIES
from odyssey.expr.sizes import INPUTS, ONE, PLAIN, UNITS, multiple, parts
from odyssey.expr.terms import Const, Input, Previous, const, exact_value, leaves
from odyssey.expr.text.expressions import ExpressionReader, delay_state

_REPEATED = ("input", "init", "size", "const", "state", "weight", "start")  # lines that may repeat
INIT_KINDS = tuple(kind for kind in INITIAL_VALUES if kind != "constant")  # that text names


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


class _Reader(ExpressionReader):
    """Reads the lines of one cell text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.lines: dict[str, int] = {}  # where each part of the cell stands
        self.name = ""
        self.citation = ""
        self.sizes: list[Declaration] = []
        self.state_sizes: list[Declaration] = []
        self.weights: list[Declaration] = []
        self.starts: list[Start] = []
        self.inits: list[Init] = []
        self.output = ""
        self.recurrent = True

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
                further_inputs=tuple(self.further_inputs),
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
        sizes = {d.name: d.sizes for d in (*self.further_inputs, *self.state_sizes)}
        sizes[self.input] = (INPUTS,)
        for name, steps in self.delays.items():
            is_input = name in self.inputs
            size = sizes.get(name, ())
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
        names, colon, size = rest.partition(":")
        if not colon:
            if self.input:
                self.fail("a second 'input' line; a further input has a size: input gap : 1")
            self._name(rest, "the input")
            self.input = rest
            self.lines["input"] = self.line
            return
        if not self.input:
            self.fail("the main input comes first and has no size, it is I: input x")
        if self.equations:
            self.fail("inputs must come before the equations")
        written = self._size(self._parsed(size))
        for name in (part.strip() for part in names.split(",")):
            try:
                check_further_input(name)
            except CellError as error:
                self.fail(str(error))
            if name in (*self.inputs, *self.states):
                self.fail(f"{name!r} is the name of something else")
            self.lines[f"input {len(self.further_inputs)}"] = self.line
            self.further_inputs.append(Declaration(name, (written,)))

    def _read_state(self, rest: str) -> None:
        names, colon, size = rest.partition(":")
        states = [part.strip() for part in names.split(",")]
        for state in states:
            self._name(state, "a state")
        self.lines.setdefault("state", self.line)
        self.states += states
        if colon:
            tree = self._parsed(size)
            trees = tree.elts if isinstance(tree, ast.Tuple) else [tree]
            if len(trees) not in (1, 2):
                self.fail("a state has one size, a matrix two: state S : ROWS, COLUMNS")
            written = tuple(map(self._size, trees))
            if written != (UNITS,):
                self.state_sizes += [Declaration(state, written) for state in states]

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
            self.fail(f"expected '{expected}': {expected.split()[0]} {rest[:60]}")
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

    def _read_init(self, rest: str) -> None:
        name, value = self._assignment(rest, "init parameter = value")
        self.lines[f"init {len(self.inits)}"] = self.line
        self.inits.append(self._init(name, value))

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
