"""Probes: what is so at each symbol of a text, once that symbol has been read.

A probe is a function from a text (N symbols, one character each) to N numbers, or N bools. What it
says of a place may depend on what follows, as a bracket counts only if it is closed.
"""

from __future__ import annotations

import inspect
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import ConfigError
from odyssey.plugins.loading import run_source
from odyssey.plugins.source import read_file
from odyssey.registry import Registry
from odyssey.wording import quoted

Probe = Callable[[str], NDArray[np.generic]]

OPENERS = {
    **{"(": ")", "[": "]", "{": "}"},
    **{"（": "）", "［": "］", "｛": "｝", "【": "】", "〔": "〕"},
}
TAB = 8
_BRACKETS = frozenset([*OPENERS, *OPENERS.values()])
WIDE = "\u3000"  # the space of Chinese and Japanese, two columns

# Opening quotes and what closes them. Some languages close with what others open with.
QUOTES = {
    '"': '"',
    "“": "”",  # English
    "„": "“”",  # German, Polish
    "‘": "’",
    "‚": "‘’",
    "«": "»",  # French, Russian
    "‹": "›",
    "「": "」",  # Chinese, Japanese
    "『": "』",
    "＂": "＂",
    "”": "”",  # Swedish, Finnish: these four open only before a word
    "’": "’",
    "»": "«»",  # Danish; Finnish
    "›": "‹›",
}
CLOSING = "”’»›"
_MARKS = frozenset("".join(QUOTES) + "".join(QUOTES.values()))


def inside_quotes(text: str) -> NDArray[np.bool_]:
    """After a quote up to the one that closes it, of any kind; an empty line closes what is open.

    Quotes may stand in quotes. A straight single quote is an apostrophe, and so is a curly one
    before a letter.
    """
    inside = np.zeros(len(text), dtype=np.bool_)
    opened: list[str] = []  # the opening quotes that wait for theirs
    escaped, empty = False, False
    for at, symbol in enumerate(text):
        if symbol in _MARKS:
            literal = escaped if '"' in opened else _is_literal(text, at)
            if not (symbol == '"' and literal):
                _quote(opened, text, at)
        if symbol == "\n" and empty:
            opened.clear()
        empty = symbol == "\n" or (empty and symbol.isspace())
        escaped = symbol == "\\" and not escaped
        inside[at] = bool(opened)
    return inside


def _quote(opened: list[str], text: str, at: int) -> None:
    """Closes what a quote closes, or opens it."""
    symbol, after = text[at], text[at + 1 : at + 2]
    if symbol == "’" and after.isalpha() and text[at - 1 : at].isalpha():
        return  # don’t
    for place in range(len(opened) - 1, -1, -1):
        if symbol in QUOTES[opened[place]]:
            del opened[place:]
            return
    before = text[at - 1 : at] if at else ""
    lone = symbol in CLOSING and (before.isalnum() or not after or after.isspace())
    # a paragraph that goes on with a quotation begins with its opening quote again
    if symbol in QUOTES and symbol not in opened and not lone:
        opened.append(symbol)


def line_position(text: str) -> NDArray[np.float64]:
    """Symbols since the line began: 0 at the line end before it, then 1, 2, ..."""
    found = np.zeros(len(text))
    since = 0
    for at, symbol in enumerate(text):
        since = 0 if symbol == "\n" else since + 1
        found[at] = since
    return found


def bracket_depth(text: str) -> NDArray[np.float64]:
    """How many pairs of brackets are open, wide ones too; one without a partner does not count."""
    depth = np.zeros(len(text) + 1)
    for first, last in _pairs(text):
        depth[first] += 1
        depth[last] -= 1
    return np.cumsum(depth)[:-1]


def indentation(text: str) -> NDArray[np.float64]:
    """Columns of white space at the start of the line, tabs to the next multiple of eight."""
    found = np.zeros(len(text))
    columns, leading = 0, True
    for at, symbol in enumerate(text):
        if symbol == "\n":
            columns, leading = 0, True
        elif leading and symbol == "\t":
            columns += TAB - columns % TAB
        elif leading and symbol in (" ", "\u00a0"):
            columns += 1
        elif leading and symbol == WIDE:
            columns += 2
        else:
            leading = False
        found[at] = columns
    return found


def inside_comment(text: str) -> NDArray[np.bool_]:
    """Between /* and */, <!-- and -->, or // and the end of the line (but not in http://)."""
    inside = np.zeros(len(text), dtype=np.bool_)
    at = 0
    while at < len(text):
        end = -1
        for opener, closer in (("/*", "*/"), ("<!--", "-->"), ("//", "\n")):
            if text.startswith(opener, at) and not (opener == "//" and text[at - 1 : at] == ":"):
                start = at + len(opener)
                end = text.find(closer, start)
                # What is never closed is no comment, except at the end of the text.
                end = len(text) if end < 0 and opener == "//" else end
                break
        if end < 0:
            at += 1
            continue
        inside[start - 1 : end + len(closer) - 1] = True
        at = end + len(closer)
    return inside


