"""Canonical text and content key: equal for cells that are the same up to names and algebra.

None of the steps calls sympy's simplifier (seconds to minutes a cell):

1. `algebra.normalise` inlines the named equations and turns every value into a polynomial over
   atoms, with exact rational coefficients. Sums, products and blends become one form;
   `sigmoid(-z) -> 1 - sigmoid(z)`, odd and even functions lose their sign,
   `W @ (a + b) -> W @ a + W @ b`. Where only names tell z from -z, as in `tanh(a - b)`, both
   signs are tried and the smallest text is taken. Dead equations vanish, states that always hold
   the same value are merged.
2. `normal_text` prints the result with names given by position.
3. What the language does not allow, since it is too long, too deep or no cell, is put another way:
   not expanded, then as it was written but for names and dead equations, then as it stands. The
   first of these forms that is a legal cell is taken.
4. Where nothing was left out, the text is its own canonical form. One in which products were kept
   as they are written must reproduce itself, or it is not expanded either. What comes out is read
   and put in form again until it repeats itself; of texts that take turns the least is taken.

The key is the sha256 of that text; two cells with one key are the same function by construction.
Rewrites that are not found here (such as `tanh(z) = 2*sigmoid(2*z) - 1`) are what
`fingerprint.py` is for.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.algebra import MAX_TERMS, Normal, normalise
from odyssey.expr.equations import Declaration, Equation, Equations, Init, Start
from odyssey.expr.limits import MAX_CHARACTERS, MAX_LINE, MAX_LINES, MAX_NODES
from odyssey.expr.normal_text import print_normal
from odyssey.expr.shapes import Shapes
from odyssey.expr.terms import (
    Const,
    Current,
    Input,
    Leaf,
    Matrix,
    Named,
    Previous,
    Vector,
    constant,
    leaves,
    replace,
    subexpressions,
)
from odyssey.expr.text import read_equations
from odyssey.expr.verify import Verified, verify

EXPANSIONS = (MAX_TERMS, 1)  # terms up to which products are expanded, tried in this order
ABSENT_INPUT = " + 0 * x[t]"  # stands for an input that algebra has removed
MAX_TIES = 4  # sums such as a - b, whose sign only names tell, up to which both signs are tried
MAX_PASSES = 8  # readings of a text that does not repeat itself, before it is left as written
# A text within these has less than MAX_NODES operations (` - v1` are four), is nested less than
# MAX_DEPTH (`+ v1` is one level), and its numbers are finite.
SHORT_TEXT, SHORT_LINE, SHORT_BITS = 2400, 450, 900


@dataclass(frozen=True)
class _Legal:
    """A cell that was verified, and what came of it."""

    cell: Equations
    text: str
    shapes: Shapes


def _legal(cell: Equations) -> _Legal:
    return _Legal(cell, *verify(cell))


def _read(text: str) -> _Legal:
    return _legal(read_equations(text).cell)


def canonical_text(cell: Equations, verified: Verified) -> str:
    """Prints the canonical form of a cell, itself a legal cell text and its own canonical form.

    Args:
        cell: The cell.
        verified: What verification gave for it.
    """
    forms = _Forms()
    form = _Legal(cell, *verified)
    texts: list[str] = []
    while len(texts) < MAX_PASSES:
        text, exact = forms.first(form)
        if exact:
            return text
        if text in texts:
            return min(texts[texts.index(text) :])
        texts.append(text)
        form = _read(text)
    return next(_unexpanded(form)).text


def content_key(text: str) -> str:
    """Gives the content key: the sha256 of a canonical text, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


