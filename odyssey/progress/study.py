"""Watching a run: a live leaderboard on a terminal, a line a trial elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from odyssey.names import printable
from odyssey.progress.screen import Screen
from odyssey.studies.board import StudyBoard
from odyssey.wording import climbed_text, duration, loss_of, unit_of_all

MOST_CELLS_SHOWN = 8


@dataclass
class LiveBoard(Screen):
    """Draws the progress of a study; used as a context around `execute`.

    Attributes:
        board: The board as it was last seen.
    """

    board: StudyBoard | None = None

    @property
    def kept(self) -> tuple[int, str]:
        """How many trials there are to report, and what is kept, in words."""
        done, total = (self.board.finished, self.board.total) if self.board else (0, 0)
        return done, f"{done} of {total} trials are finished and kept"

    def begin(self, board: StudyBoard) -> None:
        """Says what was finished before."""
        self.board = board
        before = f", {board.finished} finished before" if board.finished else ""
        left = board.seconds_left
        told = not math.isnan(left) and board.finished < board.total
        about = f", about {duration(left)}" if told else ""
        self.line(f"trials: {board.total}{before}{about}")
        self.tick(board)

    def done(self, board: StudyBoard, rows: Sequence[Mapping[str, Any]]) -> None:
        """Prints a trial, or draws the board anew."""
        task, spec = rows[0]["task"], rows[0]["spec"]
        entry = board.best[task][spec]
        best = "no result"
        if entry.bpc < math.inf:
            best = f"best {entry.bpc:.3f} {_bits(board, task)}"
        if entry.failed:
            best = f"failed: {rows[0].get('reason', '')}"
        number = f"[{board.finished:>4}/{board.total}]"
        last = board.finished == board.total
        rung = f"rung {rows[0].get('rung')} of {len(board.climbed)}  " if board.climbed else ""
        self.step(f"{number} {task}  {spec}  {rung}{best}  {_left(board)}", last=last)
        self.tick(board)

    def tick(self, board: StudyBoard) -> None:
        """Draws the board anew."""
        if self.draws:
            self.draw(study_picture(board))


def _bits(board: StudyBoard, task: str) -> str:
    return loss_of(board.tasks.get(task, {}), short=True)


def _left(board: StudyBoard) -> str:
    if board.finished == board.total:
        return f"{duration(board.seconds)} in all"
    left = board.seconds_left
    return "" if math.isnan(left) else f"{duration(left)} left"


def study_picture(board: StudyBoard) -> RenderableType:
    """Draws a board."""
    line = Text(f"{board.finished} of {board.total} trials, {board.running} running, ")
    line.append(f"{duration(board.seconds)} so far, {_left(board) or 'timing the first trial'}, ")
    line.append(f"{board.per_second:,.0f} {unit_of_all(board.tasks)}/s")
    if board.climbed:
        line.append(f"; finished: {climbed_text(board.climbed, board.climbs)}")
    bar = Table.grid()
    bar.add_row(ProgressBar(total=max(board.total, 1), completed=board.finished, width=60))
    parts: list[RenderableType] = [line, bar]
    for task, cells in board.best.items():
        title = Text(f"{printable(task)}: best so far")
        table = Table(title=title, box=None, title_justify="left")
        table.add_column("cell")
        for name in (_bits(board, task), "accuracy", "members", "diverged"):
            table.add_column(name, justify="right")
        order = sorted(cells.items(), key=lambda item: item[1].bpc)[:MOST_CELLS_SHOWN]
        for spec, best in order:
            known = best.bpc < math.inf
            table.add_row(
                Text(printable(spec)),
                f"{best.bpc:.3f}" if known else "-",
                f"{best.accuracy:.1%}" if known else "-",
                str(best.members),
                str(best.diverged or ""),
            )
        parts.append(table)
    return Group(*parts)
