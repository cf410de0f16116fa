"""The flow of a cell as a picture: SVG as text, with no library; pixels throughout."""

from __future__ import annotations

import html
import re

from odyssey.formats.diagram import COLOURS, Box, Flow, beside
from odyssey.formats.layout import arrange

_MARGIN, _GAP, _BETWEEN = 20.0, 16.0, 46.0
_SIZE = 15.0  # of the letters
_WIDE = 8.2  # of a letter, on average
_HEIGHT = {"function": 34.0, "operation": 30.0}
_COLOURS = COLOURS | {"operation": ("#ffffff", "#777777")}
_TIMED = re.compile(r"([A-Za-z][A-Za-z0-9]*)(?:_(\w+))?(?:\[(t(?:-\d+)?)\])?\Z")


def write_svg(flow: Flow) -> str:
    """Draws a flow from left to right; a box shows its equation where a mouse rests on it."""
    heights = {b.key: _HEIGHT.get(b.kind, 32.0) for b in flow.boxes}
    widths = {b.key: _width(b) for b in flow.boxes}
    laid = arrange([b.key for b in flow.boxes], flow.arrows, heights, gap=_GAP)
    count = max(laid.column.values(), default=-1) + 1
    broad = [
        max((widths[k] for k, c in laid.column.items() if c == column), default=0.0)
        for column in range(count)
    ]
    left = [_MARGIN + sum(broad[:k]) + _BETWEEN * k for k in range(count)]
    middle = {k: left[c] + broad[c] / 2 for k, c in laid.column.items()}
    top = _MARGIN + 26
    lowest = max((laid.height[b.key] + heights[b.key] / 2 for b in flow.boxes), default=0.0)
    deepest = max((h for points in laid.points.values() for _, h in points), default=0.0)
    width = _MARGIN + (left[-1] + broad[-1] if left else 0.0)
    height = top + max(lowest, deepest) + _MARGIN
    title = html.escape(flow.title)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{title}"'
        f' font-family="Helvetica, Arial, sans-serif" font-size="{_SIZE:g}">',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path d="M0 0.5 L8 4 L0 7.5 z" fill="#555"/></marker>'
        "</defs>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>',
        f'<text x="{_MARGIN:g}" y="{_MARGIN + 6:g}" font-weight="bold" fill="#222">{title}</text>',
    ]
    for source, target in flow.arrows:
        start = (middle[source] + widths[source] / 2, top + laid.height[source])
        end = (middle[target] - widths[target] / 2 - 1, top + laid.height[target])
        points = [start]
        for column, high in laid.points[source, target]:
            points += [(left[column], top + high), (left[column] + broad[column], top + high)]
        lines.append(_curve([*points, end]))
    for box in flow.boxes:
        at = middle[box.key], top + laid.height[box.key]
        lines.append(_drawn(box, at, (widths[box.key], heights[box.key])))
    return "\n".join([*lines, "</svg>", ""])


def _width(box: Box) -> float:
    shown = re.sub(r"[\[\]_]", "", box.shown)
    if box.kind == "operation" and len(shown) <= 2:
        return 30.0
    return max(40.0, _WIDE * len(shown) + 20)


def _curve(points: list[tuple[float, float]]) -> str:
    """Draws an arrow that leaves and arrives level."""
    (x, y), *rest = points
    path = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in rest:
        if abs(to_y - y) < 0.5:
            path.append(f"L{to_x:.1f} {to_y:.1f}")
        else:
            half = (x + to_x) / 2
            path.append(f"C{half:.1f} {y:.1f} {half:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return (
        f'<path d="{" ".join(path)}" fill="none" stroke="#555" stroke-width="1.2"'
        ' marker-end="url(#arrow)"/>'
    )


def _drawn(box: Box, at: tuple[float, float], size: tuple[float, float]) -> str:
    (x, y), (width, height) = at, size
    fill, stroke = _COLOURS[box.kind]
    round_ = 5.0 if box.kind == "function" else height / 2
    name = _typeset(box.name)
    of_names = box.kind == "operation" and not box.name
    sign = _typeset(box.label) if of_names else html.escape(box.label)
    text = beside(name, sign)
    return (
        f"<g><title>{html.escape(box.about)}</title>"
        f'<rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}"'
        f' height="{height:.1f}" rx="{round_:g}" fill="{fill}" stroke="{stroke}"'
        ' stroke-width="1.3"/>'
        f'<text x="{x:.1f}" y="{y + 5:.1f}" text-anchor="middle" fill="#222">{text}</text></g>'
    )


def _typeset(name: str) -> str:
    """Sets a name as papers do: slanted, what follows the underscore and the time lowered."""
    words = []
    for word in name.split(" "):
        match = _TIMED.match(word)
        if match is None:
            words.append(html.escape(word))
            continue
        base, sub, time = match.groups()
        low = ",".join(part.replace("-", "−") for part in (sub, time) if part)
        lowered = (
            f'<tspan dy="4" font-size="11">{low}</tspan><tspan dy="-4"> </tspan>' if low else ""
        )
        words.append(f'<tspan font-style="italic">{base}</tspan>{lowered}')
    return " ".join(words)
