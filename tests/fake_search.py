"""Runs a search without training in a process of its own: `python fake_search.py DIR STRATEGY N`.

Goes on with DIR if it is there. Options: runner, workers, seconds a trial.
"""

import sys
from pathlib import Path

from fake_training import Fake, study_text

from odyssey.evaluation.search import prepare_search, reopen_search, run_search
from odyssey.evaluation.study import parse_study


class Silent:
    """Watches and says nothing."""

    def begin(self, board):
        pass

    def told(self, board, row):
        pass

    def tick(self, board):
        pass


def search(folder, strategy="aging", candidates=20, *, watcher=None, work=None, **options):
    """Runs or resumes a search without training; gives the summary."""
    if (folder / "run.json").exists():
        store, study = reopen_search(folder)
    else:
        study = parse_study(study_text(strategy, candidates))
        store = prepare_search(study, folder)
    work = work or Fake(folder.absolute())
    return run_search(store, study, watcher or Silent(), work=work, **options)


if __name__ == "__main__":
    folder, strategy, candidates, runner, workers, seconds = sys.argv[1:]
    search(
        Path(folder),
        strategy,
        int(candidates),
        work=Fake(Path(folder).absolute(), seconds=float(seconds)),
        runner=runner,
        workers=int(workers),
    )
