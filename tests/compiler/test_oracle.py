"""Every backend against the NumPy oracle: values and gradients, one layer and two."""

import numpy as np
import pytest
from judge import check
from random_cells import random_cell

import odyssey
from odyssey.cells import LIBRARY
from odyssey.compiler.backends import BACKENDS
from odyssey.errors import CellError
from odyssey.specs import CELL_SETS
from odyssey.transforms.ablations import ABLATIONS

ARGUMENTS = {
    "drop_gate": ["i", "r"],
    "drop_activation": ["g", "n"],
    "activation": ["g:relu", "n:sin"],
    "couple": ["f:i", "z:r"],
    "no_recurrent": ["i", "z"],
    "bias": ["f:2", "z:-1"],
    "forget_bias": ["1"],
    "chrono": ["50"],
    "no_bias": ["", "f"],
    "no_peepholes": ["", "o"],
    "peepholes": ["", "h"],
}


def every_ablation():
    found = []
    for cell in LIBRARY:
        for name in ABLATIONS:
            for argument in ARGUMENTS.get(name, [""]):
                spec = f"{cell}:{name}" + (f"={argument}" if argument else "")
                try:
                    odyssey.get_cell(spec)
                except CellError:
                    continue
                found.append(spec)
    return found


SPECS = sorted({*LIBRARY, *CELL_SETS["odyssey9"], *CELL_SETS["jozefowicz10"], *every_ablation()})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spec", SPECS)
def test_values_and_gradients_of_named_cells(spec, backend):
    check(odyssey.get_cell(spec), backend, seed=7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("spec", ["lstm", "gru", "mut1", "lstm_peephole:FGR"])
def test_two_layers(spec, backend):
    check(odyssey.get_cell(spec), backend, seed=8, layers=2)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("block", range(10))
def test_random_cells(block, backend):
    for seed in range(30 * block, 30 * (block + 1)):
        rng = np.random.default_rng(seed)
        check(random_cell(rng, size=int(rng.integers(3, 26))), backend, seed=seed)
