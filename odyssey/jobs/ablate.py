"""The table of a cell's ablations: the cell beside what it is without its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odyssey.jobs.search import RunOptions, run_study
from odyssey.studies.make.ablation import AblationOptions, ablation_study

if TYPE_CHECKING:
    from odyssey.studies.source import Summary, Watcher


def ablate_cell(
    spec: str,
    ablation: AblationOptions | None = None,
    options: RunOptions | None = None,
    *,
    watcher: Watcher[Any] | None = None,
) -> Summary:
    """Compares a cell with its ablations on equal draws and budgets.

    Args:
        spec: The cell.
        ablation: What it is compared with, and how.
        options: How the study is run.
        watcher: Sees it go by.

    Raises:
        OdysseyError: See `ablation_study` and `run_study`.
    """
    return run_study(ablation_study(spec, ablation), options, watcher=watcher)
