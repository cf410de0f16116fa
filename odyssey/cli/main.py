"""The parser of the `odyssey` command, and its exit codes.

0: done. 1: it failed. 2: wrong use, with one line on standard error that says what to do. 128 and
the number of a signal that ended it: 130 after Ctrl-C, 143 after SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn

from odyssey.cli.arguments import add_plugins
from odyssey.cli.completion import SHELLS, answer, asked, script

LONGEST_ERROR = 1_000  # characters: an error may quote what was given


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        about: What it does.
        takes: LONG where its work grows with what is asked: it says its time before it starts, or
            as soon as some of it is timed, and the time left on its way. Else SHORT.
    """

    about: str
    takes: Literal["short", "long"]


SHORT: Final = "short"
LONG: Final = "long"

# Each has a module of its name with `arguments(parser)`, `run(args)` and `EXAMPLES`.
COMMANDS = {
    "cells": Command("list the library's cells, its variants and the ablations", SHORT),
    "show": Command("print a cell", SHORT),
    "mutate": Command("print mutants of a cell, or list the mutations", SHORT),
    "train": Command("train one cell on one task", LONG),
    "search": Command("evolve update equations, or run a study of given cells, in parallel", LONG),
    "ablate": Command("compare a cell with what it is without its parts", LONG),
    "path": Command(
        "go from one cell to another by single changes, and see which brings the gap", LONG
    ),
    "promote": Command("train the best cells of a search again, beside known ones", LONG),
    "extend": Command("run more draws, cells or tasks of a study, or candidates of a search", LONG),
    "compare": Command("put the cells of several runs into one table", SHORT),
    "status": Command("say how far a run is, from another terminal", SHORT),
    "export": Command(
        "write a cell or a trained model in torch alone, ONNX, LaTeX, SVG, ...", SHORT
    ),
    "report": Command("write and print the report of a run", LONG),
    "sample": Command("let a trained model write", SHORT),
    "caption": Command("let a trained model read pictures, and see where it looks", LONG),
    "gradients": Command("measure how far gradients reach back, and along which paths", LONG),
    "errors": Command("sort what trained models get wrong on a text by why they do", LONG),
    "units": Command("see what the units and gates of a trained model follow", LONG),
    "data": Command("list the data sets, or get one", LONG),
    "bench": Command("measure speed beside torch's own layers and loops, one thread", LONG),
    "tune": Command(
        "measure which tilings of matrix products are fastest here, and keep them", LONG
    ),
    "check": Command("put a plug-in to the contract tests", SHORT),
    "doctor": Command("say what works here, and what to do about what does not", SHORT),
}


# What reads no cell, task or run of the user's, or takes plug-ins in a way of its own.
WITHOUT_PLUGINS = ("bench", "check", "doctor", "tune")


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments, without the usage."""

    def error(self, message: str) -> NoReturn:
        _complain(f"{_plainly(message)} (see: {self.prog} --help)")
        self.exit(2)

    def unknown(self, given: Sequence[str]) -> NoReturn:
        """Says which option is meant instead of one that there is not."""
        from odyssey.errors import suggest

        flag = given[0].partition("=")[0]
        if not flag.startswith("-"):
            self.error(f"there is no place for {' '.join(given)}")
        flags = [name for name in self._option_string_actions if name.startswith("--")]
        self.error(suggest(flag, flags, what=f"option of {self.prog}"))


class _Completion(argparse.Action):
    """Prints a shell's script, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> None:
        print(script(str(given[1])))
        parser.exit()


def _listed(examples: Sequence[tuple[str, str]]) -> str:
    """Writes the examples at the end of the help of a command, with what each is for."""
    width = max(len(example) for example, _ in examples)
    lines = (f"  {example:<{width}}  {text}" for example, text in examples)
    return "\n".join(["examples:", *lines])


