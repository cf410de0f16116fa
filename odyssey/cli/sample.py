"""`odyssey sample`: a trained model writes, character by character."""

from __future__ import annotations

import argparse
import math
import sys

from odyssey.cli.printing import print_json
from odyssey.errors import ConfigError


def run(args: argparse.Namespace) -> None:
    """Prints the prime and what the model makes of it, as it is generated."""
    if args.length < 1:
        raise ConfigError(f"--length must be at least 1, got {args.length}")
    if not 0 <= args.temperature < math.inf:
        raise ConfigError(f"--temperature must be a number >= 0, got {args.temperature}")
    if args.top_k is not None and args.top_k < 1:
        raise ConfigError(f"--top-k must be at least 1, got {args.top_k}")
    if args.seed < 0:
        raise ConfigError(f"--seed must not be negative, got {args.seed}")
    if args.prime == "":
        raise ConfigError("--prime is empty; leave it out to begin as the task does")

    if args.raw and (args.json or sys.stdout.isatty()):
        where = "JSON" if args.json else "a terminal"
        raise ConfigError(f"--raw is for files and pipes, not for {where}: control characters")

    from odyssey.studies.trained import load_trained
    from odyssey.training.sampling import sample, stream_text
    from odyssey.training.seeds import stream

    trained = load_trained(
        args.directory, cell=args.cell, task=args.task, member=args.member, text=args.text
    )
    task = trained.task
    prime = task.sample_prime() if args.prime is None else task.encode(args.prime)
    found = sample(
        trained.model,
        prime,
        length=args.length,
        temperature=args.temperature,
        top_k=args.top_k,
        rng=stream(args.seed, "sample"),
    )
    begun = [] if args.prime is None else prime.tolist()
    if args.json:
        print_json({"prime": task.decode(prime), "text": task.decode(list(found))})
        return
    if args.raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(task.data([*begun, *found]))
        sys.stdout.buffer.flush()
        return
    print(task.decode(begun), end="", flush=True)
    for text in stream_text(task, found):
        print(text, end="", flush=True)
    print()
