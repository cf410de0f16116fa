"""Where a run directory is: a path, or a URL that pyarrow knows (s3, gs, hdfs, abfs).

`place` reads both. A `file://` URL is a path like any other. Elsewhere `RemotePath` has the few
methods of `pathlib.Path` that the records need, on a pyarrow file system.

    s3://bucket/runs/one?region=eu-west-1    what follows ? are options of pyarrow's file system

A file appears whole: object stores show an object when it is complete, and on other file systems it
is written beside its place and moved there.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
import posixpath
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from odyssey.errors import StoreError
from odyssey.storage.scratch import scratch_folder

OBJECT_STORES = ("s3", "gcs", "abfs")  # pyarrow's names; a put shows all of an object or none


@cache
def filesystem_of(root: str) -> tuple[Any, str]:
    """Gives the pyarrow file system of a URL, and the path of the URL in it.

    Raises:
        StoreError: pyarrow does not know the URL, or cannot reach what it names.
    """
    try:
        found, path = fs.FileSystem.from_uri(root)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(f"cannot use {root}: {reason}") from error
    return found, path.rstrip("/")


class RemotePath:
    """A file or folder below a URL; as far as it goes, a `pathlib.Path`.

    Errors are the `OSError` that pyarrow raises, but for what asks whether something is there: that
    raises `StoreError` when there is no answer.

    Attributes:
        root: The URL that was given, with its options.
        parts: Names from there on.
    """

    def __init__(self, root: str, *parts: str) -> None:
        self.root, self.parts = root, parts

    def __str__(self) -> str:
        base, question, options = self.root.partition("?")
        return "/".join([base.rstrip("/"), *self.parts]) + question + options

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __lt__(self, other: RemotePath) -> bool:
        return str(self) < str(other)

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(self.root, *self.parts, *name.split("/"))

    @property
    def name(self) -> str:
        """The last name of the path."""
        base = self.root.partition("?")[0]
        return self.parts[-1] if self.parts else posixpath.basename(base.rstrip("/"))

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return posixpath.splitext(self.name)[0]

    @property
    def suffix(self) -> str:
        """The end of the name, from its last dot on."""
        return posixpath.splitext(self.name)[1]

    def with_name(self, name: str) -> RemotePath:
        """Gives the path beside this one."""
        return RemotePath(self.root, *self.parts[:-1], name)

    @property
    def parent(self) -> RemotePath:
        """The folder that holds it; the URL itself at its root."""
        return RemotePath(self.root, *self.parts[:-1])

    def absolute(self) -> RemotePath:
        """Gives itself: a URL means the same everywhere."""
        return self

    @property
    def _place(self) -> tuple[Any, str]:
        found, path = filesystem_of(self.root)
        return found, "/".join([path, *self.parts]).lstrip("/" if not path else "")

    def _kind(self) -> Any:
        found, path = self._place
        try:
            return found.get_file_info(path).type
        except OSError as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise StoreError(f"cannot reach {self}: {reason}") from error

    def size(self) -> int:
        """Gives the size of the file in bytes; raises `FileNotFoundError` where there is none."""
        found, path = self._place
        info = found.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        if info.type != fs.FileType.File:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self))
        return int(info.size)

    def exists(self) -> bool:
        """Tells whether there is a file or folder."""
        return bool(self._kind() != fs.FileType.NotFound)

    def is_file(self) -> bool:
        """Tells whether there is a file."""
        return bool(self._kind() == fs.FileType.File)

    def is_dir(self) -> bool:
        """Tells whether there is a folder."""
        return bool(self._kind() == fs.FileType.Directory)

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Makes the folder; where folders are only names, this may do nothing."""
        if not exist_ok and self.exists():
            raise FileExistsError(str(self))
        if self.is_file():
            raise NotADirectoryError(str(self))
        found, path = self._place
        found.create_dir(path, recursive=parents)

    def iterdir(self) -> Iterator[RemotePath]:
        """Lists the folder."""
        found, path = self._place
        for info in found.get_file_info(fs.FileSelector(path, allow_not_found=False)):
            yield self / info.base_name

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Lists what in the folder has such a name; nothing where there is no folder."""
        with contextlib.suppress(FileNotFoundError):
            yield from (p for p in self.iterdir() if fnmatch.fnmatchcase(p.name, pattern))

    def open(self, mode: str = "rb") -> Any:
        """Opens the file for reading."""
        assert mode == "rb", mode
        found, path = self._place
        return found.open_input_file(path)

    def read_bytes(self) -> bytes:
        """Reads the file."""
        found, path = self._place
        with found.open_input_stream(path) as file:
            return bytes(file.read())

    def read_text(self, encoding: str = "utf-8") -> str:
        """Reads the file as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, data: bytes) -> None:
        """Writes the file so that a reader sees all of it or none."""
        found, path = self._place
        if found.type_name in OBJECT_STORES:
            with found.open_output_stream(path) as file:
                file.write(data)
            return
        draft = f"{posixpath.dirname(path)}/.{self.name}.{uuid.uuid4().hex[:8]}.tmp"
        try:
            with found.open_output_stream(draft) as file:
                file.write(data)
            found.move(draft, path)
        except BaseException:
            with contextlib.suppress(OSError):
                found.delete_file(draft)
            raise

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Removes the file."""
        found, path = self._place
        try:
            found.delete_file(path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def replace(self, target: RemotePath) -> RemotePath:
        """Moves the file to another name of the same run."""
        found, path = self._place
        found.move(path, target._place[1])
        return target


Place = Path | RemotePath


def place(where: str | Place) -> Place:
    """Reads where a run is: a path, a `file://` URL or another URL.

    Raises:
        StoreError: The URL is none, or pyarrow does not know it.
    """
    if not isinstance(where, str):
        return where
    if "://" not in where:
        return Path(where)
    url = urlsplit(where)
    if url.scheme == "file":
        if url.netloc not in ("", "localhost") or not url.path:
            raise StoreError(f"{where} names no file on this machine; write file:///PATH")
        return Path(unquote(url.path))
    if not url.netloc and not url.path.strip("/"):
        raise StoreError(f"cannot use {where}: it names no place; write {url.scheme}://BUCKET/PATH")
    filesystem_of(where)  # refuses what it does not know
    return RemotePath(where)


@contextlib.contextmanager
def local_copy(run: Place) -> Iterator[Path]:
    """Gives a run directory as a path: itself, or a copy of its records.

    What is written into the copy, beside the records, is written to the run at the end.

    Raises:
        StoreError: The run cannot be copied.
    """
    if isinstance(run, Path):
        yield run
        return
    records = ("results", "curves", "candidates")
    with scratch_folder() as scratch:
        folder = scratch / (run.name or "run")
        folder.mkdir()
        try:
            for part in records:
                (folder / part).mkdir()
                for file in (run / part).glob("*.parquet"):
                    with contextlib.suppress(FileNotFoundError):  # merged in the meantime
                        (folder / part / file.name).write_bytes(file.read_bytes())
            for fact in ("study.toml", "run.json"):
                if (run / fact).exists():
                    (folder / fact).write_bytes((run / fact).read_bytes())
            before = {p for p in folder.rglob("*") if p.is_file()}
            yield folder
            for made in sorted(folder.rglob("*")):
                if made.is_file() and made not in before:
                    target = run / made.relative_to(folder).as_posix()
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(made.read_bytes())
        except OSError as error:
            raise StoreError(f"cannot copy {run}: {error.strerror or error}") from error
