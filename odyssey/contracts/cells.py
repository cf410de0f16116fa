"""The contract of cells: what stands in the table is a cell that is printed, run and trained."""

from __future__ import annotations

import torch

from odyssey.cells import LibraryEntry, library_cell
from odyssey.compiler import RNN
from odyssey.contracts.finding import Checks, Missing, expect
from odyssey.expr.cell import Cell, parse_cell


def check_text(name: str, entry: LibraryEntry) -> None:
    """Checks that it is printed and read again, with one key."""
    cell = library_cell(name)
    expect(cell.name == name, f"it calls itself {cell.name!r}")
    check_printed(cell, what="it")
    expect(bool(cell.latex()), "it has no LaTeX")


def check_printed(cell: Cell, *, what: str) -> None:
    """Checks that a cell, called `what` in messages, is the same one when printed and read."""
    again = parse_cell(cell.text)
    expect(again == cell and again.key == cell.key, f"{what} is another cell when printed and read")


def check_metadata(name: str, entry: LibraryEntry) -> None:
    """Checks what is said of it beside its equations."""
    if not library_cell(name).citation:
        raise Missing("it has no `cite` line: where is it from?")
    if not entry.family:
        raise Missing("it has no comments that say family, year, what is special and the check")


def check_runs(name: str, entry: LibraryEntry) -> None:
    """Checks that a layer of it gives finite numbers and gradients, from any input."""
    cell = library_cell(name)
    if cell.further_inputs:
        return  # a task feeds them
    torch.manual_seed(0)
    rnn = RNN(cell, 4, 4, dtype=torch.float64, backend="eager")
    output, _ = rnn(torch.randn(6, 3, 4, dtype=torch.float64))
    expect(tuple(output.shape) == (6, 3, 4), f"its output has the shape {tuple(output.shape)}")
    expect(bool(output.isfinite().all()), "its output is not finite")
    output.sum().backward()
    gradients = [p.grad for p in rnn.parameters() if p.grad is not None]
    expect(all(bool(g.isfinite().all()) for g in gradients), "its gradients are not finite")
    expect(any(bool((g != 0).any()) for g in gradients), "no weight has a gradient")


CHECKS: Checks = {
    "text, LaTeX and key": check_text,
    "where it is from": check_metadata,
    "a layer runs and has gradients": check_runs,
}
