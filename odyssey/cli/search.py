"""`odyssey search`: run a study, or go on with one."""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.cli import dry_search
from odyssey.cli.live import LiveBoard
from odyssey.cli.printing import duration, print_json, print_notices
from odyssey.cli.screen import Screen
from odyssey.cli.signals import ending
from odyssey.errors import ConfigError, RunCutShortError
from odyssey.storage.places import place
from odyssey.studies.study import Study, read_study
from odyssey.wording import plural

if TYPE_CHECKING:
    from odyssey.storage.store import RunStore
    from odyssey.studies.trial import Trial


def run(args: argparse.Namespace) -> None:
    """Runs, resumes or estimates a study, then prints the leaderboard."""
    if args.workers is not None and args.workers < 1:
        raise ConfigError(f"--workers must be at least 1, got {args.workers}")
    if args.resume:
        if args.study or args.out or args.settings or args.keep_weights:
            raise ConfigError(
                "--resume DIR goes on with the study as it was: no STUDY, --out or --set,"
                " no --keep-weights"
            )
        _resume(args)
        return
    if not args.study:
        raise ConfigError("name a study: odyssey search STUDY.toml (or --resume DIR)")
    run_study(read_study(Path(args.study), settings=args.settings), args)


def run_study(study: Study, args: argparse.Namespace) -> None:
    """Runs a study into a fresh directory, or says what would run.

    Args:
        study: The study.
        args: With dry_run, runner, workers, address, keep_weights, out and json, as the parser
            gives them.
    """
    if args.workers is not None and args.workers < 1:
        raise ConfigError(f"--workers must be at least 1, got {args.workers}")
    if args.keep_weights:
        study = replace(study, keep_weights=args.keep_weights)
    if args.dry_run:
        if study.search is not None:
            dry_search.run(study, args)
        else:
            _dry_run(study, args)
        return
    from odyssey.studies.engine import choose_runner, prepare

    # before anything is written
    choose_runner(study, runner=args.runner, workers=args.workers, address=args.address)
    out = place(args.out) if args.out else _free_directory(study.name)
    if study.search is not None:
        from odyssey.studies.evolve.search import prepare_search

        _evolve(args, study, prepare_search(study, out))
        return
    store, trials = prepare(study, out)
    _run(args, study, store, trials)


def _free_directory(name: str) -> Path:
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:80].strip("-.") or "study"
    base = Path("results/runs")
    found, number = base / stem, 1
    while found.exists():
        number += 1
        found = base / f"{stem}-{number}"
    return found


def _resume(args: argparse.Namespace) -> None:
    from odyssey.storage.store import RunStore
    from odyssey.studies.engine import reopen

    if RunStore.open(args.resume).run.get("kind") == "search":
        from odyssey.studies.evolve.search import reopen_search

        found, study = reopen_search(args.resume)
        if args.dry_run:
            dry_search.left(found, as_json=args.json)
        else:
            _evolve(args, study, found)
        return
    store, study, trials = reopen(args.resume)
    if args.dry_run:
        finished = store.finished()
        left = sum(t.id not in finished for t in trials)
        if args.json:
            print_json({"study": study.name, "trials": len(trials), "left": left})
        else:
            print(f"trials left: {left} of {len(trials)}")
        return
    _run(args, study, store, trials)


@contextlib.contextmanager
def _resumable(
    store: RunStore, live: Screen, kept: Callable[[], tuple[int, str]], *, as_json: bool
) -> Iterator[None]:
    """Says how to go on where a run is cut short: by a signal, or by what it runs on.

    Args:
        store: The run.
        live: What is drawn of it.
        kept: Gives how many things there are to report, and what is kept, in words.
        as_json: Whether the report is JSON.
    """
    from odyssey.cli.report import show

    resume = f"odyssey search --resume {shlex.quote(str(store.path))}"
    try:
        with ending("ending the trials that run; everything finished is kept"):
            yield
    except (KeyboardInterrupt, RunCutShortError) as error:
        live.__exit__(None, None, None)
        count, what = kept()
        print(f"{what}; go on with: {resume}", file=sys.stderr, flush=True)
        if count and isinstance(error, KeyboardInterrupt):
            show(store.path, as_json=as_json)
        raise


def _begin(args: argparse.Namespace, study: Study, store: RunStore) -> None:
    if not args.json:
        resume = f"odyssey search --resume {shlex.quote(str(store.path))}"
        print(f"{study.name}: {store.path}    (interrupted? go on with: {resume})", flush=True)
    print_notices(store.run["tasks"])


