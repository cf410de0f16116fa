"""Random legal cells, for property tests of the language and of every backend.

`random_cell(rng, size=n)` draws a cell of about n operations: all functions, maps of the input,
of states and of intermediates, maps with rows of input size, peepholes, tied weights, dead
equations, delay lines, sometimes a bare `x` (then the cell is square) and `init` lines. Products
have a bounded factor, states are squashed or blended, divisors stay away from zero: the values of
a few steps with ordinary weights stay tame, so that derivatives can be checked numerically.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from odyssey.errors import CellError
from odyssey.expr import Cell, parse_cell
from odyssey.expr.forms import LANGUAGE
from odyssey.expr.primitives import PRIMITIVES

SQUASHED = ("sigmoid({})", "tanh({})", "sin({})", "exp(-square({}))", "1 / (1 + square({}))")
TAMED = {"exp": "exp(tanh({}))"}  # grows too fast as it is
TAMED |= {n: f"{n}(1 + square({{}}))" for n, row in LANGUAGE.items() if row.edge == "end"}
# what has another gradient than its slope
WITHOUT_SLOPE = {name for name, row in PRIMITIVES.items() if row.surrogate}


def _written(arity: int) -> list[str]:
    """Every function of the language that is not listed here in another form."""
    listed = {form.partition("(")[0] for form in SQUASHED}
    slots = ", ".join(["{}"] * arity)
    return [
        f"{name}({slots})"
        for name, row in LANGUAGE.items()
        if row.arity == arity and name not in listed | set(TAMED) | WITHOUT_SLOPE
    ]


UNARY = (*SQUASHED, *_written(1), *TAMED.values(), "-({})", "0.5 * ({})", "({}) - 0.25")
BINARY = (
    "{} + {}",
    "{} + {}",
    "{} - ({})",
    *_written(2),
    "({}) / (1 + abs({}))",
    "({}) / (2 + sin({}))",
)
NAMES = ("i", "f", "o", "g", "n", "r", "z", "a1", "a2", "a3", "q", "k")


class _Draft:
    """Writes the text of one random cell; it need not be legal."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        self.left = size
        self.states = ["h", "c", "m"][: int(rng.integers(1, 4))]
        self.bare = rng.random() < 0.15
        self.matrices: dict[str, list[str]] = {"x": [], "s": []}  # by what they map
        self.vectors: dict[str, list[str]] = {"x": [], "s": []}
        self.readable = [f"{s}[t-1]" for s in self.states]
        self.lines: list[str] = []

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def choose(self, options: list[str] | tuple[str, ...]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def parameter(self, names: dict[str, list[str]], size: str, letters: str) -> str:
        if names[size] and self.chance(0.15):
            return self.choose(names[size])  # tied
        count = sum(map(len, [*self.matrices.values(), *self.vectors.values()]))
        names[size].append(f"{self.choose(tuple(letters))}_{count}")
        return names[size][-1]

    def input(self) -> str:
        """A value of input size."""
        kind = self.rng.random()
        if kind < 0.75:
            return "x[t]"
        self.left -= 1
        if kind < 0.85:
            return self.choose(SQUASHED).format("x[t]")
        if kind < 0.95:
            return f"({self.parameter(self.vectors, 'x', 'uv')} * x[t])"
        # a map with rows of input size, so never tied
        matrix = f"R_{len(self.matrices['s'])}_{len(self.lines)}_{self.left % 97}"
        return f"(sigmoid({matrix} @ {self.choose(self.readable)}) * x[t])"

    def leaf(self) -> str:
        kind = self.rng.random()
        if kind < 0.3:
            self.left -= 1
            return f"{self.parameter(self.matrices, 'x', 'WV')} @ {self.input()}"
        if kind < 0.6:
            self.left -= 1
            return f"{self.parameter(self.matrices, 's', 'UQ')} @ {self.choose(self.readable)}"
        if kind < 0.7:
            self.left -= 1
            return f"{self.parameter(self.vectors, 's', 'p')} * {self.choose(self.readable)}"
        if kind < 0.8:
            return self.parameter(self.vectors, "s", "b")
        if self.bare and kind < 0.9:
            return "x[t]"
        return self.choose(self.readable)

    def value(self, depth: int = 0) -> str:
        """A value of hidden size."""
        if self.left <= 0 or depth > 6 or self.chance(0.1):
            return f"({self.leaf()})"
        self.left -= 1
        kind = self.rng.random()
        if kind < 0.35:
            return f"({self.choose(UNARY).format(self.value(depth + 1))})"
        if kind < 0.65:
            one, other = self.value(depth + 1), self.value(depth + 1)
            return f"({self.choose(BINARY).format(one, other)})"
        if kind < 0.8:
            return f"({self.squashed(depth)} * {self.value(depth + 1)})"
        if kind < 0.88:
            matrix = self.parameter(self.matrices, "s", "UQ")
            return f"({matrix} @ {self.value(depth + 1)})"  # a stage
        return self.blend(depth)

    def squashed(self, depth: int) -> str:
        self.left -= 1
        return f"({self.choose(SQUASHED).format(self.value(depth + 1))})"

    def blend(self, depth: int) -> str:
        gate = self.squashed(depth)
        one, other = self.value(depth + 1), self.value(depth + 1)
        return f"({gate} * {one} + (1 - {gate}) * {other})"

    def update(self, state: str) -> str:
        kind = self.rng.random()
        if kind < 0.45:
            return self.squashed(0)
        if kind < 0.8:
            return f"{self.squashed(0)} * {state}[t-1] + {self.squashed(0)} * {self.squashed(0)}"
        if kind < 0.95:
            gate = self.squashed(0)
            return f"{state}[t-1] + {gate} * ({self.squashed(0)} - {state}[t-1])"
        return self.choose([f"{s}[t-1]" for s in self.states])  # a delay line

    def text(self) -> str:
        names = list(self.rng.permutation(NAMES))
        order = list(self.rng.permutation(self.states))
        for state in order:
            while names and self.left > 4 and self.chance(0.6):
                name = str(names.pop())
                self.lines.append(
                    f"{name} = {self.squashed(0) if self.chance(0.5) else self.value()}"
                )
                if self.chance(0.85):  # else it is dead
                    self.readable.append(name)
            self.lines.append(f"{state}[t] = {self.update(state)}")
            self.readable.append(f"{state}[t]")
        output = self.choose(order)
        if self.chance(0.2):
            self.lines.append(f"y = {self.squashed(0)} * {output}[t]")
            output = "y"
        lines = ["cell random", "input x", f"state {', '.join(self.states)}", *self.lines]
        if self.chance(0.3):
            lines += self.inits()
        return "\n".join([*lines, f"output {output}"]) + "\n"

    def inits(self) -> list[str]:
        vectors = self.vectors["s"]
        found = [
            f"init {name} = {self.choose(('orthogonal', 'orthogonal(0.5)', 'uniform(0.1)'))}"
            for name in self.matrices["x"][:1]
        ]
        found += [
            f"init {name} = {self.choose(('1', '-0.5', 'normal(0.1)', 'chrono(50)'))}"
            for name in vectors[:1]
        ]
        if len(vectors) > 1 and self.chance(0.5):
            found.append(f"init {vectors[1]} = -{vectors[0]}")
        return found


def random_cell(rng: np.random.Generator, *, size: int) -> Cell:
    """Draws a legal cell of about `size` operations; what is not legal is drawn again."""
    return _first_legal(lambda: _Draft(rng, size))


def _first_legal(draft: Callable[[], _Draft], *, further: bool = False) -> Cell:
    """Drafts cells until one is legal, and reads inputs besides x if it is to."""
    for _ in range(1000):
        try:
            cell = parse_cell(draft().text())
        except CellError:
            continue
        if cell.further_inputs or not further:
            return cell
    raise AssertionError("no legal cell in 1000 draws")


def cells(*, max_size: int = 25) -> st.SearchStrategy[Cell]:
    """A hypothesis strategy of random legal cells."""
    return st.builds(
        lambda seed, size: random_cell(np.random.default_rng(seed), size=size),
        st.integers(0, 2**32 - 1),
        st.integers(3, max_size),
    )


WIDE_SIZES = ("2 * H", "H / 2", "3", "3 * I / 2", "1")
SCALARS = (
    "mean({})",
    "sum({}) / (2 + sum(abs({})))",
    "tanh(max({}))",
    "max({}) - mean({})",
)


class _WideDraft(_Draft):
    """A random cell with declared sizes, reductions, transposes, constants, delays and starts."""

    def __init__(
        self, rng: np.random.Generator, size: int, *, matrices: bool, properties: bool
    ) -> None:
        super().__init__(rng, size)
        self.properties = properties
        self.sizes = {f"R{n}": self.choose(WIDE_SIZES) for n in range(int(rng.integers(1, 3)))}
        self.sized: dict[str, list[str]] = {name: [] for name in self.sizes}
        self.square: list[str] = []  # matrices (H, H)
        self.scalars: list[str] = []
        self.wide_states = {
            f"w{n}": self.choose(list(self.sizes)) for n in range(int(rng.integers(0, 2)))
        }
        for name, of in self.wide_states.items():
            self.sized[of].append(f"{name}[t-1]")
        self.fresh = 0
        self.memory = self.choose(list(self.sizes)) if matrices and self.chance(0.4) else ""

    def new(self, letter: str) -> str:
        self.fresh += 1
        return f"{letter}x{self.fresh}"

    def wide(self, size: str) -> str:
        """A value of a declared size."""
        if self.sized[size] and self.chance(0.4):
            return self.choose(self.sized[size])
        if self.chance(0.3):
            return f"({self.new('V')} @ ({self.input()}))"
        return f"({self.new('V')} @ {self.choose(self.readable)})"

    def equation(self) -> None:
        """Adds an equation of a declared size, or of one number."""
        size = self.choose(list(self.sizes))
        name = self.new("q")
        scalar = f"{self.scalar()} * " if self.chance(0.3) else ""
        form = self.choose(SQUASHED)
        self.lines.append(f"{name} : {size} = {scalar}({form.format(self.wide(size))})")
        self.sized[size].append(name)

    def scalar(self) -> str:
        """One number a row."""
        if self.chance(0.2):
            name = self.new("a")
            self.scalars.append(name)
            return f"tanh({name})"
        size = self.choose(list(self.sizes))
        inside = self.wide(size) if self.chance(0.4) else self.choose(self.readable)
        form = self.choose(SCALARS)
        return f"({form.format(*[inside] * form.count('{}'))})"

    def leaf(self) -> str:
        kind = self.rng.random()
        if kind < 0.6:
            return super().leaf()
        self.left -= 1
        if self.memory and kind < 0.66:
            if self.chance(0.5):
                return f"(MM[t-1] @ {self.wide(self.memory)})"
            return f"(tanh(across(MM[t-1])) * {self.choose(self.readable)})"
        if kind < 0.7:
            return f"{self.new('P')} @ {self.wide(self.choose(list(self.sizes)))}"
        if kind < 0.8:
            if not self.square:
                self.square.append(self.new("S"))
            one = self.choose(self.square)
            turned = ".T" if self.chance(0.7) else ""
            return f"{one}{turned} @ {self.choose(self.readable)}"
        if kind < 0.88:
            return f"({self.scalar()} * {self.choose(self.readable)})"
        if kind < 0.93:
            form = self.choose(("cumsum", "softmax", "cumax", "layer_norm", "rms_norm"))
            return f"(dt * {form}({self.choose(self.readable)}))"
        if kind < 0.97:
            return f"{self.choose(self.states)}[t-{int(self.rng.integers(2, 4))}]"
        return f"{self.new('W')} @ x[t-{int(self.rng.integers(1, 3))}]"

    def declared(self) -> list[str]:
        """Properties of some weights; a cell for which they are none is drawn again."""
        every = [*self.matrices["s"], *self.matrices["x"], *self.vectors["s"]]
        chosen = [name for name in every if self.chance(0.2)]
        found = [f"weight {name} : {self.choose(('nonnegative', 'frozen'))}" for name in chosen]
        of_square = ("orthogonal", "symmetric", "antisymmetric", "lower", "heads(2)")
        for name in (*self.square, *self.matrices["s"]):
            if name not in chosen and self.chance(0.5):
                found.append(f"weight {name} : {self.choose(of_square)}")
        return found

    def text(self) -> str:
        self.equation()
        base = super().text().splitlines()
        name = base.index(f"state {', '.join(self.states)}")
        head = [f"size {name} = {size}" for name, size in self.sizes.items()]
        head.append("const dt = 0.125")
        tail = []
        for state, size in self.wide_states.items():
            tail.append(f"{state}[t] = tanh({self.wide(size)} + {state}[t-1])")
        states = [f"state {s} : {size}" for s, size in self.wide_states.items()]
        if self.memory:
            states.append(f"state MM : H, {self.memory}")
            keep, put = (
                self.scalar(),
                f"outer({self.choose(self.readable)}, {self.wide(self.memory)})",
            )
            back = (
                f"column(tanh(MM[t-1] @ {self.wide(self.memory)}))" if self.chance(0.3) else "0.5"
            )
            if self.chance(0.5):  # a weight that is used number by number
                back = f"{back} * tanh(AA)"
            tail.append(f"MM[t] = tanh({keep}) * MM[t-1] * {back} + {put}")
        weights = [f"weight {name} : 1" for name in self.scalars]
        if any("AA" in line for line in tail):
            weights.append(f"weight AA : H, {self.memory}")
        weights += self.declared() if self.properties else []
        starts = []
        if self.chance(0.3):
            starts.append(f"start {self.states[0]} = {self.choose(('0.5', '-1', 'h0'))}")
        output = base.pop()
        used = "\n".join([*base, *tail, *states])
        head = [line for line in head if line.split()[1] in used]
        lines = [*base[:name], *head, base[name], *states, *weights, *base[name + 1 :]]
        inits = [i for i, line in enumerate(lines) if line.startswith("init ")]
        end = inits[0] if inits else len(lines)
        return "\n".join([*lines[:end], *tail, *starts, *lines[end:], output]) + "\n"


def random_wide_cell(
    rng: np.random.Generator, *, size: int, matrices: bool = False, properties: bool = False
) -> Cell:
    """Draws a legal cell with sizes, reductions, transposes, constants, delays and starts.

    With `matrices`, some have a state that is a matrix; with `properties`, some weights have one.
    """
    return _first_legal(lambda: _WideDraft(rng, size, matrices=matrices, properties=properties))


class _FurtherDraft(_WideDraft):
    """A random cell with one to three further inputs, mapped, elementwise and late."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        super().__init__(rng, size, matrices=False, properties=False)
        sizes = ("1", "1", "3", "I", "2 * I")
        names = ("gap", "seen", "context")[: int(rng.integers(1, 4))]
        self.further = {name: self.choose(sizes) for name in names}

    def input(self) -> str:
        masks = [name for name, size in self.further.items() if size in ("1", "I")]
        if masks and self.chance(0.3):
            return f"({self.choose(masks)}[t] * x[t])"
        return super().input()

    def leaf(self) -> str:
        kind = self.rng.random()
        if kind < 0.55:
            return super().leaf()
        self.left -= 1
        name = self.choose(list(self.further))
        when = "[t]" if self.chance(0.85) else f"[t-{int(self.rng.integers(1, 3))}]"
        if self.further[name] == "1" and kind < 0.8:
            decay = f"exp(-square({self.new('u')} * {name}{when}))"
            return f"({decay} * {self.choose(self.readable)})"
        inside = f"tanh({name}{when})" if self.chance(0.3) else f"{name}{when}"
        return f"{self.new('V')} @ {inside}"

    def text(self) -> str:
        text = super().text()
        lines = text.splitlines()
        place = next(k for k, line in enumerate(lines) if line.startswith("state "))
        head = [f"input {n} : {s}" for n, s in self.further.items() if f"{n}[t" in text]
        return "\n".join([*lines[:place], *head, *lines[place:]]) + "\n"


def random_further_cell(rng: np.random.Generator, *, size: int) -> Cell:
    """Draws a legal cell that reads inputs besides x."""
    return _first_legal(lambda: _FurtherDraft(rng, size), further=True)
