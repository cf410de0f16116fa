"""Canonical form and content key: equal for cells that are the same up to names and algebra.

Three steps, none of which calls sympy's simplifier (seconds to minutes a cell):

1. `algebra.normalise` inlines the named equations and turns every value into a polynomial over
   atoms, with exact rational coefficients. Sums, products and blends become one form;
   `sigmoid(-z) -> 1 - sigmoid(z)`, odd and even functions lose their sign,
   `W @ (a + b) -> W @ a + W @ b`. Where only names tell z from -z, as in `tanh(a - b)`, both
   signs are tried and the smallest text is taken. Dead equations vanish, states that always hold
   the same value are merged.
2. `_Colours` tells parameters and states apart by where they are used (colour refinement, with
   individualisation where that leaves ties), so that names do not matter.
3. `_Writer` prints the result as a legal cell text with names given in order of appearance. The
   key is the sha256 of that text; two cells with one key are the same function by construction.

Rewrites that are not found here (such as `tanh(z) = 2*sigmoid(2*z) - 1`) are what
`fingerprint.py` is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from fractions import Fraction

from odyssey.expr.algebra import Monomial, Normal, Poly, digest, normalise
from odyssey.expr.cell import Cell
from odyssey.expr.text import format_init
from odyssey.expr.verify import LARGEST

MAX_LABELLINGS = 32  # labellings tried where colour refinement leaves ties
MAX_TIES = 4  # sums such as a - b, whose sign only names tell, for which both signs are tried


class _Colours:
    """Colours of parameters, states and atoms: equal where position cannot tell them apart."""

    def __init__(self, normal: Normal) -> None:
        self.normal = normal
        self.names: dict[str, str] = {}
        for name in normal.names("vector", "matmul"):
            init = normal.inits.get(name)
            how = format_init(init) if init and not init.source else ("copy" if init else "")
            self.names[f"p:{name}"] = digest("parameter", how)
        for state in normal.updates:
            self.names[f"s:{state}"] = digest("state")
        self.down: dict[int, str] = {}
        self.refine()

    def poly(self, poly: Poly) -> str:
        """Colour of a polynomial."""
        return digest(sorted((self.monomial(m), str(c)) for m, c in poly))

    def monomial(self, monomial: Monomial) -> str:
        """Colour of a monomial."""
        return digest(sorted((self.down[a], p) for a, p in monomial))

    def _atom(self, atom: int) -> str:
        kind, name, children = self.normal.atoms.rows[atom]
        key = {"state": f"s:{name}", "vector": f"p:{name}", "matmul": f"p:{name}"}.get(kind)
        own = self.names[key] if key else name
        return digest(kind, own, sorted(self.poly(c) for c in children))

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
                        digest(context, whole, str(coefficient), self.down[atom], power)
                    )

        pass_down(self.normal.output, "output")
        for state, poly in self.normal.updates.items():
            pass_down(poly, self.names[f"s:{state}"])
            places[f"s:{state}"].append(self.poly(poly))
        for atom in reversed(self.normal.live):
            kind, name, children = rows[atom]
            context = digest(self.down[atom], sorted(above[atom]))
            if kind in ("state", "vector", "matmul"):
                places[f"{'s' if kind == 'state' else 'p'}:{name}"].append(context)
            for child in children:
                pass_down(child, context)
        for name, init in self.normal.inits.items():
            if init.source:
                places[f"p:{name}"].append(self.names[f"p:{init.source}"])
                places[f"p:{init.source}"].append("copied by " + self.names[f"p:{name}"])
        self.names = {n: digest(c, sorted(places[n])) for n, c in self.names.items()}

    def individualised(self, name: str) -> _Colours:
        """Gives a copy in which one name is told apart from its class."""
        copy = object.__new__(_Colours)
        copy.normal, copy.down = self.normal, dict(self.down)
        copy.names = {n: (digest(c, "chosen") if n == name else c) for n, c in self.names.items()}
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
        self.powers: dict[tuple[str, int], str] = {}
        self.waiting: list[str] = []
        self.monomials = {m: colours.monomial(m) for m in self._all_monomials()}

    def _all_monomials(self) -> Iterable[Monomial]:
        polys = [self.normal.output, *self.normal.updates.values()]
        polys += [child for a in self.normal.live for child in self.normal.atoms.rows[a][2]]
        return {m for poly in polys for m, _ in poly}

    def write(self) -> str:
        output = self.poly(self.normal.output)
        self.lines.append(f"y = {output}")
        for state in self.waiting:  # grows while states are named
            update = self.poly(self.normal.updates[state])
            self.lines.append(f"{self.given['s:' + state]}[t] = {update}")
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
        """Prints a polynomial after the lines for what it holds."""
        todo = [(atom, False) for atom in reversed(self.ordered(poly))]
        while todo:  # not recursive: chains of equations may be hundreds long
            atom, ready = todo.pop()
            if ready:
                self.texts[atom] = self.atom(atom)
            elif atom not in self.texts:
                todo.append((atom, True))
                children = [a for c in self.children(atom) for a in self.ordered(c)]
                todo += [(a, False) for a in reversed(children) if a not in self.texts]
        return self.sum(poly)

    def terms(self, poly: Poly) -> list[tuple[Monomial, Fraction]]:
        return sorted(poly, key=lambda term: (self.monomials[term[0]], term[1]))

    def factors(self, monomial: Monomial) -> list[tuple[int, int]]:
        return sorted(monomial, key=lambda f: (self.colours.down[f[0]], f[1]))

    def ordered(self, poly: Poly) -> list[int]:
        return [atom for m, _ in self.terms(poly) for atom, _ in self.factors(m)]

    def children(self, atom: int) -> list[Poly]:
        return sorted(self.normal.atoms.rows[atom][2], key=self.colours.poly)

    def sum(self, poly: Poly) -> str:
        text = ""
        for monomial, coefficient in self.terms(poly):
            term = self.term(monomial, abs(coefficient))
            if text:
                text += f" - {term}" if coefficient < 0 else f" + {term}"
            else:
                text = f"-{term}" if coefficient < 0 else term
        return text or "0"

    def term(self, monomial: Monomial, size: Fraction) -> str:
        above, below = [], []
        if size.numerator != 1:
            above.append(_integer(size.numerator))
        if size.denominator != 1:
            below.append(_integer(size.denominator))
        for atom, power in self.factors(monomial):
            (above if power > 0 else below).extend(self.power(self.texts[atom], abs(power)))
        return " / ".join([" * ".join(above) or "1", *below])

    def power(self, base: str, power: int) -> list[str]:
        """Gives the factors of a power; high ones by squares, so that none prints long."""
        if power <= 3:
            return [base] * power
        if (base, power) not in self.powers:
            half = " * ".join(self.power(base, power // 2))
            self.powers[base, power] = self.line(f"square({half})")
        return [self.powers[base, power]] + [base] * (power % 2)

    def line(self, text: str) -> str:
        self.counts["e"] += 1
        name = f"e{self.counts['e']}"
        self.lines.append(f"{name} = {text}")
        return name

    def atom(self, atom: int) -> str:
        kind, name, _ = self.normal.atoms.rows[atom]
        if kind == "input":
            return "x[t]"
        if kind == "state":
            return self.name(f"s:{name}", "s") + "[t-1]"
        if kind == "vector":
            return self.name(f"p:{name}", "v")
        inside = [self.sum(child) for child in self.children(atom)]
        if kind == "matmul":
            text = f"{self.name(f'p:{name}', 'W')} @ ({inside[0]})"
        elif kind == "call":
            text = f"{name}({', '.join(inside)})"
        elif kind == "reciprocal":
            text = f"1 / ({inside[0]})"
        else:
            text = inside[0]
        return self.line(text)


def _integer(value: int) -> str:
    """Prints an integer of any size by constants that the language allows."""
    digits = []
    while value >= LARGEST:
        value, low = divmod(value, LARGEST)
        digits.append(low)
    text = str(value)
    for low in reversed(digits):
        text = f"({text} * {LARGEST} + {low})"
    return text


def canonical_text(cell: Cell) -> str:
    """Prints the canonical form of a cell, itself a legal cell text."""
    texts: list[str] = []
    signs, ties = 0, 0
    while signs < 2**ties or not texts:
        normal = normalise(cell, signs=signs)
        ties = min(MAX_TIES, max(ties, len(normal.atoms.ties)))
        texts.append(_first_labelling(normal))
        signs += 1
    return min(texts)


def _first_labelling(normal: Normal) -> str:
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
