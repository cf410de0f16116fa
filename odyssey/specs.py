"""Specs: how a cell is named anywhere, and the one place where cells and ablations meet.

A spec is a base, then optionally `:` and ablations joined by `+`. The base is a library cell, a
variant of the literature (`NIG`, `LSTM-b`) or the path of a `.cell` file:

    lstm    lstm_peephole:no_forget_gate    lstm:no_output_gate+forget_bias=2    my.cell:NOG
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from odyssey.cells import LIBRARY, library_cell
from odyssey.errors import CellError, OdysseyError, suggest
from odyssey.expr import Cell, parse_cell
from odyssey.expr.limits import MAX_CHARACTERS
from odyssey.names import file_name, split_cell
from odyssey.registry import BUILT_IN
from odyssey.transforms.ablations import ABLATIONS, ablate
from odyssey.user_cache import user_cache
from odyssey.wording import quoted

# The Odyssey's eight (Greff et al. 2015, section 3) and Jozefowicz's four (2015, section 2.2).
_EIGHT = {
    row.short: f"lstm_peephole:{name}"
    for name, row in ABLATIONS.items()
    if row.short and ABLATIONS.source(name) == BUILT_IN
}
VARIANTS: dict[str, str] = {
    **_EIGHT,
    "LSTM-f": "lstm_jozefowicz:no_forget_gate",
    "LSTM-i": "lstm_jozefowicz:no_input_gate",
    "LSTM-o": "lstm_jozefowicz:no_output_gate",
    "LSTM-b": "lstm_jozefowicz:forget_bias=1",
}

CELL_SETS: dict[str, tuple[str, ...]] = {
    "odyssey9": (
        "lstm_peephole",
        *_EIGHT.values(),
    ),
    "jozefowicz10": (
        "elman",
        "lstm_jozefowicz",
        "LSTM-f",
        "LSTM-i",
        "LSTM-o",
        "LSTM-b",
        "gru",
        "mut1",
        "mut2",
        "mut3",
    ),
}

MAX_SPEC = 400


def list_cells() -> list[str]:
    """Lists the names of the library's cells."""
    return list(LIBRARY)


def get_cell(spec: str) -> Cell:
    """Finds or makes the cell that a spec names.

    Args:
        spec: For example `lstm`, `lstm:no_output_gate+forget_bias=2`, `NIG`, `path/to/my.cell`.

    Raises:
        CellError: The base or an ablation does not exist, does not apply, or the file is no cell.
    """
    if not isinstance(spec, str) or not spec.strip():
        raise CellError("an empty spec names no cell (see: odyssey cells)")
    if len(spec) > MAX_SPEC:
        raise CellError(f"spec of {len(spec):,} characters; at most {MAX_SPEC} are read")
    base, operators = split_spec(spec.strip())
    cell = _base(base)
    if operators == "":
        raise CellError(
            f"spec {quoted(spec)}: an ablation must follow the colon"
            " (see: odyssey cells --ablations)"
        )
    for operator in operators.split("+") if operators else []:
        cell = ablate(cell, operator.strip())
    return cell


def split_spec(spec: str) -> tuple[str, str | None]:
    """Splits a spec into its base and its ablations, None where no colon follows the base."""
    base = spec.partition(":")[0]
    if base in LIBRARY or base in VARIANTS:
        return base, spec[len(base) + 1 :] if ":" in spec else None
    return split_cell(spec)


def ablated_spec(spec: str, operators: Sequence[str]) -> str:
    """Gives the spec of a cell with further ablations; the spec itself where there are none."""
    joint = "+" if split_spec(spec)[1] else ":"
    return spec + joint + "+".join(operators) if operators else spec


def is_path(base: str) -> bool:
    """Tells whether the base of a spec is the path of a file."""
    return base.endswith(".cell") or "/" in base


