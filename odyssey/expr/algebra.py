"""The algebra of the canonical form: a cell as polynomials over atoms.

Every value becomes a polynomial with exact rational coefficients over atoms: leaves, function
values, linear maps, reciprocals. Two values that differ only by the rules of commutative rings, by
names of intermediates or by the identities stated here have the same polynomial.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import sympy as sp

from odyssey.expr.arithmetic import read_formula
from odyssey.expr.equations import Equations, Init, Start, without_source
from odyssey.expr.forms import ALL_FUNCTIONS
from odyssey.expr.primitives import PRIMITIVES, Primitive
from odyssey.expr.reductions import FORMS, OVER_UNITS, WrongSizeError, size_over_units
from odyssey.expr.shapes import Shapes
from odyssey.expr.sizes import ONE, PLAIN, is_matrix, meet
from odyssey.expr.terms import MAPS, Current, Named, exact_value, term

# A product that would pass one of these is kept as it is written, so that no cell is expensive.
MAX_TERMS = 64  # unless `normalise` is told another number
MAX_BITS = 1000  # of a coefficient

# An atom is an interned tuple (kind, name, children); a monomial a sorted tuple of
# (atom number, power), where x and 1/x do not cancel, since 0/0 is not 1; a polynomial a sorted
# tuple of (monomial, coefficient).
Monomial = tuple[tuple[int, int], ...]
Poly = tuple[tuple[Monomial, Fraction], ...]
UNIT_MONOMIAL: Monomial = ()
MAP_KINDS = tuple(MAPS.values())  # kinds of atoms that are linear maps
NAMELESS = ("state", "vector", *MAP_KINDS)  # kinds whose names do not matter


def digest(*parts: object) -> str:
    """Gives a short digest of plain values, the same in every process."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def _poly(terms: dict[Monomial, Fraction]) -> Poly:
    return tuple(sorted((m, c) for m, c in terms.items() if c))


def _constant(value: Fraction | int) -> Poly:
    return _poly({UNIT_MONOMIAL: Fraction(value)})


def _scale(poly: Poly, factor: Fraction) -> Poly:
    return tuple((m, c * factor) for m, c in poly) if factor else ()


def _sum(a: Poly, b: Poly) -> Poly:
    terms = dict(a)
    for monomial, coefficient in b:
        terms[monomial] = terms.get(monomial, Fraction(0)) + coefficient
    return _poly(terms)


def _join(a: Monomial, b: Monomial) -> Monomial:
    powers = {(atom, power > 0): power for atom, power in a}
    for atom, power in b:
        powers[atom, power > 0] = powers.get((atom, power > 0), 0) + power
    return tuple(sorted((atom, power) for (atom, _), power in powers.items()))


def _bits(poly: Poly) -> int:
    return max((max(abs(c.numerator), c.denominator).bit_length() for _, c in poly), default=0)


