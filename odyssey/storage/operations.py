"""Operations of models whose records do not say them: worked out from the cell's text and sizes."""

from __future__ import annotations

import pandas as pd

from odyssey.errors import CellError
from odyssey.expr import recall_cell
from odyssey.expr.counts import model_counts

_SIZES = ["cell_text", "num_symbols", "hidden_size", "num_layers", "num_parameters"]


def with_operations(results: pd.DataFrame) -> pd.DataFrame:
    """Fills `operations` of rows that lack it, where it can be known.

    What a row does not say is how many numbers its model reads at a step. As many as the task has
    symbols is right where it gives the recorded number of parameters; elsewhere (other inputs,
    encoders, sizes of the cell that were drawn) the number stays missing.

    Args:
        results: One row a member, as `RESULT_COLUMNS`. A cell is read once; it takes some
            hundredths of a second.
    """
    if not {"operations", *_SIZES}.issubset(results.columns):
        return results
    lacking = results[results["operations"].isna()].dropna(subset=_SIZES)
    lacking = lacking[lacking["num_parameters"] > 0]
    rows = list(lacking[_SIZES].itertuples(index=False, name=None))
    found = {sizes: _operations(*sizes) for sizes in set(rows)}
    known = pd.Series([found[row] for row in rows], index=lacking.index, dtype="Int64")
    return results.assign(operations=results["operations"].fillna(known))


def _operations(
    text: str, symbols: float, hidden: float, layers: float, recorded: int
) -> int | None:
    try:
        cell = recall_cell(text)
    except CellError:  # of a language that has changed since
        return None
    parameters, operations = model_counts(
        cell.live,
        cell.shapes,
        inputs=int(symbols),
        outputs=int(symbols),
        units=int(hidden),
        layers=int(layers),
    )
    return operations if parameters == recorded else None
