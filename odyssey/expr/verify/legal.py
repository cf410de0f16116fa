"""Verifies a cell: everything that makes it legal, one after the other."""

from __future__ import annotations

import re
from typing import NamedTuple

from odyssey.errors import CellError
from odyssey.expr.equations import Equations, IllegalCellError, IllegalEquationError
from odyssey.expr.limits import MAX_CELL_NAME, MAX_CHARACTERS, MAX_LINE, MAX_LINES
from odyssey.expr.shapes import Shapes, infer_shapes
from odyssey.expr.text import format_cell, format_head
from odyssey.expr.verify.declarations import (
    check_constants,
    check_declarations,
    check_inits,
    check_starts,
)
from odyssey.expr.verify.expressions import check_expressions
from odyssey.expr.verify.reach import check_reach

_CELL_NAME = re.compile(r"[A-Za-z_][\w:+=.~/\-]*\Z", re.ASCII)


class Verified(NamedTuple):
    """What verification works out on its way.

    Attributes:
        text: The cell in the language's normal layout.
        shapes: The sizes of all that the cell holds.
    """

    text: str
    shapes: Shapes


def verify(cell: Equations) -> Verified:
    """Raises `CellError` with the reason unless the cell is legal.

    Every state is updated once, every name is defined before it is used, the output reaches the
    input, every state carries something from step to step, shapes agree, and the cell's text is
    short enough to be read back.
    """
    _check_head(cell)
    check_declarations(cell)
    constants = check_expressions(cell)
    check_constants(cell, constants)
    check_starts(cell)
    check_reach(cell)
    shapes = infer_shapes(cell)
    check_inits(cell, shapes)
    text = format_cell(cell)
    _check_text(cell, text)
    return Verified(text, shapes)


def verify_renamed(cell: Equations, before: Verified) -> Verified:
    """Raises `CellError` unless a legal cell is legal under another name and citation.

    Args:
        cell: The cell with its new name and citation.
        before: What verification worked out when it had others.
    """
    _check_head(cell)
    body = before.text[before.text.index("\ninput ") + 1 :]
    text = "\n".join([*format_head(cell), body])
    _check_text(cell, text)
    return before._replace(text=text)


def _check_head(cell: Equations) -> None:
    if len(cell.name) > MAX_CELL_NAME or not _CELL_NAME.match(cell.name):
        raise IllegalCellError(
            f"cell name {cell.name[:60]!r} is not allowed; use at most {MAX_CELL_NAME}"
            " ASCII letters, digits and _",
            "cell",
        )
    if cell.citation != cell.citation.strip() or not cell.citation.isprintable():
        raise IllegalCellError("the citation must be one line of printable text", "cite")


def _check_text(cell: Equations, text: str) -> None:
    lines = text.splitlines()
    labels = [e.label for e in cell.equations]
    for line in lines:
        if len(line) > MAX_LINE:
            reason = f"it prints to {len(line):,} characters; at most {MAX_LINE:,} are read"
            label = line.split(" ", 1)[0]
            if label in labels:
                raise IllegalEquationError(cell, labels.index(label), reason)
            raise IllegalCellError(f"{label}: {reason}", label)
    for what, size, limit in (
        ("characters", len(text), MAX_CHARACTERS),
        ("lines", len(lines), MAX_LINES),
    ):
        if size > limit:
            raise CellError(f"the cell prints to {size:,} {what}; at most {limit:,} are read")
