"""Where a job is seen at work: a picture drawn over and over, or lines."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live

from odyssey.progress.notebook import NotebookLive, in_notebook
from odyssey.progress.output import console, print_line

MOST_LINES = 200
"""Lines of a run that are all printed; later ones come at most every `SECONDS`."""
SECONDS = 10.0


@dataclass
class Screen:
    """Draws pictures in place on a terminal or in a notebook, prints lines elsewhere; a context.

    Attributes:
        console: Where to draw.
        quiet: Neither draws nor prints (for --json).
    """

    console: Console = field(default_factory=console)
    quiet: bool = False
    live: Live | None = field(default=None, init=False)
    notebook: NotebookLive | None = field(default=None, init=False)
    _lines: int = field(default=0, init=False)
    _printed: float = field(default=0.0, init=False)

    def __enter__(self) -> Self:
        if not self.quiet and in_notebook():
            self.notebook = NotebookLive()
        elif not self.quiet and self.console.is_terminal:
            self.live = Live(console=self.console, refresh_per_second=4, transient=True)
            self.live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self.live.__exit__(kind, value, trace)
            self.live = None
        if self.notebook:
            if kind is None:  # what was cut short keeps its last picture
                self.notebook.close()
            self.notebook = None

    @property
    def draws(self) -> bool:
        """Whether there is a picture."""
        return bool(self.live or self.notebook)

    @property
    def prints(self) -> bool:
        """Whether lines are printed: there is neither a picture nor silence."""
        return not (self.quiet or self.draws)

    def line(self, text: str) -> None:
        """Prints a line at once, where lines are printed."""
        if self.prints:
            print_line(text)

    def step(self, text: str, *, last: bool = False) -> None:
        """Prints a line of many: all of the first ones, later ones now and then, and the last."""
        now = time.monotonic()
        self._lines += 1
        if last or self._lines <= MOST_LINES or now - self._printed >= SECONDS:
            self._printed = now
            self.line(text)

    def draw(self, picture: RenderableType) -> None:
        """Replaces the picture, where one is drawn."""
        for live in (self.live, self.notebook):
            if live:
                live.update(picture)
