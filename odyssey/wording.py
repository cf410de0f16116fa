"""How values, numbers and units stand in sentences: quoted, cut short, in the plural."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence

SINGULAR: Mapping[str, str] = {
    "bytes": "byte",
    "characters": "character",
    "words": "word",
    "symbols": "symbol",
    "steps": "step",
    "frames": "frame",
}
SQUARED_ERROR = "squared error"
NATS_PER_BIT = math.log(2.0)
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
    try:
        return shorten(short.repr(value), most)
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Writes a number of things: `1 draw`, `4 draws`, `1,200 comparisons`.

    Args:
        count: How many.
        noun: One of them.
        nouns: Several of them, where that is not the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def duration(seconds: float) -> str:
    """Writes a time span: 42 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def unit_of(record: Mapping[str, object]) -> str:
    """Names what a task's losses are counted by: "bytes", "characters" or "words".

    Args:
        record: What the task said of itself, as `Task.describe` or `run.json` have it. Records
            without a vocabulary called ASCII texts bytes as well: Python's source, and the corpora
            whose symbols are counted in characters everywhere.
    """
    unit = str(record.get("unit", "characters"))
    name = str(record.get("name", "")).partition("@")[0]
    if "encoding" not in record and name in ("tinyshakespeare", "python-source"):
        return "characters"
    return unit if unit in SINGULAR else "characters"


def symbol_count(count: int, record: Mapping[str, object]) -> str:
    """Writes a number of a task's symbols: `1,200,000 characters`."""
    unit = unit_of(record)
    return plural(count, SINGULAR[unit], unit)


def unit_of_all(records: Mapping[str, object]) -> str:
    """Names what the losses of several tasks are counted by: "symbols" where they differ."""
    units = {unit_of(r) if isinstance(r, Mapping) else "characters" for r in records.values()}
    return units.pop() if len(units) == 1 else "symbols" if units else "characters"


def loss_of(record: Mapping[str, object], what: str = "bits", *, short: bool = False) -> str:
    """Names the loss of a task: `bits per character`, in short `bits/char`; or squared error.

    Args:
        record: What the task said of itself.
        what: Bits or nats.
        short: As it stands in a column's heading.
    """
    if record.get("loss") == SQUARED_ERROR:
        return SQUARED_ERROR
    return per_unit(unit_of(record), what, short=short)


def loss_of_all(records: Mapping[str, object], what: str = "bits", *, short: bool = False) -> str:
    """Names the loss of several tasks; just that where they differ in more than their unit."""
    described = [r for r in records.values() if isinstance(r, Mapping)]
    squared = {r.get("loss") == SQUARED_ERROR for r in described}
    if squared == {True}:
        return SQUARED_ERROR
    return "loss" if True in squared else per_unit(unit_of_all(records), what, short=short)


def climbed_text(climbed: Sequence[int], of: int) -> str:
    """Says how many cells on tasks have finished each rung of a ladder."""
    rungs = ", ".join(f"rung {n} by {count}" for n, count in enumerate(climbed, start=1))
    return f"{rungs} of {of} cells on tasks"


def accuracy_of(record: Mapping[str, object]) -> str:
    """Says what the accuracy of a task is a share of."""
    named = record.get("accuracy")
    return str(named) if named else f"next-{each(unit_of(record))} accuracy"


def baselines_of(record: Mapping[str, object]) -> str:
    """Says what chance and the best predictor score on a task, as far as that is known.

    For example `chance 3.000 bits per character (12.5 %), optimum 0.000 (100.0 %)`.
    """
    parts: list[str] = []
    for name in ("chance", "optimum"):
        loss, accuracy = record.get(f"{name}_nats"), record.get(f"{name}_accuracy")
        if isinstance(loss, int | float) and isinstance(accuracy, int | float):
            unit = "" if parts else f" {loss_of(record)}"
            parts.append(f"{name} {in_bits(loss, record):.3f}{unit} ({100 * accuracy:.1f} %)")
    return ", ".join(parts)


def per_unit(unit: str, what: str = "bits", *, short: bool = False) -> str:
    """Writes `bits per character`, or `bits/char`."""
    return f"{what}/{each(unit, short=True)}" if short else f"{what} per {each(unit)}"


def in_bits(loss: float, record: Mapping[str, object]) -> float:
    """Gives a loss in bits from nats; a squared error stays what it is."""
    return loss if record.get("loss") == SQUARED_ERROR else loss / NATS_PER_BIT


def each(unit: str, *, short: bool = False) -> str:
    """Gives the word after "bits per", as in bits/char, bits/byte or bits/word."""
    word = SINGULAR.get(unit, "character")
    return "char" if short and word == "character" else word
