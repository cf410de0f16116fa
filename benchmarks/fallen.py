"""Says which figures of `odyssey bench` fell since the last time, by instruction set.

    python benchmarks/fallen.py [--folder benchmarks/results] [--percent 5]

Reads what `odyssey bench --keep DIR` wrote: one JSON file a date and instruction set. Of each
instruction set, the newest file is compared with the one before. A figure has fallen if it got
worse by more than 5 %: less where more is better, more where less is better. Files of other sizes
than the usual ones (`--quick`, `--hidden`) are left out. Exits with 1 if anything fell.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PERCENT = 5.0

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """A figure at two dates."""

    section: str
    figure: str
    before: float
    now: float
    better: str  # "more", "less", or nothing: neither

    def fell(self, percent: float) -> bool:
        """Says whether it got worse by more than so many percent."""
        if self.better == "less":
            return self.now > self.before * (1 + percent / 100)
        return self.better == "more" and self.now < self.before * (1 - percent / 100)


def read_records(folder: Path) -> dict[str, list[Record]]:
    """Gives the records of the usual sizes by instruction set, the oldest first."""
    found: dict[str, list[Record]] = {}
    every = [json.loads(path.read_text("utf-8")) for path in folder.glob("*-bench-*.json")]
    for record in sorted(every, key=lambda r: (r["machine"]["target"], r["date"])):
        if record["usual"]:
            found.setdefault(record["machine"]["target"], []).append(record)
    return found


def changes(before: Record, now: Record) -> tuple[list[Change], list[str]]:
    """Gives the figures that are in both records, and the names of those that are gone."""
    old, new = (
        {(f["section"], f["figure"]): f for f in record["figures"]} for record in (before, now)
    )
    both = [
        Change(*key, old[key]["value"], figure["value"], figure["better"])
        for key, figure in new.items()
        if key in old
    ]
    return both, [" ".join(key) for key in old if key not in new]


def moved(before: Record, now: Record) -> list[str]:
    """Says what of the machine is another."""
    old, new = before["machine"], now["machine"]
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{name}: {old.get(name, '-')} -> {new.get(name, '-')}" for name in names]


def number(value: float) -> str:
    """Writes three digits, or all before the point."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def table(rows: Sequence[Change]) -> str:
    """Writes changes below each other, numbers on the right of their columns."""
    lines = [("section", "figure", "before", "now", "change")]
    for row in rows:
        change = f"{100 * (row.now / row.before - 1):+.0f} %" if row.before else ""
        lines.append((row.section, row.figure, number(row.before), number(row.now), change))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    form = "{:<{}}  {:<{}}  {:>{}}  {:>{}}  {:>{}}"
    paired = ([x for pair in zip(line, widths, strict=True) for x in pair] for line in lines)
    return "\n".join(form.format(*pairs) for pairs in paired)


def report(target: str, records: Sequence[Record], percent: float) -> tuple[str, bool]:
    """Compares the newest record with the one before.

    Returns:
        What to print, and whether anything fell.
    """
    *_, now = records
    if len(records) == 1:
        return f"{target}: {now['date']} is the first, there is nothing to compare it with", False
    before = records[-2]
    both, gone = changes(before, now)
    fallen = [change for change in both if change.fell(percent)]
    lines = [f"{target}: {now['date']} beside {before['date']}, {len(both)} figures"]
    lines += [f"also changed: {difference}" for difference in moved(before, now)]
    lines += [f"not measured any more: {name}" for name in gone]
    lines.append(table(fallen) if fallen else "nothing fell")
    return "\n".join(lines), bool(fallen)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=RESULTS, help="of the records")
    parser.add_argument("--percent", type=float, default=PERCENT, help="that do not count (5)")
    args = parser.parse_args(argv)
    if not args.folder.is_dir():
        parser.error(f"--folder {args.folder}: there is no such folder")
    records = read_records(args.folder)
    if not records:
        print(f"no records in {args.folder}: odyssey bench --keep {args.folder} writes them")
        return 0
    found = [report(target, of, args.percent) for target, of in records.items()]
    print("\n\n".join(text for text, _ in found))
    return int(any(fell for _, fell in found))


if __name__ == "__main__":
    sys.exit(main())
