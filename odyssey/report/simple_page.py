"""One self-contained page of text, tables and figures, for what is not a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from odyssey.report.figures import Picture
from odyssey.report.html import data_uri, html_table

_HERE = Path(__file__).parent
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} - Odyssey</title>
<style>
{{ css }}
</style>
</head>
<body>
<header>
<p class="kind">Odyssey study</p>
<h1>{{ title }}</h1>
<p class="lead">{{ lead }}</p>
</header>
<main>
{% for part in parts %}
<section>
<h2>{{ part.heading }}</h2>
{% for paragraph in part.paragraphs %}
<p>{{ paragraph }}</p>
{% endfor %}
{% for block in part.blocks %}
{{ block }}
{% endfor %}
</section>
{% endfor %}
</main>
</body>
</html>
"""


@dataclass(frozen=True)
class Part:
    """A section of a page.

    Attributes:
        heading: Its title.
        paragraphs: Text, before what follows.
        shown: Tables (frames of words and of numbers already rounded) and figures.
    """

    heading: str
    paragraphs: Sequence[str] = ()
    shown: Sequence[pd.DataFrame | Picture] = ()

    @property
    def blocks(self) -> list[Markup]:
        """The tables and figures as HTML."""
        return [_table(s) if isinstance(s, pd.DataFrame) else _figure(s) for s in self.shown]


def write_page(path: str | Path, *, title: str, lead: str, parts: Iterable[Part]) -> Path:
    """Writes a page; the same content makes the same bytes."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(_PAGE).render(
        title=title,
        lead=lead,
        parts=list(parts),
        css=Markup((_HERE / "report.css").read_text(encoding="utf-8")),
    )
    path = Path(path)
    path.write_text(text, encoding="utf-8")
    return path


def _table(frame: pd.DataFrame) -> Markup:
    heads = [(str(name), pd.api.types.is_numeric_dtype(frame[name])) for name in frame]
    rows = [[(_word(value), False) for value in row] for row in frame.itertuples(index=False)]
    return html_table(heads, rows)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else "-" if pd.isna(value) else f"{value:g}"


def _figure(picture: Picture) -> Markup:
    return Markup('<figure><img src="{}" alt="{}"><figcaption>{}</figcaption></figure>').format(
        data_uri(picture), picture.title, picture.caption
    )
