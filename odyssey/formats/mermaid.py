"""The flow of a cell as a flowchart in Mermaid, which many wikis and README viewers draw."""

from __future__ import annotations

from odyssey.formats.diagram import COLOURS, Box, BoxKind, Flow

_SHAPES: dict[BoxKind, tuple[str, str]] = {
    "input": ("([", "])"),
    "before": ("([", "])"),
    "function": ("[", "]"),
    "operation": ("((", "))"),
    "after": ("([", "])"),
    "output": ("([", "])"),
}


def write_mermaid(flow: Flow) -> str:
    """Writes the flowchart, left to right."""
    lines = ["flowchart LR"]
    for box in flow.boxes:
        opening, closing = _SHAPES[box.kind]
        lines.append(f'    n{box.key}{opening}"{_label(box)}"{closing}')
    lines += [f"    n{source} --> n{target}" for source, target in flow.arrows]
    for kind, (fill, stroke) in COLOURS.items():
        members = [f"n{box.key}" for box in flow.boxes if box.kind == kind]
        if members:
            lines.append(f"    classDef {kind} fill:{fill},stroke:{stroke}")
            lines.append(f"    class {','.join(members)} {kind}")
    return "\n".join(lines) + "\n"


def _label(box: Box) -> str:
    return box.shown.replace('"', "#quot;").replace("<", "#lt;")
