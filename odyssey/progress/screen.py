"""A part of the terminal that is drawn over and over."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live

from odyssey.progress.output import console


@dataclass
class Screen:
    """Draws pictures in place on a terminal, prints lines elsewhere; a context.

    Attributes:
        console: Where to draw.
        quiet: Neither draws nor prints (for --json).
    """

    console: Console = field(default_factory=console)
    quiet: bool = False
    live: Live | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        if not self.quiet and self.console.is_terminal:
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

    @property
    def prints(self) -> bool:
        """Whether lines are printed: there is neither a picture nor silence."""
        return not self.quiet and not self.live

    def line(self, text: str) -> None:
        """Prints a line at once, where lines are printed."""
        if self.prints:
            print(text)
            sys.stdout.flush()

    def draw(self, picture: RenderableType) -> None:
        """Replaces the picture, where one is drawn."""
        if self.live:
            self.live.update(picture)
