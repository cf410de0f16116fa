"""What the language allows: how long, how deep, and which names."""

from __future__ import annotations

import keyword
import re

from odyssey.errors import CellError
from odyssey.expr.forms import ALL_FUNCTIONS
from odyssey.expr.reductions import OVER_UNITS

MAX_CHARACTERS = 50_000


MAX_LINES = 400


MAX_LINE = 2_000


MAX_NODES = 2_000


MAX_DEPTH = 100


MAX_NAME = 40


MAX_CELL_NAME = 400


LARGEST = 10**30  # constants lie between 1 / LARGEST and LARGEST


KEYWORDS = (
    *("cell", "cite", "input", "size", "const", "state", "weight", "start", "init", "output"),
    "not",
)


MAX_FURTHER_INPUTS = 8


MAX_DELAY = 64  # steps back that `h[t-k]` reads


# what canonical forms call the main input, the output, weights, states and equations
_CANONICAL_NAME = re.compile(r"(?:x|y|[Wvse][0-9]+)\Z", re.ASCII)


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z", re.ASCII)


def check_name(name: str, *, what: str) -> None:
    """Raises `CellError` unless the name may stand for an equation, state or parameter."""
    if len(name) > MAX_NAME or not _NAME.match(name):
        raise CellError(
            f"{name[:MAX_NAME]!r} cannot name {what};"
            f" use at most {MAX_NAME} ASCII letters, digits and _, a letter first"
        )
    reserved = name in {*ALL_FUNCTIONS, *OVER_UNITS, *KEYWORDS} or keyword.iskeyword(name)
    if reserved or name in ("t", "nan", "inf"):
        raise CellError(f"{name!r} cannot name {what}: the language uses it")


def check_further_input(name: str) -> None:
    """Raises `CellError` unless the name may stand for an input besides the main one.

    Such names stay in the canonical form, since inputs are fed by name.
    """
    check_name(name, what="an input")
    if _CANONICAL_NAME.match(name):
        raise CellError(
            f"{name!r} cannot name a further input: canonical forms use it for something else"
        )