@dataclass
class Atoms:
    """The interned atoms of one cell, with a name-free digest of each.

    Attributes:
        signs: For each tie, in order of appearance, a bit that chooses the sign; see `sign`.
        terms: Terms up to which a product or a map of a sum is expanded.
        bounded: Whether something was kept as it is written, for it would have been too long.
        ties: The sums whose sign only names could tell, each with its number.
        lost: Whether a value that has many numbers became one that is the same in all of them,
            which then meets a matrix or a reduction: the sum of 5 units is not that of one.
        sizes: Of each atom.
    """

    signs: int = 0
    terms: int = MAX_TERMS
    bounded: bool = False
    ties: dict[Poly, int] = field(default_factory=dict)
    lost: bool = False
    rows: list[tuple[str, str, tuple[Poly, ...]]] = field(default_factory=list)
    numbers: dict[tuple[str, str, tuple[Poly, ...]], int] = field(default_factory=dict)
    shapes: list[str] = field(default_factory=list)
    sizes: list[str] = field(default_factory=list)
    _monomials: dict[Monomial, str] = field(default_factory=dict)

    def intern(self, kind: str, name: str, *children: Poly, size: str = "") -> Poly:
        """Gives the polynomial that is this one atom; its size is that of its children, or said."""
        row = (kind, name, children)
        if row not in self.numbers:
            self.numbers[row] = len(self.rows)
            self.rows.append(row)
            self.sizes.append(size or meet(map(self.size, children)))
            parts = [self.poly_shape(p) for p in children]
            special = (size,) if size and size not in PLAIN else ()
            nameless = kind in NAMELESS
            self.shapes.append(digest(kind, "" if nameless else name, sorted(parts), *special))
        return ((((self.numbers[row], 1),), Fraction(1)),)

    def size(self, poly: Poly) -> str:
        """Gives the size of a polynomial, 1 for a constant."""
        return meet(self.sizes[a] for monomial, _ in poly for a, _ in monomial)

    def monomial_shape(self, monomial: Monomial) -> str:
        """A digest of a monomial that does not depend on names."""
        if monomial not in self._monomials:
            self._monomials[monomial] = digest(sorted((self.shapes[a], p) for a, p in monomial))
        return self._monomials[monomial]

    def poly_shape(self, poly: Poly) -> str:
        """A digest of a polynomial that does not depend on names."""
        return digest(sorted((self.monomial_shape(m), str(c)) for m, c in poly))

    def sign(self, poly: Poly) -> int:
        """A sign with `sign(-p) = -sign(p)`, independent of names; 0 for zero.

        Where p and -p look alike, as `a - b` and `b - a` do, `signs` decides. Whoever needs a form
        that does not depend on names must try both.
        """
        sums: dict[str, Fraction] = {}
        for monomial, coefficient in poly:
            shape = self.monomial_shape(monomial)
            sums[shape] = sums.get(shape, Fraction(0)) + coefficient
        for shape in sorted(sums):
            if sums[shape]:
                return 1 if sums[shape] > 0 else -1
        if not poly:
            return 0
        first = min(poly, _scale(poly, Fraction(-1)))
        bit = self.signs >> self.ties.setdefault(first, len(self.ties)) & 1
        return 1 if (poly == first) != bool(bit) else -1


