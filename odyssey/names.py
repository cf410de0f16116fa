"""Names that people give, made fit for where they go: a line, a table, a file, a page.

A study, a cell, a text or a folder may be called anything. What reads names apart from people reads
them here: the path inside a spec, and what a terminal or a file system would take for an order.
Pages, Markdown and LaTeX escape by themselves what they are given; figures by `report.page.style`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

TEXT_PREFIX = "text:"
CAPTIONS_PREFIX = "captions:"
PATH_PREFIXES = (TEXT_PREFIX, CAPTIONS_PREFIX)
"""Of task specs whose rest is a path, and options."""

_CELL_FILE = re.compile(r"(.*?\.cell)(?::(.*))?", re.DOTALL)
_OPTIONS = re.compile(r"\s*\w+\s*=[^,=]*(,\s*\w+\s*=[^,=]*)*")
_LONGEST = 200  # characters of a line
_LONGEST_FILE = 60  # bytes of the name of a file, without what tells it from others
# Devices of Windows, whatever follows a dot.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def path_prefix(spec: str) -> str:
    """Gives what stands before the path in a task spec, "" where it holds none."""
    return next((prefix for prefix in PATH_PREFIXES if spec.startswith(prefix)), "")


def split_text(spec: str) -> tuple[str, str]:
    """Splits `PATH[@key=value,...]` into the path, which may hold '@', and the options.

    What follows the last '@' is options if it looks like them.
    """
    path, at, given = spec.rpartition("@")
    return (path, given) if at and _OPTIONS.fullmatch(given) else (spec, "")


def split_cell(spec: str) -> tuple[str, str | None]:
    """Splits a cell spec into its base and its ablations, None where no colon follows the base.

    The path of a `.cell` file may hold colons.
    """
    base, colon, operators = spec.partition(":")
    file = _CELL_FILE.fullmatch(spec)
    return (file[1], file[2]) if file else (base, operators if colon else None)


def printable(name: str) -> str:
    """Writes a name in one line, without what steers a terminal or turns the direction of text.

    Line breaks become blanks; control characters, marks of direction and lone surrogates their
    escapes, as in `\\x1b`. A very long name loses its middle.
    """
    line = " ".join(str(name).split())
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]}...{line[-_LONGEST // 2 :]}"
    return escaped(line)


def escaped(text: str) -> str:
    """Writes the escapes of what `printable` escapes; lines and blanks of all widths stay."""
    return "".join(c if _stays(c) else escape(c) for c in text)


def escape(character: str) -> str:
    r"""Writes `\xNN`, also for what has a letter of its own, which would be read as a backslash."""
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else character.encode("unicode_escape").decode("ascii")


def _stays(character: str) -> bool:
    plain = character.isprintable() or character in "\n\t"
    return plain or unicodedata.category(character) == "Zs"


def file_name(name: str) -> str:
    """Makes a name that every file system takes, of letters, digits and `._-`; never empty."""
    kept = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    short = kept.encode()[:_LONGEST_FILE].decode(errors="ignore").strip(".") or "_"
    return f"_{short}" if _RESERVED.match(short) else short


def short_names(specs: Iterable[str]) -> dict[str, str]:
    """Gives specs in one line each, without the folders of their paths.

    Where two would be called the same, as many of their folders stay as tell them apart.
    """
    specs = list(dict.fromkeys(str(spec) for spec in specs))
    depth = dict.fromkeys(specs, 1)
    while True:
        names = {spec: printable(_last_folders(spec, depth[spec])) for spec in specs}
        taken = Counter(names.values())
        clashing = [s for s in specs if taken[names[s]] > 1 and _last_folders(s, depth[s]) != s]
        if not clashing:
            break
        for spec in clashing:
            depth[spec] += 1
    left = Counter(names.values())
    seen: Counter[str] = Counter()
    for spec, name in names.items():
        if left[name] > 1:  # two that differ in what no line shows
            seen[name] += 1
            names[spec] = f"{name} ({seen[name]})"
    return names


def _last_folders(spec: str, count: int) -> str:
    """Gives a spec with the last parts of its path; whole, where it has no more, or no path."""
    if before := path_prefix(spec):
        path, options = split_text(spec.removeprefix(before))
        after = f"@{options}" if options else ""
    else:
        path, operators = split_cell(spec)
        if not path.endswith(".cell") and "/" not in path.partition("@")[0]:
            return spec
        before, after = "", f":{operators}" if operators is not None else ""
    parts = path.split("/")
    return before + "/".join(parts[-count:]) + after


def without_folder(spec: str) -> str:
    """Gives a cell spec without the folder of its `.cell` file; any other text as it is."""
    return _last_folders(spec, 1) if split_cell(spec)[0].endswith(".cell") else spec


def paths_in(data: object) -> list[str]:
    """Lists the specs and the absolute paths that plain data hold, as keys too."""
    if isinstance(data, Mapping):
        return [path for pair in data.items() for part in pair for path in paths_in(part)]
    if isinstance(data, list | tuple):
        return [path for part in data for path in paths_in(part)]
    if not isinstance(data, str) or "\n" in data or "/" not in data:
        return []
    is_file = data.startswith((*PATH_PREFIXES, "/")) or split_cell(data)[0].endswith(".cell")
    return [data] if is_file else []


def renamed(data: Any, names: Mapping[str, str]) -> Any:
    """Gives plain data with other texts in place of some, as keys too, and all others escaped."""
    if isinstance(data, Mapping):
        return {renamed(key, names): renamed(value, names) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [renamed(part, names) for part in data]
    return names.get(data, escaped(data)) if isinstance(data, str) else data
