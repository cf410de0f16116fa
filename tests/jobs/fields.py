"""Rewrites the arguments of a training from the tables of hyperparameters and training options:
`make golden`."""

import dataclasses
import inspect
import re
import textwrap
from pathlib import Path

from odyssey.hyperparameters import HYPERPARAMETERS
from odyssey.training.config import OPTIONS, TrainingConfig

FILE = Path(__file__).parents[2] / "odyssey/jobs/train_fields.py"
HEAD = '''"""The arguments of a training that tables name: written by `make golden`, not by hand.

Their rows are in `odyssey.hyperparameters` and `odyssey.training.config`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from odyssey.options import Options


@dataclass(frozen=True, kw_only=True)
class TrainFields(Options):
    """Hyperparameters and training options; None leaves one to the preset, or to its default.

    Attributes:
'''


def written():
    """Writes the file."""
    says, fields = [], []
    for row in HYPERPARAMETERS.values():
        shown = "" if row.single is None else f" ({row.single})"
        says.append((row.name, f"{row.meaning[0].upper()}{row.meaning[1:]}{shown}."))
        fields.append((row.name, row.range.kind.__name__))
    documented = dict(re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", _attributes(), re.M | re.S))
    for field in dataclasses.fields(TrainingConfig):
        text = " ".join(documented[field.name].split()).removesuffix(".")
        default = "adam" if field.name == "optimizer" else field.default
        says.append((field.name, f"{text} ({default})."))
        allowed = OPTIONS[field.name]
        kind = field.type
        if isinstance(allowed, tuple) and kind == "str" and field.name != "device":  # cuda:1
            kind = "Literal[" + ", ".join(f'"{value}"' for value in allowed) + "]"
        fields.append((field.name, kind))
    lines = [
        textwrap.fill(
            f"{name}: {text}",
            100,
            initial_indent=" " * 8,
            subsequent_indent=" " * 12,
            break_on_hyphens=False,
            break_long_words=False,
        )
        for name, text in says
    ]
    body = [f"    {name}: {kind} | None = None" for name, kind in fields]
    return HEAD + "\n".join([*lines, '    """', "", *body, ""])


def _attributes():
    text = inspect.getdoc(TrainingConfig).partition("Attributes:\n")[2]
    return text + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), "utf-8")
