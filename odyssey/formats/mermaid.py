"""The flow of a cell as a flowchart in Mermaid, which many wikis and README viewers draw."""

from __future__ import annotations

from odyssey.formats.diagram import Box, Flow

_SHAPES = {
    "input": ("([", "])"),
    "before": ("([", "])"),
    "function": ("[", "]"),
    "operation": ("((", "))"),
    "after": ("([", "])"),
    "output": ("([", "])"),
}
_LOOKS = {
    "input": "fill:#e8eef7,stroke:#5b7aa8",
    "before": "fill:#e8eef7,stroke:#5b7aa8",
    "function": "fill:#fdf1d6,stroke:#c9972f",
    "after": "fill:#dcebdc,stroke:#4e8a54",
    "output": "fill:#dcebdc,stroke:#4e8a54",
}


def write_mermaid(flow: Flow) -> str:
    """Writes the flowchart, left to right."""
    lines = ["flowchart LR"]
    for box in flow.boxes:
        opening, closing = _SHAPES[box.kind]
        lines.append(f'    n{box.key}{opening}"{_label(box)}"{closing}')
    lines += [f"    n{source} --> n{target}" for source, target in flow.arrows]
    for kind, look in _LOOKS.items():
        members = [f"n{box.key}" for box in flow.boxes if box.kind == kind]
        if members:
            lines += [f"    classDef {kind} {look}", f"    class {','.join(members)} {kind}"]
    return "\n".join(lines) + "\n"


def _label(box: Box) -> str:
    text = f"{box.name} = {box.label}" if box.name and box.label else box.name or box.label
    return text.replace('"', "#quot;").replace("<", "#lt;")
