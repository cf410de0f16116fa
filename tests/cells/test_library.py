"""The library: every cell cites its source, and its equations are those of the papers."""

import math
from importlib import resources

import numpy as np
import pytest
from support import oracle
from support.textbook import SIZES, Textbook

from odyssey.cells import (
    CHECKED,
    FAMILIES,
    LIBRARY,
    LibraryEntry,
    _read_entry,
    library_cell,
    library_entry,
)
from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.expr.initial import draw_init
from odyssey.expr.properties import apply_properties, stored_shape
from odyssey.expr.shapes import infer_shapes
from odyssey.expr.sizes import axes, resolve

UNITS, INPUTS, STEPS, BATCH = 4, 3, 5, 2


@pytest.mark.parametrize("name", LIBRARY)
def test_a_file_is_in_normal_layout_and_cites(name):
    cell, entry = library_cell(name), library_entry(name)
    assert cell.name == entry.name == name
    assert len(cell.citation) > 20
    assert cell.lineage == ()
    file = resources.files("odyssey.cells").joinpath(f"{name}.cell")
    assert file.read_text("utf-8") == entry.header() + cell.text


@pytest.mark.parametrize("name", LIBRARY)
def test_a_file_says_what_its_cell_is(name):
    entry = library_entry(name)
    assert 1980 < entry.year < 2100
    assert len(entry.about) > 30
    for sentence in filter(None, (entry.about, entry.differs)):
        assert sentence[0].isupper() or sentence.startswith(("minGRU", "torch"))
        assert sentence.endswith((".", "=1.")), sentence
    if entry.arxiv:
        digits = entry.arxiv.replace(".", "")
        assert digits.isdigit()
        assert len(digits) in (8, 9)
        first = 2000 + int(digits[:2])
        assert entry.year <= first, "a cell is not younger than its paper"
        assert f"arXiv {entry.arxiv}" in library_cell(name).citation or entry.year < first


def test_every_file_is_listed_by_year_and_name():
    files = {f.name for f in resources.files("odyssey.cells").iterdir() if f.name.endswith(".cell")}
    assert files == {f"{name}.cell" for name in LIBRARY}
    order = [(library_entry(name).year, name) for name in LIBRARY]
    assert order == sorted(order)


def test_every_family_has_members():
    assert {library_entry(name).family for name in LIBRARY} == set(FAMILIES)


def test_no_two_cells_are_the_same():
    assert len({library_cell(name).key for name in LIBRARY}) == len(LIBRARY)


HEADER = "# family: gated\n# year: 2014\n# about: It is one.\n# checked: memory\n"


def test_a_header_is_read_and_written():
    entry = _read_entry("mine", HEADER + "cell mine\n# a comment: further down\n")
    assert entry == LibraryEntry(
        name="mine", family="gated", year=2014, about="It is one.", checked="memory"
    )
    assert entry.header() == HEADER


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gated", "gatet", "no family called 'gatet'; closest: gated"),
        ("memory", "memorized", "no check called 'memorized'; closest: memory"),
        ("2014", "soon", "comments at its top are incomplete"),
        ("# year: 2014\n", "", "comments at its top are incomplete: 'year'"),
        ("# about: It is one.\n", "", "missing 1 required"),
        ("about", "says", "unexpected keyword argument 'says'"),
        ("# year: 2014\n# about: It is one.\n", "# about: It is one.\n# year: 2014\n", "read:\n#"),
        ("# checked", "#  checked", "missing 1 required"),
        (HEADER, "cell mine\n" + HEADER, "incomplete"),
    ],
)
def test_a_header_that_is_wrong_is_refused(old, new, message):
    assert old in HEADER
    with pytest.raises(CellError, match=r"^mine\.cell: ") as caught:
        _read_entry("mine", HEADER.replace(old, new))
    assert message in str(caught.value)


def test_an_unknown_name_is_refused():
    for read in (library_cell, library_entry):
        with pytest.raises(CellError, match="no cell called 'lstn'; closest: lstm"):
            read("lstn")


def test_what_was_checked_is_said_by_words_of_the_list():
    assert {library_entry(name).checked for name in LIBRARY} <= set(CHECKED)


def count(cell, *, m, n):
    shapes = infer_shapes(cell)
    sizes = [*shapes.matrices.values(), *((size,) for size in shapes.vectors.values())]
    return sum(math.prod(resolve(size, m, n) for size in shape) for shape in sizes)


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


