"""`odyssey status`: how far a run is, from another terminal."""

from __future__ import annotations

import argparse
import time

from odyssey.cli.arguments import add_json
from odyssey.cli.printing import print_json
from odyssey.jobs.status import run_status
from odyssey.progress.output import console
from odyssey.wording import climbed_text, duration

EXAMPLES = (("odyssey status results/runs/evolve", "from another terminal"),)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("directory", metavar="DIR")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Prints how far the run is, and whether a process works on it."""
    status = run_status(args.directory)
    board, doing = status.board, "running" if status.active else "not running"
    if board is None:
        if args.json:
            data: dict[str, object] = {"study": status.study, "active": status.active}
            data |= {"rungs": list(status.climbed)} if status.climbed else {}
            print_json(data | {"trials": status.trials, "planned": status.planned})
            return
        of = "" if status.planned is None else f" of {status.planned:,}"
        print(f"{status.study}: {status.trials:,}{of} trials finished, {doing}")
        if status.climbed:
            print(f"finished: {climbed_text(status.climbed, status.climbs)}")
        return
    if args.json:
        print_json({**board, "active": status.active})
        return
    from odyssey.progress.search import search_picture

    age = duration(max(time.time() - board["written"], 0.0))
    print(f"{board['study']}: {doing}; as of {age} ago")
    console().print(search_picture(board))
    if not status.active and board["told"] < board["total"]:
        print(f"go on with: odyssey search --resume {status.path}")
