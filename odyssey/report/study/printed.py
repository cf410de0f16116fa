"""What a report of a study says on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from odyssey.report.page import tables
from odyssey.report.study import protocol
from odyssey.report.study.baseline import BaselineComparison
from odyssey.report.study.page import Content


def print_study(content: Content, screen: Console) -> None:
    """Prints every cell beside the baseline; without one, the leaderboards."""
    if not content.ablation:
        tables.print_table(content.board, screen)
        if content.overall is not None:
            tables.print_table(content.overall, screen)
        return
    for compared in (content.ablation, *content.further):
        _print_comparison(compared, screen)
    for beside in content.beside:
        tables.print_table(beside.table, screen)
        _say(beside.caption, screen)


def _print_comparison(ablation: BaselineComparison, screen: Console) -> None:
    tables.print_table(tables.comparison_table(ablation.compared), screen)
    if ablation.scores is not None:
        tables.print_table(tables.aggregate_table(ablation.scores, ablation.compared), screen)
    for line in protocol.claims(ablation.compared, ablation.baseline):
        _say(f"{line.task}: {line.claim} {line.rest}", screen)
    if note := protocol.power_note(ablation.compared):
        _say(note, screen)


def _say(text: str, screen: Console) -> None:
    """Prints a paragraph, which the terminal wraps."""
    screen.print(Text(f"{text}\n"), soft_wrap=True)
