"""TODO."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
import pandas as pd
from markupsafe import Markup
from odyssey.errors import StoreError
from odyssey.names import short_names
from odyssey.report.page import style, tables
from odyssey.report.page.entries import entries
from odyssey.report.page.records import read_records
from odyssey.report.page.shell import render
from odyssey.report.page.units import slash
from odyssey.report.study import pictures as figures, protocol
from odyssey.report.page import pictures
from odyssey.report.study.baseline import BaselineComparison, compare_with_baseline
from odyssey.statistics import estimates, published, ranking
from odyssey.storage import RunStore
from odyssey.storage.schema import RESULT_COLUMNS
from odyssey.report.page.pictures import data_uri


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
