"""Calls whose arguments are the fields of a dataclass: one list for types, help and checks.

`called` turns a function of an options object into one of keywords, `method` does so behind
`self`. To a type checker the result takes what the dataclass takes; `help()` and notebooks see the
same arguments, with what the dataclasses say of each.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from odyssey.errors import ArgumentError, OdysseyError, suggest
from odyssey.options import Options

_P = ParamSpec("_P")
_Given = TypeVar("_Given")
_Result = TypeVar("_Result")
_Self = TypeVar("_Self")
_Options = TypeVar("_Options", bound=Options)

# What an argument may be looked for under: what studies, the command line and torch call it.
_OTHER_NAMES = {
    "members": "draws",
    "draws": "members",
    "spec": "cell",
    "hidden": "hidden_size",
    "lr": "learning_rate",
    "layers": "num_layers",
    "directory": "run",
    "n_workers": "workers",
    "verbose": "progress",
}


class _Shown(str):
    """A type in a signature, which help shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def called(
    call: Callable[_P, _Given],
) -> Callable[[Callable[[_Given], _Result]], Callable[_P, _Result]]:
    """Makes a function of the dataclass `call` take its fields instead.

    Args:
        call: The dataclass.
    """

    def decorate(function: Callable[[_Given], _Result]) -> Callable[_P, _Result]:
        signature = _signature(call, function)
        name = f"odyssey.{function.__name__}"

        @wraps(function)
        def taking(*args: _P.args, **kwargs: _P.kwargs) -> _Result:
            with _in_python():
                _check(name, signature, args, kwargs)
                return function(call(*args, **kwargs))

        return _documented(taking, call, signature)

    return decorate


def method(
    options: Callable[_P, _Given],
) -> Callable[[Callable[[_Self, _Given], _Result]], Callable[Concatenate[_Self, _P], _Result]]:
    """Makes a method that takes the dataclass `options` take its fields instead.

    Args:
        options: The dataclass.
    """

    def decorate(
        function: Callable[[_Self, _Given], _Result],
    ) -> Callable[Concatenate[_Self, _P], _Result]:
        own = _signature(options, function)
        first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        signature = own.replace(parameters=[first, *own.parameters.values()])

        @wraps(function)
        def taking(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> _Result:
            with _in_python():
                _check(function.__qualname__, own, args, kwargs)
                return function(self, options(*args, **kwargs))

        return _documented(taking, options, signature)

    return decorate


def part(kind: type[_Options], options: Options) -> _Options:
    """Gives the part of joined options that is one kind of them."""
    return kind(**fields_of(kind, options))


def fields_of(kind: type[Options], options: Options) -> dict[str, Any]:
    """Gives the fields of one kind that joined options hold, by name."""
    return {field.name: getattr(options, field.name) for field in dataclasses.fields(kind)}


def _signature(call: Callable[..., Any], function: Callable[..., Any]) -> inspect.Signature:
    parameters = [
        p.replace(annotation=_Shown(p.annotation))
        for p in inspect.signature(call).parameters.values()
    ]
    return inspect.Signature(
        parameters, return_annotation=_Shown(function.__annotations__["return"])
    )


def _documented(
    taking: Callable[_P, _Result], call: Callable[..., Any], signature: inspect.Signature
) -> Callable[_P, _Result]:
    """Says what every argument is, where the docstring says it of none."""
    says = described(call)
    doc = inspect.getdoc(taking) or ""
    lines = [
        textwrap.fill(
            f"{name}: {says[name]}", 96, initial_indent=" " * 4, subsequent_indent=" " * 8
        )
        for name in signature.parameters
        if name in says
    ]
    head, mark, tail = doc.partition("\nRaises:")
    arguments = "\n".join(["", "Args:", *lines, ""])
    taking.__doc__ = f"{head.rstrip()}\n{arguments}{mark}{tail}"
    taking.__signature__ = signature  # type: ignore[attr-defined]
    return taking


def described(call: Callable[..., Any]) -> dict[str, str]:
    """Gives what a dataclass and those that it inherits from say of their fields, by name."""
    found: dict[str, str] = {}
    for kind in reversed(inspect.getmro(call) if inspect.isclass(call) else ()):
        text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
        text = re.split(r"^\S", text, maxsplit=1, flags=re.M)[0]
        for name, said in re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", text, re.M | re.S):
            found[name] = " ".join(said.split())
    return found


def _check(
    name: str, signature: inspect.Signature, args: tuple[Any, ...], given: Mapping[str, Any]
) -> None:
    """Raises `ArgumentError` for arguments that there are not, or that are missing."""
    known = list(signature.parameters)
    for key in given:
        if key not in known:
            raise ArgumentError(_unknown(key, known, name))
    try:
        signature.bind(*args, **given)
    except TypeError as error:
        raise ArgumentError(f"{name}: {error} (see: help({name}))") from None


def _unknown(key: str, known: list[str], name: str) -> str:
    other = _OTHER_NAMES.get(key, "")
    if other in known:
        return f"{name} has no argument called {key!r}; closest: {other}"
    if "settings" in known and key in _fields_of_studies():
        return f"{name} has no argument called {key!r}: it is one of a study, as in settings=" + (
            "{" + f"{key!r}: ..." + "}"
        )
    return suggest(key, known, what=f"argument of {name}", see=f"help({name})")


def _fields_of_studies() -> set[str]:
    from odyssey.studies.reading import INNER
    from odyssey.studies.study import Study

    return {*INNER, *(field.name for field in dataclasses.fields(Study))}


@contextmanager
def _in_python() -> Iterator[None]:
    """Says the options of the command line, in a mistake's message, as arguments of Python."""
    try:
        yield
    except OdysseyError as error:
        if error.args and isinstance(error.args[0], str):
            error.args = (in_python(error.args[0]), *error.args[1:])
        raise


_COMMAND = re.compile(r"`?odyssey [a-z]+[^;:,`]*`?")
_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)( (?=[A-Z0-9]))?")


def in_python(message: str) -> str:
    """Writes flags as names (`--top-k 3` is `top_k=3`); a command of the command line stays one."""
    parts, end = [], 0
    for found in _COMMAND.finditer(message):
        parts += [_names(message[end : found.start()]), found[0]]
        end = found.end()
    return "".join([*parts, _names(message[end:])])


def _names(text: str) -> str:
    return _FLAG.sub(lambda found: found[1].replace("-", "_") + ("=" if found[2] else ""), text)
