"""The library: published cells, one `.cell` file each, with citation, equations, initialisation.

Comments at the top of a file say what the language does not, a line each, in this order:

    # family: gated
    # year: 2014
    # arxiv: 1406.1078
    # about: One sentence: what is special about the cell.
    # differs: One sentence: where a popular implementation differs from the paper.
    # checked: other

`arxiv` and `differs` may be missing; a cell of a plug-in may do without all of
them. `FAMILIES` and `CHECKED` say which words there are.

No code but this reader. May import expr. To add a cell: write `NAME.cell` (docs/language.md) with a
`cite` line and these comments; `LIBRARY` is read from the folder. Contract tests, the oracle and
every backend's tests then cover it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import resources

from odyssey.errors import CellError, suggest
from odyssey.expr import Cell, parse_cell
from odyssey.registry import Registry, of_type
from odyssey.wording import quoted

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
        text: Its text, with these comments.
    """

    name: str
    family: str
    year: int
    arxiv: str = ""
    about: str
    differs: str = ""
    checked: str
    text: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.year:  # of a plug-in, without the comments
            return
        if self.family not in FAMILIES:
            raise CellError(f"{self.name}.cell: {suggest(self.family, FAMILIES, what='family')}")
        if self.checked not in CHECKED:
            raise CellError(f"{self.name}.cell: {suggest(self.checked, CHECKED, what='check')}")

    def header(self) -> str:
        """Writes the comments at the top of its file."""
        written = ((f.name, getattr(self, f.name)) for f in fields(self))
        return "".join(
            f"# {name}: {value}\n"
            for name, value in written
            if value and name not in ("name", "text")
        )


def _read_entry(name: str, text: str) -> LibraryEntry:
    comments = re.match(r"(?:#.*\n)*", text)
    assert comments is not None, "it matches nothing, too"
    said = dict(re.findall(r"^# (\w+): (\S.*)$", comments[0], re.M))
    try:
        entry = LibraryEntry(name=name, text=text, year=int(said.pop("year")), **said)
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


LIBRARY: Registry[LibraryEntry] = Registry(
    "cell", _read_library(), problem=of_type(LibraryEntry, "the text of a cell or its file")
)
"""The cells by name: by year, then by name; after them those of plug-ins."""


def library_words() -> frozenset[str]:
    """Gives all words in the texts of the cells: none may become the name of a function."""
    return frozenset(w for e in LIBRARY.values() for w in re.findall(r"[A-Za-z]\w*", e.text))


def plugin_entry(name: str, given: object, files: Mapping[str, str]) -> LibraryEntry:
    """Makes the entry of a plug-in's cell.

    Args:
        name: Its name in the plug-in's table.
        given: Its text, or the name of its file beside the plug-in.
        files: The texts of these files.

    Raises:
        CellError: It is no legal cell, or calls itself otherwise, or there is no such file.
    """
    if not isinstance(given, str):
        raise CellError(f"{quoted(name)} must be the text of a cell or the name of its file")
    text = given
    if given.endswith(".cell") and "\n" not in given:
        if given not in files:
            raise CellError(f"{quoted(name)}: there is no file {given} beside the plug-in")
        text = files[given]
    try:
        cell = parse_cell(text)
    except CellError as error:
        raise CellError(f"{quoted(name)}: {error}") from None
    if cell.name != name:
        raise CellError(f"{quoted(name)} calls itself {quoted(cell.name)}: write the same name")
    if re.match(r"# family: ", text):
        return _read_entry(name, text)
    return LibraryEntry(name=name, family="", year=0, about="", checked="", text=text)


def library_cell(name: str) -> Cell:
    """Reads a cell of the library.

    Raises:
        CellError: There is no such cell.
    """
    return _parsed(library_entry(name).text)


_parsed = cache(parse_cell)


def library_entry(name: str) -> LibraryEntry:
    """Gives what the library says about one of its cells.

    Raises:
        CellError: There is no such cell.
    """
    if name not in LIBRARY:
        raise CellError(suggest(name, LIBRARY, what="cell", see="odyssey cells"))
    return LIBRARY[name]