def shown_names(specs: Sequence[str], *, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Gives the name under which the cell of every spec is shown: the spec, but for its path.

    A cell of a file has the name that it gives itself, with the ablations of the spec. Where that
    is the name of another cell, the name of the file follows, and where need be a number.

    Args:
        specs: The specs.
        known: Names that were given before, by spec: these files are not read.

    Raises:
        CellError: A file cannot be read, or is no cell.
    """
    bases = {spec: split_spec(spec)[0] for spec in specs}
    names: dict[str, str] = {s: s for s in specs if not is_path(bases[s])}
    taken = {*names, *LIBRARY, *VARIANTS, *CELL_SETS}
    own: dict[str, str] = {}
    for spec, name in (known or {}).items():
        if is_path(base := split_spec(spec)[0]):
            own[base] = name.removesuffix(spec[len(base) :])
    taken |= {*own.values()}
    for base in filter(is_path, dict.fromkeys(bases.values())):
        if base in own:
            continue
        choice = name = read_cell(Path(base)).name
        number = 1
        while choice in taken:
            choice = f"{name} ({Path(base).name}{f' {number}' if number > 1 else ''})"
            number += 1
        taken.add(choice)
        own[base] = choice
    return {spec: names.get(spec) or own[bases[spec]] + spec[len(bases[spec]) :] for spec in specs}


def named_cells(specs: Sequence[str]) -> dict[str, Cell]:
    """Finds or makes cells, by the names of `shown_names`; raises `CellError`."""
    return {name: get_cell(spec) for spec, name in shown_names(specs).items()}


def _base(base: str) -> Cell:
    if base in LIBRARY:
        return library_cell(base)
    if base in VARIANTS:
        return get_cell(VARIANTS[base])
    if is_path(base):
        return read_cell(Path(base))
    if base in CELL_SETS:
        raise CellError(
            f"{quoted(base)} is a set of cells; a spec names one: {CELL_SETS[base][0]}, ..."
        )
    raise CellError(suggest(base, [*LIBRARY, *VARIANTS], what="cell", see="odyssey cells"))


def spec_of(cell: str | Cell) -> str:
    """Gives a spec that names a cell, in any process of this user.

    A cell that its own name makes (`lstm:no_forget_gate`) has that as its spec; the text of any
    other is written into the cache, under its content.

    Args:
        cell: The cell; of a spec, the spec itself.

    Raises:
        CellError: The cell cannot be written there.
    """
    if isinstance(cell, str):
        return cell
    with contextlib.suppress(OdysseyError):
        if not is_path(cell.name) and get_cell(cell.name) == cell:
            return cell.name
    from odyssey.storage.files import write_atomically  # brings pyarrow

    digest = hashlib.sha256(cell.text.encode()).hexdigest()[:16]
    path = user_cache() / "cells" / digest / f"{file_name(cell.name)}.cell"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, cell.text.encode())  # another process may be reading it
    except OSError as error:
        raise CellError(
            f"the cell {cell.name} cannot be kept in {path.parent} ({error.strerror}): set"
            " ODYSSEY_CACHE to a folder"
        ) from None
    return str(path)


def read_cell(path: Path) -> Cell:
    """Reads a `.cell` file.

    Raises:
        CellError: The file cannot be read as UTF-8 text, is too long, or holds no legal cell.
    """
    shown, text = read_text(path, most=4 * MAX_CHARACTERS, error=CellError)
    try:
        return parse_cell(text)
    except CellError as error:
        raise CellError(f"{shown}: {error}") from None


def read_text(path: Path, *, most: int, error: type[OdysseyError]) -> tuple[str, str]:
    """Reads a small UTF-8 file that a user named; gives the name to show in messages, and the text.

    Args:
        path: The file.
        most: More bytes than this are refused, unread.
        error: What to raise where it cannot be read, with one line that says why.
    """
    shown = str(path) if str(path).isprintable() else ascii(str(path))
    try:
        if not path.is_file():  # a folder, or a pipe that would never end
            raise error(f"{shown}: {'is not a file' if path.exists() else 'there is no such file'}")
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as failure:
        raise error(f"{shown}: cannot be read ({failure.strerror})") from None
    if len(data) > most:
        raise error(f"{shown}: too long; at most {most:,} bytes are read")
    try:
        return shown, data.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        raise error(f"{shown}: not UTF-8 text (byte {failure.start})") from None


def expand(specs: list[str]) -> list[str]:
    """Replaces the names of cell sets, such as `odyssey9`, by their members."""
    return [s for spec in specs for s in CELL_SETS.get(spec, (spec,))]
