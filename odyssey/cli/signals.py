"""What a signal does to a command: the first ends it in order, a second one at once.

Ctrl-C, the SIGTERM of schedulers and the SIGHUP of a closed terminal are the same to a run: it says
at once what it is ending, keeps what is finished, and exits with 128 and the number of the signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "told to end (SIGTERM)",
    signal.SIGHUP: "the terminal is gone (SIGHUP)",
}
_SHOW_CURSOR = b"\x1b[?25h"

_said: list[Callable[[], str]] = [lambda: "nothing of this command is kept; give it again"]


class Interruption(KeyboardInterrupt):
    """Ends the command; its signal has been spoken of.

    Attributes:
        exit_code: What the command exits with.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextlib.contextmanager
def ending(text: str | Callable[[], str]) -> Iterator[None]:
    """Says what a signal ends while the context lasts, and what of it is kept: when it comes."""
    _said.append(text if callable(text) else lambda: text)
    try:
        yield
    finally:
        _said.pop()


@contextlib.contextmanager
def orderly() -> Iterator[None]:
    """Makes signals raise `Interruption` in this thread; what is ignored stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in heard:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in heard:
            # None: a handler that is not Python's
            signal.signal(number, before[number] or signal.SIG_DFL)


def _end(number: int, frame: object) -> None:
    for other in SIGNALS:
        if signal.getsignal(other) is _end:
            signal.signal(other, _end_at_once)
    if number == signal.SIGHUP:  # what is printed from here on has nowhere to go
        for descriptor in (1, 2):
            if os.isatty(descriptor):
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    _write(f"\nodyssey: {WORDS[signal.Signals(number)]}: {_said[-1]()}\n".encode())
    raise Interruption(number)


def _end_at_once(number: int, frame: object) -> None:
    if os.isatty(2):
        _write(_SHOW_CURSOR)
    os._exit(128 + number)


def _write(data: bytes) -> None:
    """Writes to standard error, whoever else is in the middle of writing."""
    with contextlib.suppress(OSError):
        os.write(2, data)
