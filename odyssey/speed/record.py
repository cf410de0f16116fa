"""Results as files that stay: one of each date and instruction set, as Markdown and as JSON.

The JSON holds the figures alone. `benchmarks/fallen.py` compares it with that of another date.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from odyssey.speed.registry import Result
from odyssey.speed.section import Settings


def record_paths(folder: Path, *, date: datetime.date, target: str) -> tuple[Path, Path]:
    """Names the Markdown and the JSON of a date and an instruction set."""
    name = f"{date.isoformat()}-bench-{target}"
    return folder / f"{name}.md", folder / f"{name}.json"


def write_record(
    results: Sequence[Result],
    settings: Settings,
    *,
    machine: Mapping[str, str],
    date: datetime.date,
) -> str:
    """Writes machine, settings and figures as JSON.

    A figure has a `value`, a `bound` or null, and says which way is `better`: more, less, or
    neither (an empty text). `usual` says whether sizes are those that the bounds are for.
    """
    figures = [
        {
            "section": result.name,
            "figure": finding.name,
            "value": finding.value,
            "bound": finding.bound,
            "better": finding.better,
        }
        for result in results
        for finding in result.findings
    ]
    data = {
        "date": date.isoformat(),
        "machine": dict(machine),
        "settings": asdict(settings),
        "usual": settings.usual,
        "figures": figures,
    }
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
