"""`odyssey sample`: a trained model writes, character by character, plays, or paints pictures."""

from __future__ import annotations

import argparse
import sys

from odyssey.cli.arguments import add_choice, add_device, add_json, add_options, options_of
from odyssey.cli.printing import print_json
from odyssey.errors import ConfigError
from odyssey.jobs.choice import ModelChoice
from odyssey.jobs.paint import PaintOptions, paint_pictures
from odyssey.jobs.play import PlayedMusic, PlayOptions
from odyssey.jobs.sample import SampleOptions, sample_any, score_sample

EXAMPLES = (
    ("odyssey sample runs/book --length 500", "what a model writes"),
    ('odyssey sample runs/book --prime "It was" --temperature 0.5', "goes on from a beginning"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "directory", metavar="RUN", help="a run that has kept weights: of train --out, or a study"
    )
    add_choice(parser)
    add_options(
        parser,
        SampleOptions,
        ("--length", "N", "symbols (2000), or frames of music (120)"),
        ("--temperature", "X", "0: likeliest"),
        ("--top-k", "K", "draw among the K likeliest only"),
        ("--prime", "TEXT", r"text to go on from; \xNN as in what samples print"),
        ("--seed", "N", "seed ({})"),
    )
    add_device(parser)
    add_options(
        parser,
        PlayOptions,
        ("--to", "DIR", "folder of pictures, or of a MIDI file and a piano roll ({})"),
        ("--piece", "N", "of music: the test piece to go on from ({})"),
        ("--begun", "N", "of music: how many frames of it are given ({})"),
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
    written = sample_any(
        args.directory,
        options,
        options_of(PlayOptions, args),
        choice=options_of(ModelChoice, args),
    )
    if isinstance(written, PlayedMusic):
        _played(written, args)
    elif args.json:
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


def _played(music: PlayedMusic, args: argparse.Namespace) -> None:
    """Says where music lies."""
    for flag, given in (("--raw", args.raw), ("--score", args.score)):
        if given:
            raise ConfigError(f"{flag} is for text; music is written as files, into --to")
    if args.json:
        print_json({n: v if isinstance(v, int) else str(v) for n, v in vars(music).items()})
        return
    print(f"{music.begun} frames given, {music.made} made")
    print(f"wrote {music.midi} and {music.figure}")
