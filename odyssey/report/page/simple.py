"""One self-contained page of text, tables and figures, for what is not a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from odyssey.report.page.html import frame_html
from odyssey.report.page.pictures import Picture
from odyssey.report.page.shell import render


@dataclass(frozen=True)
class PageSection:
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
        return [
            frame_html(s, _word) if isinstance(s, pd.DataFrame) else _figure(s) for s in self.shown
        ]


def write_simple_page(
    path: str | Path, *, title: str, lead: str, parts: Iterable[PageSection]
) -> Path:
    """Writes a page; the same content makes the same bytes."""
    text = render("page/simple.html", title=title, lead=lead, parts=list(parts))
    path = Path(path)
    path.write_text(text, encoding="utf-8")
    return path


def _word(value: Any) -> str:
    return value if isinstance(value, str) else "-" if pd.isna(value) else f"{value:g}"


def _figure(picture: Picture) -> Markup:
    return Markup('<figure><img src="{}" alt="{}"><figcaption>{}</figcaption></figure>').format(
        picture.source, picture.title, picture.caption
    )
