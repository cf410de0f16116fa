"""Brackets of a text: how many of those that are opened are closed."""

from __future__ import annotations

from dataclasses import dataclass

PAIRS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Brackets:
    """Counts brackets.

    Attributes:
        opened: Opening brackets.
        closed: Those of them that are closed.
    """

    opened: int
    closed: int

    @property
    def share(self) -> float | None:
        """The part that is closed; None where there is no bracket."""
        return self.closed / self.opened if self.opened else None


def count_brackets(text: str) -> Brackets:
    """Counts the opening brackets of a text, and those that are closed where they should be.

    A closing bracket closes the innermost open one of its kind; what was opened inside that one is
    left unclosed. One that finds none of its kind open is passed over.
    """
    opened = closed = 0
    expected: list[str] = []  # the closing brackets of those that are open, innermost last
    for character in text:
        if character in PAIRS:
            opened += 1
            expected.append(PAIRS[character])
        elif character in expected:
            while expected.pop() != character:
                pass
            closed += 1
    return Brackets(opened, closed)
