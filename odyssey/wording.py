"""How values and numbers stand in sentences for people: quoted, cut short, in the plural."""

from __future__ import annotations

import reprlib

LONGEST = 60
"""Characters of a value that a message quotes; of a longer one it shows both ends."""


def shorten(text: str, most: int = LONGEST) -> str:
    """Cuts text that is too long for a message; what cannot be printed is escaped."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: 4 * most])
    if len(shown) <= most and len(text) <= 4 * most:
        return shown
    return shown[: most - 3] + "..."


def quoted(value: object, most: int = LONGEST) -> str:
    """Quotes what a user gave, for a message of one line, however long it is."""
    if isinstance(value, str):
        return repr(value) if len(value) <= most else repr(value[: most - 3] + "...")
    short = reprlib.Repr()
    short.maxlong = short.maxother = most
    return shorten(short.repr(value), most)


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Writes a number of things: `1 draw`, `4 draws`, `1,200 comparisons`.

    Args:
        count: How many.
        noun: One of them.
        nouns: Several of them, where that is not the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def kind_of(kind: type) -> str:
    """Says in words what a value of a type is: `a whole number`, `a number`, `text`."""
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "text")
