"""`odyssey caption`: a trained model reads pictures, and shows where it looked."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from odyssey.cli.arguments import add_choice, add_json, add_options, options_of
from odyssey.cli.printing import print_json, print_rows, teller
from odyssey.jobs.caption import CaptionOptions, ReadPictures, caption_pictures
from odyssey.jobs.choice import ModelChoice

EXAMPLES = (("odyssey caption runs/numbers", "what a model reads in held-out pictures"),)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "directory", metavar="RUN", help="what odyssey train --out DIR has kept, or a study"
    )
    parser.add_argument(
        "pictures", metavar="PICTURE", nargs="*", help="files to read instead of test pictures"
    )
    add_choice(parser)
    add_options(
        parser,
        CaptionOptions,
        ("--beam", "K", "beginnings kept at every step ({}); 1: the likeliest symbol"),
        ("--count", "N", "test pictures on the page ({})"),
        ("--out", "DIR", "where the files go (RUN/pictures)"),
    )
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Prints what was read of some pictures, the scores over all, and where the files are."""
    read = caption_pictures(
        args.directory,
        args.pictures,
        options_of(CaptionOptions, args),
        choice=options_of(ModelChoice, args),
        progress=teller(quiet=args.json),
    )
    if args.json:
        print_json(_data(read))
        return
    print_rows(
        [
            {"picture": r.name, "written": r.written, "": r.verdict, "was": r.truth or ""}
            for r in read.readings
        ]
    )
    for name, text in read.summary():
        print(f"{name}: {text}")
    for kind, path in read.files.items():
        print(f"{kind}: {path}")


def _data(read: ReadPictures) -> dict[str, Any]:
    return {
        "model": read.model,
        "task": read.task,
        "scores": None if read.scores is None else dataclasses.asdict(read.scores),
        "readings": [
            {"picture": r.name, "written": r.written, "truth": r.truth, "nats": r.nats}
            for r in read.readings
        ],
        "files": read.files,
    }
