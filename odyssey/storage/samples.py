"""What a model wrote while it was trained: one file of a run, `samples.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from odyssey.errors import StoreError
from odyssey.storage import files
from odyssey.storage.places import Place

SAMPLES = "samples.json"


@dataclass(frozen=True)
class KeptSample:
    """One sample.

    Attributes:
        updates: How many updates had been made.
        text: What the model wrote.
        valid_nats: The validation loss of that moment; None where it was no number.
        opened: Opening brackets in the text.
        closed: Those of them that the text closes.
    """

    updates: int
    text: str
    valid_nats: float | None
    opened: int
    closed: int


def write_samples(directory: Place, samples: Iterable[KeptSample]) -> None:
    """Writes the samples of a run, in place of those that are there.

    Raises:
        StoreError: The file cannot be written.
    """
    rows = [dataclasses.asdict(sample) for sample in samples]
    for row in rows:  # JSON is UTF-8, which has no lone surrogates
        row["text"] = row["text"].encode("utf-8", "backslashreplace").decode()
    try:
        files.write_json(directory / SAMPLES, {"samples": rows})
    except OSError as error:
        raise StoreError(f"cannot write {directory / SAMPLES}: {files.why(error)}") from error


def read_samples(directory: Place) -> list[KeptSample]:
    """Reads the samples of a run in their order; none where it kept none.

    Raises:
        StoreError: The file is damaged.
    """
    path = directory / SAMPLES
    try:
        return [KeptSample(**row) for row in files.read_json(path, required=True)["samples"]]
    except FileNotFoundError:
        return []
    except (KeyError, TypeError) as error:
        raise StoreError(f"{path} holds no samples: {error}") from error
