"""Prints a normal form (`algebra.Normal`) so that the names in the cell do not matter.

`_Colours` tells parameters and states apart by where they are used (colour refinement, with
individualisation where that leaves ties). `_Writer` prints a cell text with names given in order of
appearance.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction

from odyssey.expr.algebra import MAP_KINDS, NAMELESS, Monomial, Normal, Poly, digest
from odyssey.expr.equations import Start
from odyssey.expr.initial import format_init
from odyssey.expr.limits import LARGEST
from odyssey.expr.sizes import PLAIN, UNITS, format_size
from odyssey.expr.terms import format_number

MAX_CLASS = 128  # names that look alike, of more than these the order is not looked for
MAX_LABELLINGS = 32  # labellings tried where colour refinement leaves ties


class _Colours:
    """Colours of parameters, states and atoms: equal where position cannot tell them apart."""

    def __init__(self, normal: Normal) -> None:
        self.normal = normal
        self.names: dict[str, str] = {}
        for name in normal.parameters:
            init = normal.inits.get(name)
            how = format_init(init) if init and not init.source else ("copy" if init else "")
            special = (*special_sizes(normal, name), *normal.properties.get(name, ()))
            self.names[f"p:{name}"] = digest("parameter", how, *special)
        for state in normal.updates:
            start, size = normal.starts.get(state), normal.shapes.states[state]
            own = ([str(start.value)] if start else []) + ([size] if size != UNITS else [])
            self.names[f"s:{state}"] = digest("state", *own)
        self.down: dict[int, str] = {}
        self._monomials: dict[Monomial, str] = {}  # of the present colours of atoms
        self.refine()

    def poly(self, poly: Poly) -> str:
        """Colour of a polynomial."""
        return digest(sorted((self.monomial(m), str(c)) for m, c in poly))

    def monomial(self, monomial: Monomial) -> str:
        """Colour of a monomial."""
        if monomial not in self._monomials:
            self._monomials[monomial] = digest(sorted((self.down[a], p) for a, p in monomial))
        return self._monomials[monomial]

    def _atom(self, atom: int) -> str:
        kind, name, children = self.normal.atoms.rows[atom]
        own = self.names[f"{'s' if kind == 'state' else 'p'}:{name}"] if kind in NAMELESS else name
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
            self._monomials.clear()
            for atom in self.normal.live:  # children first: a monomial's atoms have their colours
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
            if kind in NAMELESS:
                places[f"{'s' if kind == 'state' else 'p'}:{name}"].append(context)
            for child in children:
                pass_down(child, context)
        for name, init in self.normal.inits.items():
            if init.source:
                places[f"p:{name}"].append(self.names[f"p:{init.source}"])
                places[f"p:{init.source}"].append("copied by " + self.names[f"p:{name}"])
        for state, start in self.normal.starts.items():
            if start.weight:
                places[f"s:{state}"].append(self.names[f"p:{start.weight}"])
                places[f"p:{start.weight}"].append("start of " + self.names[f"s:{state}"])
        self.names = {n: digest(c, sorted(places[n])) for n, c in self.names.items()}

    def individualised(self, *chosen: str) -> _Colours:
        """Gives a copy in which names are told apart from their class, in the order given."""
        copy = object.__new__(_Colours)
        copy.normal, copy.down, copy._monomials = self.normal, dict(self.down), {}
        colours = {n: digest(self.names[n], *["chosen"] * (k + 1)) for k, n in enumerate(chosen)}
        copy.names = self.names | colours
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
        return {m for poly in self.normal.polys for m, _ in poly}

    def write(self) -> str:
        output = self.poly(self.normal.output)
        self.lines.append(f"y = {output}")
        for state in self.waiting:  # grows while states are named
            update = self.poly(self.normal.updates[state])
            self.lines.append(f"{self.given['s:' + state]}[t] = {update}")
        starts = [
            f"start {self.given['s:' + s]} = {self.start(start)}"
            for s, start in sorted(
                self.normal.starts.items(), key=lambda item: self.waiting.index(item[0])
            )
        ]
        inputs = self.normal.shapes.inputs
        further = [n for n in self.normal.names("input") if n in inputs]
        header = ["cell canonical", "input x"]
        header += [f"input {name} : {format_size(inputs[name])}" for name in further]
        header += self.states()
        if not self.waiting:
            header.append("not recurrent")
        for key, name in self.given.items():
            own = key.removeprefix("p:")
            if not key.startswith("p:"):
                continue
            sizes = special_sizes(self.normal, own)
            # of a matrix, the sizes of what it gives say its shape
            said = [format_size(s) for s in sizes] if len(sizes) == 1 else []
            said += self.normal.properties.get(own, ())
            if said:
                header.append(f"weight {name} : {', '.join(said)}")
        parameters = {n.removeprefix("p:"): g for n, g in self.given.items() if n.startswith("p:")}
        inits = sorted(
            f"init {parameters[name]} = "
            + (f"-{parameters[init.source]}" if init.source else format_init(init))
            for name, init in self.normal.inits.items()
        )
        return "\n".join([*header, *self.lines, *sorted(starts), *inits, "output y"]) + "\n"

    def states(self) -> list[str]:
        """Prints the states in order, those of one size on one line."""
        sizes = self.normal.shapes.states
        lines = []
        for size, group in itertools.groupby(self.waiting, lambda s: sizes[s]):
            names = f"state {', '.join(self.given['s:' + s] for s in group)}"
            lines.append(names if size == UNITS else f"{names} : {format_size(size)}")
        return lines

    def start(self, start: Start) -> str:
        """Prints what a state starts at."""
        if start.weight:
            return self.name(f"p:{start.weight}", "v")
        return format_number(float(start.value))

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

    def line(self, text: str, size: str = "") -> str:
        self.counts["e"] += 1
        name = f"e{self.counts['e']}"
        self.lines.append(f"{name} : {format_size(size)} = {text}" if size else f"{name} = {text}")
        return name

    def atom(self, atom: int) -> str:
        kind, name, _ = self.normal.atoms.rows[atom]
        if kind == "input":
            return f"{name}[t]"
        if kind == "state":
            return self.name(f"s:{name}", "s") + "[t-1]"
        if kind == "vector":
            return self.name(f"p:{name}", "v")
        inside = [self.sum(child) for child in self.children(atom)]
        if kind in MAP_KINDS:
            mark = ".T" if kind == "transposed" else ""
            text = f"{self.name(f'p:{name}', 'W')}{mark} @ ({inside[0]})"
            size = self.normal.atoms.sizes[atom]
            return self.line(text, "" if size in PLAIN else size)
        elif kind == "call":
            text = f"{name}({', '.join(inside)})"
        elif kind == "reciprocal":
            text = f"1 / ({inside[0]})"
        else:
            text = inside[0]
        return self.line(text)


def special_sizes(normal: Normal, parameter: str) -> tuple[str, ...]:
    """Gives the sizes of a parameter if one of them is neither I nor H."""
    shapes = normal.shapes
    vector = shapes.vectors.get(parameter)
    sizes = (vector,) if vector else shapes.matrices[parameter]
    return sizes if set(sizes) - set(PLAIN) else ()


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


def print_normal(normal: Normal) -> tuple[str, bool]:
    """Prints a normal form as cell text, without regard to the limits of the language.

    Returns:
        The least text over all labellings of what position cannot tell apart, and whether all
        of them were tried.
    """
    texts: list[str] = []
    complete = True

    def label(colours: _Colours) -> None:
        nonlocal complete
        ties = [(c, names) for c, names in colours.classes().items() if len(names) > 1]
        if not ties:
            texts.append(_Writer(normal, colours).write())
            return
        names = sorted(min(ties)[1])
        if len(names) > MAX_CLASS:
            complete = False
            label(colours.individualised(*names))
            return
        for name in names:
            if len(texts) >= MAX_LABELLINGS:
                complete = False
                return
            label(colours.individualised(name))

    label(_Colours(normal))
    return min(texts), complete
