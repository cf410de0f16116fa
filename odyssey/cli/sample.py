"""`odyssey sample`: a trained model writes, character by character, or paints pictures."""

from __future__ import annotations

import argparse
import sys

from odyssey.cli.arguments import add_choice, add_json, add_options, options_of
from odyssey.cli.printing import print_json
from odyssey.errors import ConfigError
from odyssey.jobs.choice import ModelChoice
from odyssey.jobs.paint import PaintOptions, paint_pictures
from odyssey.jobs.sample import SampleOptions, sample_text, score_sample


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "directory", metavar="RUN", help="a run that has kept weights: of train --out, or a study"
    )
    add_choice(parser)
    add_options(
        parser,
        SampleOptions,
        ("--length", "N", "symbols ({})"),
        ("--temperature", "X", "0: likeliest"),
        ("--top-k", "K", "draw among the K likeliest only"),
        ("--prime", "TEXT", r"text to go on from; \xNN as in what samples print"),
        ("--seed", "N", "seed ({})"),
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="write the text as it is, into a file or a pipe: no control character is escaped",
    )
    parser.add_argument(
        "--score",
        action="store_true",
        help="say how many brackets are closed and, where pdflatex is there, which LaTeX compiles",
    )
    parser.add_argument(
        "--pictures",
        type=int,
        metavar="N",
        help="of a model that paints: so many pictures, 0 to 9 in turn, as one sheet (PNG, PDF)",
    )
    add_options(parser, PaintOptions, ("--to", "DIR", "of pictures: where the sheet goes ({})"))
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Prints the prime and what the model makes of it, as it is generated; or paints."""
    if args.pictures is not None:
        _paint(args)
        return
    options = options_of(SampleOptions, args)
    if args.raw and args.score:
        raise ConfigError("--raw writes the text and nothing else: leave out --score")
    if args.raw and (args.json or sys.stdout.isatty()):
        where = "JSON" if args.json else "a terminal"
        raise ConfigError(f"--raw is for files and pipes, not for {where}: control characters")
    written = sample_text(args.directory, options, choice=options_of(ModelChoice, args))
    if args.json:
        decode = written.task.decode
        text = decode(list(written.generated))
        score = score_sample(text).data() if args.score else {}
        print_json({"prime": decode(written.prime), "text": text, **score})
    elif args.raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(written.data())
        sys.stdout.buffer.flush()
    else:
        pieces = []
        for text in written.pieces():
            print(text, end="", flush=True)
            pieces.append(text)
        print()
        if args.score:
            print("", *score_sample("".join(pieces)).lines(), sep="\n")


def _paint(args: argparse.Namespace) -> None:
    """Writes a sheet of pictures, and says what the model knows of pictures that it never saw."""
    if args.prime is not None or args.raw or args.score:
        raise ConfigError("--pictures paints, it writes no text: leave out --prime, --raw, --score")
    painted = paint_pictures(
        args.directory,
        options_of(PaintOptions, args),
        sampling=options_of(SampleOptions, args),
        choice=options_of(ModelChoice, args),
    )
    if args.json:
        print_json(
            {
                "pictures": [picture.tolist() for picture in painted.pictures],
                "digits": list(painted.digits),
                "test_nats_per_picture": painted.nats,
                "test_accuracy_by_bayes": painted.accuracy,
                "files": painted.files,
            }
        )
        return
    print(f"pictures: {painted.files['png']}")
    print(f"test: {painted.nats:.1f} nats a picture; {painted.accuracy:.1%} of their digits told")
