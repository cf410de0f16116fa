"""Chains of mutants from the library; needs no torch."""

import numpy as np

from odyssey.cells import library_cell
from odyssey.transforms.constraints import Constraints, reject
from odyssey.transforms.degenerate import degenerate
from odyssey.transforms.mutations import mutate
from support.representatives import REPRESENTATIVES

CELLS = [library_cell(name) for name in REPRESENTATIVES]


def chain(count, *, seed, limit=40):
    """Mutants in chains of 20 from the library, none too large or degenerate to go on from."""
    generator = np.random.default_rng((seed,))
    cell = CELLS[0]
    for k in range(count):
        if k % 20 == 0:
            cell = CELLS[k // 20 % len(CELLS)]
        mutant = mutate(cell, generator, partner=CELLS[int(generator.integers(len(CELLS)))])
        yield mutant
        sizes = {"input_size": 8, "hidden_size": 16}
        if not (
            reject(mutant.cell, Constraints(max_nodes=limit), **sizes)
            or degenerate(mutant.cell, **sizes)
        ):
            cell = mutant.cell


def distinct(count, *, seed):
    """So many cells of chains, none twice; fewer where chains go round in circles."""
    cells = {}
    for mutant in chain(20 * count, seed=seed):
        cells.setdefault(mutant.cell.key, mutant.cell)
        if len(cells) == count:
            break
    return list(cells.values())
