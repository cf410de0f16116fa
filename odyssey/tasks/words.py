"""Words as symbols: how a text falls into words, which of them are known, and how they are joined.

A word is what stands between blanks; the end of a line is a symbol of its own, as in the word
models of the Penn Treebank. Words that are rare in the train split are one symbol, `<unk>`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import TaskError
from odyssey.tasks.vocabulary import Unit
from odyssey.wording import quoted

UNKNOWN = "<unk>"
LINE_END = "\n"


def split_words(text: str) -> list[str]:
    """Splits a text at blanks; a line ends with the symbol `LINE_END`, the last if it does."""
    words: list[str] = []
    lines = text.split(LINE_END)
    for line in lines[:-1]:
        words += line.split()
        words.append(LINE_END)
    return words + lines[-1].split()


def known_words(words: Sequence[str], *, most: int, least_count: int) -> tuple[str, ...]:
    """Chooses the symbols: `UNKNOWN`, then the most frequent words, those of one count in order.

    Args:
        words: The words of the train split.
        most: Symbols, at most, `UNKNOWN` included.
        least_count: Words that occur less often are left out.
    """
    count = Counter(words)
    count.pop(UNKNOWN, None)
    often = sorted((w for w in count if count[w] >= least_count), key=lambda w: (-count[w], w))
    return (UNKNOWN, *often[: most - 1])


class WordVocabulary:
    """Holds the words of a text; the class of a word is its place among them.

    Args:
        words: The words, `UNKNOWN` first.
        name: Of the text, for messages.
    """

    unit: Unit = "words"

    def __init__(self, words: Sequence[str], *, name: str) -> None:
        self.name = name
        self.words = tuple(words)
        self._class_of = {word: index for index, word in enumerate(self.words)}

    @staticmethod
    def recorded(text: str, *, name: str) -> WordVocabulary:
        """Reads what `text` gives."""
        return WordVocabulary(text.split(" "), name=name)

    @property
    def text(self) -> str:
        """The words in the order of their classes, with a blank between two."""
        return " ".join(self.words)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The printable form of each class."""
        return tuple(
            "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in word)
            for word in self.words
        )

    def index(self, words: Sequence[str]) -> NDArray[np.integer]:
        """Turns words into class indices (N,) of the smallest type; unknown words are `UNKNOWN`."""
        dtype = np.min_scalar_type(max(len(self.words) - 1, 0))
        return np.fromiter((self._class_of.get(w, 0) for w in words), dtype, count=len(words))

    def encode(self, text: str) -> NDArray[np.int64]:
        """Turns text into class indices (N,); unknown words are `UNKNOWN`.

        Raises:
            TaskError: There is no word in it.
        """
        words = split_words(text)
        if not words:
            raise TaskError(f"{quoted(text)} has no word; give one of {self.name}")
        return self.index(words).astype(np.int64)

    def decode(self, indices: NDArray[np.integer] | Sequence[int]) -> str:
        """Joins words to text, with a blank between two of a line."""
        return "".join(piece for piece, _ in self.pieces(indices))

    def pieces(self, indices: NDArray[np.integer] | Sequence[int]) -> list[tuple[str, int]]:
        """Gives what each word adds to the text, the blank before it included; each one symbol."""
        words = [self.words[int(k)] for k in indices]
        before = [LINE_END, *words]
        return [
            (word if LINE_END in (word, last) else f" {word}", 1)
            for last, word in zip(before, words, strict=False)
        ]

    def data(self, indices: NDArray[np.integer] | Sequence[int]) -> bytes:
        """Turns class indices into the bytes of a file, UTF-8."""
        return self.decode(indices).encode("utf-8", "surrogatepass")

    def first(self, symbol: str) -> int | None:
        """Gives the class of a word; None where the text lacks it."""
        return self._class_of.get(symbol)