class _Algebra:
    """Turns the equations of a cell into polynomials over atoms."""

    def __init__(
        self, cell: Equations, shapes: Shapes, merged: dict[str, str], signs: int, terms: int
    ) -> None:
        self.atoms = Atoms(signs, terms)
        self.merged = merged
        self.shapes = shapes
        self.values: dict[str, Poly] = {}
        self.known: dict[sp.Expr, Poly] = {}
        for equation in cell.equations:
            self.values[equation.label] = self.normal(equation.value)

    def normal(self, expr: sp.Expr) -> Poly:
        if isinstance(expr, Named | Current):
            return self.values[expr.name]
        if expr not in self.known:
            self.known[expr] = self._normal(expr)
        return self.known[expr]

    def _normal(self, expr: sp.Expr) -> Poly:
        op, operands, name = term(expr)
        match op:
            case "constant":
                return _constant(exact_value(expr))
            case "input":
                own = name if name in self.shapes.inputs else "x"
                return self.atoms.intern("input", own, size=self.shapes.of(expr))
            case "previous":
                return self.atoms.intern("state", self.merged[name], size=self.shapes.of(expr))
            case "vector":
                return self.atoms.intern("vector", name, size=self.shapes.of(expr))
        args = [self.normal(a) for a in operands]
        if op in ("matmul", "transposed") or op in OVER_UNITS:
            for poly, operand in zip(args, operands, strict=True):
                left, had = self.atoms.size(poly), self.shapes.of(operand)
                self.atoms.lost |= left != had and (left == ONE or is_matrix(had))
            if op not in OVER_UNITS:
                return self._map(op, name, args[0])
        return self._apply(op, *args)

    def _apply(self, op: str, *args: Poly) -> Poly:
        match op:
            case "add":
                return _sum(*args)
            case "sub":
                return _sum(args[0], _scale(args[1], Fraction(-1)))
            case "neg":
                return _scale(args[0], Fraction(-1))
            case "mul":
                return self._product(*args)
            case "div":
                return self._product(args[0], self._reciprocal(args[1]))
        return self._function(op, *args)

    def _product(self, a: Poly, b: Poly) -> Poly:
        if len(a) * len(b) > self.atoms.terms:
            a, b = (self._kept(p) if len(p) > 1 else p for p in (a, b))
        if _bits(a) + _bits(b) > MAX_BITS:
            a, b = (self._kept(p) if _bits(p) > 1 else p for p in (a, b))
        terms: dict[Monomial, Fraction] = {}
        for m, c in a:
            for n, d in b:
                joined = _join(m, n)
                terms[joined] = terms.get(joined, Fraction(0)) + c * d
        return _poly(terms)

    def _kept(self, poly: Poly) -> Poly:
        self.atoms.bounded = True
        return self.atoms.intern("kept", "", poly)

    def _map(self, kind: str, matrix: str, poly: Poly) -> Poly:
        shape = self.shapes.matrices[matrix]
        size = shape[0] if kind == "matmul" else shape[1]
        too_long = len(poly) > self.atoms.terms
        if too_long or UNIT_MONOMIAL in dict(poly):
            # W @ (a + 1) stays, since W @ 1 is not of the language
            self.atoms.bounded |= too_long
            factor = self._factor(poly)
            whole = self.atoms.intern(kind, matrix, _scale(poly, 1 / factor), size=size)
            return _scale(whole, factor)
        # W @ (2*a + b) -> 2*(W @ a) + W @ b
        terms: Poly = ()
        for monomial, coefficient in poly:
            image = self.atoms.intern(kind, matrix, ((monomial, Fraction(1)),), size=size)
            terms = _sum(terms, _scale(image, coefficient))
        return terms

    def _factor(self, poly: Poly) -> Fraction:
        """The constant factor of a sum that is taken out: its size and, where it has one, sign."""
        size = sum((abs(c) for _, c in poly), Fraction(0)) or Fraction(1)
        return size * (self.atoms.sign(poly) or 1)

    def _reciprocal(self, poly: Poly) -> Poly:
        if len(poly) == 1:  # 1/(2*a*b) -> 1/2 * 1/a * 1/b
            monomial, coefficient = poly[0]
            return ((tuple(sorted((a, -p) for a, p in monomial)), 1 / coefficient),)
        factor = self._factor(poly)
        return _scale(self.atoms.intern("reciprocal", "", _scale(poly, 1 / factor)), 1 / factor)

    def _function(self, name: str, *args: Poly) -> Poly:
        if name in OVER_UNITS:
            if name in FORMS:
                return FORMS[name].expand(*args, number=_constant, apply=self._apply)
            try:
                size = size_over_units(name, [self.atoms.size(a) for a in args])
            except WrongSizeError:  # what was a matrix is none any more
                self.atoms.lost, size = True, ONE
            return self.atoms.intern("call", name, *args, size=size)
        formula = ALL_FUNCTIONS[name].same_as
        if formula:  # square(z) -> z*z, min(a, b) -> -max(-a, -b), silu(z) -> z*sigmoid(z)
            names = dict(zip("ab", args, strict=False))
            return read_formula(formula, names=names, number=_constant, apply=self._apply)
        primitive = PRIMITIVES[name]
        if name == "maximum":
            return self._maximum(*args)
        (z,) = args
        folded = _fold(primitive, z)
        if folded is not None:
            return folded
        if primitive.parity and self.atoms.sign(z) < 0:
            flipped = self.atoms.intern("call", name, _scale(z, Fraction(-1)))
            if primitive.parity > 0:  # abs(-z) -> abs(z)
                return flipped
            # sigmoid(-z) -> 1 - sigmoid(z), tanh(-z) -> -tanh(z)
            twice = 2 * (primitive.at_zero or Fraction(0))
            return _sum(_constant(twice), _scale(flipped, Fraction(-1)))
        return self.atoms.intern("call", name, z)

    def _maximum(self, a: Poly, b: Poly) -> Poly:
        if a == b:
            return a  # max(a, a) -> a
        for zero, other in ((a, b), (b, a)):
            if not zero:
                return self._function("relu", other)  # max(z, 0) -> relu(z)
        return self.atoms.intern("call", "maximum", *sorted((a, b)))


def _fold(primitive: Primitive, z: Poly) -> Poly | None:
    """Folds a function of a rational constant where the value is rational."""
    if any(monomial != UNIT_MONOMIAL for monomial, _ in z):
        return None
    value = primitive.exact(z[0][1] if z else Fraction(0))
    return None if value is None else _constant(value)


