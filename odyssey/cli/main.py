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
from collections.abc import Sequence
from typing import NoReturn

LONGEST_ERROR = 1_000  # characters: an error may quote what was given


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
        described = text[0].upper() + text[1:] + "."
        made: _Parser = commands.add_parser(name, help=text, description=described)
        made.set_defaults(parser=made)
        return made

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
        choices=("text", "latex", "jacobian", "program", "json", "canonical", "torch", "c"),
        default="text",
        help="cell text (default), LaTeX, one-step Jacobian in symbols, IR, JSON, canonical form,"
        " torch or C source",
    )
    show.add_argument("--after", metavar="PASS", help="with --as program: the IR after this pass")
    show.add_argument("--against", metavar="SPEC", help="with --as text: what differs from SPEC")

    _add_mutate(add("mutate", "print mutants of a cell, or list the mutations"))

    _add_train(add("train", "train one cell on one task"))

    search = add("search", "evolve update equations, or run a study of given cells, in parallel")
    search.add_argument("study", metavar="STUDY.toml", nargs="?")
    search.add_argument("--resume", metavar="DIR", help="go on with an interrupted run")
    search.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override a field, as in training.epochs=5 (may be repeated)",
    )
    _add_running(search)

    _add_ablate(add("ablate", "compare a cell with what it is without its parts"))

    _add_promote(add("promote", "train the best cells of a search again, beside LSTM and GRU"))

    status = add("status", "say how far a run is, from another terminal")
    status.add_argument("directory", metavar="DIR")
    _json(status)

    report = add("report", "write and print the report of a run")
    report.add_argument("directory", metavar="DIR")
    report.add_argument("--to", metavar="DIR", help="write it there, not into the run")
    _json(report)

    sample = add("sample", "let a trained model write")
    _add_trained(sample)
    sample.add_argument("--length", type=int, default=2000, metavar="N", help="symbols (2000)")
    sample.add_argument("--temperature", type=float, default=1.0, metavar="X", help="0: likeliest")
    sample.add_argument("--top-k", type=int, metavar="K", help="draw among the K likeliest only")
    sample.add_argument(
        "--prime", metavar="TEXT", help=r"text to go on from; \xNN as in what samples print"
    )
    _add_moved_text(sample)
    sample.add_argument(
        "--raw",
        action="store_true",
        help="write the text as it is, into a file or a pipe: no control character is escaped",
    )
    sample.add_argument("--seed", type=int, default=1, metavar="N", help="seed (1)")
    _json(sample)

    gradients = add("gradients", "measure how far gradients reach back, and along which paths")
    _add_gradients(gradients)
    _json(gradients)

    errors = add("errors", "sort what trained models get wrong on a text by why they do")
    errors.add_argument("directories", metavar="RUN", nargs="+", help="runs that have kept weights")
    _add_choice(errors)
    _add_moved_text(errors)
    errors.add_argument("--split", choices=("valid", "test"), default="test", help="which data")
    errors.add_argument(
        "--characters", type=int, default=100_000, metavar="N", help="how many, at most (100000)"
    )
    errors.add_argument(
        "--out", metavar="DIR", default="results/runs/errors", help="where the files go"
    )
    _json(errors)

    units = add("units", "see what the units and gates of a trained model follow")
    _add_units(units)
    _json(units)

    data = add("data", "list the data sets, or get one")
    data.add_argument("action", choices=("list", "get"))
    data.add_argument("name", nargs="?", metavar="NAME")
    _json(data)

    _add_bench(add("bench", "measure speed beside torch's own layers and loops, one thread"))

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


def _add_ablate(ablate: argparse.ArgumentParser) -> None:
    ablate.add_argument("spec", metavar="SPEC")
    ablate.add_argument(
        "--tasks", default="arithmetic,xml", metavar="A,B", help="tasks (arithmetic,xml)"
    )
    ablate.add_argument(
        "--draws", type=int, default=16, metavar="N", help="draws a cell and task (16)"
    )
    ablate.add_argument(
        "--variants",
        default="",
        metavar="A,B",
        help="ablations, or specs; without it every single change that the cell admits",
    )
    ablate.add_argument(
        "--set",
        dest="settings",
        metavar="SET|KEY=VALUE",
        action="append",
        default=[],
        help="a paper's cells (odyssey9, jozefowicz10), or override a field (epochs=40)",
    )
    ablate.add_argument(
        "--match",
        choices=("none", "parameters"),
        default="none",
        help="parameters: the same number of parameters instead of the same hidden size",
    )
    ablate.add_argument("--seed", type=int, default=1, metavar="N", help="seed (1)")
    _add_running(ablate)


