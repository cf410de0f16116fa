"""Every backend against the NumPy oracle: values and gradients, one layer and two."""

import itertools
from functools import lru_cache

import numpy as np
import pytest
from support.judge import check, refused
from support.random_cells import random_cell
from support.representatives import REPRESENTATIVES

import odyssey
from odyssey.cells import LIBRARY
from odyssey.compiler.backends import BACKENDS
from odyssey.errors import CellError
from odyssey.specs import CELL_SETS
from odyssey.transforms.ablations import ABLATIONS

EACH = 3  # cells that an ablation is judged on


def applies(spec):
    try:
        odyssey.get_cell(spec)
    except CellError:
        return False
    return True


def every_ablation():
    """Every ablation with every example of its arguments, on the first cells that it applies to."""
    found = []
    for name, row in ABLATIONS.items():
        for argument in row.examples:
            step = name + (f"={argument}" if argument else "")
            specs = (f"{cell}:{step}" for cell in REPRESENTATIVES)
            found += itertools.islice(filter(applies, specs), EACH)
    return found


def test_every_ablation_is_tried_on_some_cell():
    assert {spec.split(":")[1].split("=")[0] for spec in every_ablation()} == set(ABLATIONS)


def equations(spec):
    """The lines that are computed: neither the name nor how weights start."""
    lines = odyssey.get_cell(spec).text.splitlines()[1:]
    return tuple(line for line in lines if not line.startswith("init"))


ALL = [*LIBRARY, *CELL_SETS["odyssey9"], *CELL_SETS["jozefowicz10"], *every_ablation()]
SPECS = sorted({equations(spec): spec for spec in reversed(ALL)}.values())  # equal ones once


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spec", SPECS)
def test_values_and_gradients_of_named_cells(spec, backend, request):
    cell = odyssey.get_cell(spec)
    if refused(cell, backend):
        return
    if spec in REPRESENTATIVES:
        request.getfixturevalue("shipped")
    check(cell, backend, seed=7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spec", ["lstm", "gru", "mut1", "lstm_peephole:FGR"])
def test_two_layers(spec, backend):
    check(odyssey.get_cell(spec), backend, seed=8, layers=2)


HIDDEN = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 31, 33)
"""Hidden sizes: one, whole vectors of every processor, and one more and one less than those."""


def random_sizes(rng):
    """Draws T, B, I and H; with many units there are fewer steps."""
    hidden, batch = int(rng.choice(HIDDEN)), int(rng.integers(1, 12))
    steps = int(rng.integers(1, 1 + max(1, min(8, 400 // (batch * hidden)))))
    return steps, batch, int(rng.integers(1, 10)), hidden


# blocks of all backends one after the other, so that the oracle is asked once
BLOCKS = [(b, k) for k in range(20) for b in BACKENDS if k < (20 if b == "native" else 12)]
SHIPPED = 2  # blocks of native that are built as users build them


@lru_cache(maxsize=25)
def drawn(seed):
    rng = np.random.default_rng(seed)
    return random_cell(rng, size=int(rng.integers(3, 26))), random_sizes(rng)


@pytest.mark.parametrize(("backend", "block"), BLOCKS)
def test_random_cells(block, backend, request):
    if block < SHIPPED:
        request.getfixturevalue("shipped")
    for seed in range(25 * block, 25 * (block + 1)):
        cell, sizes = drawn(seed)
        check(cell, backend, seed=seed, sizes=sizes)


def test_random_sizes_reach_the_edges():
    drawn = [random_sizes(np.random.default_rng(seed)) for seed in range(500)]
    for axis in range(4):
        assert 1 in {sizes[axis] for sizes in drawn}
    assert {sizes[3] for sizes in drawn} == set(HIDDEN)
    assert {sizes[1] for sizes in drawn} >= set(range(1, 12))  # a tile has at most 8 rows