def _plainly(message: str) -> str:
    """Rewrites what argparse says of a wrong value in the words of the other errors."""
    from odyssey.errors import suggest
    from odyssey.wording import quoted

    wrong = re.match(r"argument (\S+): invalid (int|float) value: '(.*)'$", message, re.DOTALL)
    if wrong:
        kind = "a whole number" if wrong[2] == "int" else "a number"
        return f"{wrong[1]} takes {kind}, got {quoted(wrong[3])}"
    choice = re.match(
        r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)$", message, re.DOTALL
    )
    if choice:
        known = re.findall(r"'([^']+)'", choice[3])
        what = "command" if choice[1] == "COMMAND" else f"value of {choice[1]}"
        return suggest(choice[2], known, what=what)
    return message


def _complain(message: str) -> None:
    line = re.sub(r"\S{200,}", lambda word: f"{word[0][:100]}...{word[0][-20:]}", message)
    line = " ".join(line.split())
    if len(line) > LONGEST_ERROR:
        line = f"{line[: LONGEST_ERROR // 2]} ... {line[-LONGEST_ERROR // 2 :]}"
    # what was given may hold codes that would steer the terminal
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    print(f"odyssey: {shown}", file=sys.stderr)


def _parser(names: Collection[str]) -> argparse.ArgumentParser:
    """Makes the parser.

    Args:
        names: The commands whose arguments are wanted. The module of a command, which adds them,
            is imported for no other one.
    """
    from odyssey.version import __version__

    parser = _Parser(
        prog="odyssey",
        description="Find out which recurrent cells work, and why.",
        epilog="A SPEC is a library cell with ablations (lstm:no_output_gate+forget_bias=2),"
        " a variant of the literature (NIG, LSTM-b) or the path of a .cell file.",
    )
    parser.add_argument("--version", action="version", version=f"odyssey {__version__}")
    parser.add_argument(
        "--completion",
        choices=SHELLS,
        action=_Completion,
        help="print what completes commands, options, cells, tasks and runs in a shell",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, row in COMMANDS.items():
        described = row.about[0].upper() + row.about[1:] + "."
        command: _Parser = commands.add_parser(
            name,
            help=row.about,
            description=described,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(parser=command)
        if name in names:
            module = importlib.import_module(f"odyssey.cli.{name}")
            module.arguments(command)
            if name not in WITHOUT_PLUGINS:
                add_plugins(command)
            command.epilog = _listed(module.EXAMPLES)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit code."""
    from odyssey.progress.output import guarded

    try:
        with guarded():
            return _run(argv)
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return 0


def _run(argv: Sequence[str] | None) -> int:
    from odyssey.cli.signals import Interruption, orderly
    from odyssey.errors import OdysseyError
    from odyssey.wording import quoted

    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None and (typed := asked()) is not None:
        answer(_parser(COMMANDS.keys() & set(typed)))
    try:
        with orderly():
            # the first word: later ones may be called like a command, too (odyssey bench train)
            first = [word for word in words if not word.startswith("-")][:1]
            args, unknown = _parser(COMMANDS.keys() & set(first)).parse_known_args(words)
            if unknown:
                args.parser.unknown(unknown)
            if args.command not in WITHOUT_PLUGINS:
                _load_plugins(args.plugin_files)
            return int(importlib.import_module(f"odyssey.cli.{args.command}").run(args) or 0)
    except SystemExit as exit_:  # after --help, --version or a wrong argument
        return int(exit_.code or 0)
    except OdysseyError as error:
        _complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        raise
    except OSError as error:  # a name that no file system takes, a disk that fails
        named = f" {quoted(str(error.filename))}" if error.filename else ""
        _complain(f"cannot use{named}: {error.strerror or error}")
        return 2 if error.errno == errno.ENAMETOOLONG else 1
    except Interruption as interruption:
        return interruption.exit_code
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130


def _load_plugins(specs: Sequence[str]) -> None:
    """Loads the plug-ins that are named, and those of installed packages before them."""
    from odyssey import plugins

    for name, error in plugins.installed().items():
        if error:
            _complain(f"the plug-in of the entry point {name} is left out: {error}")
    for spec in specs:
        plugins.load(spec)


def entry_point() -> None:
    """The `odyssey` console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry_point()
