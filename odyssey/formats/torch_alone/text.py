"""Python as text: heads, calls and tuples in as many lines as a formatter would make of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

WIDTH = 88
"""Columns of a line, as ruff and Black have it."""
INDENT = "    "


def wrapped(opening: str, arguments: Sequence[str], closing: str, *, depth: int) -> list[str]:
    """Writes arguments in as many lines as a formatter would make of them, `depth` steps in."""
    room = WIDTH - depth * len(INDENT)
    joined = ", ".join(arguments)
    if len(opening) + len(joined) + len(closing) <= room:
        return [f"{opening}{joined}{closing}"]
    if len(INDENT) + len(joined) <= room:
        return [opening, INDENT + joined, closing]
    return [opening, *(f"{INDENT}{argument}," for argument in arguments), closing]


def chunks(names: Iterable[str], room: int, *, between: str = " ") -> list[str]:
    """Joins names, in as many texts as are needed for none to be longer than `room`."""
    texts: list[str] = []
    for name in names:
        if texts and len(texts[-1]) + len(between) + len(name) <= room:
            texts[-1] += between + name
        else:
            texts.append(name)
    return texts


def definition(name: str, arguments: Iterable[str], result: str = "") -> list[str]:
    """Writes the head of a method."""
    end = f") -> {result}:" if result else "):"
    lines = wrapped(f"def {name}(", list(arguments), end, depth=1)
    return [INDENT + line for line in lines]


def returned(first: str, values: Sequence[str]) -> list[str]:
    """Writes the end of a method, which gives a tuple, behind something else or alone."""
    text = ", ".join(values) + ("," if len(values) == 1 else "")
    whole = f"return {first}({text})" if first or len(values) < 2 else f"return {text}"
    if len(whole) <= WIDTH - 2 * len(INDENT):
        return [whole]
    return [f"return {first}(", *(f"{INDENT}{value}," for value in values), ")"]


def literal(symbols: Iterable[str]) -> str:
    """Writes characters as a string of Python, in the quotes that need fewer escapes."""
    text = "".join(symbols)
    quote = "'" if text.count('"') > text.count("'") else '"'
    escaped = {"\\": "\\\\", quote: f"\\{quote}"}
    shown = (escaped.get(c) or (c if c.isprintable() else ascii(c)[1:-1]) for c in text)
    return f"{quote}{''.join(shown)}{quote}"


def indices(places: Sequence[int]) -> str:
    """Writes places among the numbers of a step: a slice where they follow one another."""
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] + 1 == place:
            runs[-1].append(place)
        else:
            runs.append([place])
    if len(runs) == 1:
        return f"{runs[0][0]}:{runs[0][-1] + 1}"
    spans = (f"*range({r[0]}, {r[-1] + 1})" if len(r) > 2 else ", ".join(map(str, r)) for r in runs)
    return f"[{', '.join(spans)}]"
