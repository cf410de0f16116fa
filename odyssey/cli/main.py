"""The parser of the `odyssey` command, and its exit codes.

0: done. 1: it failed. 2: wrong use, with one line on standard error that says what to do.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

LONGEST_ERROR = 1_000  # characters: an error may quote what was given


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments, without the usage."""

    def error(self, message: str) -> NoReturn:
        _complain(f"{message} (see: {self.prog} --help)")
        self.exit(2)


def _complain(message: str) -> None:
    line = " ".join(message.split())
    if len(line) > LONGEST_ERROR:
        line = f"{line[: LONGEST_ERROR // 2]} ... {line[-LONGEST_ERROR // 2 :]}"
    # what was given may hold codes that would steer the terminal
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    print(f"odyssey: {shown}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    from odyssey import __version__

    parser = _Parser(
        prog="odyssey",
        description="Find out which recurrent cells work, and why.",
        epilog="A SPEC is a library cell with ablations (lstm:no_output_gate+forget_bias=2),"
        " a variant of the literature (NIG, LSTM-b) or the path of a .cell file.",
    )
    parser.add_argument("--version", action="version", version=f"odyssey {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")

    cells = add("cells", "list the library's cells, its variants and the ablations")
    other = cells.add_mutually_exclusive_group()
    other.add_argument("--ablations", action="store_true", help="list the ablations instead")
    other.add_argument("--variants", action="store_true", help="list the papers' variants and sets")
    _json(cells)

    show = add("show", "print a cell")
    show.add_argument("spec", metavar="SPEC")
    show.add_argument(
        "--as",
        dest="form",
        choices=("text", "latex", "program", "json", "canonical", "torch", "c"),
        default="text",
        help="cell text (default), LaTeX, IR, JSON, canonical form, torch or C source",
    )
    show.add_argument("--after", metavar="PASS", help="with --as program: the IR after this pass")
    show.add_argument("--against", metavar="SPEC", help="with --as text: what differs from SPEC")

    _add_mutate(add("mutate", "print mutants of a cell, or list the mutations"))

    _add_train(add("train", "train one cell on one task"))

    search = add("search", "evolve update equations, or run a study of given cells, in parallel")
    search.add_argument("study", metavar="STUDY.toml", nargs="?")
    search.add_argument("--resume", metavar="DIR", help="go on with an interrupted run")
    search.add_argument("--out", metavar="DIR", help="run directory (results/runs/NAME)")
    search.add_argument("--workers", type=int, metavar="N", help="trials at a time")
    search.add_argument("--runner", choices=("ray", "local"))
    search.add_argument("--address", metavar="A", help="join the Ray cluster at this address")
    search.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override a field, as in training.epochs=5 (may be repeated)",
    )
    search.add_argument(
        "--dry-run", action="store_true", help="say what would run, how long, and stop"
    )
    _json(search)

    status = add("status", "say how far a run is, from another terminal")
    status.add_argument("directory", metavar="DIR")
    _json(status)

    report = add("report", "write and print the report of a run")
    report.add_argument("directory", metavar="DIR")
    _json(report)

    data = add("data", "list the data sets, or get one")
    data.add_argument("action", choices=("list", "get"))
    data.add_argument("name", nargs="?", metavar="NAME")
    _json(data)

    _json(add("doctor", "say what works here, and what to do about what does not"))
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _add_mutate(mutate: argparse.ArgumentParser) -> None:
    mutate.add_argument("spec", metavar="SPEC", nargs="?")
    mutate.add_argument("--list", action="store_true", help="list the mutations instead")
    mutate.add_argument("--operator", metavar="NAME", help="this mutation only")
    mutate.add_argument("--seed", type=int, default=1, metavar="N", help="seed (1)")
    mutate.add_argument("--count", type=int, default=1, metavar="N", help="different mutants (1)")
    mutate.add_argument(
        "--steps", type=int, default=1, metavar="N", help="mutations one after the other (1)"
    )
    mutate.add_argument("--partner", metavar="SPEC", help="a second cell: draw crossovers as well")
    mutate.add_argument(
        "--weights",
        metavar="NAME=W",
        nargs="+",
        action="extend",
        default=[],
        help="draw a mutation more or less often, 0 never",
    )
    mutate.add_argument("--save", metavar="DIR", help="write each mutant to DIR as a .cell file")
    _json(mutate)


def _add_train(train: argparse.ArgumentParser) -> None:
    train.add_argument("spec", metavar="SPEC")
    train.add_argument("--task", required=True, metavar="TASK", help="xml, text:book.txt, ...")
    train.add_argument("--out", metavar="DIR", help="keep the record, curves and weights in DIR")
    train.add_argument("--preset", help="a paper's protocol: odyssey, jozefowicz, karpathy")
    numbers: tuple[tuple[str, type, object, str], ...] = (
        ("--hidden-size", int, 128, "units per layer"),
        ("--num-layers", int, 1, "layers"),
        ("--learning-rate", float, 0.003, "learning rate"),
        ("--momentum", float, 0.0, "momentum of sgd"),
        ("--clip-norm", float, 5.0, "largest gradient norm; 0 does not clip"),
        ("--clip-value", float, None, "largest gradient element"),
        ("--init-scale", float, 1.0, "scale of the initial weights"),
        ("--forget-bias", float, None, "initial bias of the gate f"),
        ("--input-noise", float, 0.0, "noise on the inputs"),
        ("--seed", int, 1, "seed"),
        ("--epochs", int, None, "epochs (20)"),
        ("--updates-per-epoch", int, None, "updates between validations (50)"),
        ("--batch-size", int, None, "parallel streams (20)"),
        ("--unroll", int, None, "steps of truncated back-propagation (35)"),
    )
    for flag, kind, default, text in numbers:
        shown = "" if default is None else f" ({default})"
        train.add_argument(flag, type=kind, default=default, metavar="X", help=text + shown)
    train.add_argument("--optimizer", help="sgd, rmsprop, adam or adagrad (adam)")
    train.add_argument("--sample", type=int, default=400, metavar="N", help="characters to sample")
    train.add_argument("--temperature", type=float, default=0.8, metavar="X", help="of the sample")
    train.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="any other training option, as in schedule=decay (docs/training.md)",
    )
    _json(train)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit code."""
    from odyssey.errors import OdysseyError

    try:
        args = _parser().parse_args(argv)
    except SystemExit as exit_:  # after --help, --version or a wrong argument
        return int(exit_.code or 0)
    try:
        module = importlib.import_module(f"odyssey.cli.{args.command}")
        return int(module.run(args) or 0)
    except OdysseyError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted")
        return 1
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def entry_point() -> None:
    """The `odyssey` console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry_point()
