"""A plug-in as data: its code, the cells beside it, and their digest; nothing is run."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from odyssey.errors import ConfigError
from odyssey.wording import quoted

MOST_BYTES = 1_000_000  # of a file
FOLDER = "plugins"  # of a run: what it keeps of its plug-ins
_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z", re.ASCII)


@dataclass(frozen=True)
class PluginSource:
    """The source of a plug-in, which crosses processes and is kept with a run.

    Attributes:
        name: The stem of its file, or the dotted name of its module.
        origin: The path of its file when it was first read; of a module its dotted name.
        files: Its text files, by their path beside it: the code first, then its cells. Empty of a
            module, which is imported where it is installed.
        sha256: Digest of the files; of a module that of all Python and cell files of the package
            that it is or is in.
        path: The file whose name stands in tracebacks.
        cells: Of a module, the cells among these files, by their path beside it.
    """

    name: str
    origin: str
    files: Mapping[str, str] = field(repr=False)
    sha256: str
    path: str = ""
    cells: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_file(self) -> bool:
        """Whether it is a file, not an installed module."""
        return bool(self.files)

    @property
    def kept(self) -> str:
        """Names it as the study of a run does: a path in the run directory, or a module."""
        return f"{FOLDER}/{self.name}/{self.name}.py" if self.is_file else self.name

    @property
    def label(self) -> str:
        """Names it in messages."""
        return Path(self.origin).name if self.is_file else self.origin

    @cached_property
    def code(self) -> str:
        """The text of its Python file."""
        return next(iter(self.files.values()), "")

    def record(self) -> dict[str, str]:
        """Gives what run.json says of it."""
        return {"origin": self.origin, "kept": self.kept, "sha256": self.sha256}


def is_file_name(spec: str) -> bool:
    """Tells whether a plug-in is named by the path of a file, not as a module."""
    return spec.endswith(".py") or "/" in spec or os.sep in spec


def read_source(spec: str) -> PluginSource:
    """Reads the source of a plug-in.

    Args:
        spec: The path of a Python file, or the dotted name of a module that can be imported.

    Raises:
        ConfigError: There is no such file or module, or it is no text.
    """
    return read_file(Path(spec).expanduser()) if is_file_name(spec) else _find_module(spec)


def read_file(path: Path) -> PluginSource:
    """Reads the source of a plug-in that is a file; see `read_source`."""
    if not _NAME.match(path.stem):
        raise ConfigError(
            f"{path}: a plug-in is called like its file; use letters, digits and _, as in my.py"
        )
    files, origin = _read_with_cells(path), os.path.abspath(path)
    return PluginSource(path.stem, origin, files, digest_of(files), path=origin)


def _read_with_cells(path: Path) -> dict[str, str]:
    files = {path.name: read_small(path)}
    for name in cell_files(files[path.name]):
        if (path.parent / name).is_file():  # or else loading says what is missing
            files[name] = read_small(path.parent / name)
    return files


def cell_files(code: str) -> list[str]:
    """Lists what a plug-in may read besides itself: files beside it that its text quotes."""
    found = set(re.findall(r"""["'](\w[\w./-]*\.cell)["']""", code, re.ASCII))
    return sorted(name for name in found if ".." not in name)


def digest_of(files: Mapping[str, str]) -> str:
    """Gives the sha256 of files, by the names of all but the first and what stands in them."""
    found = hashlib.sha256()
    for number, (name, text) in enumerate(files.items()):
        data = text.encode()
        found.update(f"{name if number else ''}\0{len(data)}\0".encode() + data)
    return found.hexdigest()


def read_small(path: Path) -> str:
    """Reads a small UTF-8 file; raises `ConfigError` with one line that says why it cannot be."""
    try:
        if not path.is_file():
            reason = "is not a file" if path.exists() else "there is no such file"
            raise ConfigError(f"plug-in {path}: {reason}")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ConfigError(f"plug-in {path}: too long; at most {MOST_BYTES:,} bytes are read")
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"plug-in {path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"plug-in {path}: cannot be read ({error.strerror})") from None


def _find_module(name: str) -> PluginSource:
    try:
        found = importlib.util.find_spec(name) if _MODULE.match(name) else None
    except (ImportError, ValueError):
        found = None
    if found is None or not found.origin or not Path(found.origin).is_file():
        raise ConfigError(
            f"no plug-in called {quoted(name)}: give the path of a file, as in my.py,"
            " or the name of a module that can be imported"
        )
    path = Path(found.origin)
    if found.parent:  # it is a package, or in one
        paths = sorted(p for p in path.parent.rglob("*") if p.suffix in (".py", ".cell"))
        texts = {p.relative_to(path.parent).as_posix(): read_small(p) for p in paths}
    else:
        texts = _read_with_cells(path)
    cells = {name: text for name, text in texts.items() if name.endswith(".cell")}
    return PluginSource(name, name, {}, digest_of({"": "", **texts}), path=str(path), cells=cells)