def inside_if(text: str) -> NDArray[np.bool_]:
    """In the parentheses of a condition, `if (...)`."""
    inside = np.zeros(len(text), dtype=np.bool_)
    for first, last in _pairs(text):
        before = text[max(0, first - 16) : first].rstrip()
        word = before.endswith("if") and not (before[-3:-2].isalnum() or before[-3:-2] == "_")
        if text[first] == "(" and word:
            inside[first:last] = True
    return inside


def word_position(text: str) -> NDArray[np.float64]:
    """Letters, marks, digits and underscores since the word began: 1, 2, ...; 0 between words."""
    found = np.zeros(len(text))
    since = 0
    for at, symbol in enumerate(text):
        since = since + 1 if in_word(symbol) else 0
        found[at] = since
    return found


def in_word(symbol: str) -> bool:
    """Whether a character is part of a word: a letter of any script, its marks, digits and `_`."""
    return symbol.isalnum() or symbol == "_" or unicodedata.category(symbol)[0] == "M"


def upper_case(text: str) -> NDArray[np.bool_]:
    """The symbol just read is an upper-case letter."""
    return np.array([symbol.isupper() for symbol in text], dtype=np.bool_)


def _problem(name: str, row: Any) -> str:
    if not callable(row):
        return f"{quoted(name)} must be a function of a text, got {type(row).__name__}"
    try:
        inspect.signature(row).bind("text")
    except (TypeError, ValueError):
        return f"{quoted(name)} must take one argument, the text"
    return ""


PROBES: Registry[Probe] = Registry(
    "probe",
    {
        probe.__name__: probe
        for probe in (
            inside_quotes,
            line_position,
            bracket_depth,
            indentation,
            inside_comment,
            inside_if,
            word_position,
            upper_case,
        )
    },
    problem=_problem,
)


def load_probes(path: str | Path) -> dict[str, Probe]:
    """Runs a Python file and gives its probes: its `PROBES`, as a plug-in's, or all its functions.

    Args:
        path: The file. Each public function takes the text, a str with one character a symbol, and
            gives as many numbers or bools.

    Raises:
        ConfigError: The file cannot be read or run, or defines no function of one argument.
    """
    source = read_file(Path(path))
    module = run_source(source)
    own = vars(module).get("PROBES")
    if isinstance(own, Mapping) and not isinstance(own, Registry):
        return _checked(dict(own), source.label)
    found: dict[str, Probe] = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }
    return _checked(found, source.label)


def _checked(found: dict[str, Any], label: str) -> dict[str, Probe]:
    for name, function in found.items():
        if why := _problem(name, function):
            raise ConfigError(f"{label}: probe {why}")
    if not found:
        raise ConfigError(
            f"{label} defines no probe: write functions that take a text and give a number a symbol"
        )
    return found


def probe_values(text: str, probes: Mapping[str, Probe]) -> dict[str, NDArray[np.generic]]:
    """Applies probes to a text: N float64 numbers each, or N bools.

    Raises:
        ConfigError: A probe fails, or does not give one finite number a symbol.
    """
    found: dict[str, NDArray[np.generic]] = {}
    for name, probe in probes.items():
        try:
            values = np.asarray(probe(text))
            if values.dtype != np.bool_:
                values = values.astype(np.float64)
        except Exception as error:
            raise ConfigError(f"probe {name}: {type(error).__name__}: {error}") from None
        if values.shape != (len(text),):
            raise ConfigError(
                f"probe {name}: expected {len(text):,} numbers, one a symbol; got shape"
                f" {values.shape}"
            )
        if not np.isfinite(values).all():
            raise ConfigError(f"probe {name} gives numbers that are not finite")
        found[name] = values
    return dict(found)


def _is_literal(text: str, at: int) -> bool:
    """Whether a symbol is a character literal of C, as in '"' or '\\"'."""
    return text[at + 1 : at + 2] == "'" and (text[at - 1 : at] == "'" or text[at - 2 : at] == "'\\")


def _pairs(text: str) -> list[tuple[int, int]]:
    """Gives the places of brackets that have a partner: a closer takes the last fitting opener."""
    pairs, waiting = [], []
    for at, symbol in enumerate(text):
        if symbol not in _BRACKETS or _is_literal(text, at):
            continue
        if symbol in OPENERS:
            waiting.append(at)
            continue
        for place in range(len(waiting) - 1, -1, -1):
            if OPENERS[text[waiting[place]]] == symbol:
                pairs.append((waiting[place], at))
                del waiting[place:]  # what was opened since has no partner
                break
    return pairs
