"""What a report of a study says on a terminal."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

from odyssey.report.page import tables
from odyssey.report.study import protocol
from odyssey.report.study.baseline import BaselineComparison
from odyssey.report.study.factorial import FACTORIAL_CAPTION, effects_table
from odyssey.report.study.floors import floors_text, learned_text, not_learned
from odyssey.report.study.page import Content
from odyssey.report.study.spread import component_lines, transfer_lines
from odyssey.report.study.steps import STEPS_CAPTION, steps_table


def print_study(content: Content, screen: Console) -> None:
    """Prints every cell beside the baseline; without one, the leaderboards."""
    for line in not_learned(content.learning, content.run):
        _say(line, screen)
    for task in dict.fromkeys(content.floors["task"]):
        learned = learned_text(content.learning, task, content.run)
        _say(f"{task}: {floors_text(content.floors, task, content.run)} {learned}", screen)
    if content.climb:
        _say(f"Ladder: {protocol.ladder_text(content.run, content.results)}", screen)
    if not content.ablation:
        tables.print_table(content.board, screen)
        if content.overall is not None:
            tables.print_table(content.overall, screen)
        return
    for line in (*transfer_lines(content.transfer), *component_lines(content.components)):
        _say(line, screen)
    if content.steps is not None:
        tables.print_table(steps_table(content.steps), screen)
        _say(STEPS_CAPTION, screen)
    if content.factorial is not None:
        tables.print_table(effects_table(content.factorial.effects), screen)
        _say(FACTORIAL_CAPTION, screen)
    for compared in (content.ablation, *content.further):
        _print_comparison(compared, screen)
    for beside in content.beside:
        tables.print_table(beside.table, screen)
        _say(beside.caption, screen)


def _print_comparison(ablation: BaselineComparison, screen: Console) -> None:
    tables.print_table(tables.comparison_table(ablation.compared), screen)
    if ablation.scores is not None:
        tables.print_table(tables.aggregate_table(ablation.scores, ablation.compared), screen)
    for line in protocol.claims(*ablation.claimed):
        _say(f"{line.task}: {line.claim} {line.rest}", screen)
    if note := protocol.power_note(ablation.compared, finalists=ablation.finalists):
        _say(note, screen)


def _say(text: str, screen: Console) -> None:
    """Prints a paragraph in lines of a hundred characters, and an empty one."""
    lines = textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)
    screen.print(Text(f"{lines}\n"), soft_wrap=True)
