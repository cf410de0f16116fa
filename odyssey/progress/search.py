"""Watching a search: a live board on a terminal, a line a candidate elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from odyssey.progress.screen import Screen
from odyssey.storage.schema import FINISHED
from odyssey.studies.evolve.board import SearchBoard
from odyssey.wording import duration


@dataclass
class LiveSearch(Screen):
    """Draws the progress of a search; used as a context around `execute`.

    Attributes:
        board: The board as it was last seen.
    """

    board: SearchBoard | None = None

    @property
    def kept(self) -> tuple[int, str]:
        """How many candidates there are to report, and what is kept, in words."""
        told = self.board.told if self.board else 0
        return told, f"{told} candidates are told and kept, with every finished trial"

    def begin(self, board: SearchBoard) -> None:
        """Says what was told before."""
        self.board = board
        before = f", {board.told} told before" if board.told else ""
        left = board.snapshot()["seconds_left"]
        about = f", about {duration(left)}" if left else ""
        self.line(f"candidates: {board.total}{before}{about}")
        self.tick(board)

    def done(self, board: SearchBoard, rows: Sequence[Mapping[str, Any]]) -> None:
        """Prints a candidate, or draws the board anew."""
        if self.prints:
            for row in rows:
                self.step(_candidate(board, row), last=board.told == board.total)
        self.tick(board)

    def tick(self, board: SearchBoard) -> None:
        """Draws the board anew."""
        if self.draws:
            self.draw(search_picture(board.snapshot()))


def _candidate(board: SearchBoard, row: Mapping[str, Any]) -> str:
    score = row["score"]
    shown = f"score {score:.3f}" if score == score else "no score"
    what = row["status"] if row["status"] == FINISHED else row["reason"]
    left = board.snapshot()["seconds_left"]
    rest = f"  {duration(left)} left" if left else ""
    return (
        f"[{board.told:>5}/{board.total}] {row['arm']:<10} {row['name']:<12}"
        f" {row['operators']}  {shown}  {what}{rest}"
    )


def search_picture(snapshot: Mapping[str, Any]) -> RenderableType:
    """Draws what `SearchBoard.snapshot` gives."""
    told, total = snapshot["told"], snapshot["total"]
    rate, left, overhead = (
        snapshot[k] for k in ("candidates_per_hour", "seconds_left", "overhead")
    )
    parts = [f"{told:,} of {total:,} candidates", f"{snapshot['in_flight']} on their way"]
    parts.append(f"{snapshot['running']} trials running")
    parts.append(f"{duration(snapshot['seconds'])} so far")
    if rate:
        parts.append(f"{rate:,.0f} candidates/h")
    if left:
        parts.append(f"{duration(left)} left")
    if overhead is not None:
        parts.append(f"overhead {overhead:.1%}")
    bar = Table.grid()
    bar.add_row(ProgressBar(total=max(total, 1), completed=told, width=60))
    return Group(
        Text(", ".join(parts)),
        bar,
        _top(snapshot),
        _arms(snapshot),
        _operators(snapshot),
        Text(_refused(snapshot)),
    )


def _table(title: str, *columns: str, left: int = 1) -> Table:
    table = Table(title=title, box=None, title_justify="left", pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place < left else "right", overflow="fold")
    return table


def _top(snapshot: Mapping[str, Any]) -> Table:
    table = _table(
        "best so far (by stages passed, then score; the baseline has score 1)",
        *("cell", "arm", "made by", "of", "stages", "score", "parameters"),
        left=4,
    )
    for entry in snapshot["top"]:
        score = entry["score"]
        table.add_row(
            Text(entry["name"]),
            entry["arm"],
            Text(entry["operators"]),
            Text(", ".join(entry["parents"])),
            f"{entry['passed']}/{len(snapshot['stages'])}",
            "-" if score is None else f"{score:.4f}",
            f"{entry['parameters']:,.0f}",
        )
    return table


def _arms(snapshot: Mapping[str, Any]) -> Table:
    lost = ("unmeasured",) if snapshot.get("unmeasured") else ()
    names = ("told", "finished", "stopped", "failed", *lost, "none", "attempts")
    table = _table("arms", "arm", *names)
    for arm, counts in snapshot["arms"].items():
        table.add_row(arm, *(f"{counts.get(n, 0):,}" for n in names))
    return table


def _operators(snapshot: Mapping[str, Any]) -> Table:
    names = ("measured", "finished", "better", "refused", "missed")
    heads = ("measured", "finished", "better than a parent", "refused", "did not apply")
    table = _table("operators", "operator", *heads)
    order = sorted(snapshot["operators"].items(), key=lambda i: (-i[1].get("measured", 0), i[0]))
    for name, counts in order[:12]:
        table.add_row(name, *(f"{counts.get(n, 0):,}" for n in names))
    return table


def _refused(snapshot: Mapping[str, Any]) -> str:
    found = snapshot["refused"]
    if not found:
        return "refused before training: none"
    listed = ", ".join(f"{reason} {count:,}" for reason, count in list(found.items())[:8])
    return f"refused before training: {sum(found.values()):,} ({listed})"