class _Forms:
    """Forms of a cell and of its own texts; each is made once.

    A form is a text, and whether it is exact: nothing was left out of it.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[str, int], tuple[str, bool] | None] = {}

    def first(self, form: _Legal) -> tuple[str, bool]:
        """Gives the first form that is legal and, if it is expanded, reproduces itself."""
        for terms in EXPANSIONS:
            found = self._expanded(form, terms)
            if found is None:
                continue
            text, exact = found
            if exact or terms == 1 or self._expanded(_read(text), terms) == (text, False):
                return found
        return next(_unexpanded(form)).text, False

    def _expanded(self, form: _Legal, terms: int) -> tuple[str, bool] | None:
        mark = (form.text, terms)
        if mark not in self._made:
            self._made[mark] = _expanded(form, terms)
        return self._made[mark]


def _expanded(form: _Legal, terms: int) -> tuple[str, bool] | None:
    """Prints a cell with products expanded; None where that is no legal cell."""
    texts: list[str] = []
    signs, variants, exact, sure = 0, 1, True, True
    while signs < variants:
        normal = normalise(form.cell, form.shapes, signs=signs, terms=terms)
        if normal.atoms.lost or _is_too_large(normal):
            return None
        ties = len(normal.atoms.ties)
        if ties <= MAX_TIES:  # of more, one choice of signs is as good as another
            variants = max(variants, 2**ties)
        text, complete = print_normal(normal)
        texts.append(text)
        exact &= complete and not normal.atoms.bounded and ties <= MAX_TIES
        sure &= _is_tame(normal)
        signs += 1
    text = min(texts)
    sure &= len(text) <= SHORT_TEXT and all(len(line) <= SHORT_LINE for line in text.split("\n"))
    if sure and form.shapes.plain and not form.shapes.square and "x[t]" in text:
        return text, exact
    return next(((t, exact) for t in _completed(text) if _is_legal(t)), None)


def _is_too_large(normal: Normal) -> bool:
    """Says whether a normal form has more lines or operations than a cell, before it is printed."""
    leaves = ("input", "state", "vector")
    lines = sum(normal.atoms.rows[atom][0] not in leaves for atom in normal.live)
    terms = (min(abs(p), 3) for poly in normal.polys for monomial, _ in poly for _, p in monomial)
    return lines > MAX_LINES or sum(terms) > MAX_NODES // 2


def _is_tame(normal: Normal) -> bool:
    """Says whether neither a number nor what is done with one can make a text illegal."""
    sizes = (max(abs(c.numerator), c.denominator) for poly in normal.polys for _, c in poly)
    return max(sizes, default=1).bit_length() <= SHORT_BITS and not normal.works_on_a_constant


def _completed(text: str) -> Iterator[str]:
    """Gives a text, and the same with an input that algebra has removed, for it gives sizes."""
    yield text
    yield "".join(
        f"{line}{ABSENT_INPUT}\n" if line.startswith("y = ") else f"{line}\n"
        for line in text.splitlines()
    )


def _is_legal(text: str) -> bool:
    lines = text.splitlines()
    if len(text) > MAX_CHARACTERS or len(lines) > MAX_LINES or max(map(len, lines)) > MAX_LINE:
        return False
    try:
        _read(text)
    except CellError:
        return False
    return True


def _unexpanded(form: _Legal) -> Iterator[_Legal]:
    """Gives a cell as it is written but for names and dead equations, then as it stands."""
    try:
        renamed = _legal(_renamed(form.cell))
        if renamed.shapes.square == form.shapes.square:
            yield renamed
    except CellError:  # names that were shorter leave no room for others
        pass
    yield _legal(dataclasses.replace(form.cell, name="c", citation="", lineage=()))


def _renamed(cell: Equations) -> Equations:
    """Puts equations in the order in which the output asks for them, and names by appearance."""
    equations = _live(cell)
    given: dict[str, str] = {}
    counts = {"W": 0, "v": 0, "s": 0, "e": 0}

    def name(key: str) -> str:
        if key not in given:
            counts[key[0]] += 1
            given[key] = f"{key[0]}{counts[key[0]]}"
        return given[key]

    def leaf(node: sp.Expr) -> sp.Expr | None:
        if isinstance(node, Input):
            return Input("x[t]") if node.stem == cell.input else node
        if isinstance(node, Previous | Current):
            state, _, when = node.name.partition("[")
            return type(node)(f"{name('s' + state)}[{when}")
        if isinstance(node, Const):
            return constant(node.value)
        if isinstance(node, Matrix | Vector | Named):
            letter = {Matrix: "W", Vector: "v", Named: "e"}[type(node)]
            return type(node)(name(letter + node.name))
        return None

    renamed = []
    for equation in equations:
        value = replace(equation.value, leaf)
        target = name(("s" if equation.updates_state else "e") + equation.target)
        size = cell.size(equation.size) if equation.size else ""
        renamed.append(Equation(target, value, equation.updates_state, size))
    starts = [
        Start(given["s" + s.state], s.value, name("v" + s.weight) if s.weight else "")
        for s in cell.starts
        if "s" + s.state in given
    ]

    def parameter(old: str) -> str:
        return given.get("W" + old) or given.get("v" + old) or ""

    inits = (
        Init(parameter(i.parameter), i.kind, i.args, parameter(i.source))
        for i in cell.inits
        if parameter(i.parameter) and (not i.source or parameter(i.source))
    )
    read = {n.stem for e in renamed for n in leaves(e.value, Input)}
    return Equations(
        name="canonical",
        input="x",
        further_inputs=_declared(
            cell, cell.further_inputs, lambda name: name if name in read else ""
        ),
        state_sizes=_declared(cell, cell.state_sizes, lambda old: given.get("s" + old, "")),
        weights=_declared(cell, cell.weights, parameter),
        starts=tuple(sorted(starts, key=lambda s: s.state)),
        states=tuple(f"s{k + 1}" for k in range(counts["s"])),
        equations=tuple(renamed),
        output=given[("s" if cell.output in cell.states else "e") + cell.output],
        inits=tuple(sorted(inits, key=lambda i: i.parameter)),
        recurrent=cell.recurrent,
    )


def _declared(
    cell: Equations, declarations: Iterable[Declaration], rename: Callable[[str], str]
) -> tuple[Declaration, ...]:
    """Gives what is declared of names that are still there, by their new names."""
    renamed = (
        Declaration(rename(d.name), tuple(map(cell.size, d.sizes)), d.properties)
        for d in declarations
    )
    return tuple(sorted((d for d in renamed if d.name), key=lambda d: d.name))


def _live(cell: Equations) -> list[Equation]:
    """Gives the equations that the output depends on, each behind those it reads."""
    by_label = {e.label: e for e in cell.equations}
    order: dict[str, Equation] = {}
    todo = [(cell.output_label, False)]
    later: dict[str, None] = {}  # updates of the states that are read
    while todo:
        label, ready = todo.pop()
        if label not in order:
            reads = [n for n in subexpressions(by_label[label].value) if isinstance(n, Leaf)]
            if ready:
                order[label] = by_label[label]
                later |= {n.name.replace("-1", ""): None for n in reads if isinstance(n, Previous)}
            else:
                todo.append((label, True))
                inner = [n.name for n in reads if isinstance(n, Named | Current)]
                todo += [(name, False) for name in reversed(inner) if name not in order]
        if not todo:
            todo = [(label, False) for label in later if label not in order][:1]
    return list(order.values())