def start_of_given(cell):
    """The initial values of weights that are not trained: what a paper gives."""
    frozen = {w.name for w in cell.weights if "frozen" in w.properties}
    return {i.parameter: i for i in cell.inits if i.parameter in frozen}


def drawn(cell, rng):
    """Draws weights of a cell, and an input."""
    shapes = infer_shapes(cell)
    inputs = UNITS if shapes.square else INPUTS
    sizes = shapes.matrices | {n: axes(a) for n, a in shapes.vectors.items()}
    properties = {w.name: w.properties for w in cell.weights}
    given, values = start_of_given(cell), {}
    for name, size in sizes.items():
        shape = tuple(resolve(axis, inputs, UNITS) for axis in size)
        stored = stored_shape(shape, properties.get(name, ()))
        start = given.get(name)
        values[name] = draw_init(start, stored, rng) if start else rng.normal(size=stored)
    return values, rng.normal(size=(STEPS, BATCH, inputs))


def used(cell, values):
    """Makes the weights that are used of those that are stored."""
    properties = {w.name: w.properties for w in cell.weights}
    return {n: apply_properties(np, v, properties.get(n, ())) for n, v in values.items()}


POSITIVE = {
    "slstm": "n",
    "rwkv4": "b",
    "rwkv4_block": "b",
    "linear_attention": "z",
    "aft_simple": "b",
    "hippo_legs": "k",
    "slstm_heads": "n",
    "ntm": "ab",
}


def starting(cell, rng):
    """Draws states; one that divides is positive, as what it holds is a sum of exponentials."""
    positive = POSITIVE.get(cell.name, ())
    sizes = infer_shapes(cell).states
    drawn = {
        s: rng.normal(size=(BATCH, *(resolve(axis, INPUTS, UNITS) for axis in axes(sizes[s]))))
        for s in cell.states
    }
    drawn = {s: np.abs(v) if s in positive else v for s, v in drawn.items()}
    return {s: v % 1 if s == "phase" else v for s, v in drawn.items()}


def further(cell, rng):
    """Draws what a cell reads besides x: times are positive, a mask is 0 or 1."""
    found = {}
    for name, size in infer_shapes(cell).inputs.items():
        values = np.abs(rng.normal(size=(STEPS, BATCH, resolve(size, INPUTS, UNITS))))
        found[name] = 1.0 * (values > 0.7) if name == "mask" else values
    return found


@pytest.mark.parametrize("name", LIBRARY)
def test_parameter_counts(name):
    cell = library_cell(name)
    values, x = drawn(cell, np.random.default_rng(5))
    read = Read(values)
    rng = np.random.default_rng(6)
    states = starting(cell, rng).values()
    getattr(Textbook(read), name)(x[0], *states, **{n: v[0] for n, v in further(cell, rng).items()})
    shapes = infer_shapes(cell)
    given = start_of_given(cell).keys()
    if given or (not shapes.plain and name not in SIZES):
        assert read.names | given == shapes.matrices.keys() | shapes.vectors.keys()
        return
    m = 7 if shapes.square else 5
    sizes = {"W": 7 * m, "U": 49, "Q": 7 * m, "q": m}
    other = {w: eval(size, {}, {"m": m, "n": 7}) for w, size in SIZES.get(name, {}).items()}
    assert other.keys() <= read.names
    own = (other.get(w, sizes.get(w[0], 7)) for w in read.names)
    assert count(cell, m=m, n=7) == sum(own)


@pytest.mark.parametrize("name", LIBRARY)
def test_equations_are_those_of_the_papers(name):
    cell = library_cell(name)
    rng = np.random.default_rng(3)
    values, x = drawn(cell, rng)
    state = starting(cell, rng)
    more = further(cell, rng)
    got, final = oracle.run(cell.text, used(cell, values), x, state, more)
    step = getattr(Textbook(values), name)
    states = tuple(state.values())
    for t in range(STEPS):
        states = step(x[t], *states, **{n: v[t] for n, v in more.items()})
        output, states = (states[0], states) if cell.output in state else (states[0], states[1:])
        np.testing.assert_allclose(got[t], output, rtol=1e-11, atol=1e-12)
    for expected, found in zip(states, final.values(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", LIBRARY)
def test_the_canonical_text_computes_the_same_under_its_own_names(name):
    canonical = parse_cell(library_cell(name).canonical_text)
    assert canonical.fingerprint == library_cell(name).fingerprint
    assert count(canonical, m=7, n=7) == count(library_cell(name), m=7, n=7)
