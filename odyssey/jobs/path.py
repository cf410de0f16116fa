"""The way from one cell to another, step by step: which change brings the gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from odyssey.jobs.search import RunOptions, run_study
from odyssey.studies.make.ablation import AblationOptions
from odyssey.studies.make.path import path_study

if TYPE_CHECKING:
    from odyssey.studies.source import Summary, Watcher


def follow_path(
    specs: Sequence[str],
    ablation: AblationOptions | None = None,
    options: RunOptions | None = None,
    *,
    watcher: Watcher[Any] | None = None,
) -> Summary:
    """Trains the cells on a path between two cells on equal draws and budgets.

    Args:
        specs: The first and the last cell, or all cells of the path.
        ablation: How they are trained.
        options: How the study is run.
        watcher: Sees it go by.

    Raises:
        OdysseyError: See `path_study` and `run_study`.
    """
    return run_study(path_study(specs, ablation), options, watcher=watcher)
