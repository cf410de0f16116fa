"""Cells that are alike: rewrites that keep the function, and pairs that are hard to tell apart.

The pool holds representatives of the library, the papers' variants and mutants of several steps.
That two cells are different functions, whatever their weights are called, is shown by the oracle:
with one and the same matrix and vector for all weights their outputs differ, or the outputs differ
after each weight in turn was changed.
"""

import numpy as np

from odyssey.cells import library_cell
from odyssey.errors import CellError
from odyssey.expr.shapes import infer_shapes
from odyssey.expr.terms import Matrix, replace
from odyssey.specs import VARIANTS, get_cell
from odyssey.transforms.constraints import Constraints, reject
from odyssey.transforms.mutations import mutate
from odyssey.transforms.sites import NotApplicable
from support import oracle
from support.representatives import REPRESENTATIVES
from support.rewrites import REWRITES

UNITS = 3


def mutants(count, *, seed):
    """Mutants of one to eight steps from the library, of at most 40 nodes."""
    library = [library_cell(name) for name in REPRESENTATIVES]
    found = []
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        cell = library[k % len(library)]
        for _ in range(int(rng.integers(1, 9))):
            try:
                mutant = mutate(cell, rng, partner=library[int(rng.integers(len(library)))]).cell
            except NotApplicable:
                break
            if reject(mutant, Constraints(max_nodes=40), input_size=8, hidden_size=16) is None:
                cell = mutant
        found.append(cell)
    return found


def rewritten(cell, rng, *, steps):
    """The cell after so many rewrites, each of another kind."""
    for k in rng.permutation(len(REWRITES))[:steps]:
        try:
            cell = REWRITES[k](cell, rng)
        except CellError:
            continue  # for instance, an inlined name was all that read a state
    return cell


def pool(count, *, seed):
    """Library cells that stand for all, the papers' variants and so many mutants."""
    return [
        *map(library_cell, REPRESENTATIVES),
        *map(get_cell, VARIANTS),
        *mutants(count, seed=seed),
    ]


def outputs(cell, changed=None):
    """Outputs by the oracle: all matrices one, all vectors one, but for the weight `changed`."""
    shapes = infer_shapes(cell)
    rng = np.random.default_rng(77)
    matrix, other_matrix = rng.normal(0, 0.7, (2, UNITS, UNITS))
    vector, other_vector = rng.normal(0, 0.7, (2, UNITS))
    values = {n: matrix if n != changed else other_matrix for n in shapes.matrices}
    values |= {n: vector if n != changed else other_vector for n in shapes.vectors}
    x = rng.normal(size=(5, 1, UNITS))
    start = {s: np.full((1, UNITS), 0.3) for s in cell.states}
    with np.errstate(all="ignore"):
        return oracle.run(cell.text, values, x, start)[0].ravel()


def differ(one, other):
    """Says whether two cells are shown to be different functions up to names."""
    a, b = outputs(one), outputs(other)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return False  # not shown
    if np.abs(a - b).max() > 1e-6 * (1 + np.abs(a).max()):
        return True
    rows = []
    for cell in (one, other):
        found = [outputs(cell, name) for name in cell.parameters]
        rows.append([r for r in found if np.abs(r - a).max() > 1e-6])
    # some weight of one acts as none of the other does
    return any(
        all(np.abs(r - q).max() > 1e-6 for q in second)
        for first, second in (rows, rows[::-1])
        for r in first
    )


def untied(cell):
    """The cell with one weight of its own where a matrix is used a second time, or None."""
    seen = set()
    equations = []
    done = False

    def change(node):
        nonlocal done
        if isinstance(node, Matrix):
            if node.name in seen and not done:
                done = True
                return Matrix("W_untied")
            seen.add(node.name)
        return None

    for e in cell.equations:
        equations.append(type(e)(e.target, replace(e.value, change), e.updates_state))
    return cell.replace(equations=tuple(equations)) if done else None


def pairs(*, seed, count):
    """Pairs that are hard to tell apart: parent and mutant, two mutants of one cell, (un)tied."""
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        (cell,) = mutants(1, seed=1000 * seed + k)
        try:
            one, other = mutate(cell, rng).cell, mutate(cell, rng).cell
        except NotApplicable:
            continue
        yield cell, one
        yield one, other
        loose = untied(cell)
        if loose is not None:
            yield cell, loose
