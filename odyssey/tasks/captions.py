"""Pictures with captions: the names of icons, or any folder of pictures with a table of captions.

A caption is written symbol by symbol, from the mark that is start and end to that mark. Pictures
that are the same to the pixel are in one part of the data, whatever they are called.

Shapes: H and W height and width of a picture.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import TaskError
from odyssey.tasks.base import Split
from odyssey.tasks.examples import Example
from odyssey.tasks.pictures import LONGEST_PATH, read_picture
from odyssey.tasks.sequences import FiniteTask
from odyssey.tasks.signature import CLASSES, Condition, Signature, Values, Way
from odyssey.wording import quoted

END = "\n"  # no caption has one
TABLE = "captions.csv"
COLUMNS = ("file", "caption")
FEWEST = 10
LONGEST = 1_000  # symbols of a caption


class CaptionTask(FiniteTask):
    """Writes what pictures are called.

    Args:
        name: The normalised spec.
        pictures: Pictures of one size (H, W, 1), 0 to 1.
        captions: One a picture.
        parts: Which share of the pictures is for training, validation and the test.
        way: How a picture gets in; see `Condition`.
        facts: What `describe` says of the data.
    """

    exact = True
    unit = "characters"

    def __init__(
        self,
        name: str,
        *,
        pictures: Sequence[NDArray[np.float32]],
        captions: Sequence[str],
        parts: Sequence[Fraction],
        way: Way,
        facts: Mapping[str, object],
    ) -> None:
        symbols = (*sorted(set("".join(captions))), END)
        marks = len(symbols)
        super().__init__(
            name,
            signature=Signature(
                Values(CLASSES, marks), Values(CLASSES, marks), Condition(pictures[0].shape, way)
            ),
            symbols=symbols,
            counted="every character and the end",
            facts={"look": way, **facts},
        )
        self.start = self.end = marks - 1
        index = {symbol: k for k, symbol in enumerate(symbols)}
        examples = []
        for picture, caption in zip(pictures, captions, strict=True):
            codes = np.array([index[c] for c in caption] + [marks - 1], dtype=np.int64)
            examples.append(Example(np.append(marks - 1, codes[:-1]), codes, given=picture))
        self._examples = {
            split: [examples[k] for k in members]
            for split, members in split_pictures(pictures, parts).items()
        }
        for split, own in self._examples.items():
            if not own:
                raise TaskError(f"{name}: {len(examples)} pictures are too few for {split} data")
            self._facts[f"{split}_pictures"] = len(own)

    def examples(self, split: Split) -> Sequence[Example]:
        """Gives the pictures of a part with their captions."""
        return self._examples[split]


def split_pictures(
    pictures: Sequence[NDArray[np.float32]], parts: Sequence[Fraction]
) -> dict[Split, list[int]]:
    """Divides pictures at random, always in the same way; same pictures stay together.

    Test and validation data get their share of all pictures, rounded; training data the rest. The
    order in each is random, too.
    """
    same: dict[bytes, list[int]] = defaultdict(list)
    for k, picture in enumerate(pictures):
        same[picture.tobytes()].append(k)
    groups = list(same.values())
    rooms: dict[Split, int] = {
        "test": round(len(pictures) * parts[2]),
        "valid": round(len(pictures) * parts[1]),
        "train": len(pictures),
    }
    divided: dict[Split, list[int]] = {"train": [], "valid": [], "test": []}
    for place in np.random.default_rng(0).permutation(len(groups)).tolist():
        group = groups[place]
        into = next(s for s, room in rooms.items() if len(divided[s]) + len(group) <= room)
        divided[into] += group
    return divided


def read_captions(path: Path) -> tuple[list[Path], list[str]]:
    """Reads a table of captions: CSV in UTF-8 with the columns `file` and `caption`.

    Args:
        path: The table, or the folder that holds it as `captions.csv`. Files are named as they lie
            beside it.

    Raises:
        TaskError: It cannot be read, lacks a column, or has too few rows or an odd caption.
    """
    table = path / TABLE if path.is_dir() else path
    named = quoted(str(table), LONGEST_PATH)
    try:
        text = table.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TaskError(f"cannot read {named}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise TaskError(f"{named} is not UTF-8; save it as UTF-8") from None
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        rows = list(reader)
    except csv.Error as error:
        raise TaskError(f"{named} is no CSV: {error}") from None
    if missing := [c for c in COLUMNS if c not in (reader.fieldnames or ())]:
        raise TaskError(f"{named} has no column {missing[0]}; expected {','.join(COLUMNS)}")
    if len(rows) < FEWEST:
        raise TaskError(f"{named} has {len(rows)} captions; give at least {FEWEST}")
    files, captions = [], []
    for number, row in enumerate(rows, start=1):
        caption = " ".join((row["caption"] or "").split())
        if not row["file"] or not 1 <= len(caption) <= LONGEST:
            raise TaskError(
                f"{named}, row {number}: expected a file and a caption of 1 to"
                f" {LONGEST:,} characters"
            )
        files.append(table.parent / row["file"])
        captions.append(caption)
    return files, captions


def folder_task(
    name: str,
    path: str,
    *,
    place: str,
    height: int,
    width: int,
    parts: Sequence[Fraction],
    way: Way,
) -> CaptionTask:
    """Makes the task of a folder of pictures with captions, called `path` and now at `place`.

    Raises:
        TaskError: See `read_captions` and `read_picture`.
    """
    files, captions = read_captions(Path(place).expanduser())
    pictures = [read_picture(file, height, width) for file in files]
    facts = {"path": path, "pictures_sha256": digest(pictures, captions)}
    task = CaptionTask(
        name, pictures=pictures, captions=captions, parts=parts, way=way, facts=facts
    )
    task.dark = False  # further pictures are read as these were
    return task


def digest(pictures: Sequence[NDArray[np.float32]], captions: Sequence[str]) -> str:
    """Gives the sha256 of pictures as they are read, and of their captions."""

    def pieces() -> Iterator[bytes]:
        for picture, caption in zip(pictures, captions, strict=True):
            yield np.round(picture * 255).astype(np.uint8).tobytes()
            yield caption.encode() + b"\n"

    found = hashlib.sha256()
    for piece in pieces():
        found.update(piece)
    return found.hexdigest()
