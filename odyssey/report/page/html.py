"""Tables of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from markupsafe import Markup


def frame_html(frame: pd.DataFrame, show: Callable[[Any], str]) -> Markup:
    """Makes an HTML table of a frame, numbers to the right; `show` writes a value."""
    heads = [(str(name), pd.api.types.is_numeric_dtype(frame[name])) for name in frame]
    return plain_table(heads, [map(show, row) for row in frame.itertuples(index=False, name=None)])


def plain_table(heads: list[tuple[str, bool]], rows: Iterable[Iterable[str]]) -> Markup:
    """Makes an HTML table in which nothing wins; see `html_table`."""
    return html_table(heads, [[(text, False) for text in row] for row in rows])


def html_table(heads: list[tuple[str, bool]], rows: list[list[tuple[str, bool]]]) -> Markup:
    """Makes an HTML table; a head says whether its column holds numbers, a cell whether it wins."""

    def cell(tag: str, content: str, right: bool, strong: bool = False) -> Markup:
        inner = Markup("<strong>{}</strong>").format(content) if strong else content
        return Markup("<{0}{1}>{2}</{0}>").format(
            Markup(tag), Markup(' class="n"' if right else ""), inner
        )

    head = Markup("").join(cell("th", name, right) for name, right in heads)
    body = Markup("\n").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                cell("td", content, right, best)
                for (content, best), (_, right) in zip(row, heads, strict=True)
            )
        )
        for row in rows
    )
    return Markup(
        '<div class="wide"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody>\n'
        "</table></div>"
    ).format(head, body)


def time_span(seconds: float) -> str:
    """Prints a time span: 2 h 10 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{n} {unit}" for n, unit in parts if n] or ["0 s"]
    return " ".join(shown[:2])
