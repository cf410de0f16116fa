"""Watching a run: a live leaderboard on a terminal, a line a trial elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from odyssey.cli.printing import duration
from odyssey.cli.screen import Screen
from odyssey.names import printable
from odyssey.studies.trial import Trial
from odyssey.wording import each, unit_of, unit_of_all


@dataclass
class _Best:
    """The best member of one cell on one task so far."""

    bpc: float = math.inf
    accuracy: float = math.nan
    members: int = 0
    diverged: int = 0
    failed: int = 0


@dataclass
class LiveBoard(Screen):
    """Draws the progress of a run; used as a context around `execute`.

    Attributes:
        tasks: What the tasks say of themselves, by spec: what a loss is counted by.
    """

    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    total: int = 0
    done: int = 0
    done_now: int = 0
    running: int = 0
    characters: int = 0
    began: float = field(default_factory=time.monotonic)
    board: dict[str, dict[str, _Best]] = field(default_factory=dict)

    def begin(self, total: int, finished: int) -> None:
        """Notes the size of the run."""
        self.total, self.done, self.began = total, finished, time.monotonic()
        before = f", {finished} finished before" if finished else ""
        self.line(f"trials: {total}{before}")
        self._draw()

    def trial_done(self, trial: Trial, rows: list[dict[str, Any]]) -> None:
        """Takes a trial's rows into the leaderboard."""
        self.done += 1
        self.done_now += 1
        self.characters += sum(int(row.get("characters") or 0) for row in rows)
        self.include(rows)
        entry = self.board[trial.task][trial.spec]
        best = (
            f"best {entry.bpc:.3f} {self._bits(trial.task)}"
            if entry.bpc < math.inf
            else "no result"
        )
        if entry.failed:
            best = f"failed: {rows[0].get('reason', '')}"
        self.line(
            f"[{self.done:>4}/{self.total}] {trial.task}  {trial.spec}  {best}  {self._left()}"
        )
        self._draw()

    def include(self, rows: Iterable[Mapping[Any, Any]]) -> None:
        """Takes rows into the leaderboard; also those of a run that goes on."""
        for row in rows:
            entry = self.board.setdefault(row["task"], {}).setdefault(row["spec"], _Best())
            entry.members += 1
            entry.diverged += row["status"] == "diverged"
            entry.failed += row["status"] == "failed"
            bpc = row.get("valid_bpc", math.nan)
            if bpc is not None and bpc < entry.bpc:
                entry.bpc, entry.accuracy = bpc, row["valid_accuracy"]

    def tick(self, running: int) -> None:
        """Redraws, at most a few times a second."""
        self.running = running
        self._draw()

    def _bits(self, task: str) -> str:
        return f"bits/{each(unit_of(self.tasks.get(task, {})), short=True)}"

    def _left(self) -> str:
        if not self.done_now:
            return ""
        elapsed = time.monotonic() - self.began
        left = elapsed / self.done_now * (self.total - self.done)
        return f"{duration(left)} left" if self.done < self.total else f"{duration(elapsed)} in all"

    def _draw(self) -> None:
        if self.live:
            self.draw(self._picture())

    def _picture(self) -> RenderableType:
        elapsed = time.monotonic() - self.began
        line = Text(f"{self.done} of {self.total} trials, {self.running} running, ")
        line.append(f"{duration(elapsed)} so far, {self._left() or 'timing the first trial'}, ")
        line.append(f"{self.characters / max(elapsed, 1e-9):,.0f} {unit_of_all(self.tasks)}/s")
        bar = Table.grid()
        bar.add_row(ProgressBar(total=max(self.total, 1), completed=self.done, width=60))
        parts: list[RenderableType] = [
            line,
            bar,
        ]
        for task, cells in self.board.items():
            title = Text(f"{printable(task)}: best so far")
            table = Table(title=title, box=None, title_justify="left")
            table.add_column("cell")
            for name in (self._bits(task), "accuracy", "members", "diverged"):
                table.add_column(name, justify="right")
            order = sorted(cells.items(), key=lambda item: item[1].bpc)[:8]
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
