"""Runs a search in a process of its own: `python fake_search.py DIR STRATEGY CANDIDATES`.

Goes on with DIR if it is there. Trials train nothing, or (--train) next to nothing.
"""

import argparse
from pathlib import Path

from odyssey.studies.engine import execute, prepare, reopen
from odyssey.studies.evolve import evolution
from odyssey.studies.source import Unwatched as Silent
from odyssey.studies.study import parse_study
from odyssey.studies.work import TrialWork, commit
from support.fake_training import Fake, Listed, Slowed, study_text


def search(folder, strategy="aging", candidates=20, *, watcher=None, work=None, **options):
    """Runs or resumes a search without training; gives the summary."""
    run = opened(folder, study_text(strategy, candidates, seed=6))
    work = work or Fake(folder.absolute())
    return execute(run, watcher or Silent(), work=work, **options)


def opened(folder, text):
    """Opens the search in a folder, or makes it."""
    if (folder / "run.json").exists():
        return reopen(folder)
    return prepare(parse_study(text), folder)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("strategy")
    parser.add_argument("candidates", type=int)
    parser.add_argument("--runner", default="local")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--address")
    parser.add_argument("--seconds", type=float, default=0.0, help="of a trial without training")
    parser.add_argument("--least", type=float, help="seconds that a trial has at least")
    parser.add_argument("--faults", type=Path, help="see `Fake`")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--slow", type=float, default=1.0, help="how much longer trials take")
    parser.add_argument("--list", type=Path, help="file for the trials that were begun and ended")
    options = parser.parse_args()
    folder = options.folder.absolute()
    text = study_text(options.strategy, options.candidates, train=options.train, seed=6)
    run = opened(folder, text)
    if options.train:
        work = TrialWork(folder, commit(), run.tasks)
    else:
        work = Fake(folder, options.faults, options.seconds)
    if options.least is not None:
        evolution.LEAST_LIMIT_SECONDS = options.least
    if options.slow > 1.0:
        work = Slowed(work, options.slow)
    if options.list:
        work = Listed(work, options.list.absolute())
    execute(
        run,
        Silent(),
        work=work,
        runner=options.runner,
        workers=options.workers,
        address=options.address,
    )


if __name__ == "__main__":
    main()
