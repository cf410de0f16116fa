"""The whole file: what it says of itself, imports, functions and classes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from odyssey.formats.portable import Portable
from odyssey.formats.torch_alone.condition import conditioner_class
from odyssey.formats.torch_alone.draft import Draft, draft
from odyssey.formats.torch_alone.equations import IMPORTED, defined
from odyssey.formats.torch_alone.running import load_function, model_class, rnn_class
from odyssey.formats.torch_alone.starting import start_function
from odyssey.formats.torch_alone.step import cell_class, property_function, step_method
from odyssey.formats.torch_alone.text import INDENT, WIDTH
from odyssey.version import __version__

LONGEST_FILE = 120


def write_torch(portable: Portable) -> str:
    """Writes the file; trained weights are to lie beside it, under its name and `.safetensors`.

    A long file does without the cell's text: its equations stand in the step.

    Raises:
        ConfigError: A weight starts or is made in a way that has no torch alone.
    """
    drafted = draft(portable)
    step = step_method(drafted)
    called, imports = defined(step)
    functions = [
        *map(property_function, drafted.properties),
        *map(start_function, drafted.starts),
        *called,
    ]
    classes = [cell_class(drafted, step.lines), rnn_class(drafted)]
    if portable.around is not None:
        classes.append(conditioner_class(portable.around))
    classes.append(model_class(drafted))
    below = [part for part in (*functions, *classes, load_function(drafted)) if part]
    body = [_imports(imports), *(["", *part] for part in below)]
    whole = _joined([_docstring(drafted, text=True), *body])
    if whole.count("\n") < LONGEST_FILE:
        return whole
    return _joined([_docstring(drafted, text=False), *body])


def _joined(parts: list[list[str]]) -> str:
    return "\n".join("\n".join([*lines, ""]) for lines in parts)


def _docstring(drafted: Draft, *, text: bool) -> list[str]:
    cell, portable = drafted.cell, drafted.portable
    about = f"{portable.name} in torch alone; `RNN` is called like torch.nn.LSTM."
    lines = [*textwrap.wrap(about, WIDTH - 3), ""]
    for note in (f"From {cell.citation}." if cell.citation else "", *portable.notes):
        lines += textwrap.wrap(note, WIDTH, break_on_hyphens=False)
    lines += [f"Odyssey {__version__}, key {cell.key}"]
    if text:
        said = (line for line in cell.text.strip().splitlines() if line[:5] != "cite ")
        lines += ["", *(INDENT + line if line else "" for line in said)]
    safe = "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''")
    return [*f'"""{safe}'.splitlines(), '"""']


def _imports(called: Iterable[tuple[str, str]]) -> list[str]:
    """Writes the imports, with the functions of torch that are called by their own names."""
    names = {module: sorted(n for m, n in called if m == module) for module in IMPORTED}
    lines = [_import("torch", ["Tensor", *sorted([*names.pop("torch"), "nn"])])]
    lines += [_import(module, own) for module, own in names.items() if own]
    return ["import torch", *(line for each in lines for line in each)]


def _import(module: str, names: list[str]) -> list[str]:
    """Writes an import; where it would be too long in several, each of one line."""
    lines = [f"from {module} import {names[0]}"]
    for name in names[1:]:
        fits = len(lines[-1]) + len(name) + 2 <= WIDTH
        lines = (
            [*lines[:-1], f"{lines[-1]}, {name}"]
            if fits
            else [*lines, f"from {module} import {name}"]
        )
    return lines
