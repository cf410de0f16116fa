"""Files of a run: written whole, read whole, and sealed, so that damage cannot pass for a value.

A sealed file holds, last of all text of its kind, `odyssey-sha256:` and 64 hex digits: the sha256
of the whole file with 64 zeros in their place. Every kind of file has room for such a word: JSON a
field, Parquet its footer, a zip of weights its comment. So the proof appears with the file, by the
same rename, and survives copying; there is no second file that could be lost or be older.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odyssey.errors import StoreError
from odyssey.storage.places import Place, RemotePath
from odyssey.storage.scratch import temporary_name

_MARK = b"odyssey-sha256:"
_DIGITS = 64
SLOT = _MARK.decode() + "0" * _DIGITS
"""What a writer puts where `seal` is to fill in the digest."""

MOST_JSON = 2**26  # bytes: a run of 100,000 cells
MOST_FILE_BYTES = 2**32  # of any other file of a run
# What opening tells of a thing that is no file, in place of its contents.
_NO_FILE = {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR, errno.ENOTDIR}


class DamagedFileError(Exception):
    """Says why a file is not what a run has written; the reader decides what becomes of it."""


def seal(data: bytes) -> bytes:
    """Fills in the digest of a file that holds `SLOT`."""
    start = data.rindex(SLOT.encode()) + len(_MARK)
    return data[:start] + _digest(data, start) + data[start + _DIGITS :]


def check_seal(data: bytes, *, required: bool) -> bool:
    """Compares a file with its digest, and tells whether it has one.

    Args:
        data: The whole file.
        required: Whether a file without a digest is damaged, too; those of old runs have none.

    Raises:
        DamagedFileError: It is not what was written.
    """
    start = data.rfind(_MARK) + len(_MARK)
    given = data[start : start + _DIGITS]
    if start < len(_MARK) or not re.fullmatch(rb"[0-9a-f]{64}", given):
        if required:
            raise DamagedFileError("it has no digest")
        return False
    if given != _digest(data, start):
        raise DamagedFileError("its contents do not fit its digest")
    return True


def _digest(data: bytes, start: int) -> bytes:
    view = memoryview(data)
    found = hashlib.sha256(view[:start])
    found.update(b"0" * _DIGITS)
    found.update(view[start + _DIGITS :])
    return found.hexdigest().encode()


def read_regular(path: Place, *, most: int = MOST_FILE_BYTES) -> bytes:
    """Reads a file, and nothing else: no folder, pipe or device, and nothing beyond all bounds.

    Raises:
        DamagedFileError: It is no regular file, or larger than `most` bytes.
        OSError: It cannot be read.
    """
    if isinstance(path, RemotePath):
        try:
            size = path.size()
        except IsADirectoryError as error:
            raise DamagedFileError("it is no regular file") from error
        if size > most:
            raise DamagedFileError(f"it has {size:,} bytes; at most {most:,} are read")
        return path.read_bytes()
    try:
        # without waiting for somebody who writes into a pipe
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NO_FILE or path.is_symlink():
            raise DamagedFileError("it is no regular file") from error
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise DamagedFileError("it is no regular file")
    with open(descriptor, "rb") as file:
        if found.st_size > most:
            raise DamagedFileError(f"it has {found.st_size:,} bytes; at most {most:,} are read")
        return file.read()


def write_atomically(path: Place, data: bytes) -> None:
    """Writes a file so that a reader, or a kill at any moment, sees all of it or none of it."""
    if isinstance(path, RemotePath):
        path.write_bytes(data)
        return
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the name without the contents
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def move(path: Place, target: Place) -> None:
    """Moves a file to another name in its run; what had the name before is gone."""
    if isinstance(path, RemotePath):
        assert isinstance(target, RemotePath), "both of one run"
        path.replace(target)
    else:
        path.replace(str(target))


def _sync_directory(path: Path) -> None:
    """Makes renames in a directory survive a power cut, where the file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems cannot sync a directory; the rename is still atomic
    finally:
        os.close(descriptor)


def write_json(path: Place, data: Mapping[str, Any]) -> None:
    """Writes an object as JSON, sealed; raises `OSError` where it cannot be written."""
    # the digest stands last: what the data hold may look like one
    whole = {**{k: v for k, v in data.items() if k != "digest"}, "digest": SLOT}
    text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, seal(text.encode()))


def read_json(path: Place, *, required: bool = False) -> dict[str, Any]:
    """Reads an object that `write_json` wrote; one that names no `format` may lack the digest.

    Raises:
        FileNotFoundError: There is no such file.
        StoreError: It cannot be read, or is not what was written, in one line.
    """
    try:
        data = read_regular(path, most=MOST_JSON)
        sealed = check_seal(data, required=required)
        found = json.loads(data.decode())
        if isinstance(found, dict) and "format" in found and not sealed:
            raise DamagedFileError("it has no digest")
    except FileNotFoundError:
        raise
    except json.JSONDecodeError as error:
        raise StoreError(f"{path} is not JSON: {error}") from error
    except (DamagedFileError, RecursionError, UnicodeDecodeError, ValueError) as error:
        damage = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise StoreError(f"{path} is damaged: {damage}") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {why(error)}") from error
    if not isinstance(found, dict):
        raise StoreError(f"{path} holds {type(found).__name__}, expected an object")
    found.pop("digest", None)
    return found


def listed(path: Place) -> list[Place]:
    """Lists a folder by name."""
    return sorted(path.iterdir(), key=lambda entry: entry.name)


def why(error: Exception) -> str:
    """Says why the disk refused, without the name of the file."""
    return getattr(error, "strerror", None) or str(error)
