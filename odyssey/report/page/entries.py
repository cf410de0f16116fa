"""The cells of a page: their equations, and what changed in them against a reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from odyssey.errors import CellError
from odyssey.expr import Cell, notation, parse_cell, text


@dataclass(frozen=True)
class Entry:
    """A cell as the page shows it.

    Attributes:
        label: The cell as the study names it.
        key: The first digits of its content key.
        lineage: How it was made, oldest first.
        equations: HTML of its equations with what changed marked, or of its text where that is no
            legal cell.
        text: Its text.
        change: Lines of both this cell and the reference: a kind (same, out, in) and a text.
        same: Whether no line differs; False where there is nothing to compare with.
        reference: Label of the cell that it is compared with.
    """

    label: str
    key: str
    lineage: tuple[str, ...]
    equations: Markup
    text: str
    change: tuple[tuple[str, str], ...]
    same: bool
    reference: str


def entries(results: pd.DataFrame, *, reference: str = "") -> list[Entry]:
    """Describes every cell, in the order of the study.

    Args:
        results: As `RESULT_COLUMNS`, with `label`.
        reference: Label of the cell that the others are compared with; the first where it is empty
            or not there.
    """
    cells = results.drop_duplicates("label").fillna({"cell_text": "", "cell_key": ""})
    texts = dict(zip(cells["label"].astype(str), cells["cell_text"].astype(str), strict=True))
    reference = reference if reference in texts else next(iter(texts))
    base = _parsed(texts[reference])
    return [
        _entry({str(k): v for k, v in row.items()}, base, reference)
        for row in cells.to_dict("records")
    ]


def equations_html(cell_text: str, *, against: Cell | None = None) -> Markup:
    """Prints the equations of a cell; its text where that is no legal cell."""
    cell = _parsed(cell_text)
    if cell is None:
        return Markup("<pre>{}</pre>").format(cell_text)
    return Markup(notation.to_html(cell, against=against))


def _entry(row: Mapping[Any, Any], base: Cell | None, reference: str) -> Entry:
    cell_text, label = str(row["cell_text"]), str(row["label"])
    cell = _parsed(cell_text)
    against = base if label != reference else None
    change = text.diff(against, cell) if against is not None and cell is not None else []
    kinds = {"-": "out", "+": "in"}
    lineage = row["lineage"]
    return Entry(
        label=label,
        key=str(row["cell_key"])[:12],
        lineage=() if pd.isna(lineage) else tuple(str(lineage).split(" > ")),
        equations=equations_html(cell_text, against=against),
        text=cell_text,
        change=tuple((kinds.get(line[:1], "same"), line) for line in change),
        same=bool(change) and all(line[:1] not in kinds for line in change),
        reference=reference,
    )


def _parsed(cell_text: str) -> Cell | None:
    try:
        return parse_cell(cell_text)
    except CellError:
        return None
