"""Output: the one way by which anything reaches a terminal, file or pipe.

`guarded` puts an `Output` in the place of standard output and standard error: what their encoding
cannot take and what would steer a terminal is written as `\\xNN`, whoever prints it. rich's own
control sequences pass through `console`, which escapes what stands between them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from odyssey.names import escape

if TYPE_CHECKING:
    from rich.console import Console

# Control characters but for tab and line feed, overrides of the direction of text, separators of
# lines that only some programs know, and halves of a surrogate pair.
_STEERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def without_steering(text: str) -> str:
    r"""Writes what would steer a terminal as `\xNN` or `\uNNNN`; CR LF is a line end."""
    return _STEERS.sub(lambda found: escape(found[0]), text.replace("\r\n", "\n"))


class Output:
    """A text stream that takes any text; the rest is that of the stream behind it.

    Args:
        stream: The stream behind it.
        steers: Whether control characters may pass: they are rich's own.
    """

    def __init__(self, stream: TextIO, *, steers: bool = False) -> None:
        self.stream = stream
        self._steers = steers
        self._waiting = ""  # a carriage return, until it is known whether a line feed follows

    def write(self, text: str) -> int:
        """Writes text; gives its length."""
        shown = text
        if not self._steers:
            shown = self._waiting + text
            self._waiting = "\r" if shown.endswith("\r") else ""
            shown = without_steering(shown.removesuffix("\r") if self._waiting else shown)
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        try:
            shown.encode(encoding)
        except UnicodeEncodeError:
            shown = shown.encode(encoding, "backslashreplace").decode(encoding)
        self.stream.write(shown)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes several texts."""
        for line in lines:
            self.write(line)

    def finish(self) -> None:
        """Writes what waits, and flushes."""
        if self._waiting:
            self.write("\n")
        self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def guarded() -> Iterator[None]:
    """Puts an `Output` in the place of standard output and standard error."""
    before = sys.stdout, sys.stderr
    if isinstance(sys.stdout, Output):
        yield
        return
    out, err = Output(sys.stdout), Output(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        yield
        out.finish()
    finally:
        sys.stdout, sys.stderr = before


def console(**options: Any) -> Console:
    """Makes the console for tables and pictures that are drawn with rich."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Guarded(Console):
        """Escapes what stands between the control sequences of rich."""

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control or not _STEERS.search(segment.text):
                    yield segment
                else:
                    yield Segment(without_steering(segment.text), segment.style)

    stream: Any = sys.stdout
    behind = stream.stream if isinstance(stream, Output) else stream
    return Guarded(file=Output(behind, steers=True), **options)  # type: ignore[arg-type]


def print_line(text: str) -> None:
    """Prints a line at once."""
    print(text, flush=True)


def print_notices(tasks: Mapping[str, Mapping[str, Any]]) -> None:
    """Says on standard error, a line each, what is unexpected about how texts are read.

    Args:
        tasks: What tasks say of themselves, by spec.
    """
    for record in tasks.values():
        for line in record.get("notices", ()):
            print(f"odyssey: {line}", file=sys.stderr)
