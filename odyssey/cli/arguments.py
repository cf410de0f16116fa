"""Arguments that several commands share, and options that are the fields of a job's dataclass."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, TypeVar

from odyssey.device_names import CPU, DEVICES
from odyssey.errors import ConfigError

Options = TypeVar("Options")
_KINDS: dict[str, type] = {"int": int, "float": float}


def add_options(
    parser: argparse.ArgumentParser, options: type, *rows: tuple[str, str, str]
) -> None:
    """Adds the fields of a dataclass as options: their types and defaults are those of the fields.

    Args:
        parser: The parser.
        options: The dataclass.
        rows: Flag, name of its value, and help, in which {} is the default. A field of texts may
            be given again and again; a truth value needs no name, and its flag turns it round.
    """
    fields = {field.name: field for field in dataclasses.fields(options)}
    for flag, metavar, text in rows:
        name = flag.removeprefix("--").replace("-", "_")
        field = fields[name.removeprefix("no_")]
        shared: dict[str, Any] = {"dest": field.name, "help": text.format(field.default)}
        if not metavar:
            action = "store_false" if field.default else "store_true"
            parser.add_argument(flag, action=action, **shared)
        elif str(field.type) == "Sequence[str]":
            parser.add_argument(flag, metavar=metavar, action="append", default=[], **shared)
        else:
            kind = _KINDS.get(str(field.type).partition(" ")[0], str)
            shared |= {"default": field.default, "type": kind}
            parser.add_argument(flag, metavar=metavar, **shared)


def options_of(kind: type[Options], args: argparse.Namespace, **more: Any) -> Options:
    """Makes a job's options of the arguments that are called like its fields.

    Args:
        kind: The dataclass.
        args: The arguments.
        more: Fields that are made of several arguments, or of their texts.
    """
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    given = {name: value for name, value in vars(args).items() if name in known} | more
    return kind(**{n: tuple(v) if isinstance(v, list) else v for n, v in given.items()})


def add_device(
    parser: argparse.ArgumentParser, *, default: str | None = CPU, shown: str = CPU
) -> None:
    """Adds --device.

    Args:
        parser: The parser.
        default: What it is where nobody says it; None leaves it to others, as a study.
        shown: What it is then, in words.
    """
    parser.add_argument(
        "--device",
        metavar="NAME",
        default=default,
        help=f"{', '.join(DEVICES)}, or cuda:1 for the second ({shown})",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds --json."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_numbers(parser: argparse.ArgumentParser, flag: str, text: str) -> None:
    """Adds a flag that takes one whole number or more."""
    parser.add_argument(flag, type=int, nargs="+", default=[], metavar="N", help=text)


def add_settings(parser: argparse.ArgumentParser, text: str, *, metavar: str = "KEY=VALUE") -> None:
    """Adds --set, as `settings`."""
    shared: dict[str, Any] = {"dest": "settings", "action": "append", "default": []}
    parser.add_argument("--set", metavar=metavar, help=text, **shared)


def add_choice(
    parser: argparse.ArgumentParser,
    *,
    task: bool = True,
    text: str = "where the text of the run lies now",
) -> None:
    """Adds the fields of `ModelChoice`: which of the models of a run is meant."""
    from odyssey.jobs.choice import ModelChoice

    rows = [
        ("--cell", "SPEC", "of a study: this cell's model"),
        ("--member", "N", "of a study: this member's model"),
        ("--task", "TASK", "of a study: on this task"),
        ("--text", "PATH", text),
    ]
    add_options(parser, ModelChoice, *(row for row in rows if task or row[0] != "--task"))


def add_moved(parser: argparse.ArgumentParser, *, resumed: bool) -> None:
    """Adds --text of a run that goes on: where its texts lie now.

    Args:
        parser: The parser.
        resumed: Whether it goes on by --resume.
    """
    parser.add_argument(
        "--text",
        metavar="PATH",
        action="append",
        default=[],
        help=f"{'with --resume: ' if resumed else ''}where a text (or folder of pictures) that the"
        " run reads lies now; the run keeps it (may be repeated)",
    )


def check_moved(args: argparse.Namespace) -> None:
    """Raises `ConfigError` where --text stands without --resume."""
    if args.text and not args.resume:
        raise ConfigError("--text says where a text of a run lies now: give it with --resume DIR")


def add_drawn(parser: argparse.ArgumentParser) -> None:
    """Adds the fields of `DrawnOptions` but settings: how cells are compared, on the same draws."""
    from odyssey.studies.make.ablation import MATCHES, DrawnOptions

    tasks = ",".join(DrawnOptions.tasks)
    parser.add_argument("--tasks", default=tasks, metavar="TASKS", help=f"tasks ({tasks})")
    add_options(parser, DrawnOptions, ("--draws", "N", "draws a cell and task ({})"))
    parser.add_argument(
        "--match",
        choices=MATCHES,
        default=DrawnOptions.match,
        help="parameters: the same number of parameters instead of the same hidden size",
    )
    add_options(
        parser,
        DrawnOptions,
        ("--margin", "BITS", "what differs by less counts as equal (none is declared)"),
        ("--seed", "N", "seed ({})"),
    )


def add_running(parser: argparse.ArgumentParser, *, fresh: bool = True) -> None:
    """Adds the fields of `RunOptions`, --dry-run and --json: how a study is run.

    Args:
        parser: The parser.
        fresh: Whether it makes a run; one that is there has its directory and keeps what it kept.
    """
    from odyssey.studies.runners.registry import RUNNERS
    from odyssey.studies.study import KEPT

    if fresh:
        parser.add_argument(
            "--keep-weights",
            choices=KEPT,
            help="of every task's ten best cells (default), of every member, or none",
        )
        parser.add_argument(
            "--out", metavar="DIR", help="run directory or its URL (results/runs/NAME)"
        )
        add_device(parser, default=None, shown="the study's own")
    parser.add_argument("--workers", type=int, metavar="N", help="trials at a time")
    parser.add_argument(
        "--runner", choices=RUNNERS, help="many processes, or this one (the study's own)"
    )
    add_track(parser)
    parser.add_argument("--address", metavar="A", help="join the Ray cluster at this address")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would run, how long, and stop"
    )
    add_json(parser)


def add_pilot(parser: argparse.ArgumentParser) -> None:
    """Adds --pilot, beside --dry-run."""
    parser.add_argument(
        "--pilot",
        metavar="DIR",
        default="",
        help="with --dry-run: a run of these tasks; say which difference the study could find",
    )


def add_track(parser: argparse.ArgumentParser) -> None:
    """Adds --track."""
    parser.add_argument(
        "--track",
        metavar="NAME[:PLACE]",
        action="append",
        default=[],
        help="copy curves and scores to a tracker: tensorboard[:DIR], mlflow[:URI],"
        " wandb[:PROJECT] (may be repeated)",
    )


def add_plugins(parser: argparse.ArgumentParser) -> None:
    """Adds --plugin."""
    parser.add_argument(
        "--plugin",
        metavar="FILE.py",
        dest="plugin_files",
        action="append",
        default=[],
        help="load a plug-in first: a file or a module (may be repeated; docs/plugins.md)",
    )


def listed(text: str) -> tuple[str, ...]:
    """Splits a list at its commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