@dataclass
class Normal:
    """A cell as polynomials: only what the output depends on."""

    atoms: Atoms
    updates: dict[str, Poly]  # live states, merged
    output: Poly
    declared: tuple[Init, ...]
    shapes: Shapes
    beginnings: Mapping[str, Start] = field(default_factory=dict)  # of all states
    properties: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of all parameters

    @cached_property
    def starts(self) -> dict[str, Start]:
        """What live states start at."""
        return {s: start for s, start in self.beginnings.items() if s in self.updates}

    @cached_property
    def parameters(self) -> list[str]:
        """Names of the live parameters."""
        begun = {start.weight for start in self.starts.values() if start.weight}
        return sorted({*self.names("vector", *MAP_KINDS), *begun})

    @cached_property
    def inits(self) -> dict[str, Init]:
        """Initialisations of live parameters; a copy goes with its source, or has its number."""
        live = {*self.parameters, ""}
        alone = (without_source(i, self.declared, live) for i in self.declared)
        return {i.parameter: i for i in alone if {i.parameter, i.source} <= live}

    @cached_property
    def live(self) -> list[int]:
        """Numbers of the atoms in use; children come before parents."""
        found: set[int] = set()
        todo = [self.output, *self.updates.values()]
        while todo:
            for monomial, _ in todo.pop():
                for atom, _ in monomial:
                    if atom not in found:
                        found.add(atom)
                        todo.extend(self.atoms.rows[atom][2])
        return sorted(found)

    @cached_property
    def polys(self) -> list[Poly]:
        """All polynomials: output, updates and what live atoms are made of."""
        rows = self.atoms.rows
        return [self.output, *self.updates.values(), *(p for a in self.live for p in rows[a][2])]

    @cached_property
    def works_on_a_constant(self) -> bool:
        """Whether a function or a weight matrix meets a number.

        No cell text may say so of a matrix, or where the value is not finite, as of `log(0)`.
        """
        rows, constants = self.atoms.rows, set[int]()

        def constant(poly: Poly) -> bool:
            return all(a in constants for monomial, _ in poly for a, _ in monomial)

        for atom in self.live:
            kind, _, children = rows[atom]
            if children and all(map(constant, children)):
                if kind != "kept":
                    return True
                constants.add(atom)
        return False

    def states_in(self, poly: Poly, *, blocked: frozenset[str] = frozenset()) -> set[str]:
        """Names of the states whose previous values a polynomial reads.

        Args:
            poly: The polynomial.
            blocked: Names of functions that are not looked into.
        """
        found: set[str] = set()
        seen: set[int] = set()
        todo = [poly]
        while todo:
            for atom in {a for monomial, _ in todo.pop() for a, _ in monomial} - seen:
                seen.add(atom)
                kind, name, children = self.atoms.rows[atom]
                if kind == "state":
                    found.add(name)
                elif not (kind == "call" and name in blocked):
                    todo += children
        return found

    def names(self, *kinds: str) -> list[str]:
        """Names of the live atoms of some kinds."""
        rows = (self.atoms.rows[a] for a in self.live)
        return sorted({name for kind, name, _ in rows if kind in kinds})


def normalise(cell: Equations, shapes: Shapes, *, signs: int = 0, terms: int = MAX_TERMS) -> Normal:
    """Inlines, expands, drops what is dead and merges states that always hold the same value.

    Args:
        cell: The cell.
        shapes: Its sizes.
        signs: How ties of signs are decided; see `Atoms.sign`.
        terms: Terms up to which a product or a map of a sum is expanded.
    """
    # Coinduction: states that start equal may stay so: assume it, and split until it holds.
    starts = {s.state: s for s in cell.starts}
    first: dict[tuple[str, str, Fraction], str] = {}
    merged = {}
    for s in cell.states:
        start = starts.get(s, Start(s))
        merged[s] = first.setdefault((shapes.states[s], start.weight, start.value), s)
    while True:
        algebra = _Algebra(cell, shapes, merged, signs, terms)
        groups: dict[tuple[str, Poly], str] = {}
        split = {
            s: groups.setdefault((merged[s], algebra.values[f"{s}[t]"]), s) for s in cell.states
        }
        if len(set(split.values())) == len(set(merged.values())):
            break
        merged = split
    output = algebra.values[cell.output_label]
    updates: dict[str, Poly] = {}
    properties = {w.name: w.properties for w in cell.weights if w.properties}
    said = (cell.inits, shapes, starts, properties)
    normal = Normal(algebra.atoms, updates, output, *said)
    while True:
        missing = [s for s in normal.names("state") if s not in updates]
        if not missing:
            return normal
        updates |= {s: algebra.values[f"{s}[t]"] for s in missing}
        normal = Normal(algebra.atoms, updates, output, *said)
