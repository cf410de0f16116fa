"""Dates in many spellings, to be written in one: `3rd of March 1998>1998-03-03`.

Translation with everything that makes it one, but the vocabulary: the order changes, one word may
stand for a number, and the answer begins when all of the question was read. A stretch of 100 years,
1950 to 2049, tells a year of two digits; 3.4.98 is the third of April, 3/4/98 the fourth of March.

Shapes: T steps of a sequence: those of the question, the mark, and the answer but its last.
"""

from __future__ import annotations

import datetime
import hashlib
import string
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import CERTAIN, Baseline, Split, guess
from odyssey.tasks.examples import Example, Packed
from odyssey.tasks.sequences import DrawnTask
from odyssey.tasks.signature import CLASSES, Signature, Values

MARK = ">"
WRITTEN = string.digits + "-"
"""What answers are made of: the classes of the output, and the first ones of the input."""

READ = WRITTEN + MARK + " ,./'" + string.ascii_letters
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SPELLINGS = (
    "{nth} of {month} {year}",
    "{month} {day}, {year}",
    "{weekday}, {day} {month} {year}",
    "{mon} {nth}, {year}",
    "{day} {mon} '{short}",
    "{day}.{number}.{short}",
    "{day}.{number}.{year}",
    "{number}/{day}/{short}",
    "{year}/{number}/{day}",
)
_FIRST = datetime.date(1950, 1, 1)
_DAYS = (datetime.date(2050, 1, 1) - _FIRST).days
_LONGEST = datetime.date(1998, 9, 23)  # Wednesday, 23 September
_ANSWER = len(_FIRST.isoformat())
_SHARES = 10  # parts of which one is for validation, and one for the test


class Dates(DrawnTask):
    """Reads a date in one of `SPELLINGS`, then writes it as ISO 8601 has it.

    The characters of the answer are read as they appear, as in training of Sutskever, Vinyals and
    Le (2014); only they count. A date of a held-out split is in no other, whatever its spelling.

    Args:
        name: The normalised spec.
        spellings: How many of them there are: the first so many.
    """

    def __init__(self, name: str, *, spellings: int) -> None:
        self._spellings = SPELLINGS[:spellings]
        super().__init__(
            name,
            signature=Signature(Values(CLASSES, len(READ)), Values(CLASSES, len(WRITTEN))),
            symbols=tuple(WRITTEN),
            counted="the characters of the answer",
            facts={"spellings": spellings, "dates": f"{_DAYS:,} from 1950 to 2049"},
        )
        self.chance = _chance()
        self.optimum = CERTAIN

    @property
    def steps(self) -> int:
        """Gives the steps of the longest sequence."""
        longest = max(len(spell(_LONGEST, spelling)) for spelling in self._spellings)
        return longest + len(MARK) + _ANSWER - 1

    def draw(self, rng: np.random.Generator, count: int, split: Split) -> Sequence[Example]:
        """Draws dates of a split, and a spelling of each."""
        own = _dates_of(split)
        day_N = own[rng.integers(len(own), size=count)]
        return _spelled(day_N, rng.integers(len(self._spellings), size=count))


def spell(date: datetime.date, spelling: str) -> str:
    """Writes a date in one of the `SPELLINGS`."""
    return spelling.format(**_parts(date))


def _parts(date: datetime.date) -> dict[str, str]:
    """Gives what spellings are made of."""
    month = MONTHS[date.month - 1]
    return {
        "day": f"{date.day}",
        "nth": f"{date.day}{_ordinal(date.day)}",
        "number": f"{date.month}",
        "month": month,
        "mon": month[:3],
        "year": f"{date.year}",
        "short": f"{date.year % 100:02}",
        "weekday": WEEKDAYS[date.weekday()],
    }


def _ordinal(day: int) -> str:
    """Gives the end of an ordinal: 1st, 2nd, 3rd, 4th, but 11th, 12th, 13th."""
    return "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _spelled(day_N: NDArray[np.int64], spelling_N: NDArray[np.int64]) -> Packed:
    """Makes the sequences of dates, each in one of the `SPELLINGS`.

    What they are made of lies in rows, with gaps where another is longer; to leave these out of a
    row after the other puts the sequences one behind the other.
    """
    question_NW = np.full((len(day_N), _LONGEST_QUESTION), _NOTHING, dtype=np.uint8)
    for number, spelling in enumerate(SPELLINGS):
        (rows,) = np.nonzero(spelling_N == number)
        end = 0
        for text, field, _, _ in string.Formatter().parse(spelling):
            pieces = [np.array([_CLASS_OF[c] for c in text], dtype=np.uint8)]
            if field:
                which_D, words = _words()[field]
                pieces.append(words[which_D[day_N[rows]]])
            for piece in pieces:
                question_NW[rows, end : end + piece.shape[-1]] = piece
                end += piece.shape[-1]
        question_NW[rows, end] = _CLASS_OF[MARK]
    answer_NA = _answers()[day_N]
    read_NW = np.concatenate([question_NW, answer_NA[:, :-1]], axis=1)
    used_NW = read_NW != _NOTHING
    length_N = used_NW.sum(axis=1)
    end_N = length_N.cumsum()
    counted_NA = end_N[:, None] + np.arange(-_ANSWER, 0)  # the last steps
    inputs_R = np.append(read_NW[used_NW], 0).astype(np.int64)
    targets_R, weights_R = np.zeros_like(inputs_R), np.zeros(inputs_R.shape, dtype=np.bool_)
    targets_R[counted_NA], weights_R[counted_NA] = answer_NA, True
    return Packed(inputs_R, targets_R, weights_R, end_N - length_N, length_N)


def _classes(texts: Sequence[str]) -> NDArray[np.uint8]:
    """Writes texts as classes, a row each, with nothing behind the shorter ones."""
    classes = np.full((len(texts), max(map(len, texts))), _NOTHING, dtype=np.uint8)
    for row, text in zip(classes, texts, strict=True):
        row[: len(text)] = [_CLASS_OF[c] for c in text]
    return classes


@cache
def _words() -> dict[str, tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Gives, for each part of a spelling, which words it may be: those of all dates, and all."""
    parts = [_parts(_date(day)) for day in range(_DAYS)]
    words = {}
    for field in parts[0]:
        number = {word: k for k, word in enumerate(sorted({part[field] for part in parts}))}
        words[field] = np.array([number[part[field]] for part in parts]), _classes(list(number))
    return words


@cache
def _answers() -> NDArray[np.uint8]:
    return _classes([_date(day).isoformat() for day in range(_DAYS)])


_CLASS_OF = {symbol: index for index, symbol in enumerate(READ)}
_NOTHING = 255  # in a row of classes: a gap
_LONGEST_QUESTION = 32  # characters, with the mark and all gaps


def _date(day: int) -> datetime.date:
    return _FIRST + datetime.timedelta(days=day)


@cache
def _dates_of(split: Split) -> NDArray[np.int64]:
    """Gives the dates of a split, as days since the first: by a hash, so that none can move."""
    part_of = {0: "valid", 1: "test"}
    parts = (
        part_of.get(hashlib.sha256(_date(day).isoformat().encode()).digest()[0] % _SHARES, "train")
        for day in range(_DAYS)
    )
    return np.array([day for day, part in enumerate(parts) if part == split], dtype=np.int64)


@cache
def _chance() -> Baseline:
    """Counts the characters of all answers."""
    count = Counter(c for day in range(_DAYS) for c in _date(day).isoformat())
    return guess([count[c] for c in WRITTEN])
