"""The library: published cells, one `.cell` file each, with citation, equations, initialisation.

Comments at the top of a file say what the language does not, a line each, in this order:

    # family: gated
    # year: 2014
    # arxiv: 1406.1078
    # about: One sentence: what is special about the cell.
    # differs: One sentence: where a popular implementation differs from the paper.
    # checked: other

`arxiv` and `differs` may be missing. `FAMILIES` and `CHECKED` say which words there are.

No code but this reader. May import expr. To add a cell: write `NAME.cell` (docs/language.md) with a
`cite` line and these comments; `LIBRARY` is read from the folder. Contract tests, the oracle and
every backend's tests then cover it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

from odyssey.errors import CellError, suggest
from odyssey.expr import Cell, parse_cell

FAMILIES: dict[str, str] = {
    "simple": "one layer of units without gates",
    "memory": "gates around a memory cell that is not the output: LSTM and its relatives",
    "gated": "gates on the hidden state itself: GRU and its relatives",
    "diagonal": "no matrix on the past, every unit sees its own only; not linear in it",
    "linear": "linear in the past, given the inputs: a parallel scan can compute it",
    "deep": "several dependent layers within a step",
    "dynamical": "a differential equation, one step of a solver at a time",
    "searched": "found by a search over cells",
}

CHECKED: dict[str, str] = {
    "paper": "the equations were read in the paper",
    "code": "the equations were read in the authors' code, or in code that the citation names",
    "other": "the equations were read in somebody else's documentation or implementation",
    "memory": "the equations are known from memory",
}


@dataclass(frozen=True, kw_only=True)
class LibraryEntry:
    """What a file of the library says about its cell beside the equations.

    Attributes:
        name: The name of the cell.
        family: A key of `FAMILIES`.
        year: When it was first published.
        arxiv: The number of the paper at arXiv, if it is there.
        about: What is special, one sentence.
        differs: Where a popular implementation, or the initial values here, differ; one sentence.
        checked: How its equations were checked against the paper, a key of `CHECKED`.
    """

    name: str
    family: str
    year: int
    arxiv: str = ""
    about: str
    differs: str = ""
    checked: str

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise CellError(f"{self.name}.cell: {suggest(self.family, FAMILIES, what='family')}")
        if self.checked not in CHECKED:
            raise CellError(f"{self.name}.cell: {suggest(self.checked, CHECKED, what='check')}")

    def header(self) -> str:
        """Writes the comments at the top of its file."""
        written = ((f.name, getattr(self, f.name)) for f in fields(self) if f.name != "name")
        return "".join(f"# {name}: {value}\n" for name, value in written if value)


def _read_entry(name: str, text: str) -> LibraryEntry:
    comments = re.match(r"(?:#.*\n)*", text)
    assert comments is not None, "it matches nothing, too"
    said = dict(re.findall(r"^# (\w+): (\S.*)$", comments[0], re.M))
    try:
        entry = LibraryEntry(name=name, year=int(said.pop("year")), **said)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, CellError):
            raise
        raise CellError(f"{name}.cell: the comments at its top are incomplete: {error}") from None
    if entry.header() != comments[0]:
        raise CellError(f"{name}.cell: the comments at its top should read:\n{entry.header()}")
    return entry


def _read_library() -> dict[str, LibraryEntry]:
    entries = (
        _read_entry(file.name.removesuffix(".cell"), file.read_text("utf-8"))
        for file in resources.files(__name__).iterdir()
        if file.name.endswith(".cell")
    )
    ordered = sorted(entries, key=lambda entry: (entry.year, entry.name))
    return {entry.name: entry for entry in ordered}


_ENTRIES = _read_library()

LIBRARY: tuple[str, ...] = tuple(_ENTRIES)
"""The names of the cells, by year, then by name."""


@cache
def library_cell(name: str) -> Cell:
    """Reads a cell of the library.

    Raises:
        CellError: There is no such cell.
    """
    library_entry(name)
    return parse_cell(resources.files(__name__).joinpath(f"{name}.cell").read_text("utf-8"))


def library_entry(name: str) -> LibraryEntry:
    """Gives what the library says about one of its cells.

    Raises:
        CellError: There is no such cell.
    """
    if name not in _ENTRIES:
        raise CellError(suggest(name, LIBRARY, what="cell", see="odyssey cells"))
    return _ENTRIES[name]