def _add_promote(promote: argparse.ArgumentParser) -> None:
    promote.add_argument("run_dir", metavar="DIR", help="run directory of a search")
    promote.add_argument("--top", type=int, default=5, metavar="N", help="cells (5)")
    promote.add_argument(
        "--tasks",
        default="",
        metavar="A,B",
        help="tasks; without it those of the search and one that it has not seen",
    )
    promote.add_argument(
        "--draws", type=int, default=16, metavar="N", help="draws a cell and task (16)"
    )
    promote.add_argument(
        "--parameters",
        type=int,
        metavar="N",
        help="of every model; without it those of an LSTM of the search's hidden size",
    )
    promote.add_argument(
        "--seed", type=int, metavar="N", help="seed (made of the search's, and another one)"
    )
    promote.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override a field of the study, as in epochs=40",
    )
    _add_running(promote)


def _add_trained(parser: argparse.ArgumentParser) -> None:
    """Adds which trained model is meant."""
    parser.add_argument(
        "directory", metavar="RUN", help="a run that has kept weights: of train --out, or a study"
    )
    _add_choice(parser)


def _add_choice(parser: argparse.ArgumentParser, *, task: bool = True) -> None:
    parser.add_argument("--cell", metavar="SPEC", default="", help="of a study: this cell's model")
    parser.add_argument("--member", type=int, metavar="N", help="of a study: this member's model")
    if task:
        parser.add_argument("--task", metavar="TASK", default="", help="of a study: on this task")


def _add_moved_text(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--text", metavar="PATH", help="where the text of the run lies now")


def _add_running(parser: argparse.ArgumentParser) -> None:
    """Adds how a study is run."""
    parser.add_argument(
        "--keep-weights",
        choices=("best", "all", "none"),
        help="of every task's ten best cells (default), of every member, or none",
    )
    parser.add_argument("--out", metavar="DIR", help="run directory or its URL (results/runs/NAME)")
    parser.add_argument("--workers", type=int, metavar="N", help="trials at a time")
    parser.add_argument(
        "--runner", choices=("ray", "local"), help="many processes, or this one (the study's own)"
    )
    parser.add_argument("--address", metavar="A", help="join the Ray cluster at this address")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would run, how long, and stop"
    )
    _json(parser)


def _add_train(train: argparse.ArgumentParser) -> None:
    from odyssey.training.config import SINGLE

    train.add_argument("spec", metavar="SPEC")
    train.add_argument("--task", required=True, metavar="TASK", help="xml, text:book.txt, ...")
    train.add_argument("--out", metavar="DIR", help="keep the record, curves and weights in DIR")
    train.add_argument(
        "--preset",
        help="a paper's protocol, for training and hyperparameters: odyssey, jozefowicz, karpathy;"
        " what it leaves open, and the other options, are as below",
    )
    numbers: tuple[tuple[str, type, str], ...] = (
        ("--hidden-size", int, "units per layer"),
        ("--num-layers", int, "layers"),
        ("--learning-rate", float, "learning rate"),
        ("--momentum", float, "momentum of sgd"),
        ("--clip-norm", float, "largest gradient norm; 0 does not clip"),
        ("--clip-value", float, "largest gradient element"),
        ("--init-scale", float, "scale of the initial weights"),
        ("--forget-bias", float, "initial bias of the gate f"),
        ("--input-noise", float, "noise on the inputs"),
        ("--epochs", int, "epochs (20)"),
        ("--updates-per-epoch", int, "updates between validations (50)"),
        ("--batch-size", int, "parallel streams (20)"),
        ("--unroll", int, "steps of truncated back-propagation (35)"),
    )
    for flag, kind, text in numbers:
        default = SINGLE.get(flag.removeprefix("--").replace("-", "_"))
        shown = "" if default is None else f" ({default})"
        train.add_argument(flag, type=kind, metavar="X", help=text + shown)
    train.add_argument("--seed", type=int, default=1, metavar="X", help="seed (1)")
    train.add_argument("--optimizer", help="sgd, rmsprop, adam or adagrad (adam)")
    train.add_argument("--sample", type=int, default=400, metavar="N", help="characters to sample")
    train.add_argument(
        "--sample-every",
        type=int,
        metavar="N",
        help="also sample while training, every so many updates (after a validation)",
    )
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


