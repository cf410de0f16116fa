"""The best cells of a search, trained again beside LSTM and GRU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.jobs.search import RunOptions, run_study

if TYPE_CHECKING:
    from odyssey.studies.make.promotion import PromotionOptions
    from odyssey.studies.source import Summary, Watcher


def promote_cells(
    directory: str | Path,
    promotion: PromotionOptions | None = None,
    options: RunOptions | None = None,
    *,
    watcher: Watcher[Any] | None = None,
) -> Summary:
    """Trains the best cells of a search again, on seeds that the search never used.

    Args:
        directory: The run directory of the search.
        promotion: Which cells, and how.
        options: How the study is run.
        watcher: Sees it go by.

    Raises:
        OdysseyError: See `promotion_study` and `run_study`.
    """
    from odyssey.studies.make.promotion import promotion_study

    return run_study(promotion_study(directory, promotion), options, watcher=watcher)
