"""Options of a task: what may stand after the '@' of its spec."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from odyssey.errors import TaskError, suggest
from odyssey.wording import quoted

_SHARE = re.compile(r"[0-9]{1,2}(\.[0-9]{1,3})?|[0-9]{3,12}")
_LEAST_COUNTS = 1_000  # what adds up to more are no percentages that somebody got wrong


@dataclass(frozen=True)
class Option:
    """Describes one option.

    Attributes:
        name: What stands before the '='.
        default: Its value when it is not given.
        expected: What a value must be, in words.
        read: Turns the given text into a value; raises ValueError.
        show: Turns a value into the text it is normalised to.
    """

    name: str
    default: Any
    expected: str
    read: Callable[[str], Any]
    show: Callable[[Any], str] = str


def whole(name: str, default: int, *, least: int, most: int) -> Option:
    """Makes an option whose value is a whole number."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,15}", text) or not least <= int(text) <= most:
            raise ValueError(text)
        return int(text)

    return Option(name, default, f"a whole number from {least} to {most}", read)


def fraction(name: str, default: float, *, most: float) -> Option:
    """Makes an option whose value is a number from 0 to `most`."""

    def read(text: str) -> float:
        value = float(text)
        if not 0 <= value <= most:  # so is NaN
            raise ValueError(text)
        return abs(value)  # -0.0 is 0.0

    return Option(name, default, f"a number from 0 to {most:g}", read, show=lambda v: f"{v!r}")


def one_of(name: str, default: str, *, among: Sequence[str]) -> Option:
    """Makes an option whose value is one of a few words."""

    def read(text: str) -> str:
        if text not in among:
            raise ValueError(text)
        return text

    return Option(name, default, " or ".join(among), read)


def split(default: str) -> Option:
    """Makes the option that says how a text is divided, in percent: `90/5/5`."""
    expected = (
        "the percentages of train, valid and test, sum 100, or their symbols, as in 90/5/5; train"
        " and valid above 0"
    )
    return Option("split", read_split(default), expected, read_split, show=show_split)


def read_split(text: str) -> tuple[Fraction, ...]:
    """Reads `90/5/5`, or numbers of symbols with a sum above 1,000, into exact parts of one.

    The last part may be none; raises ValueError for what is no such thing.
    """
    shares = text.split("/")
    if len(shares) != 3 or not all(_SHARE.fullmatch(share) for share in shares):
        raise ValueError(text)
    sizes = [Fraction(share) for share in shares]
    whole = sum(sizes)
    counts = whole > _LEAST_COUNTS and "." not in text
    if min(sizes[:2]) == 0 or not (whole == 100 or counts):
        raise ValueError(text)
    return tuple(size / whole for size in sizes)


def show_split(parts: tuple[Fraction, ...]) -> str:
    """Writes the parts as percentages, `90/5/5`, or as whole numbers where those are not exact."""
    percentages = [100 * part for part in parts]
    if all((1000 * p).denominator == 1 for p in percentages):
        return "/".join(f"{float(p):g}" for p in percentages)
    whole = math.lcm(*(part.denominator for part in parts))
    whole *= _LEAST_COUNTS // whole + 1  # so many that they are no percentages
    return "/".join(str(part * whole) for part in parts)


def read_options(text: str | None, options: Sequence[Option], *, task: str) -> dict[str, Any]:
    """Reads `key=value,key=value`; options not given have their default.

    Raises:
        TaskError: An unknown or repeated key, or a value that makes no sense.
    """
    known = {option.name: option for option in options}
    given: dict[str, Any] = {}
    for pair in [] if text is None else text.split(","):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            names = ", ".join(f"{option.name}={option.show(option.default)}" for option in options)
            raise TaskError(
                f"{quoted(pair)} after the '@' of {task} is no key=value; options: {names}"
            )
        if key not in known:
            raise TaskError(suggest(key, known, what=f"option of {task}"))
        if key in given:
            raise TaskError(f"option {quoted(key)} of {task} is given twice; give it once")
        try:
            given[key] = known[key].read(value)
        except ValueError:
            raise TaskError(
                f"{key}={quoted(value)} for {task}; expected {known[key].expected}"
            ) from None
    return {option.name: given.get(option.name, option.default) for option in options}


def show_options(values: Mapping[str, Any], options: Sequence[Option]) -> str:
    """Writes the values that differ from their default as `@key=value,...`; else nothing."""
    pairs = [
        f"{option.name}={option.show(values[option.name])}"
        for option in options
        if values[option.name] != option.default
    ]
    return "@" + ",".join(pairs) if pairs else ""
