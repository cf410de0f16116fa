"""A picture in a notebook that is drawn over and over, by the notebook's own display."""

from __future__ import annotations

import io
import sys
import time
from typing import Any

from rich.console import Console, RenderableType

SECONDS = 0.25  # between two pictures, at least
_WIDTH = 110
_CODE = '<pre style="line-height: 1.35; margin: 0">{code}</pre>'


def in_notebook() -> bool:
    """Tells whether this process is the kernel of a notebook; imports nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookLive:
    """Draws what it is given in the place of what it drew before."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._drawn = -SECONDS

    def update(self, picture: RenderableType) -> None:
        """Draws, unless it has just drawn."""
        now = time.monotonic()
        if now - self._drawn < SECONDS:
            return
        self._drawn = now
        self._show(to_html(picture))

    def close(self) -> None:
        """Takes the picture away: what was made shows itself."""
        if self._handle is not None:
            self._show("")

    def _show(self, html: str) -> None:
        from importlib import import_module

        display: Any = import_module("IPython.display")
        shown = display.HTML(html)
        if self._handle is None:
            self._handle = display.display(shown, display_id=True)
        else:
            self._handle.update(shown)


def to_html(picture: RenderableType) -> str:
    """Writes a picture of rich as HTML, names escaped."""
    console = Console(
        file=io.StringIO(), record=True, width=_WIDTH, force_terminal=True, force_jupyter=False
    )
    console.print(picture)
    return console.export_html(inline_styles=True, code_format=_CODE)
