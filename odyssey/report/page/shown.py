"""What an object shows of itself in a notebook: a title, tables and figures, as HTML."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.figure import Figure

from odyssey.report.page.pictures import figure_source, figure_width
from odyssey.report.page.shell import render


def fragment(
    title: str, *, lead: str = "", blocks: Sequence[Markup] = (), notes: Sequence[str] = ()
) -> str:
    """Writes HTML that stands alone within any page.

    Args:
        title: What is shown.
        lead: The rest of the first line.
        blocks: Tables and figures.
        notes: Small print, a paragraph each.
    """
    return render("page/shown.html", title=title, lead=lead, blocks=blocks, notes=notes)


def figure_html(figure: Figure, alt: str) -> Markup:
    """Makes an image of a figure, in the width that it has on paper."""
    return Markup('<img src="{}" alt="{}" width="{}">').format(
        figure_source(figure), alt, figure_width(figure)
    )