def _add_gradients(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "specs", metavar="SPEC|RUN", nargs="+", help="cells, or runs that have kept trained models"
    )
    numbers: tuple[tuple[str, type, object, str], ...] = (
        ("--steps", int, 128, "time steps between the loss and the first state"),
        ("--hidden-size", int, 128, "units per layer"),
        ("--num-layers", int, 1, "layers"),
        ("--inputs", int, 65, "numbers N(0, 1) that are read in a step, without a task"),
        ("--seeds", int, 20, "members: seeds 1, 2, ..."),
        ("--rows", int, None, "sequences a member reads; 1, or 8 on a task"),
        ("--init-scale", float, 0.08, "scale s of the initial weights"),
        ("--forget-bias", float, None, "initial bias of the gate f"),
        ("--spectral-radius", float, None, "scale all recurrent matrices to it"),
        ("--updates", int, 1000, "with --train: updates"),
        ("--every", int, 100, "with --train: updates between measurements"),
        ("--learning-rate", float, 0.003, "with --train: learning rate of adam"),
        ("--clip-norm", float, 5.0, "with --train: largest gradient norm; 0 does not clip"),
    )
    for flag, kind, default, text in numbers:
        shown = "" if default is None else f" ({default})"
        parser.add_argument(flag, type=kind, default=default, metavar="X", help=text + shown)
    parser.add_argument(
        "--init", default="uniform", metavar="NAME", help="uniform (default), uniform_fan, normal"
    )
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--task", metavar="TASK", help="read a task's data instead of noise; of a RUN: on this task"
    )
    data.add_argument("--train", metavar="TASK", help="measure along training on a task")
    parser.add_argument(
        "--sweep",
        metavar="NAME=A,B,...",
        help="measure at several values of forget_bias, init_scale, spectral_radius, hidden_size"
        " or steps",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="with --train: any training option, as in optimizer=sgd",
    )
    parser.add_argument(
        "--out", metavar="DIR", default="results/runs/gradients", help="where the files go"
    )
    parser.add_argument("--no-animation", action="store_true", help="draw no GIF")
    _add_choice(parser, task=False)
    _add_moved_text(parser)
    given = vars(parser.parse_args(["SPEC"]))
    parser.set_defaults(defaults={k: v for k, v in given.items() if k != "specs"})


def _add_units(units: argparse.ArgumentParser) -> None:
    units.add_argument(
        "directory", metavar="RUN", help="what odyssey train --out DIR has kept, or a study"
    )
    units.add_argument(
        "--text",
        metavar="FILE",
        help="read a file instead of the task's test data; of the run's own text, wherever it lies"
        " now, the test data",
    )
    units.add_argument(
        "--characters", type=int, default=50_000, metavar="N", help="symbols to read (50000)"
    )
    units.add_argument(
        "--page-characters",
        type=int,
        default=20_000,
        metavar="N",
        help="symbols on the page (20000); 0 writes none",
    )
    units.add_argument(
        "--probes", metavar="FILE.py", help="more probes: functions of a text, a number a symbol"
    )
    units.add_argument(
        "--shifts", type=int, default=999, metavar="N", help="shifts of the null (999)"
    )
    units.add_argument("--lstmvis", metavar="DIR", help="export for LSTMVis as well (needs h5py)")
    units.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the shifts (1)")
    units.add_argument("--out", metavar="DIR", help="where the files go (RUN/units)")
    _add_choice(units)


def _add_bench(bench: argparse.ArgumentParser) -> None:
    bench.add_argument(
        "sections",
        metavar="SECTION",
        nargs="*",
        help="dense, classes, cells, sgemm, compile, tiny, step; all of them if none is named",
    )
    bench.add_argument("--rounds", type=int, metavar="N", help="samples of each candidate (9)")
    bench.add_argument("--steps", type=int, metavar="T", help="time steps of a sequence (128)")
    for flag, text in (("--hidden", "hidden sizes"), ("--batch", "batch sizes")):
        bench.add_argument(
            flag,
            type=int,
            nargs="+",
            metavar="N",
            help=f"{text} of dense, classes, cells and sgemm, instead of their own",
        )
    bench.add_argument("--quick", action="store_true", help="tiny sizes: see that all of it runs")
    bench.add_argument("--out", metavar="FILE", help="write the tables as Markdown there too")
    _json(bench)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit code."""
    from odyssey.cli.printing import guarded

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

    try:
        parser = _parser()
        args, unknown = parser.parse_known_args(argv)
        if unknown:
            args.parser.unknown(unknown)
    except SystemExit as exit_:  # after --help, --version or a wrong argument
        return int(exit_.code or 0)
    try:
        with orderly():
            module = importlib.import_module(f"odyssey.cli.{args.command}")
            return int(module.run(args) or 0)
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


def entry_point() -> None:
    """The `odyssey` console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry_point()
