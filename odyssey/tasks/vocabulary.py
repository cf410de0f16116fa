r"""The symbols of a text: what they are, how text becomes class indices, and back.

A symbol is a byte or a character (a code point of Unicode). What a sample prints can be read back:
`decode` writes a byte that belongs to no character as `\xNN`, a terminal shows control characters
in the same way, and `encode` takes both for the symbols that they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import TaskError

Unit = Literal["bytes", "characters", "words"]
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
STRAY = 0xF700
"""Where the private characters begin that stand for bytes of no character."""

# Characters of two bytes that a terminal would show as it shows one byte of no character.
_LIKE_BYTES = re.compile("[\x80-\x9f\xad]")
_ESCAPED = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})")


class Vocabulary:
    """Holds the symbols of a text; the class of a symbol is its place among them.

    Args:
        codes: Bytes or code points, ascending.
        unit: Which of them.
        name: Of the text, for messages.
    """

    def __init__(self, codes: Sequence[int] | NDArray[np.int64], *, unit: Unit, name: str) -> None:
        self.unit = unit
        self.name = name
        self.codes = np.asarray(codes, dtype=np.int64)
        self._class_of = {int(code): index for index, code in enumerate(self.codes)}

    @staticmethod
    def recorded(text: str, *, unit: Unit, name: str) -> Vocabulary:
        """Reads what `text` gives."""
        return Vocabulary([ord(symbol) for symbol in text], unit=unit, name=name)

    @property
    def text(self) -> str:
        """The symbols in the order of their classes; a byte is the code point of its number."""
        return "".join(map(chr, self.codes.tolist()))

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The printable form of each class."""
        return tuple(symbol_text(int(code), unit=self.unit) for code in self.codes)

    def encode(self, text: str) -> NDArray[np.int64]:
        r"""Turns text into class indices (N,); `\xNN` stands for a symbol that cannot be printed.

        Raises:
            TaskError: The text has a symbol that is not in the vocabulary.
        """
        codes: list[int] = []
        at = 0
        for escaped in _ESCAPED.finditer(text):
            meant = self._meant(int(escaped[0][2:], 16))
            if meant is None:  # no such symbol: a backslash and what follows it
                continue
            codes += self._codes(text[at : escaped.start()])
            codes += meant
            at = escaped.end()
        return self.classes([*codes, *self._codes(text[at:])])

    def classes(self, codes: Sequence[int]) -> NDArray[np.int64]:
        """Turns bytes or code points into class indices; raises TaskError for an unknown one."""
        try:
            return np.array([self._class_of[code] for code in codes], dtype=np.int64)
        except KeyError as error:
            symbol = symbol_text(error.args[0], unit=self.unit)
            raise TaskError(
                f"{self.name} has no symbol {symbol!r}; use only what occurs in its text"
            ) from None

    def decode(self, indices: NDArray[np.integer] | Sequence[int]) -> str:
        r"""Turns class indices into text.

        Bytes show as \xNN where they are no UTF-8, and where they are one of its control
        characters whose own escape would look like that of a byte.
        """
        codes = self.codes[np.asarray(indices, dtype=np.int64)]
        if self.unit == "characters":
            return "".join(map(chr, codes.tolist()))
        text = bytes(codes.tolist()).decode("utf-8", "backslashreplace")
        return _LIKE_BYTES.sub(lambda c: "".join(f"\\x{b:02x}" for b in c[0].encode()), text)

    def pieces(self, indices: NDArray[np.integer] | Sequence[int]) -> list[tuple[str, int]]:
        """Cuts a text into its characters, with the number of symbols that each takes.

        A character takes one symbol, or as many as it has bytes in UTF-8. A byte that belongs to no
        character stands as a private one (`STRAY` and its number).
        """
        codes = self.codes[np.asarray(indices, dtype=np.int64)].tolist()
        if self.unit == "characters":
            return [(chr(code), 1) for code in codes]
        # a byte that decodes to nothing becomes a surrogate, U+DC00 and its number
        return [
            (chr(STRAY + ord(c) - 0xDC00), 1)
            if 0xDC80 <= ord(c) <= 0xDCFF
            else (c, len(c.encode("utf-8")))
            for c in bytes(codes).decode("utf-8", "surrogateescape")
        ]

    def characters(self, indices: NDArray[np.integer] | Sequence[int]) -> list[str]:
        """Gives the character at each place of a text, N strings; all bytes of one have it."""
        return [c for c, size in self.pieces(indices) for _ in range(size)]

    def data(self, indices: NDArray[np.integer] | Sequence[int]) -> bytes:
        """Turns class indices into the bytes of a file: the bytes, or the characters as UTF-8."""
        if self.unit == "bytes":
            return bytes(self.codes[np.asarray(indices, dtype=np.int64)].tolist())
        return self.decode(indices).encode("utf-8", "surrogatepass")

    def first(self, symbol: str) -> int | None:
        """Gives the class of an ASCII symbol; None where the text lacks it."""
        return self._class_of.get(ord(symbol))

    def _codes(self, text: str) -> list[int]:
        if self.unit == "bytes":
            return list(text.encode("utf-8", "surrogatepass"))
        return [ord(symbol) for symbol in text]

    def _meant(self, code: int) -> list[int] | None:
        """Gives the codes of the symbol that an escape stands for; None where it is no escape."""
        if code > 0x10FFFF or 0x20 <= code < 0x7F:
            return None
        if code in self._class_of:
            return [code]
        codes = self._codes(chr(code))
        return codes if all(c in self._class_of for c in codes) else None


def symbol_text(code: int, *, unit: Unit) -> str:
    """Writes a byte or a code point so that it can be read in a table."""
    character = chr(code)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if unit == "bytes" and code >= 0x7F:
        return f"\\x{code:02x}"
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
