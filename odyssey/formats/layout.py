"""Where the boxes of a flow go: columns from left to right, few crossings, short arrows.

After Sugiyama, Tagawa & Toda 1981. A box stands one column behind the last that it reads; an arrow
over several columns passes a point in each between; the order in a column is that of the mean
places of neighbours, swept back and forth; heights then follow the neighbours as far as the order
and the least distance let them (isotonic regression).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_SWEEPS = 24


@dataclass(frozen=True)
class Laid:
    """Where things are.

    Attributes:
        column: Column of every box, from 0.
        height: The middle of every box, from 0 down.
        points: Of every arrow, its (column, height) between its ends, in order.
    """

    column: dict[int, int]
    height: dict[int, float]
    points: dict[tuple[int, int], list[tuple[int, float]]]


def arrange(
    boxes: Sequence[int], arrows: Sequence[tuple[int, int]], sizes: dict[int, float], *, gap: float
) -> Laid:
    """Lays out a graph without cycles.

    Args:
        boxes: The boxes, each after those that it reads.
        arrows: (from, to).
        sizes: The height of every box.
        gap: The least distance between two in a column.
    """
    column = _columns(boxes, arrows)
    chains: dict[tuple[int, int], list[int]] = {}
    places = dict(column)  # boxes, and the points of arrows: numbers behind those of boxes
    links: list[tuple[int, int]] = []
    following = max(boxes, default=0) + 1
    for source, target in arrows:
        between = list(range(following, following + column[target] - column[source] - 1))
        following += len(between)
        chains[source, target] = between
        places |= {point: column[source] + 1 + k for k, point in enumerate(between)}
        chain = [source, *between, target]
        links += pairwise(chain)
    rows = _ordered(places, links)
    heights = _heights(rows, links, sizes, gap)
    return Laid(
        column,
        {box: heights[box] for box in boxes},
        {arrow: [(places[p], heights[p]) for p in chain] for arrow, chain in chains.items()},
    )


def _columns(boxes: Sequence[int], arrows: Sequence[tuple[int, int]]) -> dict[int, int]:
    reads, read_by = _neighbours(arrows)
    column: dict[int, int] = {}
    for box in boxes:
        column[box] = max((column[r] + 1 for r in reads[box]), default=0)
    for box in reversed(boxes):  # further right where that makes no more arrows longer than shorter
        if reads[box] and len(reads[box]) <= len(read_by[box]):
            column[box] = max(column[box], min(column[r] for r in read_by[box]) - 1)
    return column


def _neighbours(
    links: Sequence[tuple[int, int]],
) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    before: dict[int, list[int]] = defaultdict(list)
    after: dict[int, list[int]] = defaultdict(list)
    for source, target in links:
        before[target].append(source)
        after[source].append(target)
    return before, after


def _ordered(places: dict[int, int], links: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Orders every column so that few arrows cross."""
    before, after = _neighbours(links)
    rows: list[list[int]] = [[] for _ in range(max(places.values(), default=-1) + 1)]
    for node, place in places.items():
        rows[place].append(node)
    best, least = [list(row) for row in rows], _crossings(rows, after)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for row in rows if forward else rows[::-1]:
            near = before if forward else after
            at = {n: k for other in rows for k, n in enumerate(other)}
            where = {n: _mean([at[m] for m in near[n]], float(at[n])) for n in row}
            row.sort(key=lambda n, where=where: where[n])  # type: ignore[misc]
        crossings = _crossings(rows, after)
        if crossings < least:
            best, least = [list(row) for row in rows], crossings
    return best


def _crossings(rows: Sequence[Sequence[int]], after: dict[int, list[int]]) -> int:
    total = 0
    for row, following in pairwise(rows):
        at = {n: k for k, n in enumerate(following)}
        ends = [at[m] for n in row for m in sorted(after[n], key=at.__getitem__)]
        total += sum(a > b for k, a in enumerate(ends) for b in ends[k + 1 :])
    return total


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _heights(
    rows: Sequence[Sequence[int]],
    links: Sequence[tuple[int, int]],
    sizes: dict[int, float],
    gap: float,
) -> dict[int, float]:
    """Finds heights near those of neighbours, in the order of every column."""
    before, after = _neighbours(links)
    heights: dict[int, float] = {}

    def place(row: Sequence[int], wanted: Sequence[float]) -> None:
        offsets, total = [], 0.0
        for k, node in enumerate(row):
            if k:
                total += (sizes.get(row[k - 1], 0.0) + sizes.get(node, 0.0)) / 2 + gap
            offsets.append(total)
        fitted = _isotonic([w - o for w, o in zip(wanted, offsets, strict=True)])
        heights.update({n: f + o for n, f, o in zip(row, fitted, offsets, strict=True)})

    for row in rows:
        place(row, [0.0] * len(row))
    for sweep in range(_SWEEPS):
        near = (before, after)[sweep % 2] if sweep < _SWEEPS - 4 else None
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = []
            for node in row:
                others = near[node] if near is not None else [*before[node], *after[node]]
                wanted.append(_mean([heights[m] for m in others], heights[node]))
            place(row, wanted)
    lowest = min((h - sizes.get(n, 0.0) / 2 for n, h in heights.items()), default=0.0)
    return {n: h - lowest for n, h in heights.items()}


def _isotonic(values: Sequence[float]) -> list[float]:
    """Gives the nearest numbers that never fall, in squares (pool adjacent violators)."""
    blocks: list[list[float]] = []  # sum, count
    for value in values:
        blocks.append([value, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    return [total / count for total, count in blocks for _ in range(int(count))]
