"""The contracts of ablations and mutations: pure, legal, named, and another cell than before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from odyssey.cells import LIBRARY, library_cell
from odyssey.contracts.cells import check_printed
from odyssey.contracts.finding import Checks, Wrong, expect
from odyssey.errors import CellError
from odyssey.expr.cell import Cell
from odyssey.registry import BUILT_IN
from odyssey.transforms.ablations import Ablation, ablate
from odyssey.transforms.mutations import Mutation, NotApplicable, apply_operator

TRIED = ("elman", "gru", "lstm", "lstm_peephole", "mut1", "scrn")
DRAWS = 12  # attempts of a mutation on each cell


def _cells() -> list[Cell]:
    """Gives the cells that are tried: some of the library, and those of plug-ins."""
    names = [name for name in TRIED if name in LIBRARY]
    names += [name for name in LIBRARY if LIBRARY.source(name) != BUILT_IN]
    return [library_cell(name) for name in names]


def check_ablation_row(name: str, row: Ablation) -> None:
    """Checks the words of an ablation."""
    expect(bool(row.says), "says is empty: what does it do?")
    optional = [a.endswith("?") for a in row.arguments]
    expect(optional == sorted(optional), "an argument that may be left out (?) stands last")
    expect(not row.arguments or any(row.examples), "an ablation with arguments has examples")
    expect(not set(name) & set("=:+ ,"), "its name has a character of specs: = : + , or a blank")


def _ablated(name: str, row: Ablation) -> Iterator[tuple[Cell, str, Cell]]:
    """Gives cells, operators and what came of them, where the operator applies."""
    refusals = []
    for cell in _cells():
        for example in row.examples:
            operator = f"{name}={example}" if example else name
            before = (cell.text, cell.equations, cell.lineage)
            try:
                result = ablate(cell, operator)
            except CellError as error:
                refusals.append(str(error))
                continue
            finally:
                expect(before == (cell.text, cell.equations, cell.lineage), "changes its argument")
            yield cell, operator, result
    if len(refusals) == len(_cells()) * len(row.examples):
        raise Wrong(f"applies to none of {len(_cells())} cells; it says: {refusals[0]}")


def check_ablated(name: str, row: Ablation) -> None:
    """Checks what an ablation makes of cells: legal, named, and never the same cell."""
    for cell, operator, result in _ablated(name, row):
        check_printed(result, what=f"{cell.name}:{operator}")
        expect(result.name == f"{cell.name}:{operator}", f"gives the name {result.name!r}")
        expect(result.key != cell.key, f"leaves {cell.name} as it is: raise CellError instead")


def check_ablated_again(name: str, row: Ablation) -> None:
    """Checks that to apply it twice is refused or gives a legal cell."""
    for _, operator, result in _ablated(name, row):
        try:
            again = ablate(result, operator)
        except CellError as error:
            expect("\n" not in str(error), "its refusal is not in one line")
            continue
        check_printed(again, what=f"{operator} applied twice")


def check_mutation_row(name: str, row: Mutation) -> None:
    """Checks the words and the weight of a mutation."""
    expect(bool(row.about), "about is empty: what does it do?")
    expect(bool(row.source), "source is empty: where is it from?")
    expect(0 <= row.weight < float("inf"), f"weight is a number from 0, got {row.weight!r}")


def check_mutants(name: str, row: Mutation) -> None:
    """Checks what a mutation makes of cells: legal, and the same from the same random numbers."""
    made = 0
    for cell in _cells():
        for seed in range(DRAWS):
            before, texts = (cell.text, cell.equations), []
            for _ in range(2):
                try:
                    mutant = apply_operator(cell, name, np.random.default_rng(seed))
                except NotApplicable as error:
                    texts.append(str(error))
                    continue
                made += 1
                texts.append(mutant.text)
                check_printed(mutant, what=f"a mutant of {cell.name}")
            expect(before == (cell.text, cell.equations), "changes its argument")
            expect(texts[0] == texts[1], "does not follow from the generator that it is given")
    expect(made > 0, f"applies to none of {len(_cells())} cells in {DRAWS} draws each")


ABLATION_CHECKS: Checks = {
    "complete": check_ablation_row,
    "gives legal, other cells": check_ablated,
    "twice is refused or legal": check_ablated_again,
}
MUTATION_CHECKS: Checks = {
    "complete": check_mutation_row,
    "gives legal cells, from its generator alone": check_mutants,
}
