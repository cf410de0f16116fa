"""The library: published cells, one `.cell` file each, with citation, equations, initialisation.

No code but this reader. May import expr. To add a cell: write `NAME.cell` (docs/language.md) with a
`cite` line and add its name to `LIBRARY`; contract tests, the oracle and every backend's tests
then cover it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from odyssey.errors import CellError, suggest
from odyssey.expr import Cell, parse_cell

LIBRARY: tuple[str, ...] = (
    "elman",
    "elman_relu",
    "lstm",
    "lstm_peephole",
    "lstm_jozefowicz",
    "gru",
    "gru_torch",
    "mut1",
    "mut2",
    "mut3",
    "mgu",
    "ugrnn",
)


@cache
def library_cell(name: str) -> Cell:
    """Reads a cell of the library.

    Raises:
        CellError: There is no such cell.
    """
    if name not in LIBRARY:
        raise CellError(suggest(name, LIBRARY, what="cell", see="odyssey cells"))
    return parse_cell(resources.files(__name__).joinpath(f"{name}.cell").read_text("utf-8"))
