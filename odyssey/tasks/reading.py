"""From the bytes of a file to the symbols of a text: encodings, byte order marks, notices.

Line ends stay as the file has them: CR LF are two symbols.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import TaskError
from odyssey.tasks.vocabulary import Unit

AUTO = "auto"
_MARKS = (  # the longer ones first: that of UTF-16 begins that of UTF-32
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAMES: Mapping[str, str] = {"iso8859-1": "latin-1"}
# What Python calls encodings, but reads as something else than text of one character set.
_NO_CHARSETS = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "oem"}
_NULLS = 0.02  # a text with more null characters than this is likely not what it is read as


@dataclass(frozen=True)
class Symbols:
    """Holds what a file was read as.

    Attributes:
        codes_N: Bytes or code points.
        unit: Which of them.
        encoding: The encoding of characters; empty for bytes.
        notices: What a reader may not expect, a line each.
    """

    codes_N: NDArray[np.integer]
    unit: Unit
    encoding: str
    notices: tuple[str, ...] = ()


def encoding_name(text: str) -> str:
    """Gives the usual name of an encoding, or `auto`; raises ValueError for what is none."""
    if text == AUTO:
        return AUTO
    try:
        found = codecs.lookup(text)
        "".encode(text)  # refuses codecs that do not make bytes of text
    except (LookupError, UnicodeError):
        raise ValueError(text) from None
    name = found.name.replace("_", "-")
    if name in _NO_CHARSETS:
        raise ValueError(text)
    return _NAMES.get(name, name)


def read_symbols(name: str, data: bytes, *, unit: str = AUTO, encoding: str = AUTO) -> Symbols:
    """Reads bytes as symbols.

    Args:
        name: Of the text, for messages.
        data: The bytes of the file.
        unit: `bytes`, `characters`, or `auto`: characters where the encoding allows it, else bytes.
        encoding: Of characters; `auto` is what a byte order mark says, else UTF-8.

    Raises:
        TaskError: The bytes are not in that encoding.
    """
    if unit == "bytes":
        if encoding != AUTO:
            raise TaskError(
                f"{name} has unit=bytes and encoding={encoding}: bytes have no encoding; give one"
            )
        return Symbols(np.frombuffer(data, dtype=np.uint8), "bytes", "")
    mark = next((m for m in _MARKS if data.startswith(m[0])), None)
    notices = []
    chosen = encoding
    if encoding == AUTO:
        chosen = mark[1] if mark else "utf-8"
        if chosen != "utf-8":
            notices.append(f"{name} begins with the byte order mark of {chosen}: read as {chosen}")
    if chosen == "utf-8" and data.isascii():  # needs no decoding, which takes four bytes for one
        codes_N: NDArray[np.integer] = np.frombuffer(data, dtype=np.uint8)
    else:
        try:
            text = data.decode(chosen)
        except (UnicodeError, ValueError, OverflowError) as error:
            what = _failure(data, error)
            if unit == AUTO and encoding == AUTO:
                notice = (
                    f"{name} is not {chosen} ({what}): read as bytes; characters need encoding=,"
                    " as in encoding=latin-1"
                )
                return Symbols(np.frombuffer(data, dtype=np.uint8), "bytes", "", (notice,))
            other = "another encoding=, as in encoding=latin-1," if chosen == "utf-8" else "another"
            raise TaskError(
                f"the text of {name} is not {chosen} ({what}); give {other} or unit=bytes"
            ) from None
        codes_N = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        if text.startswith("\ufeff"):
            codes_N = codes_N[1:]
            if not notices:
                notices.append(f"{name} begins with a byte order mark, which is left out")
    nulls = np.count_nonzero(codes_N == 0)
    if nulls > _NULLS * codes_N.size:
        notices.append(
            f"{nulls:,} of {codes_N.size:,} characters of {name} are null: it may have another"
            " encoding, as in encoding=utf-16-le"
        )
    return Symbols(codes_N, "characters", chosen, tuple(notices))


def _failure(data: bytes, error: Exception) -> str:
    if not isinstance(error, UnicodeDecodeError) or error.start >= len(data):
        return str(error)[:80]
    return f"byte 0x{data[error.start]:02x} at {error.start:,}: {error.reason}"
