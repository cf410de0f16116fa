"""Results as Markdown."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from odyssey.speed.registry import Result
from odyssey.speed.section import Measurement, Settings


def format_measurement(value: str | int | float) -> str:
    """Prints a number with three digits or more, and no more behind the point than it needs."""
    if not isinstance(value, float):
        return str(value)
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def finding_rows(results: Sequence[Result], settings: Settings) -> list[Measurement]:
    """Lists what was found; beside the goals where the sizes are those they are stated for."""
    return [
        {
            "section": result.name,
            "figure": finding.name,
            "measured": format_measurement(finding.value),
            "wanted": finding.wanted if settings.usual else "",
            "reached": finding.met if settings.usual else "",
        }
        for result in results
        for finding in result.findings
    ]


def write_document(
    results: Sequence[Result],
    settings: Settings,
    *,
    machine: Mapping[str, str],
    date: datetime.date,
) -> str:
    """Writes machine, findings and tables as Markdown."""
    told = "; ".join(f"{name}: {value}" for name, value in machine.items())
    how = f"T = {settings.steps}, medians of {settings.rounds} interleaved rounds"
    lines = [f"# Benchmarks, {date.isoformat()}", "", f"{told}. {how}.", ""]
    found = finding_rows(results, settings)
    lines += _table(found) if found else ["Nothing was measured."]
    for result in results:
        lines += ["", f"## {result.section.title} (`{result.name}`)", "", result.section.note, ""]
        lines += [f"Skipped: {result.skipped}."] if result.skipped else _table(result.rows)
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Measurement]) -> list[str]:
    heads = list(rows[0])
    numbers = [not isinstance(rows[0][h], str) for h in heads]
    lines = [
        "| " + " | ".join(heads) + " |",
        "|" + "|".join("---:" if n else "---" for n in numbers) + "|",
    ]
    return lines + [
        "| " + " | ".join(format_measurement(v) for v in row.values()) + " |" for row in rows
    ]
