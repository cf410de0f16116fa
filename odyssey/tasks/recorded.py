"""The task of a run again, read as the run read it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from odyssey.errors import TaskError
from odyssey.tasks.base import Task
from odyssey.tasks.options import read_split
from odyssey.tasks.reading import AUTO
from odyssey.tasks.registry import captions_task, get_task, read_text
from odyssey.tasks.text import KnownWords, MissingText, TextTask, read_file
from odyssey.wording import quoted

Found = TypeVar("Found")

PICTURES = "pictures_sha256"  # of what `describe` says of pictures
MOVED = "moved"  # of a run's record: paths at which its text or folder was found later


def recorded_task(spec: str, record: Mapping[str, Any], *, text: str | None = None) -> Task:
    """Makes the task of a run again; a text is read as the run read it.

    It is looked for where the spec says, then where the record says that it has moved to.

    Args:
        spec: The spec, as the run has it.
        record: What the task said of itself when the run began.
        text: Where its text, or folder of pictures, lies now, if that is another place.

    Returns:
        The task; where a text cannot be read, or is another one, a `MissingText`, which knows the
        symbols if the record does.

    Raises:
        TaskError: The text at `text` is not the recorded one; or there is none, and the record
            does not know its symbols.
    """
    if not record.get("sha256"):
        if text is not None and not _of_folder(record):
            raise TaskError(f"{spec} reads no text: leave out --text")
        try:
            return _anywhere(_with_pictures, spec, record, text)
        except TaskError as error:
            if text is not None or not _of_folder(record):
                raise
            raise TaskError(f"{error}; --text PATH names a moved folder") from None
    try:
        return _as_recorded(_anywhere(_data, spec, record, text), record)
    except (KeyError, TypeError, ValueError) as error:
        if not isinstance(error, TaskError):
            raise TaskError(
                f"{spec}: the run's record does not say how its text was read"
            ) from None
        if text is not None or "encoding" not in record:
            raise  # or else the symbols are known without the text
        return MissingText(spec, record, why=f"{error}; --text PATH names a moved text")


def with_moved(
    records: Mapping[str, Mapping[str, Any]], paths: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Gives the records of a run's tasks that know where their texts lie now.

    Args:
        records: What every task said of itself when the run began, by spec.
        paths: Files, and folders of pictures; what each belongs to, its content tells.

    Raises:
        TaskError: Nothing in the run reads what lies at a path, or it cannot be read.
    """
    found = {spec: dict(record) for spec, record in records.items()}
    for path in paths:
        place = os.path.abspath(Path(path).expanduser())
        folder = os.path.isdir(place)
        read = _with_pictures if folder else _data
        reading = {
            spec: record
            for spec, record in found.items()
            if (_of_folder(record) if folder else record.get("sha256"))
        }
        if not reading:
            what = "folder of pictures" if folder else "text"
            raise TaskError(f"{quoted(path)}: no task of the run reads a {what}")
        why: list[TaskError] = []
        for spec, record in reading.items():
            try:
                read(spec, record, place)
            except TaskError as error:
                why.append(error)
                continue
            record[MOVED] = list(dict.fromkeys([place, *record.get(MOVED, ())]))
        if len(why) == len(reading):
            raise why[0]
    return found


def _of_folder(record: Mapping[str, Any]) -> bool:
    """Tells whether a task reads pictures that somebody put into a folder."""
    return bool(record.get(PICTURES) and record.get("path"))


def _anywhere(
    read: Callable[[str, Mapping[str, Any], str | None], Found],
    spec: str,
    record: Mapping[str, Any],
    text: str | None,
) -> Found:
    """Reads what a task reads: at `text`, or where the spec says, or where it has moved to.

    Raises:
        TaskError: It is nowhere: what is wrong with the first place.
    """
    if text is not None:
        return read(spec, record, text)
    try:
        return read(spec, record, None)
    except TaskError:
        for place in record.get(MOVED, ()):
            with contextlib.suppress(TaskError):
                return read(spec, record, place)
        raise


def _data(spec: str, record: Mapping[str, Any], place: str | None) -> bytes:
    """Reads the recorded text at a place, or where the spec says."""
    data = read_text(spec) if place is None else read_file(Path(place).expanduser())
    found = hashlib.sha256(data).hexdigest()
    if found != record["sha256"]:
        if place is None:
            raise TaskError(f"{spec}: the text has changed since the run began")
        raise TaskError(
            f"{quoted(place)} is not the text of {spec}: its sha256 is {found[:12]}...,"
            f" not {record['sha256'][:12]}..."
        )
    return data


def _with_pictures(spec: str, record: Mapping[str, Any], place: str | None) -> Task:
    """Makes the recorded task of a folder at a place, or where the spec says."""
    task = get_task(spec) if place is None else captions_task(spec, place)
    now = task.describe().get(PICTURES)
    if now != record.get(PICTURES, now):
        if place is None:
            raise TaskError(f"{spec}: pictures or captions have changed since the run began")
        raise TaskError(f"{quoted(place)} does not hold the pictures and captions of {spec}")
    return task


def _as_recorded(data: bytes, record: Mapping[str, Any]) -> Task:
    """Makes a text task from its bytes and a record, also one of before encodings were recorded."""
    unit = record["unit"]
    encoding = record.get("encoding", "utf-8") if unit in ("characters", "words") else AUTO
    parts = read_split(record["split"])
    known = KnownWords(record["words"], record["least_count"]) if unit == "words" else None
    facts = {k: record[k] for k in ("path", MOVED, "licence", "python") if k in record}
    name = str(record["name"])
    task = TextTask(
        name,
        data,
        unit=unit,
        encoding=encoding,
        split=parts,
        stretches=record.get("stretches", 1),
        facts=facts,
        known=known,
    )
    if task.num_symbols != record["num_symbols"]:
        raise TaskError(
            f"{name} has {task.num_symbols} symbols, and had {record['num_symbols']} when the run"
            " began, read by another version"
        )
    return task
