"""The page of pictures that were read: each with what was written, and where the model looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from odyssey.report.inside.readings import PictureReading
from odyssey.report.page.pictures import Picture
from odyssey.report.page.shell import render

WIDEST = 240  # pixels of a page that a picture takes


@dataclass(frozen=True)
class ReadingsPage:
    """What the page says.

    Attributes:
        title: Who read what.
        lead: A line about it.
        facts: Numbers, by what they are.
        notes: How to read them, a paragraph each.
        pictures: Figures of all that was read.
        readings: What is shown one by one, at least one.
    """

    title: str
    lead: str
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    pictures: Sequence[Picture]
    readings: Sequence[PictureReading]


def write_readings_page(content: ReadingsPage, path: Path) -> Path:
    """Writes the page; the same content makes the same bytes."""
    width = content.readings[0].picture_HW.shape[1]
    looked = content.readings[0].looks_Thw is not None
    most = WIDEST if not looked else WIDEST // 2 if width <= 32 else WIDEST
    text = render(
        "inside/readings.html",
        title=content.title,
        lead=content.lead,
        facts=content.facts,
        notes=content.notes,
        pictures=content.pictures,
        readings=content.readings,
        looked=looked,
        pixels=width * max(1, min(4, most // width)),
    )
    path.write_text(text, encoding="utf-8")
    return path
