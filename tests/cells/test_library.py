"""The library: every cell cites its source, and its equations are those of the papers."""

from importlib import resources

import numpy as np
import pytest
from support import oracle

from odyssey.cells import LIBRARY, library_cell
from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.expr.shapes import infer_shapes

UNITS, INPUTS, STEPS, BATCH = 4, 3, 5, 2


@pytest.mark.parametrize("name", LIBRARY)
def test_a_file_is_in_normal_layout_and_cites(name):
    cell = library_cell(name)
    assert cell.name == name
    assert len(cell.citation) > 20
    assert cell.lineage == ()
    file = resources.files("odyssey.cells").joinpath(f"{name}.cell")
    assert file.read_text("utf-8") == cell.text


def test_every_file_is_listed():
    files = {f.name for f in resources.files("odyssey.cells").iterdir() if f.name.endswith(".cell")}
    assert files == {f"{name}.cell" for name in LIBRARY}


def test_an_unknown_name_is_refused():
    with pytest.raises(CellError, match="no cell called 'lstn'; closest: lstm"):
        library_cell("lstn")


def count(cell, *, m, n):
    shapes, size = infer_shapes(cell), {"I": m, "H": n}
    matrices = sum(size[a] * size[b] for a, b in shapes.matrices.values())
    return matrices + sum(size[a] for a in shapes.vectors.values())


def sigma(a):
    return 1 / (1 + np.exp(-a))


class Textbook:
    """The papers' equations, written down once more, by hand, on row vectors.

    A method takes the input and the states, and gives the new states. `W_` maps the input and `U_`
    a state; what else it reads of `self.v` is a vector.
    """

    def __init__(self, values):
        self.v = values

    def pre(self, k, x, s, *, bias=True):
        return x @ self.v[f"W_{k}"].T + s @ self.v[f"U_{k}"].T + (self.v[f"b_{k}"] if bias else 0)

    def elman(self, x, h):
        return (np.tanh(self.pre("h", x, h)),)

    def elman_relu(self, x, h):
        return (np.maximum(self.pre("h", x, h), 0),)

    def lstm(self, x, h, c, *, out=sigma):
        i, f, o = sigma(self.pre("i", x, h)), sigma(self.pre("f", x, h)), out(self.pre("o", x, h))
        c = f * c + i * np.tanh(self.pre("g", x, h))
        return o * np.tanh(c), c

    def lstm_jozefowicz(self, x, h, c):
        return self.lstm(x, h, c, out=np.tanh)

    def lstm_peephole(self, x, h, c):
        i = sigma(self.pre("i", x, h) + self.v["p_i"] * c)
        f = sigma(self.pre("f", x, h) + self.v["p_f"] * c)
        c = f * c + i * np.tanh(self.pre("g", x, h))
        o = sigma(self.pre("o", x, h) + self.v["p_o"] * c)
        return o * np.tanh(c), c

    def gru(self, x, h):
        r, z = sigma(self.pre("r", x, h)), sigma(self.pre("z", x, h))
        return (z * h + (1 - z) * np.tanh(self.pre("n", x, r * h)),)

    def gru_torch(self, x, h):
        r, z = sigma(self.pre("r", x, h)), sigma(self.pre("z", x, h))
        recurrent = h @ self.v["U_n"].T + self.v["d_n"]
        n = np.tanh(x @ self.v["W_n"].T + self.v["b_n"] + r * recurrent)
        return ((1 - z) * n + z * h,)

    def mut1(self, x, h):
        z = sigma(x @ self.v["W_z"].T + self.v["b_z"])
        r = sigma(self.pre("r", x, h))
        n = np.tanh((r * h) @ self.v["U_h"].T + np.tanh(x) + self.v["b_h"])
        return (n * z + h * (1 - z),)

    def mut2(self, x, h):
        z = sigma(self.pre("z", x, h))
        r = sigma(x + h @ self.v["U_r"].T + self.v["b_r"])
        return (np.tanh(self.pre("h", x, r * h)) * z + h * (1 - z),)

    def mut3(self, x, h):
        z, r = sigma(self.pre("z", x, np.tanh(h))), sigma(self.pre("r", x, h))
        return (np.tanh(self.pre("h", x, r * h)) * z + h * (1 - z),)

    def mgu(self, x, h):
        f = sigma(self.pre("f", x, h))
        return ((1 - f) * h + f * np.tanh(self.pre("n", x, f * h)),)

    def ugrnn(self, x, h):
        g = sigma(self.pre("g", x, h) + 1)
        return (g * h + (1 - g) * np.tanh(self.pre("n", x, h)),)


def test_the_textbook_is_complete():
    missing = [name for name in LIBRARY if not hasattr(Textbook, name)]
    assert not missing, "write the equations of the paper as a method of Textbook"


class Read(dict):
    """Weights that note which of them were read."""

    def __init__(self, values):
        super().__init__(values)
        self.names = set()

    def __getitem__(self, name):
        self.names.add(name)
        return super().__getitem__(name)


def drawn(cell, rng):
    """Draws weights of a cell, and an input."""
    shapes = infer_shapes(cell)
    size = {"I": UNITS if shapes.square else INPUTS, "H": UNITS}
    values = {n: rng.normal(size=[size[a] for a in s]) for n, s in shapes.matrices.items()}
    values |= {n: rng.normal(size=size[a]) for n, a in shapes.vectors.items()}
    return values, rng.normal(size=(STEPS, BATCH, size["I"]))


@pytest.mark.parametrize("name", LIBRARY)
def test_parameter_counts(name):
    cell = library_cell(name)
    values, x = drawn(cell, np.random.default_rng(5))
    read = Read(values)
    getattr(Textbook(read), name)(x[0], *[np.zeros((BATCH, UNITS)) for _ in cell.states])
    m = 7 if infer_shapes(cell).square else 5
    sizes = {"W": 7 * m, "U": 49}
    assert count(cell, m=m, n=7) == sum(sizes.get(weight[0], 7) for weight in read.names)


@pytest.mark.parametrize("name", LIBRARY)
def test_equations_are_those_of_the_papers(name):
    cell = library_cell(name)
    rng = np.random.default_rng(3)
    values, x = drawn(cell, rng)
    state = tuple(rng.normal(size=(BATCH, UNITS)) for _ in cell.states)
    got, final = oracle.run(cell.text, values, x, dict(zip(cell.states, state, strict=True)))
    step = getattr(Textbook(values), name)
    for t in range(STEPS):
        state = step(x[t], *state)
        np.testing.assert_allclose(got[t], state[0], rtol=1e-12, atol=1e-13)
    for expected, found in zip(state, final.values(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", LIBRARY)
def test_the_canonical_text_computes_the_same_under_its_own_names(name):
    canonical = parse_cell(library_cell(name).canonical_text)
    assert canonical.fingerprint == library_cell(name).fingerprint
    assert count(canonical, m=7, n=7) == count(library_cell(name), m=7, n=7)