def _run(args: argparse.Namespace, study: Study, store: RunStore, trials: list[Trial]) -> None:
    from odyssey.cli.report import show
    from odyssey.studies.engine import execute

    _begin(args, study, store)

    def kept() -> tuple[int, str]:
        return board.done, f"{board.done} of {board.total} trials are finished and kept"

    with LiveBoard(quiet=args.json, tasks=store.run["tasks"]) as board:
        board.include(store.results().to_dict("records"))
        with _resumable(store, board, kept, as_json=args.json):
            summary = execute(
                store,
                study,
                trials,
                board,
                runner=args.runner,
                workers=args.workers,
                address=args.address,
            )
    show(store.path, as_json=args.json)
    if not args.json:
        failed = f", {summary.failed} failed" if summary.failed else ""
        print(f"\ntrials run: {summary.ran} in {duration(summary.seconds)}{failed}")


def _evolve(args: argparse.Namespace, study: Study, store: RunStore) -> None:
    from odyssey.cli.live_search import LiveSearch
    from odyssey.cli.report import show
    from odyssey.studies.evolve.search import run_search

    _begin(args, study, store)

    def kept() -> tuple[int, str]:
        told = live.board.told if live.board else 0
        return told, f"{told} candidates are told and kept, with every finished trial"

    with LiveSearch(quiet=args.json) as live, _resumable(store, live, kept, as_json=args.json):
        summary = run_search(
            store,
            study,
            live,
            runner=args.runner,
            workers=args.workers,
            address=args.address,
        )
    show(store.path, as_json=args.json)
    if not args.json:
        failed = f", {summary.failed} failed" if summary.failed else ""
        print(
            f"\ncandidates: {summary.told} told now, of {summary.total}; "
            f"trials run: {summary.trials} in {duration(summary.seconds)}{failed}"
        )
        if summary.unmeasured:
            print(f"not measured: {summary.unmeasured} candidates, stopped at their limit twice")
        if summary.overhead == summary.overhead:
            print(f"engine overhead: {summary.overhead:.1%} of the workers' time was not training")


def _weight_megabytes(study: Study, trials: list[Trial]) -> float:
    """Says how much room the weights that are kept take, at most."""
    from odyssey.expr import parse_cell
    from odyssey.hyperparameters import Member
    from odyssey.studies.weights import MOST_CELLS
    from odyssey.tasks.registry import get_task
    from odyssey.training.model import count_parameters

    if study.keep_weights == "none":
        return 0.0
    sizes: dict[tuple[str, str], list[int]] = {}
    for trial in trials:
        cell, symbols = parse_cell(trial.cell_text), get_task(trial.task).num_symbols
        for member in (Member(**m) for m in trial.members):
            sizes.setdefault((trial.task, trial.spec), []).append(
                member.parameters
                or count_parameters(
                    cell,
                    num_symbols=symbols,
                    hidden_size=member.hidden_size,
                    num_layers=member.num_layers,
                )
            )
    if study.keep_weights == "all":
        return 4e-6 * sum(map(sum, sizes.values()))
    of_task = {
        task: sorted((max(n) for (t, _), n in sizes.items() if t == task), reverse=True)
        for task in study.tasks
    }
    return 4e-6 * sum(sum(n[:MOST_CELLS]) for n in of_task.values())


def _dry_run(study: Study, args: argparse.Namespace) -> None:
    """Says what would run, and how long, from a few timed updates of every cell."""
    from odyssey.studies.engine import check, choose_runner
    from odyssey.studies.estimate import estimate_trials

    _, workers = choose_runner(
        study, runner=args.runner, workers=args.workers, address=args.address
    )
    checked = check(study)
    cells, trials, tasks = checked.cells, checked.trials, checked.tasks
    config = study.config
    members = sum(len(t.members) for t in trials)
    characters = (
        members * config.epochs * config.updates_per_epoch * config.batch_size * config.unroll
    )
    print_notices({name: task.describe() for name, task in tasks.items()})
    began = time.monotonic()
    estimate = estimate_trials(trials[: len(cells)])
    share = len(trials) / len(cells) / workers
    seconds = estimate.start_up + estimate.seconds * share  # every worker starts up
    facts = {
        "study": study.name,
        "cells": len(cells),
        "tasks": list(tasks),
        "trials": len(trials),
        "members": members,
        "characters": characters,
        "seconds": round(seconds, 1),
        "workers": workers,
        "disk_mb": round(
            members * (3.0 + 0.15 * config.epochs) / 1000 + _weight_megabytes(study, trials), 2
        ),
    }
    if args.json:
        print_json(facts)
        return
    size = f"{plural(len(cells), 'cell')} x {plural(len(tasks), 'task')}"
    print(f"{study.name}: {size} ({', '.join(tasks)})")
    print(f"  trials       {len(trials):,} with {plural(members, 'member')} in all")
    print(f"  characters   {characters:,} at most")
    print(f"  wall time    about {duration(seconds)}, workers: {workers}")
    print(f"  disk         about {facts['disk_mb']} MB")
    print(
        f"  (estimated from {duration(time.monotonic() - began)} of timed updates, with"
        f" {duration(estimate.start_up)} of start-up for a worker; nothing was run)"
    )
