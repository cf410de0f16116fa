"""Canonical form and content key: equal for cells that are the same up to names and algebra.

Three steps, none of which calls sympy's simplifier (seconds to minutes a cell):

1. `_Algebra` inlines the named equations and turns every value into a polynomial over atoms
   (leaves, function values, linear maps of monomials), with exact rational coefficients.
   Sums, products and blends become one form; `sigmoid(-z) -> 1 - sigmoid(z)`, odd and even
   functions lose their sign, `W @ (a + b) -> W @ a + W @ b`. Dead equations vanish, states that
   always hold the same value are merged.
2. `_Colours` tells parameters and states apart by where they are used (colour refinement, with
   individualisation where that leaves ties), so that names do not matter.
3. `_Writer` prints the result as a legal cell text with names given in order of appearance. The
   key is the sha256 of that text; two cells with one key are the same function by construction.

Rewrites that are not found here (such as `tanh(z) = 2*sigmoid(2*z) - 1`) are what
`fingerprint.py` is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import sympy as sp

from odyssey.expr.cell import Cell, Init
from odyssey.expr.functions import (
    BY_FUNCTION,
    LEAKY_SLOPE,
    Current,
    Input,
    Named,
    Previous,
    Vector,
    is_reciprocal,
    matmul,
)
from odyssey.expr.text import format_init

MAX_TERMS = 64  # a product that would have more is kept as it is written
MAX_LABELLINGS = 32  # labellings tried where colour refinement leaves ties

# An atom is an interned tuple (kind, name, children); a monomial a sorted tuple of
# (atom number, power); a polynomial a sorted tuple of (monomial, coefficient).
Monomial = tuple[tuple[int, int], ...]
Poly = tuple[tuple[Monomial, Fraction], ...]
ONE: Monomial = ()


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def _poly(terms: dict[Monomial, Fraction]) -> Poly:
    return tuple(sorted((m, c) for m, c in terms.items() if c))


def _constant(value: Fraction | int) -> Poly:
    return _poly({ONE: Fraction(value)})


def _scale(poly: Poly, factor: Fraction) -> Poly:
    return tuple((m, c * factor) for m, c in poly) if factor else ()


def _sum(a: Poly, b: Poly) -> Poly:
    terms = dict(a)
    for monomial, coefficient in b:
        terms[monomial] = terms.get(monomial, Fraction(0)) + coefficient
    return _poly(terms)


def _join(a: Monomial, b: Monomial) -> Monomial:
    powers = dict(a)
    for atom, power in b:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted((atom, power) for atom, power in powers.items() if power))


@dataclass
class Atoms:
    """The interned atoms of one cell, with a name-free digest of each."""

    rows: list[tuple[str, str, tuple[Poly, ...]]] = field(default_factory=list)
    numbers: dict[tuple[str, str, tuple[Poly, ...]], int] = field(default_factory=dict)
    shapes: list[str] = field(default_factory=list)

    def intern(self, kind: str, name: str, *children: Poly) -> Poly:
        """Gives the polynomial that is this one atom."""
        row = (kind, name, children)
        if row not in self.numbers:
            self.numbers[row] = len(self.rows)
            self.rows.append(row)
            nameless = kind in ("state", "vector", "matmul")
            parts = [self.poly_shape(p) for p in children]
            self.shapes.append(_digest(kind, "" if nameless else name, sorted(parts)))
        return ((((self.numbers[row], 1),), Fraction(1)),)

    def monomial_shape(self, monomial: Monomial) -> str:
        """A digest of a monomial that does not depend on names."""
        return _digest(sorted((self.shapes[a], p) for a, p in monomial))

    def poly_shape(self, poly: Poly) -> str:
        """A digest of a polynomial that does not depend on names."""
        return _digest(sorted((self.monomial_shape(m), str(c)) for m, c in poly))

    def sign(self, poly: Poly) -> int:
        """A sign with `sign(-p) = -sign(p)` that does not depend on names; 0 where there is none."""
        sums: dict[str, Fraction] = {}
        for monomial, coefficient in poly:
            shape = self.monomial_shape(monomial)
            sums[shape] = sums.get(shape, Fraction(0)) + coefficient
        for shape in sorted(sums):
            if sums[shape]:
                return 1 if sums[shape] > 0 else -1
        return 0


class _Algebra:
    """Turns the equations of a cell into polynomials over atoms."""

    def __init__(self, cell: Cell, merged: dict[str, str]) -> None:
        self.atoms = Atoms()
        self.merged = merged
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
        if isinstance(expr, sp.Rational):
            return _constant(Fraction(int(expr.p), int(expr.q)))
        if isinstance(expr, Input):
            return self.atoms.intern("input", "x")
        if isinstance(expr, Previous):
            return self.atoms.intern("state", self.merged[expr.name.removesuffix("[t-1]")])
        if isinstance(expr, Vector):
            return self.atoms.intern("vector", expr.name)
        if isinstance(expr, matmul):
            return self._map(expr.args[0].name, self.normal(expr.args[1]))
        args = [self.normal(a) for a in expr.args if not is_reciprocal(expr) or a != -1]
        if isinstance(expr, sp.Add):
            return _sum(*args)
        if isinstance(expr, sp.Mul):
            return self._product(*args)
        if is_reciprocal(expr):
            return self._reciprocal(args[0])
        return self._function(BY_FUNCTION[type(expr)].name, args)

    def _product(self, a: Poly, b: Poly) -> Poly:
        if len(a) * len(b) > MAX_TERMS:  # do not distribute: keep the longer factors as atoms
            a, b = (self.atoms.intern("kept", "", p) if len(p) > 1 else p for p in (a, b))
        terms: dict[Monomial, Fraction] = {}
        for m, c in a:
            for n, d in b:
                joined = _join(m, n)
                terms[joined] = terms.get(joined, Fraction(0)) + c * d
        return _poly(terms)

    def _map(self, matrix: str, poly: Poly) -> Poly:
        # W @ (2*a + b) -> 2*(W @ a) + W @ b
        terms: Poly = ()
        for monomial, coefficient in poly:
            image = self.atoms.intern("matmul", matrix, ((monomial, Fraction(1)),))
            terms = _sum(terms, _scale(image, coefficient))
        return terms

    def _reciprocal(self, poly: Poly) -> Poly:
        if len(poly) == 1:
            monomial, coefficient = poly[0]
            return ((tuple((a, -p) for a, p in monomial), 1 / coefficient),)
        size = abs(sum((c for _, c in poly), Fraction(0))) or Fraction(1)
        factor = size * (self.atoms.sign(poly) or 1)
        return _scale(self.atoms.intern("reciprocal", "", _scale(poly, 1 / factor)), 1 / factor)

    def _function(self, name: str, args: list[Poly]) -> Poly:
        if name == "identity":
            return args[0]  # identity(z) -> z
        if name == "square":
            return self._product(args[0], args[0])  # square(z) -> z*z
        if name == "minimum":  # min(a, b) -> -max(-a, -b)
            return _scale(
                self._function("maximum", [_scale(a, Fraction(-1)) for a in args]), Fraction(-1)
            )
        if name == "maximum":
            return self._maximum(*args)
        (z,) = args
        folded = _fold(name, z)
        if folded is not None:
            return folded
        primitive = next(p for p in BY_FUNCTION.values() if p.name == name)
        if self.atoms.sign(z) < 0:
            flipped = _scale(z, Fraction(-1))
            if name == "sigmoid":  # sigmoid(-z) -> 1 - sigmoid(z)
                return _sum(
                    _constant(1), _scale(self.atoms.intern("call", name, flipped), Fraction(-1))
                )
            if primitive.parity:  # tanh(-z) -> -tanh(z), abs(-z) -> abs(z)
                return _scale(self.atoms.intern("call", name, flipped), Fraction(primitive.parity))
        return self.atoms.intern("call", name, z)

    def _maximum(self, a: Poly, b: Poly) -> Poly:
        if a == b:
            return a  # max(a, a) -> a
        for zero, other in ((a, b), (b, a)):
            if not zero:
                return self._function("relu", [other])  # max(z, 0) -> relu(z)
        return self.atoms.intern("call", "maximum", *sorted((a, b)))


def _fold(name: str, z: Poly) -> Poly | None:
    """Folds a function of a rational constant where the value is rational."""
    if any(monomial != ONE for monomial, _ in z):
        return None
    value = z[0][1] if z else Fraction(0)
    exact: dict[str, Callable[[Fraction], Fraction]] = {
        "relu": lambda v: max(v, Fraction(0)),
        "abs": abs,
        "leaky_relu": lambda v: v if v > 0 else v * Fraction(str(LEAKY_SLOPE)),
    }
    if name in exact:
        return _constant(exact[name](value))
    at_zero = next(p for p in BY_FUNCTION.values() if p.name == name).at_zero
    return _constant(at_zero) if value == 0 and at_zero is not None else None


@dataclass
class Normal:
    """A cell as polynomials: only what the output depends on."""

    atoms: Atoms
    updates: dict[str, Poly]  # live states, merged
    output: Poly
    inits: dict[str, Init]

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

    def names(self, *kinds: str) -> list[str]:
        """Names of the live atoms of some kinds."""
        rows = (self.atoms.rows[a] for a in self.live)
        return sorted({name for kind, name, _ in rows if kind in kinds})


def normalise(cell: Cell) -> Normal:
    """Inlines, expands, drops what is dead and merges states that always hold the same value."""
    # Coinduction: all states start at zero, so assume them all equal and split until it holds.
    merged = {s: cell.states[0] for s in cell.states}
    while True:
        algebra = _Algebra(cell, merged)
        groups: dict[tuple[str, Poly], str] = {}
        split = {
            s: groups.setdefault((merged[s], algebra.values[f"{s}[t]"]), s) for s in cell.states
        }
        if len(set(split.values())) == len(set(merged.values())):
            break
        merged = split
    label = f"{cell.output}[t]" if cell.output in cell.states else cell.output
    output = algebra.values[label]
    updates: dict[str, Poly] = {}
    normal = Normal(algebra.atoms, updates, output, {i.parameter: i for i in cell.inits})
    while True:
        missing = [s for s in normal.names("state") if s not in updates]
        if not missing:
            return normal
        updates |= {s: algebra.values[f"{s}[t]"] for s in missing}
        normal = Normal(algebra.atoms, updates, output, normal.inits)


class _Colours:
    """Colours of parameters, states and atoms: equal where position cannot tell them apart."""

    def __init__(self, normal: Normal) -> None:
        self.normal = normal
        self.names: dict[str, str] = {}
        for name in normal.names("vector", "matmul"):
            init = normal.inits.get(name)
            how = format_init(init) if init and not init.source else ("copy" if init else "")
            self.names[f"p:{name}"] = _digest("parameter", how)
        for state in normal.updates:
            self.names[f"s:{state}"] = _digest("state")
        self.down: dict[int, str] = {}
        self.refine()

    def poly(self, poly: Poly) -> str:
        """Colour of a polynomial."""
        return _digest(sorted((self.monomial(m), str(c)) for m, c in poly))

    def monomial(self, monomial: Monomial) -> str:
        """Colour of a monomial."""
        return _digest(sorted((self.down[a], p) for a, p in monomial))

    def _atom(self, atom: int) -> str:
        kind, name, children = self.normal.atoms.rows[atom]
        key = {"state": f"s:{name}", "vector": f"p:{name}", "matmul": f"p:{name}"}.get(kind)
        own = self.names[key] if key else name
        return _digest(kind, own, sorted(self.poly(c) for c in children))

    def classes(self) -> dict[str, list[str]]:
        """Names by colour."""
        found: dict[str, list[str]] = {}
        for name, colour in self.names.items():
            found.setdefault(colour, []).append(name)
        return found

    def refine(self) -> None:
        """Refines until colours stop splitting."""
        count = -1
        while True:
            for atom in self.normal.live:
                self.down[atom] = self._atom(atom)
            classes = len(set(self.names.values()))
            if classes == count or classes == len(self.names):
                return
            count = classes
            self._spread()

    def _spread(self) -> None:
        """Gives every name a colour from the places where it occurs."""
        rows = self.normal.atoms.rows
        above: dict[int, list[str]] = {atom: [] for atom in self.normal.live}
        places: dict[str, list[str]] = {name: [] for name in self.names}

        def pass_down(poly: Poly, context: str) -> None:
            for monomial, coefficient in poly:
                whole = self.monomial(monomial)
                for atom, power in monomial:
                    above[atom].append(
                        _digest(context, whole, str(coefficient), self.down[atom], power)
                    )

        pass_down(self.normal.output, "output")
        for state, poly in self.normal.updates.items():
            pass_down(poly, self.names[f"s:{state}"])
            places[f"s:{state}"].append(self.poly(poly))
        for atom in reversed(self.normal.live):
            kind, name, children = rows[atom]
            context = _digest(self.down[atom], sorted(above[atom]))
            if kind in ("state", "vector", "matmul"):
                places[f"{'s' if kind == 'state' else 'p'}:{name}"].append(context)
            for child in children:
                pass_down(child, context)
        for name, init in self.normal.inits.items():
            if init.source and f"p:{name}" in self.names and f"p:{init.source}" in self.names:
                places[f"p:{name}"].append(self.names[f"p:{init.source}"])
                places[f"p:{init.source}"].append("copied by " + self.names[f"p:{name}"])
        self.names = {n: _digest(c, sorted(places[n])) for n, c in self.names.items()}

    def individualised(self, name: str) -> _Colours:
        """Gives a copy in which one name is told apart from its class."""
        copy = object.__new__(_Colours)
        copy.normal, copy.down = self.normal, dict(self.down)
        copy.names = {n: (_digest(c, "chosen") if n == name else c) for n, c in self.names.items()}
        copy.refine()
        return copy


class _Writer:
    """Prints a normal form as cell text; names are given in order of appearance."""

    def __init__(self, normal: Normal, colours: _Colours) -> None:
        self.normal, self.colours = normal, colours
        self.given: dict[str, str] = {}
        self.counts = {"W": 0, "v": 0, "s": 0, "e": 0}
        self.lines: list[str] = []
        self.texts: dict[int, str] = {}
        self.waiting: list[str] = []
        self.monomials = {m: colours.monomial(m) for m in self._all_monomials()}

    def _all_monomials(self) -> Iterable[Monomial]:
        polys = [self.normal.output, *self.normal.updates.values()]
        polys += [child for a in self.normal.live for child in self.normal.atoms.rows[a][2]]
        return {m for poly in polys for m, _ in poly}

    def write(self) -> str:
        output = self.poly(self.normal.output)
        self.lines.append(f"y = {output}")
        done = 0
        while done < len(self.waiting):
            state = self.waiting[done]
            update = self.poly(self.normal.updates[state])
            self.lines.append(f"{self.given['s:' + state]}[t] = {update}")
            done += 1
        header = ["cell canonical", "input x"]
        if self.waiting:
            header.append("state " + ", ".join(self.given["s:" + s] for s in self.waiting))
        else:
            header.append("not recurrent")
        parameters = {n.removeprefix("p:"): g for n, g in self.given.items() if n.startswith("p:")}
        inits = sorted(
            f"init {parameters[name]} = "
            + (f"-{parameters[init.source]}" if init.source else format_init(init))
            for name, init in self.normal.inits.items()
            if name in parameters and (not init.source or init.source in parameters)
        )
        return "\n".join([*header, *self.lines, *inits, "output y"]) + "\n"

    def name(self, key: str, letter: str) -> str:
        if key not in self.given:
            self.counts[letter] += 1
            self.given[key] = f"{letter}{self.counts[letter]}"
            if letter == "s":
                self.waiting.append(key.removeprefix("s:"))
        return self.given[key]

    def poly(self, poly: Poly) -> str:
        if not poly:
            return "0"
        text = ""
        for monomial, coefficient in sorted(poly, key=lambda t: (self.monomials[t[0]], t[1])):
            term = self.term(monomial, abs(coefficient))
            if text:
                text += f" - {term}" if coefficient < 0 else f" + {term}"
            else:
                text = f"-{term}" if coefficient < 0 else term
        return text

    def term(self, monomial: Monomial, size: Fraction) -> str:
        above, below = [], []
        if size.numerator != 1:
            above.append(str(size.numerator))
        if size.denominator != 1:
            below.append(str(size.denominator))
        for atom, power in sorted(monomial, key=lambda f: (self.colours.down[f[0]], f[1])):
            (above if power > 0 else below).extend([self.atom(atom)] * abs(power))
        return " / ".join([" * ".join(above) or "1", *below])

    def atom(self, atom: int) -> str:
        if atom not in self.texts:
            self.texts[atom] = self._atom(atom)
        return self.texts[atom]

    def _atom(self, atom: int) -> str:
        kind, name, children = self.normal.atoms.rows[atom]
        if kind == "input":
            return "x[t]"
        if kind == "state":
            return self.name(f"s:{name}", "s") + "[t-1]"
        if kind == "vector":
            return self.name(f"p:{name}", "v")
        if kind == "matmul":
            text = f"{self.name(f'p:{name}', 'W')} @ ({self.poly(children[0])})"
        elif kind == "call":
            ordered = sorted(children, key=self.colours.poly)
            text = f"{name}({', '.join(self.poly(c) for c in ordered)})"
        elif kind == "reciprocal":
            text = f"1 / ({self.poly(children[0])})"
        else:
            text = self.poly(children[0])
        self.counts["e"] += 1
        number = self.counts["e"]
        self.lines.append(f"e{number} = {text}")
        return f"e{number}"


def canonical_text(cell: Cell) -> str:
    """Prints the canonical form of a cell, itself a legal cell text."""
    normal = normalise(cell)
    texts: list[str] = []

    def label(colours: _Colours) -> None:
        ties = [(c, names) for c, names in colours.classes().items() if len(names) > 1]
        if not ties:
            texts.append(_Writer(normal, colours).write())
            return
        for name in sorted(min(ties)[1]):
            label(colours.individualised(name))
            if len(texts) >= MAX_LABELLINGS:
                return

    label(_Colours(normal))
    return min(texts)


def content_key(cell: Cell) -> str:
    """Gives the content key: the sha256 of the canonical text, 64 hex digits."""
    return hashlib.sha256(cell.canonical_text.encode()).hexdigest()
