"""Texts: any file as a stream of bytes, characters or words, in three consecutive splits.

Shapes: T time steps, B parallel streams, N symbols of a text.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import TaskError
from odyssey.tasks.base import Batch, HeldOut, Split, Task, check_shape, in_pieces
from odyssey.tasks.options import show_split
from odyssey.tasks.reading import AUTO, read_symbols
from odyssey.tasks.vocabulary import Vocabulary
from odyssey.tasks.words import WordVocabulary, known_words, split_words
from odyssey.wording import SINGULAR, shorten

_SLICE = 2**18
_AHEAD = 2**13  # symbols that a training stream reads at a time


class _Text(Task):
    """Knows the symbols of a text, whether or not its file can be read."""

    is_text = True

    def __init__(self, name: str, vocabulary: Vocabulary | WordVocabulary) -> None:
        self.name = name
        self.vocabulary = vocabulary
        self.unit = vocabulary.unit
        self.counted = f"every {SINGULAR[vocabulary.unit]}"
        self.symbols = vocabulary.symbols

    def encode(self, text: str) -> NDArray[np.int64]:
        r"""Turns text into class indices (N,); `\xNN` stands for a symbol that cannot be printed.

        Raises:
            TaskError: The text has a symbol that is not in the vocabulary, or no word.
        """
        return self.vocabulary.encode(text)

    def decode(self, indices: NDArray[np.integer] | Sequence[int]) -> str:
        r"""Turns class indices into text; bytes that are no UTF-8 show as \xNN."""
        return self.vocabulary.decode(indices)

    def data(self, indices: NDArray[np.integer] | Sequence[int]) -> bytes:
        """Turns class indices into the bytes of a file."""
        return self.vocabulary.data(indices)


@dataclass(frozen=True)
class KnownWords:
    """Says which words are symbols of their own.

    Attributes:
        most: Symbols, at most, the one of all other words included.
        least_count: How often a word must occur in the train split.
    """

    most: int = 10_000
    least_count: int = 1


class TextTask(_Text):
    """Predicts the next byte, character or word of a text.

    The vocabulary is that of the whole text: a symbol that occurs only in the valid or test split
    is a class too; but of words it is that of the train split. Training streams start at B places,
    equally far apart, the first one drawn at random; each reads on through the train split and
    around its end. Held-out text is cut into B contiguous pieces; all of a split but its first
    symbol is predicted once.

    Args:
        name: The normalised spec.
        data: The text, as bytes.
        unit: What a symbol is: `bytes`, `characters`, `words`, or `auto` (see
            `reading.read_symbols`).
        encoding: The encoding of characters, or `auto`.
        split: The parts of train, valid and test; their sum is one, and the last may be none.
        stretches: Neighbouring stretches of one length that are split each by itself: with many,
            held-out text lies among training text, as char-rnn's does, whose streams end in it.
        known: Which words are symbols, where those are words.
        facts: More that `describe` says about the text.
    """

    # Neighbouring stretches of a text are alike: a small one would be a chapter, or a module.
    enough = MappingProxyType({"valid": 50_000, "test": 50_000})

    def __init__(
        self,
        name: str,
        data: bytes,
        *,
        unit: str = AUTO,
        encoding: str = AUTO,
        split: tuple[Fraction, ...],
        facts: Mapping[str, object],
        stretches: int = 1,
        known: KnownWords | None = None,
    ) -> None:
        found = read_symbols(name, data, unit=unit, encoding=encoding)
        about_words: dict[str, object] = {}
        if unit == "words":
            known = known or KnownWords()
            about_words = {"words": known.most, "least_count": known.least_count}
            cut = partial(_bounds, parts=split, stretches=stretches)
            vocabulary, text_N = _index_words(found.codes_N, name, cut=cut, known=known)
            super().__init__(name, vocabulary)
        else:
            codes, text_N = _index(found.codes_N)
            super().__init__(name, Vocabulary(codes, unit=found.unit, name=name))
        if len(self.symbols) < 2:
            held = f"nothing but {self.symbols[0]!r}" if self.symbols else "nothing"
            raise TaskError(f"the text of {name} holds {held}; give one with two symbols or more")
        self.notices = found.notices
        self._splits = _split(name, text_N, split, stretches)
        self._facts = {
            "encoding": found.encoding,
            "split": show_split(split),
            **({"stretches": stretches} if stretches > 1 else {}),
            "vocabulary": self.vocabulary.text,
            **about_words,
            **{f"{part}_{self.unit}": piece.size for part, piece in self._splits.items()},
            "sha256": hashlib.sha256(data).hexdigest(),
            **({"notices": list(found.notices)} if found.notices else {}),
            **facts,
        }

    def characters(self, split: Split) -> int:
        """Gives the length of a split, in units."""
        return self._splits[split].size

    def indices(self, split: Split) -> NDArray[np.integer]:
        """Gives the class indices of a whole split, (N,), read-only."""
        text_N = self._there(split).view()
        text_N.flags.writeable = False
        return text_N

    def _there(self, split: Split) -> NDArray[np.integer]:
        text_N = self._splits[split]
        if not text_N.size:
            raise TaskError(
                f"{self.name} has no {split} split (split={self._facts['split']}); give it one"
            )
        return text_N

    def train(self, *, batch_size: int, unroll: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yields B places of the train split, read on and around without end."""
        check_shape(batch_size=batch_size, unroll=unroll)
        length = self.characters("train")
        first_B = np.arange(batch_size, dtype=np.int64) * length // batch_size
        return self._train(first_B + rng.integers(length), unroll=unroll)

    def train_in_order(self, *, batch_size: int, unroll: int) -> Iterator[Batch]:
        """Yields the train split from its beginning, pass after pass, each with fresh states.

        The split is cut into B pieces of one length, read side by side. As in min-char-rnn, a pass
        ends where the next batch and one symbol more would not fit into a piece.
        """
        check_shape(batch_size=batch_size, unroll=unroll)
        text_N = self._splits["train"]
        first_B = np.arange(batch_size, dtype=np.int64) * (text_N.size // batch_size)
        steps = np.arange(unroll + 1, dtype=np.int64)[:, None]
        weights_TB = np.ones((unroll, batch_size), dtype=np.bool_)
        batches = self.updates_per_pass(batch_size=batch_size, unroll=unroll, in_order=True)
        for k in itertools.cycle(range(batches)):
            block_TB = text_N[first_B + k * unroll + steps].astype(np.int64)
            yield Batch(
                inputs_TB=block_TB[:-1],
                targets_TB=block_TB[1:].copy(),
                weights_TB=weights_TB,
                fresh_B=np.ones(batch_size, dtype=np.bool_) if k == 0 else None,
            )

    def updates_per_pass(self, *, batch_size: int, unroll: int, in_order: bool = False) -> int:
        """Counts the batches after which all of the train split has been read once."""
        check_shape(batch_size=batch_size, unroll=unroll)
        length = self.characters("train")
        if in_order:  # start + unroll + 1 < length of a piece
            return max(1, (length // batch_size - 2) // unroll)
        return max(1, length // (batch_size * unroll))

    def _train(self, first_B: NDArray[np.int64], *, unroll: int) -> Iterator[Batch]:
        """Reads many segments at a time: asking for a short one costs more than reading it."""
        text_N = self._splits["train"]
        segments = max(1, _AHEAD // (unroll * first_B.size))
        steps = np.arange(segments * unroll + 1, dtype=np.int64)[:, None]
        weights_TB = np.ones((unroll, first_B.size), dtype=np.bool_)
        while True:
            first_B = first_B % text_N.size
            block_TB = text_N[(first_B + steps) % text_N.size].astype(np.int64)
            targets_TB = block_TB[1:].copy()
            for start in range(0, segments * unroll, unroll):
                part = slice(start, start + unroll)
                yield Batch(
                    inputs_TB=block_TB[part],
                    targets_TB=targets_TB[part],
                    weights_TB=weights_TB,
                )
            first_B = first_B + segments * unroll

    def held_out(
        self,
        split: HeldOut,
        *,
        batch_size: int,
        unroll: int,
        characters: int | None = None,
        warmup: int = 0,
    ) -> Iterator[Batch]:
        """Yields a split, or `characters` targets of it, in B pieces.

        A part of a split is a sample of all of it: with a warm-up the pieces lie equally far apart.
        Without one they follow each other from the beginning, so that no piece but the first
        begins in the middle of something unread by the one before.
        """
        assert split in ("valid", "test")
        check_shape(batch_size=batch_size, unroll=unroll, characters=characters, warmup=warmup)
        text_N = self._there(split)
        length = text_N.size - 1 if characters is None else min(characters, text_N.size - 1)
        bounds_B = np.arange(batch_size + 1, dtype=np.int64)
        first_B, end_B = (b * length // batch_size for b in (bounds_B[:-1], bounds_B[1:]))
        if warmup:
            gaps_B = bounds_B[:-1] * (text_N.size - 1 - length) // max(batch_size - 1, 1)
            first_B, end_B = first_B + gaps_B, end_B + gaps_B
        return in_pieces(text_N, None, first_B, end_B, unroll=unroll, warmup=warmup)

    def check_fits(self, batch_size: int, unroll: int) -> None:
        """Raises TaskError where the train split has no room for one batch."""
        super().check_fits(batch_size, unroll)
        length, needed = self.characters("train"), batch_size * unroll + 1
        if length < needed:
            raise TaskError(
                f"the train split of {self.name} has {length} {self.unit}, too short for one batch "
                f"of {batch_size} streams by {unroll} steps ({needed}); make these smaller"
            )

    def sample_prime(self) -> NDArray[np.int64]:
        """Gives a newline, or the first symbol of a text without one."""
        newline = self.vocabulary.first("\n")
        first = int(self._splits["train"][0]) if newline is None else newline
        return np.array([first], dtype=np.int64)

    def describe(self) -> dict[str, object]:
        """Describes the text: its unit, splits and sha256."""
        return {
            "name": self.name,
            "data": "text",
            "num_symbols": self.num_symbols,
            "counted": self.counted,
            "unit": self.unit,
            **self._facts,
        }


class MissingText(_Text):
    """Stands for a text that a model was trained on and that cannot be read now.

    It knows the symbols; where the text itself is wanted, it says why there is none.

    Args:
        name: The spec.
        record: What the text said of itself when it was there.
        why: The error that reading it gave.
    """

    def __init__(self, name: str, record: Mapping[str, Any], *, why: str) -> None:
        text, unit = str(record["vocabulary"]), record["unit"]
        if unit == "words":
            super().__init__(name, WordVocabulary.recorded(text, name=name))
        else:
            super().__init__(name, Vocabulary.recorded(text, unit=unit, name=name))
        self._record = dict(record)
        self.why = why

    def characters(self, split: Split) -> int | None:
        """Gives the length that a split had."""
        return int(self._record[f"{split}_{self.unit}"])

    def train(self, *, batch_size: int, unroll: int, rng: np.random.Generator) -> NoReturn:
        """Raises TaskError."""
        raise TaskError(self.why)

    def train_in_order(self, *, batch_size: int, unroll: int) -> NoReturn:
        """Raises TaskError."""
        raise TaskError(self.why)

    def updates_per_pass(self, *, batch_size: int, unroll: int, in_order: bool = False) -> NoReturn:
        """Raises TaskError."""
        raise TaskError(self.why)

    def held_out(
        self,
        split: HeldOut,
        *,
        batch_size: int,
        unroll: int,
        characters: int | None = None,
        warmup: int = 0,
    ) -> NoReturn:
        """Raises TaskError."""
        raise TaskError(self.why)

    def indices(self, split: Split) -> NoReturn:
        """Raises TaskError."""
        raise TaskError(self.why)

    def sample_prime(self) -> NDArray[np.int64]:
        """Gives a newline, or the first symbol in order where the text had none."""
        return np.array([self.vocabulary.first("\n") or 0], dtype=np.int64)

    def describe(self) -> dict[str, object]:
        """Describes the text as it was."""
        return dict(self._record)


def read_file(path: Path) -> bytes:
    """Reads a regular file; raises TaskError in one line where that cannot be done."""
    shown = shorten(str(path)) if len(path.name) > 60 else str(path)
    try:
        if path.is_dir():
            raise TaskError(f"{shown!r} is a folder; give a text file")
        if not path.exists():
            raise TaskError(f"no file {shown!r}; give the path of a text file")
        if not path.is_file():  # a device or a pipe may never end
            raise TaskError(f"{shown!r} is not a regular file; give a text file")
        data = path.read_bytes()
    except TaskError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = getattr(error, "strerror", None) or str(error)
        raise TaskError(f"cannot read {shown!r}: {reason}; give a readable text file") from None
    if not data:
        raise TaskError(f"{shown!r} is empty; give a text file")
    return data


def _index(codes_N: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.integer]]:
    """Gives the codes that occur, ascending, and the text as indices of them."""
    # Tables, not np.unique: sorting 100 MB takes seconds. In slices: NumPy indexes with int64.
    slices = [slice(at, at + _SLICE) for at in range(0, codes_N.size, _SLICE)]
    present = np.zeros(int(codes_N.max(initial=0)) + 1, dtype=np.bool_)
    for part in slices:
        present[codes_N[part]] = True
    vocabulary = np.flatnonzero(present).astype(np.int64)
    dtype = np.min_scalar_type(max(vocabulary.size - 1, 0))
    index_of = np.zeros(present.size, dtype=dtype)
    index_of[vocabulary] = np.arange(vocabulary.size, dtype=dtype)
    text_N = np.empty(codes_N.size, dtype=dtype)
    for part in slices:
        text_N[part] = index_of[codes_N[part]]
    return vocabulary, text_N


def _index_words(
    codes_N: NDArray[np.integer],
    name: str,
    *,
    cut: Callable[[int], NDArray[np.int64]],
    known: KnownWords,
) -> tuple[WordVocabulary, NDArray[np.integer]]:
    """Gives the words that are symbols, and the text as indices of them."""
    text = codes_N.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    words = split_words(text)
    train = [word for start, end, *_ in cut(len(words)).tolist() for word in words[start:end]]
    chosen = known_words(train, most=known.most, least_count=known.least_count)
    vocabulary = WordVocabulary(chosen, name=name)
    return vocabulary, vocabulary.index(words)


def _bounds(size: int, *, parts: tuple[Fraction, ...], stretches: int) -> NDArray[np.int64]:
    """Gives where each stretch begins, where its train and valid parts end, and it itself."""
    edges = [size * k // stretches for k in range(stretches + 1)]
    shares = (parts[0], parts[0] + parts[1])
    rows = [(a, *(a + int((b - a) * share) for share in shares), b) for a, b in pairwise(edges)]
    return np.array(rows, dtype=np.int64)


def _split(
    name: str, text_N: NDArray[np.integer], parts: tuple[Fraction, ...], stretches: int
) -> dict[Split, NDArray[np.integer]]:
    """Cuts a text into its splits; each that is wanted must have an input and a target."""
    bounds = _bounds(text_N.size, parts=parts, stretches=stretches).tolist()
    named: tuple[Split, ...] = ("train", "valid", "test")
    splits: dict[Split, NDArray[np.integer]] = {}
    for k, split in enumerate(named):
        pieces = [text_N[row[k] : row[k + 1]] for row in bounds]
        splits[split] = pieces[0] if stretches == 1 else np.concatenate(pieces)
    for (split, piece), part in zip(splits.items(), parts, strict=True):
        if piece.size < 2 and part:
            raise TaskError(
                f"the {split} split of {name} has {piece.size} of {text_N.size} symbols; "
                f"it needs 2 at least: give a longer text or another split="
            )
    return splits
