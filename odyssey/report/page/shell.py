"""What all pages have around them: one template, one style sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

_HERE = Path(__file__).parent


def render(template: str, *, title: str, **values: Any) -> str:
    """Fills a template of `report`, one that extends `page/shell.html`.

    Args:
        template: Its path in `report`.
        title: Of the page.
        values: What else it names; a name without a value is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = Markup((_HERE / "report.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(css=css, title=title, **values)
