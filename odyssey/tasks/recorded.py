"""The task of a run again, read as the run read it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odyssey.errors import TaskError
from odyssey.tasks.base import Task
from odyssey.tasks.options import read_split
from odyssey.tasks.reading import AUTO
from odyssey.tasks.registry import get_task, read_text
from odyssey.tasks.text import KnownWords, MissingText, TextTask, read_file
from odyssey.wording import quoted

PICTURES = "pictures_sha256"  # of what `describe` says of pictures


def recorded_task(spec: str, record: Mapping[str, Any], *, text: str | None = None) -> Task:
    """Makes the task of a run again; a text is read as the run read it.

    Args:
        spec: The spec, as the run has it.
        record: What the task said of itself when the run began.
        text: Where its text lies now, if that is another place.

    Returns:
        The task; where a text cannot be read, or is another one, a `MissingText`, which knows the
        symbols if the record does.

    Raises:
        TaskError: The text at `text` is not the recorded one; or there is none, and the record
            does not know its symbols.
    """
    if not record.get("sha256"):
        if text is not None:
            raise TaskError(f"{spec} reads no text: leave out --text")
        task = get_task(spec)
        if task.describe().get(PICTURES) != record.get(PICTURES, task.describe().get(PICTURES)):
            raise TaskError(f"{spec}: pictures or captions have changed since the run began")
        return task
    try:
        data = read_text(spec) if text is None else read_file(Path(text).expanduser())
        found = hashlib.sha256(data).hexdigest()
        if found != record["sha256"]:
            if text is not None:
                raise TaskError(
                    f"{quoted(text)} is not the text of {spec}: its sha256 is {found[:12]}...,"
                    f" not {record['sha256'][:12]}..."
                )
            raise TaskError(f"{spec}: the text has changed since the run began")
        return _as_recorded(data, record)
    except (KeyError, TypeError, ValueError) as error:
        if not isinstance(error, TaskError):
            raise TaskError(
                f"{spec}: the run's record does not say how its text was read"
            ) from None
        if text is not None or "encoding" not in record:
            raise  # or else the symbols are known without the text
        return MissingText(spec, record, why=f"{error}; --text PATH names a moved text")


def _as_recorded(data: bytes, record: Mapping[str, Any]) -> Task:
    """Makes a text task from its bytes and a record, also one of before encodings were recorded."""
    unit = record["unit"]
    encoding = record.get("encoding", "utf-8") if unit in ("characters", "words") else AUTO
    parts = read_split(record["split"])
    known = KnownWords(record["words"], record["least_count"]) if unit == "words" else None
    facts = {k: record[k] for k in ("path", "licence", "python") if k in record}
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
